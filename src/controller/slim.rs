//! What a cache does not need of an object. Without it ten thousand requests
//! take a third of the memory.

use kube::{Resource, ResourceExt};

/// The copy of itself that `kubectl apply` leaves on an object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes off what no decision looks at: which fields each manager set (not who
/// they are), and the copy that `kubectl apply` left. What is written back are
/// patches and the status subresource, which both leave these alone.
pub(super) fn slim<K: Resource>(object: &mut K) {
    for manager in object.managed_fields_mut() {
        manager.fields_v1 = None;
    }
    object.annotations_mut().remove(LAST_APPLIED);
}
