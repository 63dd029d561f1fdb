//! The intent: what a request is about to make in AWS, written on the request
//! together with the finalizer before the first AWS call, so that whoever
//! comes after a crash knows where to look and what to remove.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::naming::{self, ClusterId};
use crate::api::AwsCredentialRequest;

/// Annotation on the request that holds the intent as JSON.
pub const INTENT_ANNOTATION: &str = "keylease.dev/intent";
/// Finalizer that keeps the request until AWS holds nothing of it.
pub const FINALIZER: &str = "keylease.dev/revoke";

/// What is about to be made, and where.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Uid of the request it was written for: a copied manifest carries the
    /// annotation of another object, which says nothing about this one.
    pub uid: String,
    /// Counts up each time a request starts over.
    pub attempt: u32,
    /// Name of the `AwsAccount`.
    pub account: String,
    /// The AWS account in which the user is made.
    pub account_id: String,
    /// Name of the IAM user.
    pub user_name: String,
    /// IAM path of the user.
    pub path: String,
    /// Permissions boundary of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// What is attached to the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    /// Uid and generation of the role it was read from, as `uid/generation`.
    pub role: String,
    /// Length of the lease in seconds.
    pub ttl_seconds: i64,
    /// Longest length of the lease, renewals included, in seconds.
    pub max_ttl_seconds: i64,
}

/// One thing that gives a user its permissions; one AWS call to put on, one to
/// take off.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// A managed policy by its ARN.
    ManagedPolicy(String),
    /// The inline policy named [`naming::INLINE_POLICY`].
    InlinePolicy,
    /// Membership in an IAM group.
    Group(String),
}

impl Intent {
    /// Reads the intent of this very request. `None` when there is none, when
    /// it cannot be read, or when it was written for another object or names
    /// another user than this request's own: the annotation is editable by
    /// hand, and nobody may point the operator at a foreign user with it.
    pub fn of(request: &AwsCredentialRequest, cluster: &ClusterId) -> Option<Self> {
        let text = request
            .metadata
            .annotations
            .as_ref()?
            .get(INTENT_ANNOTATION)?;
        let intent: Self = serde_json::from_str(text).ok()?;
        let own = user_name_of(request, cluster);
        (intent.uid == request.uid_str() && intent.user_name == own).then_some(intent)
    }

    /// The ARN of the user, in that partition.
    pub fn user_arn(&self, partition: &str) -> String {
        let Self {
            account_id,
            path,
            user_name,
            ..
        } = self;
        format!("arn:{partition}:iam::{account_id}:user{path}{user_name}")
    }

    /// The annotation's value.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The name of the IAM user that belongs to this request.
pub fn user_name_of(request: &AwsCredentialRequest, cluster: &ClusterId) -> String {
    naming::user_name(
        cluster,
        request.namespace_name(),
        request.metadata.name.as_deref().unwrap_or_default(),
        request.uid_str(),
    )
}

/// The tags by which we know a user of ours again: all must match before one
/// is adopted.
pub fn identity_tags(
    request: &AwsCredentialRequest,
    cluster: &ClusterId,
) -> BTreeMap<String, String> {
    let tags = [
        (naming::TAG_CLUSTER, cluster.0.as_str()),
        (naming::TAG_UID, request.uid_str()),
        (naming::TAG_NAMESPACE, request.namespace_name()),
        (
            naming::TAG_REQUEST,
            request.metadata.name.as_deref().unwrap_or_default(),
        ),
        (naming::TAG_ROLE, request.spec.role_ref.name.as_str()),
    ];
    tags.into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// Whether the finalizer of ours is on the request.
pub fn has_finalizer(request: &AwsCredentialRequest) -> bool {
    let finalizers = request.metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|f| f == FINALIZER)
}
