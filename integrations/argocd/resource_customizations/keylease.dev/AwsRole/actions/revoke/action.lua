-- Everything issued before this time is revoked, and stays so. Times of issue are
-- whole seconds and the mark is rounded up: a lease of this very second is in it.
local os = require("os")
obj.spec.revokeBefore = os.date("!%Y-%m-%dT%H:%M:%S") .. ".999999999Z"
return obj
