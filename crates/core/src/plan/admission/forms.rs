//! Whether the names that a role gives to AWS have AWS's forms. The definition
//! says so already; a role may be older than it.

use keylease_api::forms::{Form, check_tag_key, check_tag_value, first_twin};
use keylease_api::{AwsRole, TagValue};

/// Lists of ARNs or names, each with the field that has it.
type Lists<'a> = Vec<(&'static str, &'a [String])>;

/// Checks the forms of all names in a role.
///
/// # Errors
/// The first that is wrong, as the end of a sentence that names the role.
pub(super) fn check(role: &AwsRole) -> Result<(), String> {
    let spec = &role.spec;
    let mut policies: Lists<'_> = Vec::new();
    let mut groups: Lists<'_> = Vec::new();
    if let Some(user) = &spec.iam_user {
        policies.push(("iamUser.policyArns", &user.policy_arns));
        let boundary = user.permissions_boundary_arn.as_slice();
        policies.push(("iamUser.permissionsBoundaryArn", boundary));
        groups.push(("iamUser.groups", &user.groups));
        tags("iamUser.tags", &user.tags)?;
    }
    if let Some(assumed) = &spec.assumed_role {
        let roles = [("assumedRole.roleArns", assumed.role_arns.as_slice())];
        all_fit(Form::RoleArn, "is no ARN of an IAM role", &roles)?;
        policies.push(("assumedRole.policyArns", &assumed.policy_arns));
        groups.push(("assumedRole.groups", &assumed.groups));
        tags("assumedRole.sessionTags", &assumed.session_tags)?;
    }
    if let Some(token) = &spec.federation_token {
        policies.push(("federationToken.policyArns", &token.policy_arns));
        groups.push(("federationToken.groups", &token.groups));
    }
    if let Some(user) = &spec.static_user {
        let name = std::slice::from_ref(&user.user_name);
        let names = [("staticUser.userName", name)];
        all_fit(Form::Name, "is no name of an IAM user", &names)?;
    }
    all_fit(Form::PolicyArn, "is no ARN of a managed policy", &policies)?;
    all_fit(Form::Name, "is no name of an IAM group", &groups)?;
    groups
        .iter()
        .try_for_each(|(field, names)| distinct(field, *names))
}

fn all_fit(form: Form, is_none: &str, lists: &[(&str, &[String])]) -> Result<(), String> {
    for (field, texts) in lists {
        if let Some(odd) = texts.iter().find(|text| !form.fits(text)) {
            return Err(format!("{field}: {odd:?} {is_none}"));
        }
    }
    Ok(())
}

fn distinct<'a>(field: &str, names: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    match first_twin(names) {
        None => Ok(()),
        Some(twin) => Err(format!(
            "{field}: {twin:?} and another differ by case alone, which AWS does not see"
        )),
    }
}

fn tags(field: &str, tags: &std::collections::BTreeMap<String, TagValue>) -> Result<(), String> {
    for (key, value) in tags {
        check_tag_key(key).map_err(|e| format!("{field}: the key {key:?} {e}"))?;
        check_tag_value(&value.0).map_err(|e| format!("{field}: the value of {key:?} {e}"))?;
    }
    distinct(field, tags.keys())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judged(spec: Value) -> Result<(), String> {
        let mut role = json!({"accountRef": {"name": "a"}});
        role.as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        check(&AwsRole::new("r", serde_json::from_value(role).unwrap()))
    }

    /// A role that is older than the rules of the definition is told what to
    /// change, and AWS is not asked.
    #[test]
    fn what_aws_would_not_take_is_told_by_field() {
        let fine = json!({"iamUser": {"tags": {"Kostenstelle": "Zürich"}, "groups": ["a", "b"],
            "policyArns": ["arn:aws-eusc:iam::aws:policy/ReadOnlyAccess"]}});
        assert_eq!(judged(fine), Ok(()));
        for (spec, says) in [
            (
                json!({"iamUser": {"tags": {"team": "a", "Team": "b"}}}),
                "iamUser.tags: \"team\"",
            ),
            (json!({"iamUser": {"tags": {"Aws:x": "a"}}}), "reserved"),
            (
                json!({"iamUser": {"tags": {"x": "a\nb"}}}),
                "the value of \"x\"",
            ),
            (
                json!({"iamUser": {"groups": ["dev", "Dev"]}}),
                "iamUser.groups",
            ),
            (
                json!({"iamUser": {"policyArns": ["arn:awsx:iam::aws:policy/A"]}}),
                "policyArns",
            ),
            (
                json!({"assumedRole": {"roleArns": ["role"]}}),
                "assumedRole.roleArns",
            ),
            (
                json!({"assumedRole": {"roleArns": ["arn:aws:iam::123456789012:role/a"],
                    "sessionTags": {"keylease.dev/uid": "a"}}}),
                "assumedRole.sessionTags",
            ),
            (
                json!({"federationToken": {"groups": ["a/b"]}}),
                "federationToken.groups",
            ),
            (
                json!({"staticUser": {"userName": "a b"}}),
                "staticUser.userName",
            ),
        ] {
            let error = judged(spec).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
