-- Health of a role. The status is in kstatus form.
local hs = {status = "Progressing", message = "waiting for Keylease"}
local status = obj.status or {}

-- What the status says is of an older spec until Keylease has seen this one.
if status.observedGeneration ~= obj.metadata.generation then
  return hs
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    hs.message = condition.reason .. ": " .. condition.message
    if condition.status == "True" then
      hs.status = "Healthy"
    end
  elseif condition.type == "Stalled" and condition.status == "True" then
    hs.status = "Degraded"
  end
end
return hs
