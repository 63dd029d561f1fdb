//! Where a request is in its life. The states of the machine are written down
//! here and nowhere else (docs/architecture.md draws them).

use crate::api::{AwsCredentialRequest, Credential, Lease, Phase};
use crate::plan::intent::has_finalizer;

/// Where a request is in its life: phase, lease, credential, finalizer and
/// deletion, read together.
///
/// The status is the operator's own word, and a process may have ended between
/// a call and the status that tells of it: a stage says what is known, and the
/// effects look before they act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage<'a> {
    /// No lease, and the finalizer is off: AWS holds no user of the request.
    New,
    /// No lease yet, and the finalizer is on: a user may be half made.
    Issuing,
    /// The lease is in force, with its key.
    Active(Live<'a>),
    /// The lease is in force, and its next key is under way.
    Rotating(Live<'a>),
    /// The lease is in force and its key is lost, or may be: another one is made
    /// for the rest of it.
    Replacing(Live<'a>),
    /// The lease is taken down before its end.
    Revoking(Live<'a>),
    /// The request is being deleted, and waits for what AWS holds of it.
    Deleting(Option<Live<'a>>),
    /// The lease ended, and none follows.
    Ended,
    /// The request is being deleted and waits for nothing of ours.
    Released,
}

/// A lease that was delivered and not ended, with its credential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live<'a> {
    /// The lease.
    pub lease: &'a Lease,
    /// The key or session of it that the status shows.
    pub credential: &'a Credential,
}

impl<'a> Stage<'a> {
    /// Classifies a request. `replaces` is the key that its intent says is being
    /// replaced: as long as the status shows that key, a rotation is under way.
    pub fn of(request: &'a AwsCredentialRequest, replaces: Option<&str>) -> Self {
        let status = request.status.as_ref();
        let phase = status.and_then(|s| s.phase);
        let guarded = has_finalizer(request);
        let live = live(request);
        match (request.metadata.deletion_timestamp.is_some(), live) {
            (true, _) if !guarded => Self::Released,
            (true, live) => Self::Deleting(live),
            (false, _) if is_final(phase) => Self::Ended,
            (false, None) if guarded => Self::Issuing,
            (false, None) => Self::New,
            (false, Some(live)) => match phase {
                Some(Phase::Revoking) => Self::Revoking(live),
                Some(Phase::Issuing) => Self::Replacing(live),
                _ if replaces == Some(live.credential.access_key_id.as_str()) => {
                    Self::Rotating(live)
                }
                _ => Self::Active(live),
            },
        }
    }

    /// The lease that was delivered and not ended.
    pub fn live(self) -> Option<Live<'a>> {
        match self {
            Self::Active(live)
            | Self::Rotating(live)
            | Self::Replacing(live)
            | Self::Revoking(live)
            | Self::Deleting(Some(live)) => Some(live),
            Self::New | Self::Issuing | Self::Deleting(None) | Self::Ended | Self::Released => None,
        }
    }

    /// Whether a lease runs that nobody takes down.
    pub fn is_in_force(self) -> bool {
        match self {
            Self::Active(_) | Self::Rotating(_) | Self::Replacing(_) => true,
            Self::New
            | Self::Issuing
            | Self::Revoking(_)
            | Self::Deleting(_)
            | Self::Ended
            | Self::Released => false,
        }
    }

    /// The word for it in traces, tests and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Issuing => "Issuing",
            Self::Active(_) => "Active",
            Self::Rotating(_) => "Rotating",
            Self::Replacing(_) => "Replacing",
            Self::Revoking(_) => "Revoking",
            Self::Deleting(_) => "Deleting",
            Self::Ended => "Ended",
            Self::Released => "Released",
        }
    }
}

impl Live<'_> {
    /// Whether it is a session: AWS ends it by itself, and nobody else can.
    pub fn is_session(&self) -> bool {
        self.credential.user_name.is_none()
    }
}

/// Whether a request in this phase is through with its lease for good.
fn is_final(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Expired | Phase::Revoked))
}

fn live(request: &AwsCredentialRequest) -> Option<Live<'_>> {
    let status = request.status.as_ref()?;
    if is_final(status.phase) {
        return None;
    }
    let (lease, credential) = (status.lease.as_ref()?, status.credential.as_ref()?);
    Some(Live { lease, credential })
}
