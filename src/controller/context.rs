//! What the controllers share.

use std::sync::Arc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::identity::IdentitySettings;
use super::ledger::Ledger;
use super::scope::Scope;
use super::secret_index::SecretIndex;
use super::waiting_room::WaitingRoom;
use crate::act::Hands;
use crate::aws::{Accounts, Signer};
use crate::cache::Filed;
use crate::metrics::Metrics;
use crate::observe::Eyes;
use keylease_api::{AwsAccount, AwsRole};
use keylease_core::plan::naming::ClusterId;
use keylease_core::plan::sweep::schedule::Schedule;

/// What every reconciliation is given.
pub struct Context {
    /// The Kubernetes client.
    pub client: Client,
    /// The cluster we work for.
    pub cluster: ClusterId,
    /// The operator's own namespace: where account Secrets lie.
    pub namespace: String,
    /// Whose requests are served.
    pub scope: Scope,
    /// Looks at what is true now.
    pub eyes: Eyes,
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
    /// Who waits to be worked on.
    pub waiting_room: Arc<WaitingRoom>,
    /// Requests, to count them.
    pub requests: Store<Filed>,
    /// Cancelled when what is under way is left to the next leader: no further
    /// step is taken then.
    pub hand_over: CancellationToken,
    /// How other clusters with the same id are told from this one.
    pub identity: IdentitySettings,
    /// When accounts are swept, and within which bounds; `None`: never.
    pub sweep: Option<Schedule>,
}

/// What the controllers tell each other.
///
/// Requests learn of roles and accounts in this way, not by watches of their
/// own: a second watch may be ahead of the cache that a decision then looks
/// into, and nobody would look again.
#[derive(Clone)]
pub struct Notices {
    concerned: UnboundedSender<Concerned>,
    suspects: UnboundedSender<ObjectRef<AwsAccount>>,
    counted: UnboundedSender<ObjectRef<AwsRole>>,
    used: UnboundedSender<ObjectRef<AwsAccount>>,
}

/// Requests whom a change concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Concerned {
    /// Those of a role, by its name.
    ByRole(String),
    /// Those of an account, by its name.
    ByAccount(String),
    /// Those that wait for a place, in the account of this role.
    Waiting(String),
    /// Those of a namespace that are refused: its labels changed, by which roles
    /// may select it.
    Relabelled(String),
    /// This one: its turn has come, or something is doubted.
    This(ObjectRef<Filed>),
}

/// Where the notices arrive.
pub struct Noticed {
    /// Requests to look at again.
    pub requests: UnboundedReceiver<Concerned>,
    /// Accounts whose sign-in should be looked at now, because a call with it
    /// failed.
    pub suspects: UnboundedReceiver<ObjectRef<AwsAccount>>,
    /// Accounts whose number of leases changed.
    pub accounts: UnboundedReceiver<ObjectRef<AwsAccount>>,
    /// Roles whose number of leases changed.
    pub roles: UnboundedReceiver<ObjectRef<AwsRole>>,
}

impl Notices {
    /// The two ends.
    pub fn channel() -> (Self, Noticed) {
        let (suspects, suspected) = unbounded();
        let (counted, roles) = unbounded();
        let (used, accounts) = unbounded();
        let (concerned, requests) = unbounded();
        let notices = Self {
            concerned,
            suspects,
            counted,
            used,
        };
        let noticed = Noticed {
            requests,
            suspects: suspected,
            accounts,
            roles,
        };
        (notices, noticed)
    }

    /// A role or an account changed in a way that concerns its requests.
    pub fn concerns(&self, whom: Concerned) {
        let _ = self.concerned.unbounded_send(whom);
    }

    /// A call with this account's credentials failed.
    pub fn suspect(&self, account: &str) {
        // The receivers live as long as their controllers; at shutdown there
        // is nobody left to tell.
        let _ = self.suspects.unbounded_send(ObjectRef::new(account));
    }

    /// Whether calls may be made for this account changed.
    pub fn stands(&self, account: &str) {
        let _ = self.used.unbounded_send(ObjectRef::new(account));
        self.concerns(Concerned::ByAccount(account.to_owned()));
    }

    /// A lease of this role, in this account, came or went.
    pub fn counted(&self, role: &str, account: Option<&str>) {
        let _ = self.counted.unbounded_send(ObjectRef::new(role));
        if let Some(account) = account {
            let _ = self.used.unbounded_send(ObjectRef::new(account));
        }
    }
}
