//! Everything a decision may look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::admission::{AccountFacts, NamespaceView};
use super::intent::{Intent, Permission};
use super::naming::ClusterId;
use super::observed::Observed;
use super::reasons::Verdict;
use super::secret::SecretView;
use super::stage::{self, Live, Stage};
use super::work::{Held, Work};
use super::{mark, renewal, ttl};
use keylease_api::{AwsCredentialRequest, AwsRole, Lease, OnExpiry, Phase, PreviousKey};

/// What is known of one request at one moment. Fields that were not needed are
/// unread; a decision that needs one asks for it with a
/// [`Look`](super::Look).
#[derive(Clone, Debug)]
pub struct View {
    /// The cluster we work for.
    pub cluster: ClusterId,
    /// The request: from the cache at first, then as read or written.
    pub request: Observed,
    /// How `request` came here.
    pub seen: Seen,
    /// The request's object is gone from the API server.
    pub gone: bool,
    /// The role, read directly.
    pub role: RoleView,
    /// The request that holds the role's static user, read directly.
    pub holder: HolderView,
    /// The account's state, from the registry of signed-in accounts.
    pub account: AccountView,
    /// Whether the account stays until its leases are revoked: this process saw
    /// our finalizer on it, or put it there, and did not take it off since.
    pub account_held: bool,
    /// The request's namespace, read directly.
    pub namespace: NamespaceView,
    /// The Secret, read directly.
    pub secret: SecretView,
    /// What the watch says of the Secret: enough to rest on, never enough to
    /// create or destroy.
    pub hint: SecretHint,
    /// What the watch has to remark on the Secret, as [`SecretFacts::remark`].
    ///
    /// [`SecretFacts::remark`]: super::secret::SecretFacts::remark
    pub remark_hint: Option<String>,
    /// What the cache says of the role: enough to look closer, never enough
    /// to create or destroy.
    pub role_hint: RoleHint,
    /// How many others there are already, before this request.
    pub usage: Usage,
    /// What this process did for the request so far.
    pub work: Work,
}

/// The request that holds a static user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderView {
    /// Not read in this reconcile.
    Unread,
    /// It is there and holds on.
    Alive,
    /// It is gone, or let go without saying so.
    Gone,
}

/// What the cache says of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleHint {
    /// Leases issued before this time are revoked.
    pub revoke_before: Option<Timestamp>,
    /// The role is being deleted, or gone.
    pub leaving: bool,
    /// The account is being deleted, which cannot be taken back.
    pub account_leaving: bool,
    /// How long a key lives, for static users.
    pub rotation_period: Option<SignedDuration>,
    /// Why its static user cannot be had: an older role has it, or the operator
    /// signs in as it.
    pub unfit: Option<Verdict>,
}

impl RoleHint {
    /// Of the role in the cache. One that the cache has not counts as leaving.
    /// What is known of others, the account and who has its user, is left out.
    pub fn of(role: Option<&AwsRole>) -> Self {
        Self {
            revoke_before: role.and_then(mark::before),
            leaving: role.is_none_or(|r| r.metadata.deletion_timestamp.is_some()),
            rotation_period: role.and_then(ttl::rotation_period),
            ..Self::default()
        }
    }
}

/// How many leases there are already, before this request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// IAM users in the account.
    pub account_users: usize,
    /// Leases of the role.
    pub role_leases: usize,
    /// Leases of the role in the request's namespace.
    pub namespace_leases: usize,
    /// Ended leases of the account that AWS does not let us revoke.
    pub denied: usize,
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
    /// It is being deleted: nothing more is made with it, and it still says who
    /// holds its static user.
    Leaving(Arc<AwsRole>),
    /// The role.
    Found(Arc<AwsRole>),
}

impl AccountView {
    /// Whether it can be used, and is the AWS account of that id.
    pub fn is_ready_in(&self, id: &str) -> bool {
        matches!(self, Self::Ready(facts) if facts.account_id == id)
    }
}

impl RoleView {
    /// What was read.
    pub fn of(found: Option<Arc<AwsRole>>) -> Self {
        match found {
            None => Self::Absent,
            Some(role) if role.metadata.deletion_timestamp.is_some() => Self::Leaving(role),
            Some(role) => Self::Found(role),
        }
    }
}

/// The account of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountView {
    /// Not known which account it is: the role was not read.
    Unknown,
    /// It cannot be used now; the verdict says why.
    NotReady(Verdict),
    /// Its AWS account can be reached, with credentials before or through another
    /// object: to take down what was made there. Nothing is made, and the facts
    /// say nothing of the account's settings; the verdict says why.
    OnlyToRevoke(Box<AccountFacts>, Verdict),
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
    /// The view from which a reconciliation begins: the request as the cache has
    /// it, and nothing else read.
    pub fn new(cluster: ClusterId, request: Arc<AwsCredentialRequest>, work: Work) -> Self {
        let request = Observed::new(request, &cluster);
        Self {
            cluster,
            request,
            seen: Seen::Cached,
            gone: false,
            role: RoleView::Unread,
            holder: HolderView::Unread,
            account: AccountView::Unknown,
            account_held: false,
            namespace: NamespaceView::Unread,
            secret: SecretView::Unread,
            hint: SecretHint::Unsynced,
            remark_hint: None,
            role_hint: RoleHint::default(),
            usage: Usage::default(),
            work,
        }
    }

    /// Takes note of the request as it was read or written.
    pub(super) fn observe(&mut self, request: Arc<AwsCredentialRequest>) {
        self.request = Observed::new(request, &self.cluster);
        self.seen = Seen::Direct;
    }

    /// Where the request is in its life, as long as its object is there.
    pub fn stage(&self) -> Stage<'_> {
        self.request.stage()
    }

    /// See [`Observed::intent`].
    pub fn intent(&self) -> Option<&Intent> {
        self.request.intent()
    }

    /// The intent, if this process wrote it or checked it against the role.
    pub fn trusted_intent(&self) -> Option<&Intent> {
        self.intent()
            .filter(|i| self.work.vetted.as_ref() == Some(i))
    }

    /// Whether the user was there before the lease, and stays.
    pub fn has_static_user(&self) -> bool {
        self.intent().is_some_and(|intent| intent.adopted)
    }

    /// Everything that may be on the live user, by status and intent.
    ///
    /// What an intent retires is off the user by the time at which the status
    /// shows another key than the one that the intent replaces. One that
    /// replaces none has no such mark, and is believed to be under way.
    pub fn permissions_on_user(&self) -> BTreeSet<Permission> {
        let mut all = self.permissions_told();
        if let Some(intent) = self.intent() {
            all.extend(intent.permissions.iter().cloned());
            if intent.replaces.is_none() || self.rotating() {
                all.extend(intent.retired.iter().cloned());
            }
        }
        all
    }

    /// What the user of a live lease is known to have: it was told when the last
    /// key was delivered.
    pub fn permissions_told(&self) -> BTreeSet<Permission> {
        let live = self.live();
        let told = live.iter().flat_map(|live| &live.credential.permissions);
        told.map(|p| Permission::from(p.as_str())).collect()
    }

    /// Lease and credential of a request that was served and not ended.
    pub fn live(&self) -> Option<Live<'_>> {
        Live::of(&self.request)
    }

    /// The lease of such a request, also where its credential cannot be read.
    pub fn lease(&self) -> Option<&Lease> {
        stage::lease(&self.request)
    }

    /// The end of the lease in force. Before it is in the status it is in our
    /// Secret, where it is believed as far as the status allows: whoever may edit
    /// Secrets may edit it there.
    pub fn end(&self) -> Option<Timestamp> {
        let Live { lease, credential } = self.live()?;
        let told = lease.expires_at.0;
        let SecretView::Ours(facts) = &self.secret else {
            return Some(told);
        };
        let Some((id, term)) = &facts.key else {
            return Some(told);
        };
        let latest = if *id == credential.access_key_id {
            let asked = renewal::asked(self, lease);
            let renewed = asked.is_some() && facts.renewed_for == asked;
            renewed.then_some(lease.max_expires_at.0)
        } else {
            // The lease that follows began before this one's end.
            let longest = lease.max_expires_at.0.duration_since(lease.issued_at.0);
            let follows = self.rotating() && self.rotates();
            follows.then(|| told.checked_add(longest).unwrap_or(told))
        };
        Some(latest.map_or(told, |latest| term.expires_at.min(latest).max(told)))
    }

    /// Whether a lease runs that nobody takes down: whatever fails then concerns
    /// the next key only.
    pub fn in_force(&self, now: Timestamp) -> bool {
        let runs = self.end().is_some_and(|end| now < end);
        runs && !self.gone && !self.is_marked() && self.stage().is_in_force()
    }

    /// Whether the cache says that the lease is revoked: by its role, or because
    /// that or the account goes.
    pub fn is_revoked_by_hint(&self) -> bool {
        let hint = &self.role_hint;
        let issued = self.lease().map(|lease| lease.issued_at.0);
        issued.is_some_and(|issued| {
            let revoked = hint.revoke_before.is_some_and(|t| issued < t);
            hint.leaving || hint.account_leaving || revoked
        })
    }

    /// Whether the role, as it was read, has a mark that the lease falls under.
    pub fn is_marked(&self) -> bool {
        match (&self.role, self.lease()) {
            (RoleView::Found(role), Some(lease)) => mark::covers(role, lease),
            _ => false,
        }
    }

    /// Whether a rotation is under way: the intent names the key that the
    /// status still shows.
    pub fn rotating(&self) -> bool {
        let replaces = self.intent().and_then(|intent| intent.replaces.as_ref());
        let shown = self.live().map(|live| &live.credential.access_key_id);
        replaces.is_some() && replaces == shown
    }

    /// The key in hand, as long as the status does not show it: one that it
    /// shows was delivered, even if the answer to that write was lost.
    pub fn in_hand(&self) -> Option<&Held> {
        let shown = self
            .live()
            .map(|live| live.credential.access_key_id.as_str());
        let held = self.work.held.as_ref()?;
        (shown != Some(held.id.as_str())).then_some(held)
    }

    /// A key in hand that nobody was given, and the user that it is on: what a
    /// process that ends has to delete, because its secret ends with it.
    /// Sessions are not among them; they cannot be deleted.
    pub fn key_to_take_back(&self) -> Option<(String, String)> {
        let held = self.in_hand()?;
        let nobodys = !held.offered && held.expires.is_none();
        let user = self.intent()?.user_name.clone();
        nobodys.then(|| (user, held.id.clone()))
    }

    /// The key before the present one, while it lives on.
    pub fn previous(&self) -> Option<&PreviousKey> {
        self.request.status.as_ref()?.previous.as_ref()
    }

    /// Keys that the status shows as this request's: the present one first.
    /// None without a lease in force: the user is named by the intent alone then,
    /// and no key of it is believed to be ours.
    pub fn shown_keys(&self) -> impl Iterator<Item = &str> {
        let shown = self.live().into_iter().flat_map(|present| {
            let previous = self.previous().map(|p| &p.access_key_id);
            std::iter::once(&present.credential.access_key_id).chain(previous)
        });
        shown.map(String::as_str)
    }

    /// Whether the Secret, as it was read, holds the key that the status shows.
    /// One with another key is a delivery whose status was not written yet.
    pub fn secret_is_shown(&self) -> bool {
        let shown = self
            .live()
            .map(|live| live.credential.access_key_id.as_str());
        matches!(&self.secret, SecretView::Ours(facts) if shown.is_some_and(|id| facts.holds(id)))
    }

    /// Whether a new lease follows the old one.
    pub fn rotates(&self) -> bool {
        self.request.spec.on_expiry == Some(OnExpiry::Rotate)
    }

    /// The phase that the status shows.
    pub fn phase(&self) -> Option<Phase> {
        self.request.status.as_ref()?.phase
    }

    /// The account that this request's AWS calls go to: the one where its
    /// user was made, whatever the role says today. Name, and id if known.
    pub fn account_wanted(&self) -> Option<(String, Option<String>)> {
        if let Some(intent) = self.intent() {
            let Intent {
                account,
                account_id,
                ..
            } = intent;
            return Some((account.clone(), Some(account_id.clone())));
        }
        match &self.role {
            RoleView::Found(role) => Some((role.spec.account_ref.name.clone(), None)),
            _ => None,
        }
    }

    /// The account that the role names today, where the intent names another one.
    /// The role's word counts where it leads to the same AWS account: the intent is
    /// an annotation, which the request's owner may edit.
    pub fn account_of_role(&self) -> Option<&str> {
        let RoleView::Found(role) = &self.role else {
            return None;
        };
        let named = role.spec.account_ref.name.as_str();
        let intent = self.intent()?;
        (intent.account != named).then_some(named)
    }
}
