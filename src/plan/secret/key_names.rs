//! The names of the entries in a Secret, as its request asks for them.

use std::collections::BTreeMap;

use crate::api::{AwsCredentialRequest, SecretKeys, SecretTemplate};
use crate::plan::reasons::{Reason, Verdict};

/// The names of the Secret's keys after all defaults.
pub(super) struct KeyNames {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) region: String,
    pub(super) session_token: String,
    pub(super) expiration: String,
    pub(super) file: String,
    pub(super) profile: String,
    pub(super) credential_process: Option<String>,
}

impl KeyNames {
    pub(super) fn of(template: &SecretTemplate) -> Self {
        let keys = template.keys.clone().unwrap_or_default();
        let file = template.credentials_file.clone().unwrap_or_default();
        let SecretKeys {
            access_key_id,
            secret_access_key,
            session_token,
            region,
            expiration,
        } = keys;
        let or = |name: Option<String>, default: &str| name.unwrap_or_else(|| default.to_owned());
        Self {
            access_key_id: or(access_key_id, "AWS_ACCESS_KEY_ID"),
            secret_access_key: or(secret_access_key, "AWS_SECRET_ACCESS_KEY"),
            region: or(region, "AWS_REGION"),
            session_token: or(session_token, "AWS_SESSION_TOKEN"),
            expiration: or(expiration, "expiration"),
            file: or(file.key, "credentials"),
            profile: or(file.profile, "default"),
            credential_process: template
                .credential_process
                .clone()
                .map(|c| or(c.key, "credential_process.json")),
        }
    }
}

/// Longest name of a key in a Secret (Kubernetes, `ConfigMap` and `Secret` data).
const MAX_KEY: usize = 253;

/// Checks that no two keys of the Secret have one name, where one would
/// overwrite the other, and that names are names: a profile with a line break
/// would put lines of its own into the credentials file. (The API server checks
/// the same; objects may be older than its rule.)
///
/// # Errors
/// A verdict that names the key.
pub fn check_template(request: &AwsCredentialRequest) -> Result<(), Verdict> {
    let names = KeyNames::of(&request.spec.secret.clone().unwrap_or_default());
    let mut seen = BTreeMap::new();
    let mut all = vec![
        ("keys.accessKeyId", names.access_key_id),
        ("keys.secretAccessKey", names.secret_access_key),
        ("keys.sessionToken", names.session_token),
        ("keys.region", names.region),
        ("keys.expiration", names.expiration),
        ("credentialsFile.key", names.file),
    ];
    let process = names.credential_process;
    all.extend(process.map(|name| ("credentialProcess.key", name)));
    if names.profile.is_empty() || !made_of(&names.profile, "_.@:/+-") {
        return Err(misnamed("credentialsFile.profile", &names.profile));
    }
    for (field, name) in all {
        if !(1..=MAX_KEY).contains(&name.len()) || !made_of(&name, "-._") {
            return Err(misnamed(field, &name));
        }
        if let Some(other) = seen.insert(name.clone(), field) {
            return Err(Verdict::new(
                Reason::InvalidRequest,
                format!(
                    "spec.secret: {other} and {field} are both {name:?}; give each its own name"
                ),
            ));
        }
    }
    Ok(())
}

/// Whether a text is made of ASCII letters, digits and these.
fn made_of(text: &str, others: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn misnamed(field: &str, name: &str) -> Verdict {
    Verdict::new(
        Reason::InvalidRequest,
        format!("spec.secret: {field} cannot be {name:?}; use letters, digits and -_."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CredentialsFile;

    #[test]
    fn colliding_key_names_are_refused() {
        let file = CredentialsFile {
            key: Some("AWS_REGION".into()),
            profile: None,
        };
        let mut request = crate::plan::tests::request();
        request.spec.secret = Some(SecretTemplate {
            credentials_file: Some(file),
            ..SecretTemplate::default()
        });
        let verdict = check_template(&request).unwrap_err();
        assert!(
            verdict.message.contains("AWS_REGION"),
            "{}",
            verdict.message
        );
    }
}
