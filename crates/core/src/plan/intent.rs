//! The intent: what a request is about to make in AWS, written on the request
//! together with the finalizer before the first AWS call, so that whoever
//! comes after a crash knows where to look and what to remove.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::naming::{self, ClusterId};
use keylease_api::{AwsCredentialRequest, Credential};

/// Annotation on the request that holds the intent as JSON.
pub const INTENT_ANNOTATION: &str = "keylease.dev/intent";
/// Finalizer that keeps the request until AWS holds nothing of it.
pub const FINALIZER: &str = "keylease.dev/revoke";
/// Finalizer on a role or an account that leases still need.
pub const HOLD: &str = "keylease.dev/leases";

/// The credential type of a static user, as the status names it.
pub const STATIC_USER: &str = "staticUser";

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
    /// Whether the user was there before and stays: a static user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// IAM path of the user.
    pub path: String,
    /// Permissions boundary of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// What is attached to the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    /// What a former role attached and this one does not: taken off once the
    /// new key is in the Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Permission>,
    /// The id of the key that is being replaced, in a rotation. As long as the
    /// status still shows it, the rotation is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
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

/// The text of the inline policy in [`Permission`]'s written form.
const INLINE: &str = "inline";
/// The begin of a group in [`Permission`]'s written form.
const GROUP: &str = "group/";

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ManagedPolicy(arn) => f.write_str(arn),
            Self::InlinePolicy => f.write_str(INLINE),
            Self::Group(name) => write!(f, "{GROUP}{name}"),
        }
    }
}

impl From<&str> for Permission {
    /// Reads what `Display` wrote.
    fn from(text: &str) -> Self {
        match (text, text.strip_prefix(GROUP)) {
            (INLINE, _) => Self::InlinePolicy,
            (_, Some(name)) => Self::Group(name.to_owned()),
            (arn, None) => Self::ManagedPolicy(arn.to_owned()),
        }
    }
}

impl Intent {
    /// Whether both make the same user, for as long. Whoever may edit a
    /// request may edit its annotation too, so an intent that this process did
    /// not write itself is believed only if the role, read anew, would lead to
    /// the same.
    pub fn makes_the_same(&self, other: &Self) -> bool {
        self.user_name == other.user_name
            && self.adopted == other.adopted
            && self.account_id == other.account_id
            && self.path == other.path
            && self.gives_the_same(other)
    }

    /// Whether both give the same permissions within the same boundary, for as
    /// long.
    pub fn gives_the_same(&self, other: &Self) -> bool {
        self.permissions == other.permissions
            && self.boundary == other.boundary
            && self.ttl_seconds == other.ttl_seconds
            && self.max_ttl_seconds == other.max_ttl_seconds
    }

    /// What can be said of a live user whose annotation is gone or was made
    /// unreadable: the status is not theirs to edit.
    fn rebuilt(request: &AwsCredentialRequest, credential: &Credential) -> Self {
        let arn = credential.arn.clone().unwrap_or_default();
        let resource = arn.split_once(":user").map(|(_, path)| path);
        let path = resource.and_then(|r| r.rfind('/').map(|end| r[..=end].to_owned()));
        Self {
            uid: request.uid_str().to_owned(),
            attempt: 0,
            account: String::new(),
            account_id: credential.account_id.clone(),
            user_name: credential.user_name.clone().unwrap_or_default(),
            adopted: credential.type_ == STATIC_USER,
            path: path.unwrap_or_else(|| "/".to_owned()),
            boundary: None,
            permissions: credential
                .permissions
                .iter()
                .map(|p| p.as_str().into())
                .collect(),
            retired: Vec::new(),
            replaces: None,
            role: String::new(),
            ttl_seconds: 0,
            max_ttl_seconds: 0,
        }
    }

    /// The intent of a request with a live IAM user: account, user and path are
    /// those in the status, whatever the annotation says.
    pub fn of_live(
        request: &AwsCredentialRequest,
        cluster: &ClusterId,
        credential: &Credential,
    ) -> Option<Self> {
        let own = user_name_of(request, cluster);
        let adopted = credential.type_ == STATIC_USER;
        // No lease is another request's user, and none is a user without a name.
        let named = credential.user_name.as_ref().filter(|n| !n.is_empty())?;
        if *named != own && !adopted {
            return None;
        }
        let rebuilt = Self::rebuilt(request, credential);
        let written = Self::of(request, cluster).unwrap_or_else(|| rebuilt.clone());
        Some(Self {
            account_id: rebuilt.account_id,
            user_name: rebuilt.user_name,
            adopted,
            path: rebuilt.path,
            ..written
        })
    }

    /// Reads the intent of this very request. `None` when there is none, when
    /// it cannot be read, or when it was written for another object or names
    /// another user than this request's own: the annotation is editable by
    /// hand, and nobody may point the operator at a foreign user with it. (For
    /// a static user the role's status says whether the request holds it.)
    pub fn of(request: &AwsCredentialRequest, cluster: &ClusterId) -> Option<Self> {
        let text = request
            .metadata
            .annotations
            .as_ref()?
            .get(INTENT_ANNOTATION)?;
        let intent: Self = serde_json::from_str(text).ok()?;
        let own = user_name_of(request, cluster);
        let named = intent.adopted || intent.user_name == own;
        (intent.uid == request.uid_str() && named).then_some(intent)
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
