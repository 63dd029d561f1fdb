//! The names of the entries in a Secret, as its request asks for them.

use std::collections::BTreeMap;

use crate::plan::reasons::{Reason, Verdict};
use keylease_api::{AwsCredentialRequest, SecretKeys, SecretTemplate};

/// The names of the Secret's keys after all defaults.
pub(super) struct KeyNames {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) region: String,
    pub(super) default_region: Option<String>,
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
            default_region,
            expiration,
        } = keys;
        // Whoever named the one entry has the one that was asked for.
        let second = region.is_none().then(|| "AWS_DEFAULT_REGION".to_owned());
        let or = |name: Option<String>, default: &str| name.unwrap_or_else(|| default.to_owned());
        let names = Self {
            access_key_id: or(access_key_id, "AWS_ACCESS_KEY_ID"),
            secret_access_key: or(secret_access_key, "AWS_SECRET_ACCESS_KEY"),
            region: or(region, "AWS_REGION"),
            default_region: None,
            session_token: or(session_token, "AWS_SESSION_TOKEN"),
            expiration: or(expiration, "expiration"),
            file: or(file.key, "credentials"),
            profile: or(file.profile, "default"),
            credential_process: template
                .credential_process
                .clone()
                .map(|c| or(c.key, "credential_process.json")),
        };
        // Requests are older than this entry: it takes the place of no other.
        let second = second.filter(|n| !names.entries().iter().any(|(_, taken)| taken == n));
        Self {
            default_region: default_region.or(second),
            ..names
        }
    }

    /// The names with the fields that give them.
    fn entries(&self) -> Vec<(&'static str, &str)> {
        let mut all = vec![
            ("keys.accessKeyId", self.access_key_id.as_str()),
            ("keys.secretAccessKey", &self.secret_access_key),
            ("keys.sessionToken", &self.session_token),
            ("keys.region", &self.region),
            ("keys.expiration", &self.expiration),
            ("credentialsFile.key", &self.file),
        ];
        let second = self.default_region.as_deref();
        all.extend(second.map(|name| ("keys.defaultRegion", name)));
        let process = self.credential_process.as_deref();
        all.extend(process.map(|name| ("credentialProcess.key", name)));
        all
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
    if names.profile.is_empty() || !made_of(&names.profile, "_.@:/+-") {
        return Err(misnamed("credentialsFile.profile", &names.profile));
    }
    for (field, name) in names.entries() {
        if !(1..=MAX_KEY).contains(&name.len()) || !made_of(name, "-._") {
            return Err(misnamed(field, name));
        }
        if let Some(other) = seen.insert(name, field) {
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
    use keylease_api::CredentialsFile;

    fn second(keys: SecretKeys) -> Option<String> {
        let template = SecretTemplate {
            keys: Some(keys),
            ..SecretTemplate::default()
        };
        KeyNames::of(&template).default_region
    }

    #[test]
    fn the_region_stands_under_both_names_unless_one_was_chosen() {
        let name = |text: &str| Some(text.to_owned());
        let keys = SecretKeys::default;
        assert_eq!(second(keys()), name("AWS_DEFAULT_REGION"));
        let only = SecretKeys {
            region: name("AWS_DEFAULT_REGION"),
            ..keys()
        };
        assert_eq!(second(only.clone()), None);
        let both = SecretKeys {
            default_region: name("AWS_REGION"),
            ..only
        };
        assert_eq!(second(both), name("AWS_REGION"));
        let taken = SecretKeys {
            expiration: name("AWS_DEFAULT_REGION"),
            ..keys()
        };
        assert_eq!(second(taken), None, "a request that was valid is refused");
    }

    #[test]
    fn a_second_region_collides_like_any_other_entry() {
        let mut request = crate::plan::tests::request();
        request.spec.secret = Some(SecretTemplate {
            keys: Some(SecretKeys {
                default_region: Some("credentials".into()),
                ..SecretKeys::default()
            }),
            ..SecretTemplate::default()
        });
        let verdict = check_template(&request).unwrap_err();
        assert!(
            verdict.message.contains("keys.defaultRegion"),
            "{}",
            verdict.message
        );
    }

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
