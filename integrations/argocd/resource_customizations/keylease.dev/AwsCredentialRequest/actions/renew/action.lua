-- Each new time renews once: the lease then ends its own length from now, or at
-- the role's maximum since issue.
local os = require("os")
obj.spec.renew = {["at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")}
return obj
