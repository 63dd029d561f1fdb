-- A lease in force can be renewed and its key replaced. Sessions cannot be
-- renewed: AWS ends them by itself. Revoking one lease is deleting its request,
-- which Argo CD has a button for; a role's leases are revoked at the role.
local status = obj.status or {}
local inForce = status.phase == "Ready" or status.phase == "Rotating"
local renewable = status.lease ~= nil and status.lease.renewable == true
local user = status.credential ~= nil and status.credential.userName ~= nil
return {
  ["renew"] = {
    ["disabled"] = not (inForce and renewable and user),
    ["displayName"] = "Renew the lease",
    ["iconClass"] = "fa fa-fw fa-hourglass-start"
  },
  ["rotate"] = {
    ["disabled"] = not inForce,
    ["displayName"] = "Put a new key into the Secret",
    ["iconClass"] = "fa fa-fw fa-sync"
  }
}
