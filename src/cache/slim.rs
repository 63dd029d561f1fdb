//! What a cache does not need of an object.

use kube::{Resource, ResourceExt};
use serde_json::json;

/// The copy of itself that `kubectl apply` leaves on an object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes off what no decision looks at: the copy that `kubectl apply` left, and
/// of the managers all but who wrote to the spec, which the audit trail tells.
/// With ten thousand requests that is most of the memory. What is written back
/// are patches and the status subresource, which both leave these alone.
pub fn slim<K: Resource>(object: &mut K) {
    object.annotations_mut().remove(LAST_APPLIED);
    let managers = object.managed_fields_mut();
    managers.retain_mut(|manager| {
        let Some(fields) = &mut manager.fields_v1 else {
            return false;
        };
        let wrote_spec = fields.0.get("f:spec").is_some();
        fields.0 = json!({"f:spec": {}});
        wrote_spec
    });
    managers.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylease_api::AwsRole;

    #[test]
    fn who_wrote_the_spec_is_kept_and_what_they_wrote_is_not() {
        let mut role: AwsRole = serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
            "metadata": {
                "name": "r",
                "annotations": {LAST_APPLIED: "{}", "team": "a"},
                "managedFields": [
                    {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:ttl": {}}, "f:metadata": {}}},
                    {"manager": "keylease", "fieldsV1": {"f:status": {"f:leases": {}}}},
                ],
            },
            "spec": {"accountRef": {"name": "a"}},
        }))
        .unwrap();
        slim(&mut role);
        assert_eq!(role.annotations().keys().collect::<Vec<_>>(), ["team"]);
        let [only] = role.managed_fields() else {
            panic!("{:?}", role.managed_fields());
        };
        assert_eq!(only.manager.as_deref(), Some("kubectl"));
        let fields = only.fields_v1.as_ref().map(|f| &f.0);
        assert_eq!(fields, Some(&json!({"f:spec": {}})));
    }
}
