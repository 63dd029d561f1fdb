-- Health of a lease. The status is in kstatus form; the phase tells more than its
-- conditions do: an end that was asked for is Suspended here, not Healthy.
local hs = {status = "Progressing", message = "waiting for Keylease"}
local status = obj.status or {}

-- What the status says is of an older spec until Keylease has seen this one.
if status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local told = {}
for _, condition in ipairs(status.conditions or {}) do
  told[condition.type] = condition
end

local function say(condition)
  if condition ~= nil then
    hs.message = condition.reason .. ": " .. condition.message
  end
end

if status.phase == "Expired" or status.phase == "Revoked" then
  hs.status = "Suspended"
  say(told["Revoked"])
  return hs
end
say(told["Ready"])
if told["Stalled"] ~= nil and told["Stalled"].status == "True" then
  hs.status = "Degraded"
elseif told["Ready"] ~= nil and told["Ready"].status == "True" then
  hs.status = "Healthy"
  -- The lease runs on to its end; what keeps the next key from being made is told.
  if told["Rotating"] ~= nil and told["Rotating"].status == "False" then
    say(told["Rotating"])
  end
end
return hs
