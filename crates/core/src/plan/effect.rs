//! Effects and their outcomes, as data. What performs them is elsewhere
//! (`act`, `aws`), so a test can stop before or after any of them, lose an
//! answer, or play the world itself.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::adopted::Adoptee;
use super::intent::{Intent, Permission};
use super::lease::Term;
use super::naming;
use super::reasons::Reason;
use super::secret::SecretFacts;
use super::session_spec::{GroupPolicies, SessionSpec};
use super::standing::Standing;
use keylease_api::{AwsCredentialRequest, AwsCredentialRequestStatus, AwsRole, Holder, Workload};

/// One change to the world: one call that writes (or, for
/// [`Effect::TakeInventory`], the reads that precede deletes).
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Put finalizer and intent on the request in one patch, on condition
    /// that nobody changed it since it was read.
    Begin(Box<Intent>),
    /// Put our finalizer on the `AwsAccount` of this name: without its
    /// credentials nobody could revoke what is about to be made.
    HoldAccount(String),
    /// Ask the API server, in a dry run, whether it would take the Secret.
    CheckSecret,
    /// Write the Secret with the proven key: create it, or replace the one of
    /// ours that was read.
    PublishSecret(Term),
    /// Write a new end of the lease into our Secret, without touching the key.
    AmendSecret(Amendment),
    /// Delete our Secret: this object in this state, no other of its name.
    DeleteSecret(SecretFacts),
    /// Take finalizer and intent off the request.
    Release,
    /// Write the status, then tell it as an event.
    Report(Box<Report>),

    /// Roll a workload, marked with the key that it is rolled for: the same
    /// mark twice rolls once.
    Restart(Workload, String),
    /// Delete the request itself, long after its end.
    DeleteRequest,

    /// Take the role's static user, on condition that nobody changed the role
    /// since it was read.
    Claim(Box<Holder>),
    /// Give the role's static user back.
    Unclaim,

    /// Read the policies of an IAM group, for a session that carries them.
    ReadGroup(String),
    /// Ask STS for a session.
    IssueSession(Box<SessionSpec>),
    /// Find a user that is to be adopted.
    FindUser(String),
    /// Make the IAM user, with path, tags and boundary in the same call.
    CreateUser,
    /// Find out whether the user of our name is ours.
    InspectUser,
    /// Put one permission on the user.
    Grant(Permission),
    /// Ask whether the live lease's key or user was taken out of service.
    ReadStanding,
    /// List the user's access keys.
    ListKeys,
    /// Make an access key. Never retried by the SDK; an answer that is lost
    /// leads to [`Effect::ListKeys`], never straight to another key.
    CreateKey,
    /// Ask STS who the new key is.
    ProveKey,
    /// List everything that stands in the way of deleting the user.
    TakeInventory,
    /// Remove one thing from the user. One that is gone already is success.
    Clear(Attachment),
    /// Delete the user. One that is gone already is success.
    DeleteUser,
}

/// A new end of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The Secret that is amended, in the state that was read.
    pub secret: SecretFacts,
    /// The lease as it is to be.
    pub term: Term,
    /// The renewal that is served by it.
    pub renewed_for: Timestamp,
}

/// A status to write, and the event that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole new status.
    pub status: AwsCredentialRequestStatus,
    /// What to tell as an event, for a change that people want to see.
    pub event: Option<Announcement>,
    /// What else to tell, each as an event of its own.
    pub warnings: Vec<Announcement>,
}

/// An event on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The reason, from the one vocabulary.
    pub reason: Reason,
    /// The sentence.
    pub message: String,
    /// Whether it is a warning.
    pub warning: bool,
}

/// Everything that blocks `DeleteUser`, all nine kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attachment {
    /// An access key by its id. First of all: it is what works.
    Key(String),
    /// A password for the console.
    LoginProfile,
    /// A service-specific credential by its id.
    ServiceCredential(String),
    /// An SSH public key by its id.
    SshKey(String),
    /// A signing certificate by its id.
    Certificate(String),
    /// An MFA device by its serial number.
    MfaDevice(String),
    /// An attached managed policy by its ARN.
    ManagedPolicy(String),
    /// An inline policy by its name.
    InlinePolicy(String),
    /// Membership in a group, by the group's name.
    Group(String),
}

impl Attachment {
    /// Whether it lets somebody in, or helps to: everything but what only says
    /// what the user may do.
    pub fn is_credential(&self) -> bool {
        !matches!(
            self,
            Self::ManagedPolicy(_) | Self::InlinePolicy(_) | Self::Group(_)
        )
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "access key {id}"),
            Self::LoginProfile => f.write_str("console password"),
            Self::ServiceCredential(id) => write!(f, "service-specific credential {id}"),
            Self::SshKey(id) => write!(f, "SSH key {id}"),
            Self::Certificate(id) => write!(f, "signing certificate {id}"),
            Self::MfaDevice(serial) => write!(f, "MFA device {serial}"),
            Self::ManagedPolicy(arn) => write!(f, "policy {arn}"),
            Self::InlinePolicy(name) => write!(f, "inline policy {name}"),
            Self::Group(name) => write!(f, "membership in group {name}"),
        }
    }
}

impl From<&Permission> for Attachment {
    fn from(permission: &Permission) -> Self {
        match permission {
            Permission::ManagedPolicy(arn) => Self::ManagedPolicy(arn.clone()),
            Permission::InlinePolicy => Self::InlinePolicy(naming::INLINE_POLICY.to_owned()),
            Permission::Group(name) => Self::Group(name.clone()),
        }
    }
}

/// What one answer of AWS says of a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is our user's.
    Accepted,
    /// This server does not know it, or not as our user's.
    Unknown,
    /// AWS knows it, and denies it this call: a service control policy, or the
    /// policy of an endpoint. Whether it is good for anything else cannot be
    /// asked.
    Denied(String),
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done, and there is nothing more to say.
    Done,
    /// The request as the API server holds it after the write.
    Request(Arc<AwsCredentialRequest>),
    /// The role as the API server holds it after the write.
    Role(Arc<AwsRole>),
    /// The Secret that was written.
    Secret(SecretFacts),
    /// The policies of a group.
    Group(GroupPolicies),
    /// What was found of a user that is to be adopted.
    Adoptee(Adoptee),
    /// The workload is marked, and does not roll by itself.
    HeldBack(HeldBack),
    /// Whose the user of our name is.
    User(Owner),
    /// How the live lease's key stands.
    Standing(Standing),
    /// Ids of the user's access keys.
    Keys(Vec<String>),
    /// A new key exists, and its secret is in our hands.
    KeyCreated(String),
    /// A session exists, its secret is in our hands, and it ends then.
    SessionIssued(String, Timestamp),
    /// What AWS says of the new key.
    Proof(Proof),
    /// Everything found on the user; `None` when there is no such user.
    Inventory(Option<Vec<Attachment>>),
    /// It failed, or its answer was lost.
    Failed(Fault),
}

impl Outcome {
    /// What failed.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Failed(fault) => Some(fault),
            _ => None,
        }
    }
}

/// Why a workload that was marked does not roll by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// Its rollout is paused.
    Paused,
    /// Its pods are replaced only when somebody deletes them.
    OnDelete,
    /// Only pods above a partition are replaced.
    Partitioned,
}

impl HeldBack {
    /// The outcome as metric labels carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::OnDelete => "on_delete",
            Self::Partitioned => "partitioned",
        }
    }
}

/// Whose the IAM user of our name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// There is none.
    Nobody,
    /// Path, boundary and all our tags match.
    Ours,
    /// All our tags match, so it is ours to remove; the text says what else
    /// does not, so it is not to be handed out.
    Altered(String),
    /// Something does not match; the text says what.
    Foreign(String),
}

/// A failed effect: its class for decisions, its text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What may be concluded from it.
    pub class: FaultClass,
    /// What the server said. Never holds a secret.
    pub message: String,
}

/// What a failure allows to conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// No answer, or none that tells: it may have been applied or not.
    NoAnswer,
    /// The server is there and cannot serve now; not applied, or harmless to
    /// repeat.
    Unavailable,
    /// The server asks to slow down; not applied.
    Throttled,
    /// It was never sent: its turn did not come in time.
    Unsent,
    /// The object was changed or deleted since it was read; read it again.
    Stale,
    /// The thing (or what it refers to) does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The user still has something attached.
    DeleteConflict,
    /// A quota of the other side is used up.
    QuotaExceeded,
    /// We are not allowed to.
    AccessDenied,
    /// We are not allowed to, and AWS names the user without a path: it finds
    /// none of that name, else it would have told the whole ARN.
    Unseen,
    /// Our own credentials are not accepted.
    BadCredentials,
    /// The other side refuses the content.
    Refused,
    /// This instance does not lead any more; not sent.
    NotLeading,
}

impl FaultClass {
    /// Whether the same call may succeed a little later.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::NoAnswer
                | Self::Unavailable
                | Self::Throttled
                | Self::Unsent
                | Self::Stale
                | Self::NotLeading
        )
    }

    /// Whether the call certainly had no effect, because it was never sent. Of
    /// every other failure AWS is known, or must be feared, to have done what it
    /// denies: a `CreateUser` that was answered with "invalid token" made the
    /// user.
    pub fn was_not_sent(self) -> bool {
        matches!(self, Self::Unsent | Self::NotLeading)
    }

    /// The class as metric labels carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::Unsent => "unsent",
            Self::Stale => "stale",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::DeleteConflict => "delete_conflict",
            Self::QuotaExceeded => "quota_exceeded",
            Self::AccessDenied => "access_denied",
            Self::Unseen => "unseen",
            Self::BadCredentials => "bad_credentials",
            Self::Refused => "refused",
            Self::NotLeading => "not_leading",
        }
    }
}

impl Effect {
    /// Whether the effect goes to the Kubernetes API (else to AWS).
    pub fn on_kubernetes(&self) -> bool {
        matches!(
            self,
            Self::Begin(_)
                | Self::HoldAccount(_)
                | Self::CheckSecret
                | Self::PublishSecret(_)
                | Self::AmendSecret(_)
                | Self::DeleteSecret(_)
                | Self::Release
                | Self::Report(_)
                | Self::Restart(..)
                | Self::DeleteRequest
                | Self::Claim(_)
                | Self::Unclaim
        )
    }

    /// A short name for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::HoldAccount(_) => "hold_account",
            Self::CheckSecret => "check_secret",
            Self::PublishSecret(_) => "publish_secret",
            Self::AmendSecret(_) => "amend_secret",
            Self::Restart(..) => "restart_workload",
            Self::DeleteRequest => "delete_request",
            Self::Claim(_) => "claim",
            Self::Unclaim => "unclaim",
            Self::FindUser(_) => "find_user",
            Self::ReadGroup(_) => "read_group",
            Self::IssueSession(_) => "issue_session",
            Self::DeleteSecret(_) => "delete_secret",
            Self::Release => "release",
            Self::Report(_) => "report",
            Self::CreateUser => "create_user",
            Self::InspectUser => "inspect_user",
            Self::Grant(_) => "grant",
            Self::ReadStanding => "read_standing",
            Self::ListKeys => "list_keys",
            Self::CreateKey => "create_key",
            Self::ProveKey => "prove_key",
            Self::TakeInventory => "take_inventory",
            Self::Clear(_) => "clear",
            Self::DeleteUser => "delete_user",
        }
    }
}
