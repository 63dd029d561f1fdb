//! `AwsAccount`: how the operator signs in to AWS.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::forms::{self, Form};
use super::{Defects, GoDuration, NameRef};

/// How the operator signs in to one AWS account, and the bounds for every IAM
/// user that it makes there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "keylease.dev",
    version = "v1alpha1",
    kind = "AwsAccount",
    plural = "awsaccounts",
    shortname = "awsacct",
    category = "keylease",
    status = "AwsAccountStatus",
    derive = "PartialEq",
    cel,
    doc = "How the operator signs in to one AWS account, and the bounds for every IAM user that it makes there. Cluster-scoped: only platform teams write it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.accountId"),
    printcolumn(
        name = "ARN",
        type_ = "string",
        json_path = ".status.arn",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.rootRotation) || (has(self.credentials) && has(self.credentials.secretRef) && (!has(self.assumeRoles) || size(self.assumeRoles) == 0))").message("rootRotation needs credentials.secretRef, and no assumeRoles"))]
pub struct AwsAccountSpec {
    /// AWS region of the STS endpoint, and the value of `AWS_REGION` in issued
    /// Secrets. IAM itself is global. Default: the operator's own
    /// `AWS_REGION`, else one of the partition that the ARNs in `assumeRoles`
    /// or of the boundary name, else `us-east-1`. Example: `eu-central-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Form::Region.rule("region must be an AWS region name such as us-east-1"))]
    pub region: Option<String>,

    /// Where the operator's own AWS credentials come from: exactly one of
    /// `ambient` and `secretRef`. Default: `ambient`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<AccountCredentials>,

    /// Refuse to work when the credentials turn out to belong to another AWS
    /// account than this one. 12 digits. Recommended: it stops a wrong Secret
    /// from filling a foreign account with users. Example: `"123456789012"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 12, max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{12}$')").message("expectedAccountId must be the 12 digits of an AWS account id"))]
    pub expected_account_id: Option<String>,

    /// Settings for every IAM user that is made in this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam_users: Option<AccountIamUsers>,

    /// Roles that the operator assumes, one after the other, from the
    /// credentials above; it then works as the last. At most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub assume_roles: Vec<AssumeRole>,

    /// Bounds for what is made in the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<AccountLimits>,

    /// Replaces the operator's own access key again and again, in the Secret
    /// that `credentials.secretRef` names: a new key is made, proven to work
    /// and written there, and then the old one is deleted. Only for the
    /// long-term key of an IAM user that has no other key (AWS allows two), and
    /// without `assumeRoles`. The Secret must not be kept at fixed content by
    /// something else (GitOps): what that writes back is a deleted key. The
    /// user needs the permissions that `keylease iam-policy --root-user-arn`
    /// prints. Default: the key is never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_rotation: Option<RootRotation>,

    /// What of the object could not be read. It is no part of it: whoever reads
    /// objects from the API server notes it here, for decisions to see.
    #[serde(skip)]
    #[schemars(skip)]
    pub unreadable: Defects,
}

/// How often the operator's own access key is replaced.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RootRotation {
    /// Age at which the key is replaced, counted from its creation in AWS, also
    /// for a key that the operator did not make. Hours, minutes and seconds;
    /// between `1m` and `8760h` (a year). Example: `720h`.
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(h|m|s))+$') && duration(self) >= duration('1m') && duration(self) <= duration('8760h')").message("period must be a duration in h, m and s between 1m and 8760h, such as 720h"))]
    pub period: GoDuration,
}

/// One role of a chain.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// The role's ARN. Example: `arn:aws:iam::123456789012:role/keylease`.
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Form::RoleArn.rule("roleArn must be the ARN of an IAM role, as in arn:aws:iam::123456789012:role/name"))]
    pub role_arn: String,
    /// External id that the role's trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224))]
    #[x_kube(validation = Form::ExternalId.rule("externalId has 2-1224 letters, digits and _+=,.@:/-"))]
    pub external_id: Option<String>,
    /// Name of the session, which shows in CloudTrail. Default: `keylease`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_=,.@-]+$')").message("sessionName has 2-64 letters, digits and _=,.@-"))]
    pub session_name: Option<String>,
}

/// Bounds for what is made in the account.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccountLimits {
    /// IAM users of ours at a time. 0: no limit. Default: 4500, which leaves
    /// room below AWS's quota of 5,000 users in an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_users: Option<i32>,

    /// IAM calls in a second at most, with three at once after a pause. Shared
    /// by all `AwsAccount` objects that sign in to the same AWS account; the
    /// lowest of theirs counts. Between 1 and 10000. Default: none. The
    /// operator finds out how many AWS takes, beginning with five, and slows
    /// down when AWS throttles; a cap leaves something for others in the
    /// account. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub requests_per_second: Option<i32>,
}

/// Where the operator's own credentials come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.ambient) != has(self.secretRef)").message("credentials takes exactly one of ambient and secretRef"))]
pub struct AccountCredentials {
    /// The AWS SDK's default chain: environment, shared files, web identity
    /// (IRSA), container credentials (Pod Identity), instance role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Ambient>,

    /// A Secret in the operator's own namespace with the keys
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for temporary
    /// credentials, `AWS_SESSION_TOKEN`. A change of the Secret is picked up
    /// without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

/// No settings: the SDK's default chain takes them from its surroundings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Ambient {}

/// Settings for every IAM user that is made in the account.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AccountIamUsers {
    /// IAM path under which users are made. The cluster id is appended
    /// (`/keylease/<clusterId>/`), so two clusters in one account never touch
    /// each other's users. Begins and ends with `/`. Default: `/keylease/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^/([A-Za-z0-9_.,=@+-]+/)*$')").message("path must begin and end with / and hold letters, digits and _.,=@+- between, as in /keylease/"))]
    pub path: Option<String>,

    /// ARN of the managed policy that bounds what any issued user can do,
    /// whatever its role attaches. Put on in the same call that creates the
    /// user. Example: `arn:aws:iam::123456789012:policy/keylease-boundary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Form::PolicyArn.rule("permissionsBoundaryArn must be the ARN of a managed policy, as in arn:aws:iam::123456789012:policy/name"))]
    pub permissions_boundary_arn: Option<String>,

    /// Whether a role may name another permissions boundary than this
    /// account's. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_role_boundary: Option<bool>,

    /// Tags put on every user in the call that creates it, besides our own
    /// (`keylease.dev/…`). Keys of 1–128, values of 0–256 characters; letters
    /// and digits of any script, spaces and `_.:/=+-@`. Values may use
    /// `{{namespace}}`, `{{request}}` and `{{role}}`. AWS does not tell keys
    /// apart by case. At most 20, so that a role can add more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    #[x_kube(validation = forms::tag_keys())]
    #[x_kube(validation = forms::tag_values())]
    #[x_kube(validation = forms::distinct("two tag keys differ by case alone, which AWS does not see"))]
    pub tags: BTreeMap<String, TagValue>,
}

/// The value of a tag on an IAM user.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct TagValue(#[schemars(length(max = 512))] pub String);

/// What the operator found out about the account.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AwsAccountStatus {
    /// The 12-digit account id that `sts:GetCallerIdentity` answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,

    /// The ARN that the operator acts as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,

    /// The operator's own access key, where `spec.rootRotation` asks for its
    /// rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_key: Option<RootKey>,

    /// A sweep that found so many users without a request that it removes none
    /// of them for now. Absent where that is not so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep_halt: Option<SweepHalt>,

    /// `Ready`: whether requests can be served, and if not, why.
    /// `Stalled`: `True` beside a `Ready` that is `False` until a person changes
    /// something; absent else.
    /// `RootRotation`: whether the operator's own key is replaced on time, and
    /// if not, why; absent where that is not asked for.
    /// `Swept`: whether every IAM user of ours belongs to a request, and if
    /// not, why; absent before the first sweep.
    /// `Unique`: whether no copy of this cluster works with this cluster's id in
    /// the AWS account, and if not, what to do; absent before that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The `metadata.generation` that this status speaks of; -1 before the
    /// operator has looked at the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A halted sweep.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SweepHalt {
    /// When it was halted first. Annotate the account with
    /// `keylease.dev/sweep-approved` and this value to let the users be
    /// removed.
    pub since: Time,
    /// How many users belonged to no request then.
    pub orphans: i32,
    /// How many users of ours there were in all.
    pub users: i32,
    /// When they are removed although nobody approved.
    pub proceeds_at: Time,
}

/// The operator's own access key and its rotation.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RootKey {
    /// The access key id that the Secret holds.
    pub id: String,
    /// When AWS made this key: the last rotation, or for a key that the
    /// operator has not replaced yet, its creation.
    pub rotated_at: Time,
    /// When it is to be replaced.
    pub next_rotation: Time,
}
