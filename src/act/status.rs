//! The status of an object of ours.

use std::fmt::Debug;

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{FIELD_MANAGER, KubeCalls};
use keylease_api::decode::{Lenient, Salvage};
use keylease_api::{AwsAccount, AwsCredentialRequest, AwsRole, Defects};
use keylease_core::plan::effect::{Fault, FaultClass};

/// A kind whose status the operator writes.
pub trait HasStatus: Salvage + Serialize + Clone + Debug {
    /// The status.
    type Status: Serialize + Clone;
    /// What of the object could not be read.
    fn unreadable(&self) -> &Defects;
    /// The status as it was read.
    fn status(&self) -> Option<&Self::Status>;
    /// Another status.
    fn set_status(&mut self, status: Self::Status);
}

macro_rules! has_status {
    ($kind:ty, $status:ty) => {
        impl HasStatus for $kind {
            type Status = $status;
            fn unreadable(&self) -> &Defects {
                &self.spec.unreadable
            }
            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }
            fn set_status(&mut self, status: $status) {
                self.status = Some(status);
            }
        }
    };
}

has_status!(AwsAccount, keylease_api::AwsAccountStatus);
has_status!(AwsRole, keylease_api::AwsRoleStatus);
has_status!(
    AwsCredentialRequest,
    keylease_api::AwsCredentialRequestStatus
);

/// Writes a status, on condition that nobody changed the object since it was
/// read: as a whole, or of an object that could not be read as a whole only what
/// is to be another, so that the rest stays as it is.
///
/// # Errors
/// The fault of the call; a changed object is `Stale`.
pub async fn write_status<K: HasStatus>(
    calls: &KubeCalls,
    operation: &'static str,
    api: &Api<Lenient<K>>,
    object: &K,
    status: K::Status,
) -> Result<K, Fault> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    let manager = Some(FIELD_MANAGER.to_owned());
    let written = if object.unreadable().is_empty() {
        let mut updated = object.clone();
        updated.set_status(status);
        let params = PostParams {
            field_manager: manager,
            ..PostParams::default()
        };
        let updated = Lenient(updated);
        let call = api.replace_status(name, &params, &updated);
        calls.make(operation, call).await
    } else {
        let changes = changes(object.status(), &status).map_err(|error| Fault {
            class: FaultClass::Refused,
            message: error.to_string(),
        })?;
        let version = &object.meta().resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "status": changes});
        let params = PatchParams {
            field_manager: manager,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let call = api.patch_status(name, &params, &patch);
        calls.make(operation, call).await
    };
    written.map(|Lenient(written)| written)
}

/// The merge patch (RFC 7386) that leads from one status to the other.
fn changes<S: Serialize>(old: Option<&S>, new: &S) -> serde_json::Result<Value> {
    let old = old.map_or_else(|| Ok(json!({})), serde_json::to_value)?;
    let new = serde_json::to_value(new)?;
    Ok(difference(&old, &new).unwrap_or_else(|| json!({})))
}

fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old_map), Value::Object(new_map)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for key in old_map.keys().filter(|key| !new_map.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, new) in new_map {
        let old = old_map.get(key).unwrap_or(&Value::Null);
        if let Some(changed) = difference(old, new) {
            patch.insert(key.clone(), changed);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let old = json!({"phase": "Ready", "lease": {"id": "a", "renewals": 1}, "failures": 2});
        let new = json!({"phase": "Ready", "lease": {"id": "a", "renewals": 2}, "x": {"y": 1}});
        let patch = json!({"lease": {"renewals": 2}, "failures": null, "x": {"y": 1}});
        assert_eq!(changes(Some(&old), &new).unwrap(), patch);
        assert_eq!(changes(Some(&new), &new).unwrap(), json!({}));
        assert_eq!(
            changes(None, &json!({"a": [1]})).unwrap(),
            json!({"a": [1]})
        );
        let list = changes(Some(&json!({"a": [1, 2]})), &json!({"a": [1]}));
        assert_eq!(list.unwrap(), json!({"a": [1]}));
    }
}
