//! The status of an `AwsCredentialRequest`: what people and `kubectl` read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WorkloadKind;

/// How far the request has come, its lease, and which credential it has. Never
/// holds a secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AwsCredentialRequestStatus {
    /// Where the request stands, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// The lease, from the moment at which the Secret was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,

    /// The credential that AWS holds for this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,

    /// The key before this one, while it lives on after a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousKey>,

    /// Name of the Secret that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// `Ready`, `Issued`, `Usable` and `Revoked`, each with a reason; and
    /// `Rotating` while another key is due: `True` while it is being made,
    /// `False` where it cannot be, with what to change. The lease in force runs
    /// on to its end all the same, and stays `Ready`.
    /// `Stalled` is `True` beside a `Ready` that is `False` until a person
    /// changes something, and absent else. A lease that ended as asked (`Expired`,
    /// `Revoked`) has no `Ready`; `Revoked` says why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// What came of rolling the workloads in `spec.restart` for the present key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Restart>,

    /// Attempts that failed since the last success. The pause before the next
    /// one grows with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<i32>,

    /// When the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,

    /// The `metadata.generation` that this status speaks of; -1 before the
    /// operator has looked at the object. Every edit of the spec is acknowledged
    /// here, also one that counts for the next key only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Where a request stands.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for something that is not there yet: the role, the account.
    Pending,
    /// A credential is being made and proven.
    Issuing,
    /// The Secret holds a key that was proven to work.
    Ready,
    /// The Secret holds a working key, and its successor is being made.
    Rotating,
    /// The credential is being removed from AWS.
    Revoking,
    /// The lease ended; AWS holds nothing of it any more.
    Expired,
    /// The lease was revoked before its end; AWS holds nothing of it any more.
    Revoked,
    /// The request cannot be served as it is. The `Ready` condition says what
    /// to change. It is tried again when something changes, and slowly
    /// without.
    Failed,
}

/// A lease in the sense of Vault: how long the credential may be used.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// `keylease.dev/creds/<role>/<uid of the request>`.
    pub id: String,
    /// When the Secret was written.
    pub issued_at: Time,
    /// When the credential is removed.
    pub expires_at: Time,
    /// The end past which no renewal can go: issue plus the role's maximum.
    pub max_expires_at: Time,
    /// The lease's length, for example `1h`.
    pub duration: String,
    /// Whether the lease ends before its maximum, so that a renewal could
    /// lengthen it.
    pub renewable: bool,
    /// How often it was renewed.
    pub renewals: i32,
    /// The `spec.renew.at` that was served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_for: Option<Time>,
}

/// What came of rolling one workload for the present key. One that does not roll
/// holds nothing up: its pods keep the key before, which ends after the overlap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Whether it was marked with the key and rolls by itself.
    pub rolled: bool,
    /// `Rolled`, `Paused`, `OnDelete`, `Partitioned`, `NotFound`, `Forbidden`,
    /// `Refused`, or `Unavailable` after several attempts.
    pub reason: String,
    /// What to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A key that lives on for the overlap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PreviousKey {
    /// Its id.
    pub access_key_id: String,
    /// When it is removed.
    pub remove_at: Time,
}

/// The credential that AWS holds. Never the secret key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The role's credential type: `iamUser`, `assumedRole`,
    /// `federationToken`, `sessionToken` or `staticUser`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The AWS account that it was made in.
    pub account_id: String,
    /// The id of the access key, which is no secret.
    pub access_key_id: String,
    /// The IAM user that owns the key, for `iamUser` and `staticUser`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The ARN that the credential acts as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// What the user was given: ARNs of managed policies, `inline` for the
    /// role's own document, `group/<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

impl AwsCredentialRequestStatus {
    /// Failures since the last success, never negative.
    pub fn failure_count(&self) -> u32 {
        u32::try_from(self.failures.unwrap_or(0)).unwrap_or(0)
    }
}
