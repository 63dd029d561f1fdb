//! The finalizer that keeps an account until its leases are revoked.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use kube::Api;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::MutexGuard;

use super::account::Attempts;
use super::{FIELD_MANAGER, Hands, KubeCalls};
use keylease_api::AwsAccount;
use keylease_api::decode::{Lenient, Salvage};
use keylease_core::plan::effect::{Fault, FaultClass, Outcome};
use keylease_core::plan::intent::HOLD;

/// The accounts that are known to be held, by name.
///
/// Whoever puts a hold on or takes one off has the turn. A hold is taken off
/// only where no request has a place in the account, and a request takes its
/// place before it asks whether the account is held: so a lease that begins
/// either finds the hold in force, or finds out that it is not.
#[derive(Clone, Default)]
pub struct Holds {
    standing: Arc<Mutex<HashSet<String>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Holds {
    /// Whether the account is held.
    pub fn stands(&self, account: &str) -> bool {
        self.standing.lock().contains(account)
    }

    /// Nobody else changes a hold meanwhile.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The hold comes off, unless somebody needs it. Whether it does.
    pub fn ends_unless(&self, account: &str, needed: impl FnOnce() -> bool) -> bool {
        let mut standing = self.standing.lock();
        let ends = !needed();
        if ends {
            standing.remove(account);
        }
        ends
    }

    /// The hold is on the account.
    pub fn begins(&self, account: &str) {
        self.standing.lock().insert(account.to_owned());
    }
}

impl Hands {
    /// Puts the hold on the account of that name, as it is now.
    pub(super) async fn hold_account(&self, name: &str) -> Result<Outcome, Fault> {
        let _turn = self.holds.turn().await;
        let mut attempts = Attempts::default();
        loop {
            let result = self.hold_once(name).await;
            if !attempts.again(&result) {
                result?;
                self.holds.begins(name);
                return Ok(Outcome::Done);
            }
        }
    }

    async fn hold_once(&self, name: &str) -> Result<(), Fault> {
        let api: Api<Lenient<AwsAccount>> = Api::all(self.client.clone());
        let Lenient(current) = self.calls.make("get_account", api.get(name)).await?;
        if current.metadata.deletion_timestamp.is_some() {
            return Err(Fault {
                class: FaultClass::Unavailable,
                message: format!("AwsAccount {name} is being deleted"),
            });
        }
        set_hold(&api, &self.calls, &current, true).await
    }
}

/// Puts the hold on, or takes it off. Nothing is written where nothing changes.
///
/// # Errors
/// The fault of the write.
pub async fn set_hold<K>(
    api: &Api<Lenient<K>>,
    calls: &KubeCalls,
    object: &K,
    wanted: bool,
) -> Result<(), Fault>
where
    K: Salvage + Clone + Debug,
{
    let meta = object.meta();
    let finalizers = meta.finalizers.clone().unwrap_or_default();
    let held = finalizers.iter().any(|f| f == HOLD);
    let leaving = meta.deletion_timestamp.is_some();
    // A finalizer cannot be added to what is being deleted already.
    if held == wanted || (leaving && !held) {
        return Ok(());
    }
    let mut finalizers: Vec<_> = finalizers.into_iter().filter(|f| f != HOLD).collect();
    if wanted {
        finalizers.push(HOLD.to_owned());
    }
    let patch = json!({"metadata": {
        "resourceVersion": meta.resource_version,
        "finalizers": finalizers,
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
