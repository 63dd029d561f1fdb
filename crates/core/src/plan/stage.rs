//! Where a request is in its life. The states of the machine are written down
//! here and nowhere else (docs/architecture.md draws them).

use crate::plan::intent::has_finalizer;
use keylease_api::{AwsCredentialRequest, Credential, Lease, Phase};

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
    /// The lease ended, and none follows; the finalizer is still on.
    Closing,
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
        let live = Live::of(request);
        match (request.metadata.deletion_timestamp.is_some(), live) {
            (true, _) if !guarded => Self::Released,
            (true, live) => Self::Deleting(live),
            (false, _) if is_final(phase) && guarded => Self::Closing,
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
            Self::New
            | Self::Issuing
            | Self::Deleting(None)
            | Self::Closing
            | Self::Ended
            | Self::Released => None,
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
            | Self::Closing
            | Self::Ended
            | Self::Released => false,
        }
    }

    /// Whether the lease ended for good.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Closing | Self::Ended)
    }

    /// Whether AWS or a Secret may hold something of the request: a user that the
    /// finalizer guards, or a session.
    pub fn holds(self) -> bool {
        match self {
            Self::Issuing | Self::Deleting(_) | Self::Closing => true,
            Self::Active(_) | Self::Rotating(_) | Self::Replacing(_) | Self::Revoking(_) => true,
            Self::New | Self::Ended | Self::Released => false,
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
            Self::Closing => "Closing",
            Self::Ended => "Ended",
            Self::Released => "Released",
        }
    }
}

impl<'a> Live<'a> {
    /// The lease of a request that was served and not ended.
    pub fn of(request: &'a AwsCredentialRequest) -> Option<Self> {
        let lease = lease(request)?;
        let credential = request.status.as_ref()?.credential.as_ref()?;
        Some(Self { lease, credential })
    }

    /// Whether it is a session: AWS ends it by itself, and nobody else can.
    pub fn is_session(&self) -> bool {
        self.credential.user_name.is_none()
    }
}

/// Whether a request in this phase is through with its lease for good.
fn is_final(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Expired | Phase::Revoked))
}

/// The lease of such a request, also where its credential cannot be read.
pub fn lease(request: &AwsCredentialRequest) -> Option<&Lease> {
    let status = request.status.as_ref()?;
    status.lease.as_ref().filter(|_| !is_final(status.phase))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::plan::intent::FINALIZER;
    use crate::plan::tests;
    use keylease_api::AwsCredentialRequestStatus;

    /// A request in that phase, with a lease of an IAM user or without.
    fn request(phase: Option<Phase>, leased: bool) -> AwsCredentialRequest {
        let mut request = tests::request();
        let time = Time(Timestamp::UNIX_EPOCH);
        request.status = Some(AwsCredentialRequestStatus {
            phase,
            lease: leased.then(|| Lease {
                issued_at: time.clone(),
                expires_at: time.clone(),
                max_expires_at: time.clone(),
                id: String::new(),
                duration: "1h".to_owned(),
                renewable: true,
                renewals: 0,
                renewed_for: None,
            }),
            credential: leased.then(|| Credential {
                access_key_id: "AKIA1".to_owned(),
                user_name: Some("user".to_owned()),
                type_: "iamUser".to_owned(),
                account_id: "123456789012".to_owned(),
                arn: None,
                permissions: Vec::new(),
            }),
            ..Default::default()
        });
        request.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        request
    }

    fn without_finalizer(mut request: AwsCredentialRequest) -> AwsCredentialRequest {
        request.metadata.finalizers = None;
        request
    }

    fn deleted(mut request: AwsCredentialRequest) -> AwsCredentialRequest {
        request.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        request
    }

    fn stage(request: &AwsCredentialRequest) -> &'static str {
        Stage::of(request, None).name()
    }

    #[test]
    fn a_request_without_status_and_finalizer_is_new() {
        assert_eq!(stage(&tests::request()), "New");
        let refused = without_finalizer(request(Some(Phase::Failed), false));
        assert_eq!(stage(&refused), "New");
    }

    #[test]
    fn a_finalizer_without_a_lease_is_an_issue_under_way() {
        for phase in [
            None,
            Some(Phase::Pending),
            Some(Phase::Issuing),
            Some(Phase::Revoking),
        ] {
            assert_eq!(stage(&request(phase, false)), "Issuing", "{phase:?}");
        }
    }

    #[test]
    fn a_lease_with_its_credential_is_active_in_most_phases() {
        for phase in [
            None,
            Some(Phase::Ready),
            Some(Phase::Rotating),
            Some(Phase::Failed),
        ] {
            assert_eq!(stage(&request(phase, true)), "Active", "{phase:?}");
        }
    }

    #[test]
    fn a_lease_stays_active_without_its_finalizer() {
        let taken_off = without_finalizer(request(Some(Phase::Ready), true));
        assert_eq!(stage(&taken_off), "Active");
    }

    #[test]
    fn it_rotates_as_long_as_the_status_shows_the_key_that_is_replaced() {
        let request = request(Some(Phase::Ready), true);
        assert_eq!(Stage::of(&request, Some("AKIA1")).name(), "Rotating");
        assert_eq!(Stage::of(&request, Some("AKIA0")).name(), "Active");
    }

    #[test]
    fn a_lease_in_phase_issuing_has_lost_its_key() {
        let request = request(Some(Phase::Issuing), true);
        assert_eq!(Stage::of(&request, Some("AKIA1")).name(), "Replacing");
    }

    #[test]
    fn a_lease_in_phase_revoking_is_taken_down() {
        let request = request(Some(Phase::Revoking), true);
        assert_eq!(Stage::of(&request, Some("AKIA1")).name(), "Revoking");
    }

    #[test]
    fn an_ended_lease_closes_until_the_finalizer_is_off() {
        for phase in [Phase::Expired, Phase::Revoked] {
            let ended = request(Some(phase), true);
            assert_eq!(stage(&ended), "Closing");
            assert_eq!(stage(&without_finalizer(ended)), "Ended");
        }
    }

    #[test]
    fn deletion_counts_before_everything_else() {
        for phase in [
            None,
            Some(Phase::Ready),
            Some(Phase::Revoking),
            Some(Phase::Expired),
        ] {
            let deleted = deleted(request(phase, true));
            assert_eq!(stage(&deleted), "Deleting", "{phase:?}");
            assert_eq!(stage(&without_finalizer(deleted)), "Released", "{phase:?}");
        }
    }

    #[test]
    fn a_lease_without_a_credential_is_none_in_force() {
        let mut spoilt = request(Some(Phase::Ready), true);
        spoilt.status.as_mut().unwrap().credential = None;
        assert_eq!(stage(&spoilt), "Issuing");
        assert!(lease(&spoilt).is_some(), "its end still counts");
    }
}
