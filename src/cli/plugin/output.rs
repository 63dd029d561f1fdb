//! A key in the forms that other programs read.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::key::IssuedKey;
use crate::cli::cluster::LEASED_KEY;

/// The forms of `issue --output`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines for a POSIX shell: eval "$(kubectl keylease issue ROLE)".
    Env,
    /// The key and its lease as JSON.
    Json,
    /// A shared-credentials file with the profile `default`.
    Credentials,
    /// What AWS tools read from a credential_process.
    Process,
}

/// The key in that form, with a line break at its end.
pub(super) fn render(key: &IssuedKey, format: Format) -> Zeroizing<String> {
    let text = match format {
        Format::Env => shell(key),
        Format::Json => pretty(&json_form(key)),
        Format::Credentials => credentials_file(key),
        Format::Process => pretty(&process_form(key)),
    };
    Zeroizing::new(text)
}

/// The environment of a program that is to use the key. `None` takes a
/// variable away: a session token left over from another credential makes
/// AWS refuse this one.
pub(super) fn environment(key: &IssuedKey) -> Vec<(&'static str, Option<&str>)> {
    vec![
        ("AWS_ACCESS_KEY_ID", Some(&key.access_key_id)),
        ("AWS_SECRET_ACCESS_KEY", Some(&key.secret_access_key)),
        (
            "AWS_SESSION_TOKEN",
            key.session_token.as_ref().map(|t| t.as_str()),
        ),
        ("AWS_REGION", Some(&key.region)),
        ("AWS_DEFAULT_REGION", Some(&key.region)),
        ("AWS_CREDENTIAL_EXPIRATION", Some(&key.expiration)),
        (LEASED_KEY, Some(&key.access_key_id)),
    ]
}

fn shell(key: &IssuedKey) -> String {
    let line = |(name, value): (&str, Option<&str>)| match value {
        Some(value) => format!("export {name}={}\n", quoted(value)),
        None => format!("unset {name}\n"),
    };
    environment(key).into_iter().map(line).collect()
}

/// A word of sh that is this text, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn json_form(key: &IssuedKey) -> Value {
    let mut form = json!({
        "accessKeyId": key.access_key_id,
        "secretAccessKey": key.secret_access_key.as_str(),
        "region": key.region,
        "expiration": key.expiration,
        "lease": key.lease,
        "request": {"namespace": key.namespace, "name": key.request},
    });
    if let Some(token) = &key.session_token {
        form["sessionToken"] = json!(token.as_str());
    }
    form
}

fn process_form(key: &IssuedKey) -> Value {
    let mut form = json!({
        "Version": 1,
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret_access_key.as_str(),
        "Expiration": key.expiration,
    });
    if let Some(token) = &key.session_token {
        form["SessionToken"] = json!(token.as_str());
    }
    form
}

fn credentials_file(key: &IssuedKey) -> String {
    let token = key.session_token.as_ref();
    let token = token.map_or_else(String::new, |t| {
        format!("aws_session_token = {}\n", t.as_str())
    });
    format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n{token}region = {}\n",
        key.access_key_id,
        key.secret_access_key.as_str(),
        key.region,
    )
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylease_api::Lease;

    fn key(secret: &str, token: Option<&str>) -> IssuedKey {
        let lease: Lease = serde_json::from_value(json!({
            "id": "i", "issuedAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-01T01:00:00Z",
            "maxExpiresAt": "2026-01-01T02:00:00Z", "duration": "1h", "renewable": true, "renewals": 0,
        }))
        .unwrap();
        IssuedKey {
            namespace: "ns".into(),
            request: "x".into(),
            access_key_id: "AKIA1".into(),
            secret_access_key: Zeroizing::new(secret.into()),
            session_token: token.map(|t| Zeroizing::new(t.into())),
            region: "eu-west-1".into(),
            expiration: "2026-01-01T01:00:00Z".into(),
            lease,
        }
    }

    #[test]
    fn a_shell_reads_back_what_was_written() {
        let nasty = r#"a'b"c$(touch /tmp/x)`d`\e;f g/+="#;
        let script = format!(
            "{}printf '%s|%s' \"$AWS_SECRET_ACCESS_KEY\" \"$AWS_SESSION_TOKEN\"",
            render(&key(nasty, None), Format::Env).as_str()
        );
        let shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .env("AWS_SESSION_TOKEN", "left over")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(shell.stdout).unwrap(),
            format!("{nasty}|")
        );
    }

    #[test]
    fn the_shell_form_survives_an_eval_without_quotes() {
        let text = render(&key("s3", Some("t0k")), Format::Env);
        assert!(text.starts_with("export AWS_ACCESS_KEY_ID='AKIA1'\n"));
        assert!(text.contains("export AWS_SESSION_TOKEN='t0k'\n"));
        assert!(
            !text.contains('#'),
            "a comment would swallow the rest of the line"
        );
    }

    #[test]
    fn a_credential_process_has_version_1() {
        let text = render(&key("s3", None), Format::Process);
        let form: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "s3",
            "Expiration": "2026-01-01T01:00:00Z",
        });
        assert_eq!(form, expected);
        let text = render(&key("s3", Some("t")), Format::Process);
        let form: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(form["SessionToken"], "t");
    }

    #[test]
    fn json_tells_of_the_lease() {
        let text = render(&key("s3", None), Format::Json);
        let form: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(form["lease"]["duration"], "1h");
        assert_eq!(form["request"]["name"], "x");
        assert!(form.get("sessionToken").is_none());
    }

    #[test]
    fn a_credentials_file_is_one_profile() {
        let text = render(&key("s3", Some("t")), Format::Credentials);
        let expected = "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s3\n\
                        aws_session_token = t\nregion = eu-west-1\n";
        assert_eq!(text.as_str(), expected);
    }
}
