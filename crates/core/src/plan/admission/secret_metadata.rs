//! Which marks a request may put on its Secret: other controllers obey some.

use crate::plan::reasons::{Reason, Verdict};
use keylease_api::{AwsCredentialRequest, AwsRole};

pub(super) fn check_secret_metadata(
    request: &AwsCredentialRequest,
    role: &AwsRole,
) -> Result<(), Verdict> {
    let Some(allowed) = &role.spec.allowed_secret_metadata else {
        return Ok(());
    };
    let template = request.spec.secret.clone().unwrap_or_default();
    let labels = template.labels.keys();
    let annotations = template.annotations.keys();
    let refused = first_not_in(labels, &allowed.labels)
        .map(|key| ("labels", key))
        .or_else(|| first_not_in(annotations, &allowed.annotations).map(|k| ("annotations", k)));
    let Some((field, key)) = refused else {
        return Ok(());
    };
    Err(Verdict::new(
        Reason::MetadataNotAllowed,
        format!(
            "role {} does not allow {key} in secret.{field}; take it out, or add it to \
             spec.allowedSecretMetadata.{field} of the AwsRole",
            role.metadata.name.as_deref().unwrap_or_default()
        ),
    ))
}

fn first_not_in<'a>(
    mut keys: impl Iterator<Item = &'a String>,
    patterns: &[String],
) -> Option<&'a String> {
    keys.find(|key| !patterns.iter().any(|pattern| matches(pattern, key)))
}

/// `*` at the end of a pattern stands for any rest.
fn matches(pattern: &str, key: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => pattern == key,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(allowed: serde_json::Value, secret: serde_json::Value) -> Option<String> {
        let mut role = crate::plan::tests::role();
        role.spec.allowed_secret_metadata = serde_json::from_value(allowed).unwrap();
        let mut request = crate::plan::tests::request();
        request.spec.secret = serde_json::from_value(secret).unwrap();
        let verdict = check_secret_metadata(&request, &role).err()?;
        assert_eq!(verdict.reason, Reason::MetadataNotAllowed);
        Some(verdict.message)
    }

    #[test]
    fn any_mark_unless_the_role_lists_some() {
        let mirrored = json!({"annotations": {"replicator.example.com/to": "*"}});
        assert_eq!(refusal(json!(null), mirrored.clone()), None);
        let said = refusal(json!({}), mirrored.clone()).unwrap();
        assert!(said.contains("replicator.example.com/to in secret.annotations"));
        let listed = json!({"annotations": ["replicator.example.com/to"]});
        assert_eq!(refusal(listed, mirrored.clone()), None);
        // Of the other kind.
        assert!(refusal(json!({"labels": ["*"]}), mirrored).is_some());
        assert_eq!(refusal(json!({}), json!({})), None);
    }

    #[test]
    fn a_star_at_the_end_stands_for_any_rest() {
        let allowed = || json!({"labels": ["app.kubernetes.io/*", "team"]});
        let with = |key: &str| refusal(allowed(), json!({"labels": {key: "x"}}));
        assert_eq!(with("app.kubernetes.io/part-of"), None);
        assert_eq!(with("team"), None);
        assert!(with("team-b").is_some());
        assert!(with("app.kubernetes").is_some());
    }
}
