//! Roles and accounts stay until the leases that need them are gone.

use std::fmt::Debug;

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::act::{FIELD_MANAGER, KubeCalls};
use keylease_api::decode::{Lenient, Salvage};
use keylease_core::plan::effect::Fault;

/// Finalizer on a role or an account that is in use.
const HOLD: &str = "keylease.dev/leases";

/// Puts the hold on while there are leases, and takes it off when there are
/// none. Nothing is written where nothing changes.
pub(super) async fn hold<K>(
    api: &Api<Lenient<K>>,
    calls: &KubeCalls,
    object: &K,
    in_use: bool,
) -> Result<(), Fault>
where
    K: Salvage + Clone + Debug,
{
    let meta = object.meta();
    let finalizers = meta.finalizers.clone().unwrap_or_default();
    let held = finalizers.iter().any(|f| f == HOLD);
    let leaving = meta.deletion_timestamp.is_some();
    // A finalizer cannot be added to what is being deleted already.
    if held == in_use || (leaving && !held) {
        return Ok(());
    }
    let mut wanted: Vec<_> = finalizers.into_iter().filter(|f| f != HOLD).collect();
    if in_use {
        wanted.push(HOLD.to_owned());
    }
    let patch = json!({"metadata": {
        "resourceVersion": meta.resource_version,
        "finalizers": wanted,
    }});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&patch);
    let name = meta.name.as_deref().unwrap_or_default();
    let call = api.patch(name, &params, &patch);
    calls.make("hold", call).await.map(drop)
}
