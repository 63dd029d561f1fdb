-- Revoking ends every lease that the role has now, in all namespaces.
local leases = (obj.status or {}).leases or 0
return {
  ["revoke"] = {
    ["disabled"] = leases == 0,
    ["displayName"] = "Revoke all leases of this role",
    ["iconClass"] = "fa fa-fw fa-ban"
  }
}
