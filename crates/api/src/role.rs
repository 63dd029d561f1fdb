//! `AwsRole`: which permissions, for whom, for how long.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::forms::{self, Form};
use super::{Defects, GoDuration, NameRef, Rfc3339, TagValue};

/// Which AWS permissions a credential carries, which namespaces may ask for
/// it, and how long it lives.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "keylease.dev",
    version = "v1alpha1",
    kind = "AwsRole",
    plural = "awsroles",
    shortname = "awsrole",
    category = "keylease",
    status = "AwsRoleStatus",
    derive = "PartialEq",
    cel,
    doc = "Which AWS permissions a credential carries, which namespaces may ask for it, and how long it lives. Cluster-scoped: only platform teams write it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Account",
        type_ = "string",
        json_path = ".spec.accountRef.name"
    ),
    printcolumn(
        name = "Default TTL",
        type_ = "string",
        json_path = ".spec.ttl.default"
    ),
    printcolumn(name = "Max TTL", type_ = "string", json_path = ".spec.ttl.max"),
    printcolumn(name = "Leases", type_ = "integer", json_path = ".status.leases"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.iamUser), has(self.assumedRole), has(self.federationToken), has(self.sessionToken), has(self.staticUser)].filter(x, x).size() == 1").message("a role takes exactly one of iamUser, assumedRole, federationToken, sessionToken and staticUser"))]
#[x_kube(validation = Rule::new("has(self.iamUser) == has(oldSelf.iamUser) && has(self.assumedRole) == has(oldSelf.assumedRole) && has(self.federationToken) == has(oldSelf.federationToken) && has(self.sessionToken) == has(oldSelf.sessionToken) && has(self.staticUser) == has(oldSelf.staticUser)").message("the credential type of a role cannot be changed; make a new role"))]
#[x_kube(validation = Rule::new("!has(self.staticUser) || !has(oldSelf.staticUser) || self.staticUser.userName == oldSelf.staticUser.userName && self.accountRef.name == oldSelf.accountRef.name").message("the user of a staticUser role cannot be changed; make a new role"))]
pub struct AwsRoleSpec {
    /// The `AwsAccount` in which credentials of this role are made.
    pub account_ref: NameRef,

    /// Every lease gets an IAM user of its own with one access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam_user: Option<IamUser>,

    /// Every lease is a session of an IAM role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_role: Option<AssumedRole>,

    /// Every lease is a federation token of the operator's own user, narrowed
    /// to the policies named here. Needs an account that signs in with the
    /// long-term key of an IAM user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation_token: Option<FederationToken>,

    /// Every lease is a session token of the operator's own user, with all its
    /// rights. Needs an account that signs in with the long-term key of an IAM
    /// user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SessionToken>,

    /// The lease is an access key of an IAM user that exists already. One
    /// request at a time holds the user; others wait until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_user: Option<StaticUser>,

    /// How long leases of this role live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<RoleTtl>,

    /// The namespaces whose requests may use this role. Empty or absent:
    /// nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,

    /// The labels and annotations that requests may put on their Secrets.
    /// Replicators, reflectors and GitOps tools obey such marks, and may copy a
    /// Secret into other namespaces. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_secret_metadata: Option<AllowedSecretMetadata>,

    /// How many leases there may be at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RoleLimits>,

    /// What becomes of a lease whose key somebody made inactive in AWS, or whose
    /// user AWS put into quarantine because the key was found in public. `Hold`
    /// (the default): the lease gets no new key, whatever is due, until a person
    /// makes the key active again, takes the policy off, or deletes the request;
    /// at its end it is removed and not made anew. `Replace`: at the next
    /// rotation it gets a new key all the same, and after a quarantine a new IAM
    /// user, for which the old one goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disabled_key: Option<OnDisabledKey>,

    /// Revokes every credential of this role that was issued before this time:
    /// requests with `onExpiry: Revoke` end as `Revoked`, those with `Rotate`
    /// get a new credential. `kubectl keylease revoke --role` sets it to now.
    /// What was revoked stays so, should this be taken back. RFC 3339, between
    /// the years 2000 and 9998. Example: `2026-11-23T10:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$') && timestamp(self) >= timestamp('2000-01-01T00:00:00Z') && timestamp(self) < timestamp('9999-01-01T00:00:00Z')").message("revokeBefore must be an RFC 3339 time between the years 2000 and 9998, such as 2026-11-23T10:00:00Z"))]
    pub revoke_before: Option<Rfc3339>,

    /// What of the object could not be read. It is no part of it: whoever reads
    /// objects from the API server notes it here, for decisions to see.
    #[serde(skip)]
    #[schemars(skip)]
    pub unreadable: Defects,
}

/// What becomes of a lease whose key was taken out of service in AWS.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisabledKey {
    /// No new key until a person decides.
    Hold,
    /// A new key at the next rotation, all the same.
    Replace,
}

/// How many leases there may be at a time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RoleLimits {
    /// Leases of this role in all namespaces. 0 (the default): no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_leases: Option<i32>,
    /// Leases of this role in any one namespace. 0 (the default): no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_leases_per_namespace: Option<i32>,
}

/// A session of an IAM role, by `sts:AssumeRole`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AssumedRole {
    /// ARNs of the IAM roles that requests may choose from with `roleArn`; one
    /// alone needs no choice. 1 to 50.
    #[schemars(length(min = 1, max = 50), inner(length(min = 20, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Form::RoleArn.rule_for_all("roleArns must be ARNs of IAM roles, as in arn:aws:iam::123456789012:role/name"))]
    pub role_arns: Vec<String>,

    /// External id that the roles' trust policies ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224))]
    #[x_kube(validation = Form::ExternalId.rule("externalId has 2-1224 letters, digits and _+=,.@:/-"))]
    pub external_id: Option<String>,

    /// Session tags. Keys of 1–128, values of 0–256 characters; letters and
    /// digits of any script, spaces and `_.:/=+-@`. Values may use
    /// `{{namespace}}`, `{{request}}` and `{{role}}`. AWS does not tell keys
    /// apart by case. At most 20.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    #[x_kube(validation = forms::tag_keys())]
    #[x_kube(validation = forms::tag_values())]
    #[x_kube(validation = forms::distinct("two tag keys differ by case alone, which AWS does not see"))]
    pub session_tags: BTreeMap<String, TagValue>,

    /// ARNs of managed policies that narrow the session. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 20, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Form::PolicyArn.rule_for_all("policyArns must be ARNs of managed policies, as in arn:aws:iam::aws:policy/ReadOnlyAccess"))]
    pub policy_arns: Vec<String>,

    /// An IAM policy document in JSON that narrows the session. At most 2,048
    /// characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 2048))]
    pub policy_document: Option<String>,

    /// Names of IAM groups whose policies, attached and inline, narrow the
    /// session too. They are read anew for each issue. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Form::Name.rule_for_all("group names have 1-128 letters, digits and _+=,.@-"))]
    #[x_kube(validation = forms::distinct("two group names differ by case alone, which AWS does not see"))]
    pub groups: Vec<String>,
}

/// A federation token, by `sts:GetFederationToken`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.policyArns) && size(self.policyArns) > 0 || has(self.policyDocument) || has(self.groups) && size(self.groups) > 0").message("a federation token without a policy may do nothing; set policyArns, policyDocument or groups"))]
pub struct FederationToken {
    /// ARNs of managed policies that narrow the operator's rights. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 20, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Form::PolicyArn.rule_for_all("policyArns must be ARNs of managed policies, as in arn:aws:iam::aws:policy/ReadOnlyAccess"))]
    pub policy_arns: Vec<String>,

    /// An IAM policy document in JSON that narrows the operator's rights. At
    /// most 2,048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 2048))]
    pub policy_document: Option<String>,

    /// Names of IAM groups whose policies, attached and inline, narrow the
    /// operator's rights too. They are read anew for each issue. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Form::Name.rule_for_all("group names have 1-128 letters, digits and _+=,.@-"))]
    #[x_kube(validation = forms::distinct("two group names differ by case alone, which AWS does not see"))]
    pub groups: Vec<String>,
}

/// A session token, by `sts:GetSessionToken`. It has no settings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct SessionToken {}

/// An IAM user that exists already and stays: only access keys are made for it
/// and deleted again.
///
/// Keys that it has when a request takes it are never touched. AWS allows two
/// keys: with one of somebody else's there is no room for an overlap, and with
/// two for none at all. While a request holds the user, its other key is
/// Keylease's to make and to delete.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StaticUser {
    /// Name of the IAM user, without its path. 1 to 64 characters.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Form::Name.rule("userName has 1-64 letters, digits and _+=,.@-; it is the name alone, no path and no ARN"))]
    pub user_name: String,

    /// How long a key lives before the next one takes its place, with the
    /// request's `rotation.overlap`, whatever the request's `onExpiry`. From 1m
    /// to 768h. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$') && duration(self) >= duration('1m') && duration(self) <= duration('768h')").message("rotationPeriod must be a duration in h, m and s between 1m and 768h, such as 24h"))]
    pub rotation_period: Option<GoDuration>,
}

/// The permissions and marks of the IAM user behind a lease.
///
/// A change applies to leases that are issued after it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IamUser {
    /// ARNs of managed policies that are attached to the user. At most 10
    /// (AWS's quota for a user). Example: `arn:aws:iam::aws:policy/ReadOnlyAccess`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 20, max = 2048)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Form::PolicyArn.rule_for_all("policyArns must be ARNs of managed policies, as in arn:aws:iam::aws:policy/ReadOnlyAccess"))]
    pub policy_arns: Vec<String>,

    /// An IAM policy document in JSON that is put on the user as an inline
    /// policy. At most 2,048 characters without white space (AWS's quota for
    /// the inline policies of a user).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8192))]
    #[x_kube(validation = Rule::new("self.matches('^\\\\s*[{](.|\\\\s)*[}]\\\\s*$')").message("policyDocument must be a JSON object: { \"Version\": \"2012-10-17\", \"Statement\": [ … ] }"))]
    #[x_kube(validation = Rule::new("self.replace(' ', '').replace('\\n', '').replace('\\t', '').replace('\\r', '').size() <= 2048").message("policyDocument has more than 2,048 characters without white space, which is AWS's quota for a user; make a managed policy and name it in policyArns"))]
    pub policy_document: Option<String>,

    /// Names of IAM groups that the user joins. At most 10 (AWS's quota).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Form::Name.rule_for_all("group names have 1-128 letters, digits and _+=,.@-"))]
    #[x_kube(validation = forms::distinct("two group names differ by case alone, which AWS does not see"))]
    pub groups: Vec<String>,

    /// Path below the account's own (`/keylease/<clusterId>/`), for example
    /// `team-a/`. No leading `/`, one at the end. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9_.,=@+-]+/)*$')").message("path is relative to the account's path: no leading /, one at the end, as in team-a/"))]
    pub path: Option<String>,

    /// ARN of the managed policy that bounds the user, in place of the
    /// account's. Refused unless the account sets
    /// `iamUsers.allowRoleBoundary`. Default: the account's boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Form::PolicyArn.rule("permissionsBoundaryArn must be the ARN of a managed policy, as in arn:aws:iam::123456789012:policy/name"))]
    pub permissions_boundary_arn: Option<String>,

    /// Tags put on the user in the call that creates it. They win over the
    /// account's tags of the same key, whatever its case. Keys of 1–128, values
    /// of 0–256 characters; letters and digits of any script, spaces and
    /// `_.:/=+-@`. Values may use `{{namespace}}`, `{{request}}` and
    /// `{{role}}`. At most 20.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    #[x_kube(validation = forms::tag_keys())]
    #[x_kube(validation = forms::tag_values())]
    #[x_kube(validation = forms::distinct("two tag keys differ by case alone, which AWS does not see"))]
    pub tags: BTreeMap<String, TagValue>,
}

/// How long leases live. For IAM users both default to 768h, the system's
/// maximum. Sessions live from 15m to 12h (`assumedRole`) or 36h
/// (`federationToken`, `sessionToken`), and 1h where no default is named.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.default) || !has(self.max) || !self.default.matches('^([0-9]{1,7}(h|m|s))+$') || !self.max.matches('^([0-9]{1,7}(h|m|s))+$') || duration(self.default) <= duration(self.max)").message("ttl.default must not be longer than ttl.max"))]
pub struct RoleTtl {
    /// The lifetime of a lease whose request names none. From 1s to 768h; from
    /// 15m for sessions. Default: `max`; for sessions 1h, or `max` if that is
    /// shorter. Example: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('768h')").message("ttl.default must be a duration in h, m and s between 1s and 768h, such as 1h or 15m"))]
    pub default: Option<GoDuration>,

    /// The longest lifetime that a request may ask for. From 1s to 768h.
    /// Default: 768h; for sessions 12h or 36h. Example: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$') && duration(self) >= duration('1s') && duration(self) <= duration('768h')").message("ttl.max must be a duration in h, m and s between 1s and 768h, such as 24h"))]
    pub max: Option<GoDuration>,
}

/// Who may use a role. A namespace is allowed when it is named or selected.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Names of namespaces. `["*"]` allows every namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(n, n == '*' || n.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'))").message("allowedNamespaces.names takes names of namespaces, or \"*\" alone for all; patterns are not supported, use selector"))]
    pub names: Vec<String>,

    /// Selects namespaces by their labels. An empty selector selects nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// What both lists of [`AllowedSecretMetadata`] may hold.
fn metadata_keys() -> Rule {
    Rule::new("self.all(k, k.matches('^[A-Za-z0-9_./-]*[*]?$'))").message("allowedSecretMetadata takes keys of labels and annotations, with * at the end alone, as in app.kubernetes.io/*")
}

/// The keys of labels and annotations that requests may set with `secret.labels`
/// and `secret.annotations`. A change applies to keys that are issued after it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AllowedSecretMetadata {
    /// Keys of labels; `*` at the end stands for any rest. Empty or absent:
    /// none. Example: `["app.kubernetes.io/*", "team"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 317)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = metadata_keys())]
    pub labels: Vec<String>,

    /// Keys of annotations, in the same way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 317)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = metadata_keys())]
    pub annotations: Vec<String>,
}

/// What the operator found out about the role.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AwsRoleStatus {
    /// Leases of this role that AWS holds a credential for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<i32>,

    /// The request that holds the role's static user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,

    /// Every credential of this role that was issued before this time is
    /// revoked, or about to be. It follows `spec.revokeBefore` as far as that is
    /// past, and never goes back: a revocation that has begun is not called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_before: Option<Time>,

    /// `Ready`: whether requests of this role can be served, and if not, why.
    /// `Stalled`: `True` beside a `Ready` that is `False` until a person changes
    /// something; absent else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The `metadata.generation` that this status speaks of; -1 before the
    /// operator has looked at the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The request that holds a static user. Written before the first key is made
/// and removed after the last one is gone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The request's uid.
    pub uid: String,
    /// The request's namespace.
    pub namespace: String,
    /// The request's name.
    pub name: String,
    /// The AWS account of the user.
    pub account_id: String,
    /// Name of the user.
    pub user_name: String,
    /// Ids of the access keys that the user had before. They stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<String>,
}
