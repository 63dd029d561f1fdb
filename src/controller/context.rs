//! What the controllers share.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};

use super::desk::Desk;
use super::ledger::Ledger;
use super::secret_index::SecretIndex;
use crate::act::Hands;
use crate::api::{AwsAccount, AwsCredentialRequest, AwsRole};
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
    /// Who has a place, for limits.
    pub ledger: Ledger,
    /// What the watch says of our Secrets.
    pub secrets: SecretIndex,
    /// Roles, to find whom a change concerns.
    pub roles: Store<AwsRole>,
    /// Counters.
    pub metrics: Metrics,
    /// What is told to the other controllers.
    pub notices: Notices,
    /// Requests, to count them.
    pub requests: Store<AwsCredentialRequest>,
}

/// What the request controller tells the others.
#[derive(Clone)]
pub struct Notices {
    suspects: UnboundedSender<ObjectRef<AwsAccount>>,
    counted: UnboundedSender<ObjectRef<AwsRole>>,
}

/// Where the notices arrive.
pub struct Noticed {
    /// Accounts whose sign-in should be looked at now, because a call with it
    /// failed, or because fewer leases need them.
    pub accounts: UnboundedReceiver<ObjectRef<AwsAccount>>,
    /// Roles whose number of leases changed.
    pub roles: UnboundedReceiver<ObjectRef<AwsRole>>,
}

impl Notices {
    /// The two ends.
    pub fn channel() -> (Self, Noticed) {
        let (suspects, accounts) = unbounded();
        let (counted, roles) = unbounded();
        (Self { suspects, counted }, Noticed { accounts, roles })
    }

    /// A call with this account's credentials failed.
    pub fn suspect(&self, account: &str) {
        // The receivers live as long as their controllers; at shutdown there
        // is nobody left to tell.
        let _ = self.suspects.unbounded_send(ObjectRef::new(account));
    }

    /// A lease of this role came or went.
    pub fn counted(&self, role: &str) {
        let _ = self.counted.unbounded_send(ObjectRef::new(role));
    }
}
