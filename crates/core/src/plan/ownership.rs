//! Whose an IAM user is, and the marks by which we know our own.

use std::collections::BTreeMap;

use super::admission::AccountFacts;
use super::adopted::Adoptee;
use super::effect::Owner;
use super::intent::{Intent, identity_tags};
use super::naming::{self, ClusterId};
use keylease_api::forms::{MAX_TAG_VALUE, folded};
use keylease_api::{AwsCredentialRequest, AwsRole};

/// All tags of a new user: the account's, then the role's, then ours. Later
/// ones win, so nobody overwrites ours; case makes no other key, as in IAM. In
/// the role's and the account's values `{{namespace}}`, `{{request}}` and
/// `{{role}}` are filled in.
pub fn user_tags(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    account: &AccountFacts,
    cluster: &ClusterId,
) -> BTreeMap<String, String> {
    let user = role.spec.iam_user.clone().unwrap_or_default();
    let of_role = user.tags.into_iter().map(|(k, v)| (k, v.0));
    let of_account = account.tags.clone().into_iter();
    let others = of_account.chain(of_role);
    let others = others.map(|(key, value)| (key, fill(&value, request)));
    let all = others.chain(identity_tags(request, cluster));
    let by_key: BTreeMap<_, _> = all.map(|tag| (folded(&tag.0), tag)).collect();
    by_key.into_values().collect()
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

impl UserFacts {
    /// The value of a tag. Whoever sets it anew in other letters has set the
    /// same: IAM keeps the case of a key, and does not compare it.
    pub fn tag(&self, key: &str) -> Option<&String> {
        let mut tags = self.tags.iter();
        tags.find(|(k, _)| folded(k) == folded(key)).map(|(_, v)| v)
    }
}

/// Judges a user that is to be adopted: one that carries our tags was made for
/// a lease, of this cluster or another.
pub fn adoptee(found: Option<UserFacts>) -> Adoptee {
    match found {
        None => Adoptee::Missing,
        Some(user) if user.tag(naming::TAG_UID).is_some() => Adoptee::Managed,
        Some(user) => Adoptee::Found(user.path),
    }
}

/// Judges a user of our name. The tags tell whose it is: they name the cluster
/// and the request by uid, and nobody sets them but who may tag users in AWS.
/// Path and boundary tell whether it is as we made it.
///
/// Of a lease that was `delivered` the status tells too, which nobody writes but
/// us: a user of its name, which follows from cluster and request, on this
/// cluster's own path, is the one that was made for it, whatever somebody wrote
/// into its tags since. It is not handed out again, and not left behind.
pub fn judge(
    user: &UserFacts,
    intent: &Intent,
    request: &AwsCredentialRequest,
    cluster: &ClusterId,
    delivered: bool,
) -> Owner {
    let own_path = intent.path.split('/').any(|part| part == cluster.0);
    for (key, value) in identity_tags(request, cluster) {
        if user.tag(&key) != Some(&value) {
            let why = format!("its tag {key} is not {value}");
            return match delivered && own_path && user.path == intent.path {
                true => Owner::Altered(why),
                false => Owner::Foreign(why),
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::account;
    use crate::plan::tests::{request, role};
    use keylease_api::{AwsAccount, AwsAccountSpec, TagValue};

    fn tags(account: &[(&str, &str)], own: &[(&str, &str)]) -> BTreeMap<String, String> {
        let text = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let arn = "arn:aws:iam::123456789012:user/operator";
        let object = AwsAccount::new("a", AwsAccountSpec::default());
        let mut account_facts = account::facts(&object, "123456789012", arn, "us-east-1");
        account_facts.tags = account.iter().map(text).collect();
        let mut role = role();
        let user = role.spec.iam_user.get_or_insert_default();
        user.tags = own
            .iter()
            .map(text)
            .map(|(k, v)| (k, TagValue(v)))
            .collect();
        user_tags(&request(), &role, &account_facts, &ClusterId("c".into()))
    }

    /// To IAM keys that differ by case are one, and `CreateUser` with both is
    /// refused.
    #[test]
    fn a_key_is_the_same_in_any_case() {
        let tags = tags(
            &[("team", "platform"), ("KEYLEASE.DEV/uid", "forged")],
            &[("Team", "{{namespace}}")],
        );
        assert_eq!(tags.get("Team").map(String::as_str), Some("team"));
        assert!(!tags.contains_key("team"));
        assert!(!tags.contains_key("KEYLEASE.DEV/uid"));
        let request = request();
        assert_eq!(tags[naming::TAG_UID], request.uid_str());
    }

    #[test]
    fn a_tag_that_was_set_anew_in_other_letters_is_still_ours() {
        let (request, cluster) = (request(), ClusterId("c".into()));
        let tags = identity_tags(&request, &cluster).into_iter();
        let user = UserFacts {
            tags: tags.map(|(k, v)| (k.to_uppercase(), v)).collect(),
            ..UserFacts::default()
        };
        assert_eq!(adoptee(Some(user.clone())), Adoptee::Managed);
        assert_eq!(
            user.tag(naming::TAG_UID).map(String::as_str),
            Some(request.uid_str())
        );
    }

    #[test]
    fn a_filled_value_is_cut_between_characters() {
        let long = format!("{}{{{{request}}}}", "ü".repeat(255));
        let filled = fill(&long, &request());
        assert_eq!(filled.chars().count(), MAX_TAG_VALUE);
        assert!(filled.starts_with("üü"));
    }

    /// A tag governor, or the holder, changed what tells whose the user is.
    #[test]
    fn a_user_that_was_delivered_stays_ours_whatever_its_tags_say() {
        let request = request();
        let cluster = ClusterId("cluster".into());
        let intent = |path: &str| Intent {
            uid: request.uid_str().to_owned(),
            attempt: 1,
            account: "a".into(),
            account_id: "123456789012".into(),
            user_name: crate::plan::intent::user_name_of(&request, &cluster),
            adopted: false,
            path: path.to_owned(),
            boundary: None,
            permissions: Vec::new(),
            retired: Vec::new(),
            replaces: None,
            role: String::new(),
            ttl_seconds: 1,
            max_ttl_seconds: 1,
        };
        let ours = identity_tags(&request, &cluster);
        for changed in [None, Some("another-uid"), Some("")] {
            let mut user = UserFacts {
                path: "/keylease/cluster/".into(),
                boundary: None,
                tags: ours.clone(),
            };
            user.tags.remove(naming::TAG_UID);
            let value = changed.map(|v| (naming::TAG_UID.to_owned(), v.to_owned()));
            user.tags.extend(value);
            let judged = |path: &str, delivered| {
                let user = UserFacts {
                    path: path.into(),
                    ..user.clone()
                };
                judge(
                    &user,
                    &intent("/keylease/cluster/"),
                    &request,
                    &cluster,
                    delivered,
                )
            };
            assert!(matches!(
                judged("/keylease/cluster/", true),
                Owner::Altered(_)
            ));
            assert!(matches!(
                judged("/keylease/cluster/", false),
                Owner::Foreign(_)
            ));
            assert!(matches!(judged("/", true), Owner::Foreign(_)));
            let elsewhere = judge(&user, &intent("/"), &request, &cluster, true);
            assert!(matches!(elsewhere, Owner::Foreign(_)));
        }
    }
}
