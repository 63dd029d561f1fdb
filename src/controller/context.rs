//! What the controllers share.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};

use super::desk::Desk;
use super::secret_index::SecretIndex;
use crate::act::Hands;
use crate::api::{AwsAccount, AwsRole};
use crate::aws::{Accounts, Signer};
use crate::metrics::Metrics;
use crate::plan::naming::ClusterId;

/// What every reconciliation is given.
pub struct Context {
    /// The Kubernetes client.
    pub client: Client,
    /// The cluster we work for.
    pub cluster: ClusterId,
    /// The operator's own namespace: where account Secrets lie.
    pub namespace: String,
    /// Performs effects.
    pub hands: Hands,
    /// Signed-in accounts.
    pub accounts: Accounts,
    /// Signs in.
    pub signer: Signer,
    /// Work in progress.
    pub desk: Desk,
    /// What the watch says of our Secrets.
    pub secrets: SecretIndex,
    /// Roles, to find whom a change concerns.
    pub roles: Store<AwsRole>,
    /// Counters.
    pub metrics: Metrics,
    /// Accounts whose credentials failed in use.
    pub suspects: Suspects,
}

/// Tells the account controller that an account's sign-in should be looked at
/// now, because a call with it failed.
#[derive(Clone)]
pub struct Suspects(UnboundedSender<ObjectRef<AwsAccount>>);

impl Suspects {
    /// The two ends.
    pub fn channel() -> (Self, UnboundedReceiver<ObjectRef<AwsAccount>>) {
        let (sender, receiver) = unbounded();
        (Self(sender), receiver)
    }

    /// Names a suspect.
    pub fn name(&self, account: &str) {
        // The receiver lives as long as the account controller; at shutdown
        // there is nobody left to tell.
        let _ = self.0.unbounded_send(ObjectRef::new(account));
    }
}
