//! `AwsCredentialRequest`: one lease, one Secret.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms::Form;
use super::{AwsCredentialRequestStatus, Defects, GoDuration, NameRef, Rfc3339};

/// Asks for one AWS credential of a role. The answer is a Secret in the same
/// namespace that holds an access key, already proven to work, and a lease in
/// the status. When the lease ends or the request is deleted, so does the key.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "keylease.dev",
    version = "v1alpha1",
    kind = "AwsCredentialRequest",
    plural = "awscredentialrequests",
    shortname = "awscr",
    category = "keylease",
    namespaced,
    status = "AwsCredentialRequestStatus",
    derive = "PartialEq",
    cel,
    doc = "Asks for one AWS credential of a role. The answer is a Secret in the same namespace that holds an access key, already proven to work, and a lease in the status. When the lease ends or the request is deleted, so does the key.",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.roleRef.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Key ID",
        type_ = "string",
        json_path = ".status.credential.accessKeyId"
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".status.lease.expiresAt"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Secret",
        type_ = "string",
        json_path = ".status.secretName",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.roleArn) ? self.roleArn : '') == (has(oldSelf.roleArn) ? oldSelf.roleArn : '')").message("roleArn cannot be changed; make a new request"))]
#[x_kube(validation = Rule::new("(has(self.secret) && has(self.secret.type) ? self.secret.type : 'Opaque') == (has(oldSelf.secret) && has(oldSelf.secret.type) ? oldSelf.secret.type : 'Opaque')").message("secret.type cannot be changed; make a new request"))]
#[x_kube(validation = Rule::new("(has(self.secret) && has(self.secret.name) ? self.secret.name : '') == (has(oldSelf.secret) && has(oldSelf.secret.name) ? oldSelf.secret.name : '')").message("secret.name cannot be changed; make a new request"))]
pub struct AwsCredentialRequestSpec {
    /// The `AwsRole` whose permissions the credential carries. It cannot be
    /// changed: make a new request for another role.
    #[x_kube(validation = Rule::new("self == oldSelf").message("roleRef cannot be changed; make a new request"))]
    pub role_ref: NameRef,

    /// How long the lease lives, counted from the moment at which the Secret
    /// is written. From 1s up to the role's maximum; more is refused, not cut.
    /// Default: the role's default. Example: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('768h')").message("ttl must be a duration in h, m and s between 1s and 768h, such as 1h or 15m"))]
    pub ttl: Option<GoDuration>,

    /// What happens when the lease ends. `Revoke` (the default): the
    /// credential and the Secret are removed and the request stays as
    /// `Expired`. `Rotate`: before the lease ends a new key is made, proven
    /// and put into the Secret, and a new lease begins; the old key lives on
    /// for `rotation.overlap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<OnExpiry>,

    /// How rotation goes, with `onExpiry: Rotate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,

    /// Asks for a longer lease; `kubectl keylease renew` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<Renew>,

    /// How long after its lease ended (`Expired` or `Revoked`) the request
    /// itself is deleted. Default: never. Example: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$')").message("ttlAfterExpiry must be a duration in h, m and s, such as 24h or 0s"))]
    pub ttl_after_expiry: Option<GoDuration>,

    /// Which of the role's `assumedRole.roleArns` to assume. Needed only where
    /// the role has several. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Form::RoleArn.rule("roleArn must be the ARN of an IAM role, as in arn:aws:iam::123456789012:role/name"))]
    pub role_arn: Option<String>,

    /// Begin of the session's name, for roles of type `assumedRole` and
    /// `federationToken`: it shows in CloudTrail. A part that makes it unique
    /// is appended. Default: namespace and name of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 48))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_=,.@-]+$')").message("roleSessionName has 2-48 letters, digits and _=,.@-"))]
    pub role_session_name: Option<String>,

    /// Workloads in the request's namespace that are rolled when the Secret's
    /// key changes: once for each new key, never for the first. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub restart: Vec<Workload>,

    /// The Secret that is written. Default: the request's own name and the
    /// usual key names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretTemplate>,

    /// What of the object could not be read. It is no part of it: whoever reads
    /// objects from the API server notes it here, for decisions to see.
    #[serde(skip)]
    #[schemars(skip)]
    pub unreadable: Defects,
}

/// What happens when a lease ends.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnExpiry {
    /// The credential and the Secret are removed; the request stays as
    /// `Expired`.
    #[default]
    Revoke,
    /// Before the lease ends a new key is made, proven and put into the
    /// Secret; the old one lives on for the overlap.
    Rotate,
}

/// How rotation goes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// How long the old key works on after the new one is in the Secret, so
    /// that every client can change over. From 0s to half of the lease.
    /// Default: 10m, or a third of the lease if that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$')").message("rotation.overlap must be a duration in h, m and s, such as 10m"))]
    pub overlap: Option<GoDuration>,
}

/// Asks for a longer lease.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Renew {
    /// When the renewal was asked for. Each new time renews once. RFC 3339,
    /// between the years 2000 and 9998. Example: `2026-11-23T10:00:00Z`.
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$') && timestamp(self) >= timestamp('2000-01-01T00:00:00Z') && timestamp(self) < timestamp('9999-01-01T00:00:00Z')").message("renew.at must be an RFC 3339 time between the years 2000 and 9998, such as 2026-11-23T10:00:00Z"))]
    pub at: Rfc3339,
    /// How long the lease is to live from now. It ends at the latest when the
    /// role's maximum since issue is reached. Default: the lease's length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('768h')").message("renew.increment must be a duration in h, m and s between 1s and 768h, such as 1h"))]
    pub increment: Option<GoDuration>,
}

/// A workload in the request's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("restart names a workload by its name: lower-case letters, digits, - and ., each part between dots beginning and ending with a letter or digit"))]
    pub name: String,
}

/// The kinds of workload that can be rolled.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

/// The form of the Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[[has(self.keys) && has(self.keys.accessKeyId) ? self.keys.accessKeyId : 'AWS_ACCESS_KEY_ID', has(self.keys) && has(self.keys.secretAccessKey) ? self.keys.secretAccessKey : 'AWS_SECRET_ACCESS_KEY', has(self.keys) && has(self.keys.sessionToken) ? self.keys.sessionToken : 'AWS_SESSION_TOKEN', has(self.keys) && has(self.keys.region) ? self.keys.region : 'AWS_REGION', has(self.keys) && has(self.keys.expiration) ? self.keys.expiration : 'expiration', has(self.credentialsFile) && has(self.credentialsFile.key) ? self.credentialsFile.key : 'credentials'] + (has(self.keys) && has(self.keys.defaultRegion) ? [self.keys.defaultRegion] : []) + (has(self.credentialProcess) ? [has(self.credentialProcess.key) ? self.credentialProcess.key : 'credential_process.json'] : [])].all(names, names.all(a, names.exists_one(b, a == b)))").message("two entries of the Secret have the same name; give each its own"))]
pub struct SecretTemplate {
    /// Name of the Secret. A Secret of that name which is not ours is never
    /// touched; the request then fails and says so. It cannot be changed.
    /// Default: the request's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("secret.name must be a valid name of a Secret: lower-case letters, digits, - and ., each part between dots beginning and ending with a letter or digit"))]
    pub name: Option<String>,

    /// Labels to put on the Secret. Keys under `keylease.dev/` are ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('keylease.dev/') && k != 'app.kubernetes.io/managed-by')").message("labels under keylease.dev/ and app.kubernetes.io/managed-by are set by Keylease"))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 317 && k.matches('^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$') && self[k].matches('^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$'))").message("labels must be valid Kubernetes labels: at most 63 letters, digits and -_. in name and value"))]
    pub labels: BTreeMap<String, LabelValue>,

    /// Annotations to put on the Secret. Keys under `keylease.dev/` are ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('keylease.dev/'))").message("annotations under keylease.dev/ are set by Keylease"))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 317 && k.matches('^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))").message("annotation keys must be valid Kubernetes names: at most 63 letters, digits and -_. after an optional prefix/"))]
    pub annotations: BTreeMap<String, AnnotationValue>,

    /// Names of the Secret's keys, where the usual ones do not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<SecretKeys>,

    /// The shared-credentials file inside the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<CredentialsFile>,

    /// Adds the JSON that AWS tools read from a `credential_process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_process: Option<CredentialProcess>,

    /// The Secret's type. It cannot be changed. Default: `Opaque`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("!self.startsWith('kubernetes.io/') && !self.startsWith('bootstrap.kubernetes.io/')").message("secret.type must not be one of Kubernetes's own types; use Opaque or a name of yours"))]
    pub type_: Option<String>,
}

/// The value of a label.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// The value of an annotation.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct AnnotationValue(#[schemars(length(max = 4096))] pub String);

/// Names of the keys in the Secret's data. Each has 1–253 letters, digits and
/// `-_.`, and no two are the same.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeys {
    /// Default: `AWS_ACCESS_KEY_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub access_key_id: Option<String>,
    /// Default: `AWS_SECRET_ACCESS_KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub secret_access_key: Option<String>,
    /// Default: `AWS_SESSION_TOKEN`. Only in Secrets of STS credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub session_token: Option<String>,
    /// Default: `AWS_REGION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub region: Option<String>,
    /// The region once more, for boto3 and the AWS CLI v1, which read no other
    /// name. Default: `AWS_DEFAULT_REGION`, and no second entry where `region`
    /// is named and this is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub default_region: Option<String>,
    /// Default: `expiration`. The value is the lease's end in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub expiration: Option<String>,
}

/// The shared-credentials file inside the Secret, as AWS's tools read it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsFile {
    /// The Secret's key that holds the file. Default: `credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub key: Option<String>,

    /// The profile in the file. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_.@:/+-]+$')").message("profile has letters, digits and _.@:/+- only"))]
    pub profile: Option<String>,
}

/// The JSON that AWS tools read from a `credential_process`, as one key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialProcess {
    /// The Secret's key that holds the JSON. Default: `credential_process.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("keys of a Secret have letters, digits and -_."))]
    pub key: Option<String>,
}

impl AwsCredentialRequest {
    /// The namespace of the request. Empty only for an object that never came
    /// from an API server.
    pub fn namespace_name(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The uid that the API server gave this very object: a request that is
    /// deleted and made again under its name has another.
    pub fn uid_str(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Name of the Secret that this request writes.
    pub fn secret_name(&self) -> String {
        let named = self.spec.secret.as_ref().and_then(|s| s.name.clone());
        named.unwrap_or_else(|| self.name_any())
    }
}
