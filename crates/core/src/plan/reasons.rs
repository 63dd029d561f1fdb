//! One vocabulary of reasons for conditions, events, logs and metrics.

use keylease_api::Phase;

/// Why a request is in the state it is in. The text of a reason is part of the
/// API: people alert on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The Secret holds a key that was proven to work.
    Issued,
    /// A user and a key are being made.
    Issuing,
    /// A key exists and AWS does not accept it everywhere yet.
    Proving,
    /// The credential is being removed from AWS.
    Revoking,
    /// The lease ended and AWS holds nothing of it any more.
    Expired,
    /// The lease was revoked and AWS holds nothing of it any more.
    Revoked,
    /// The lease was given a later end.
    Renewed,
    /// The lease cannot be given a later end.
    RenewalRefused,
    /// The Secret holds a new key.
    Rotated,
    /// The key before the present one is gone.
    PreviousKeyRemoved,
    /// A workload that is to be rolled for a new key does not roll.
    WorkloadNotRolled,

    /// AWS does not hold the Secret's key any more, and the operator did not
    /// delete it.
    KeyLost,
    /// Something that the operator did not make let somebody in as the user.
    StrayRemoved,
    /// Others wrote to the Secret, and what they wrote is left so.
    SecretModified,
    /// Somebody made the lease's key inactive in AWS.
    KeyInactive,
    /// AWS put its quarantine policy on the lease's user.
    Quarantined,
    /// What took the lease's key out of service is gone.
    Reinstated,

    /// The role does not exist.
    RoleNotFound,
    /// The object is of another version, of before a rule, or malformed: some of
    /// it cannot be read.
    Unreadable,
    /// The role contradicts itself or its account.
    RoleInvalid,
    /// The account does not exist.
    AccountNotFound,
    /// The operator cannot sign in to the account.
    AccountNotReady,

    /// A limit of the role or the account is reached.
    QuotaExceeded,
    /// Ended leases of the account cannot be revoked, because AWS denies it to
    /// the operator.
    RevocationDenied,
    /// The role does not allow the request's namespace.
    NamespaceNotAllowed,
    /// The role does not allow a label or an annotation of the request's Secret.
    MetadataNotAllowed,
    /// The request asks for a longer life than the role allows.
    TtlAboveMaximum,
    /// The request contradicts itself.
    InvalidRequest,
    /// A Secret of the wanted name exists and is not ours.
    SecretConflict,
    /// Kubernetes refuses the Secret: quota, admission, RBAC.
    SecretRefused,
    /// An IAM user of our name exists and is not ours.
    UserConflict,
    /// Another request holds the role's static user.
    UserHeld,
    /// The role's static user does not exist.
    UserNotFound,
    /// The role's static user has as many keys of others as AWS allows.
    NoRoomForKey,

    /// AWS refuses what the role asks for.
    RefusedByAws,
    /// An AWS quota is used up.
    AwsQuotaExceeded,
    /// The operator's own credentials do not allow the call.
    AwsAccessDenied,
    /// The operator's own credentials are not accepted.
    AwsCredentialsInvalid,
    /// AWS asks to slow down.
    AwsThrottled,
    /// AWS does not answer, or answers with a fault of its own.
    AwsUnavailable,
    /// The new key was not accepted in time.
    KeyNotProven,
    /// AWS knows the new key and denies it the call by which keys are proven.
    ProofDenied,

    /// The operator's own key will be replaced when its time comes.
    RotationScheduled,
    /// The operator's own credentials are of a kind that cannot be replaced.
    NotRotatable,
    /// The operator's own user has a second key that the operator did not make.
    ForeignKey,
    /// AWS does not list the operator's own key among those of its user.
    KeyNotListed,

    /// Every IAM user of ours belongs to a request.
    Swept,
    /// The same, as far as can be told without the credential report.
    SweptWithoutReport,
    /// So many users belong to no request that none of them is removed yet.
    SweepHalted,
    /// Some users that belong to no request could not be removed yet.
    SweepIncomplete,
    /// The account could not be swept.
    SweepFailed,

    /// No other cluster uses this cluster's id.
    Alone,
    /// A copy of this cluster asked for its leases; this cluster goes on.
    TwinSeen,
    /// A copy of this cluster holds them, or this one was restored: a person
    /// decides.
    TwinHolds,
    /// Whether there is a copy cannot be found out.
    IdentityUnknown,
}

impl Reason {
    /// The reason as conditions, events and metrics carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "Issued",
            Self::Issuing => "Issuing",
            Self::Proving => "Proving",
            Self::Revoking => "Revoking",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
            Self::Renewed => "Renewed",
            Self::RenewalRefused => "RenewalRefused",
            Self::Rotated => "Rotated",
            Self::PreviousKeyRemoved => "PreviousKeyRemoved",
            Self::WorkloadNotRolled => "WorkloadNotRolled",
            Self::KeyLost => "KeyLost",
            Self::StrayRemoved => "StrayRemoved",
            Self::SecretModified => "SecretModified",
            Self::KeyInactive => "KeyInactive",
            Self::Quarantined => "Quarantined",
            Self::Reinstated => "Reinstated",
            Self::RoleNotFound => "RoleNotFound",
            Self::Unreadable => "Unreadable",
            Self::RoleInvalid => "RoleInvalid",
            Self::AccountNotFound => "AccountNotFound",
            Self::AccountNotReady => "AccountNotReady",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::RevocationDenied => "RevocationDenied",
            Self::NamespaceNotAllowed => "NamespaceNotAllowed",
            Self::MetadataNotAllowed => "MetadataNotAllowed",
            Self::TtlAboveMaximum => "TtlAboveMaximum",
            Self::InvalidRequest => "InvalidRequest",
            Self::SecretConflict => "SecretConflict",
            Self::SecretRefused => "SecretRefused",
            Self::UserConflict => "UserConflict",
            Self::UserHeld => "UserHeld",
            Self::UserNotFound => "UserNotFound",
            Self::NoRoomForKey => "NoRoomForKey",
            Self::RefusedByAws => "RefusedByAws",
            Self::AwsQuotaExceeded => "AwsQuotaExceeded",
            Self::AwsAccessDenied => "AwsAccessDenied",
            Self::AwsCredentialsInvalid => "AwsCredentialsInvalid",
            Self::AwsThrottled => "AwsThrottled",
            Self::AwsUnavailable => "AwsUnavailable",
            Self::KeyNotProven => "KeyNotProven",
            Self::ProofDenied => "ProofDenied",
            Self::RotationScheduled => "RotationScheduled",
            Self::NotRotatable => "NotRotatable",
            Self::ForeignKey => "ForeignKey",
            Self::KeyNotListed => "KeyNotListed",
            Self::Swept => "Swept",
            Self::SweptWithoutReport => "SweptWithoutReport",
            Self::SweepHalted => "SweepHalted",
            Self::SweepIncomplete => "SweepIncomplete",
            Self::SweepFailed => "SweepFailed",
            Self::Alone => "Alone",
            Self::TwinSeen => "TwinSeen",
            Self::TwinHolds => "TwinHolds",
            Self::IdentityUnknown => "IdentityUnknown",
        }
    }

    /// The phase of a request that has no credential for this reason: `Failed`
    /// where a person has to change something, `Pending` where time or another
    /// object may do.
    pub fn phase_without_credential(self) -> Phase {
        match self {
            Self::NamespaceNotAllowed
            | Self::MetadataNotAllowed
            | Self::TtlAboveMaximum
            | Self::InvalidRequest
            | Self::SecretConflict
            | Self::SecretRefused
            | Self::UserConflict
            | Self::NoRoomForKey
            | Self::RoleInvalid
            | Self::RefusedByAws
            | Self::AwsQuotaExceeded
            | Self::AwsAccessDenied => Phase::Failed,
            Self::RoleNotFound
            | Self::Unreadable
            | Self::AccountNotFound
            | Self::AccountNotReady
            | Self::QuotaExceeded
            | Self::RevocationDenied
            | Self::UserHeld
            | Self::UserNotFound
            | Self::Expired
            | Self::Revoked => Phase::Pending,
            _ => Phase::Issuing,
        }
    }

    /// Whether what is not ready for this reason stays so until a person changes
    /// something: no passing of time, and no object that is still to come, helps.
    pub fn needs_a_person(self) -> bool {
        match self {
            Self::Unreadable
            | Self::RevocationDenied
            | Self::KeyInactive
            | Self::Quarantined
            | Self::TwinHolds => true,
            _ => self.phase_without_credential() == Phase::Failed,
        }
    }
}

/// A reason with its sentence for a person: what is wrong and what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The word for machines.
    pub reason: Reason,
    /// The sentence for people. Never holds a secret.
    pub message: String,
}

impl Verdict {
    /// Joins a reason and its sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}
