//! Whose an IAM user is, and the marks by which we know our own.

use std::collections::BTreeMap;

use super::admission::AccountFacts;
use super::adopted::Adoptee;
use super::effect::Owner;
use super::intent::{Intent, identity_tags};
use super::naming::{self, ClusterId};
use crate::api::{AwsCredentialRequest, AwsRole};

/// Longest tag value in IAM.
const MAX_TAG_VALUE: usize = 256;

/// All tags of a new user: the account's, then the role's, then ours. Later
/// ones win, so nobody overwrites ours. In the role's and the account's values
/// `{{namespace}}`, `{{request}}` and `{{role}}` are filled in.
pub fn user_tags(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    account: &AccountFacts,
    cluster: &ClusterId,
) -> BTreeMap<String, String> {
    let user = role.spec.iam_user.clone().unwrap_or_default();
    let of_role = user.tags.into_iter().map(|(k, v)| (k, v.0));
    let mut tags: BTreeMap<_, _> = account
        .tags
        .clone()
        .into_iter()
        .chain(of_role)
        .map(|(key, value)| (key, fill(&value, request)))
        .collect();
    tags.extend(identity_tags(request, cluster));
    tags
}

/// A tag value with `{{namespace}}`, `{{request}}` and `{{role}}` filled in.
pub fn fill(template: &str, request: &AwsCredentialRequest) -> String {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    template
        .replace("{{namespace}}", request.namespace_name())
        .replace("{{request}}", name)
        .replace("{{role}}", &request.spec.role_ref.name)
        .chars()
        .take(MAX_TAG_VALUE)
        .collect()
}

/// An IAM user as `GetUser` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFacts {
    /// Its path.
    pub path: String,
    /// Its permissions boundary.
    pub boundary: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Judges a user that is to be adopted: one that carries our tags was made for
/// a lease, of this cluster or another.
pub fn adoptee(found: Option<UserFacts>) -> Adoptee {
    match found {
        None => Adoptee::Missing,
        Some(user) if user.tags.contains_key(naming::TAG_UID) => Adoptee::Managed,
        Some(user) => Adoptee::Found(user.path),
    }
}

/// Judges a user of our name. The tags tell whose it is: they name the cluster
/// and the request by uid, and nobody sets them but who may tag users in AWS.
/// Path and boundary tell whether it is as we made it.
pub fn judge(
    user: &UserFacts,
    intent: &Intent,
    request: &AwsCredentialRequest,
    cluster: &ClusterId,
) -> Owner {
    for (key, value) in identity_tags(request, cluster) {
        if user.tags.get(&key) != Some(&value) {
            return Owner::Foreign(format!("its tag {key} is not {value}"));
        }
    }
    if user.path != intent.path {
        return Owner::Altered(format!("its path is {}, not {}", user.path, intent.path));
    }
    if user.boundary != intent.boundary {
        return Owner::Altered("its permissions boundary is another".to_owned());
    }
    Owner::Ours
}
