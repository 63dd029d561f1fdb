//! Everything a decision may look at.

use std::sync::Arc;

use super::admission::{AccountFacts, NamespaceView};
use super::intent::Intent;
use super::naming::ClusterId;
use super::reasons::Verdict;
use super::secret::SecretView;
use super::work::Work;
use crate::api::{AwsCredentialRequest, AwsRole, Credential, Lease, Phase};

/// What is known of one request at one moment. Fields that were not needed are
/// unread; a decision that needs one asks for it with a
/// [`Look`](super::Look).
#[derive(Clone, Debug)]
pub struct View {
    /// The cluster we work for.
    pub cluster: ClusterId,
    /// The request: from the cache at first, then as read or written.
    pub request: Arc<AwsCredentialRequest>,
    /// How `request` came here.
    pub seen: Seen,
    /// The request's object is gone from the API server.
    pub gone: bool,
    /// The role, read directly.
    pub role: RoleView,
    /// The account's state, from the registry of signed-in accounts.
    pub account: AccountView,
    /// The request's namespace, read directly.
    pub namespace: NamespaceView,
    /// The Secret, read directly.
    pub secret: SecretView,
    /// What the watch says of the Secret: enough to rest on, never enough to
    /// create or destroy.
    pub hint: SecretHint,
    /// What this process did for the request so far.
    pub work: Work,
}

/// How the request at hand was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// From the watch's cache, of any age.
    Cached,
    /// Read or written directly in this reconcile.
    Direct,
    /// A write found that it has changed since.
    Stale,
}

/// The role of a request.
#[derive(Clone, Debug)]
pub enum RoleView {
    /// Not read in this reconcile.
    Unread,
    /// There is no such role.
    Absent,
    /// The role.
    Found(Arc<AwsRole>),
}

/// The account of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountView {
    /// Not known which account it is: the role was not read.
    Unknown,
    /// It cannot be used now; the verdict says why.
    NotReady(Verdict),
    /// The operator is signed in.
    Ready(Box<AccountFacts>),
}

/// What the metadata watch says of a request's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretHint {
    /// The watch has not listed everything yet.
    Unsynced,
    /// The watch has seen no such Secret.
    Missing,
    /// There is one, and its annotation names this key.
    Holds(Option<String>),
}

impl View {
    /// The request's intent, if one was written for this very object.
    pub fn intent(&self) -> Option<Intent> {
        Intent::of(&self.request, &self.cluster)
    }

    /// Lease and credential of a request that was served and not ended.
    pub fn live(&self) -> Option<(&Lease, &Credential)> {
        let status = self.request.status.as_ref()?;
        if status.phase == Some(Phase::Expired) {
            return None;
        }
        Some((status.lease.as_ref()?, status.credential.as_ref()?))
    }

    /// The phase that the status shows.
    pub fn phase(&self) -> Option<Phase> {
        self.request.status.as_ref()?.phase
    }

    /// Name of the account that this request's AWS calls go to: the one where
    /// its user was made, whatever the role says today.
    pub fn account_name(&self) -> Option<String> {
        if let Some(intent) = self.intent() {
            return Some(intent.account);
        }
        match &self.role {
            RoleView::Found(role) => Some(role.spec.account_ref.name.clone()),
            _ => None,
        }
    }
}
