-- Each new time makes one new key; the old one lives on for rotation.overlap.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["keylease.dev/rotate-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
