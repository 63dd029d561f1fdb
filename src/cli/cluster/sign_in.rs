//! Sign-ins by a program that the kubeconfig names, such as `aws eks get-token`.
//!
//! kube runs it three times for one client, lets it read from a pipe that is
//! meant for others, and shows its whole environment when it fails.

use std::collections::HashMap;
use std::env;
use std::io::{self, IsTerminal};
use std::process::Stdio;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use kube::client::Body;
use kube::config::{
    AuthInfo, Cluster, ExecAuthCluster, ExecConfig, ExecInteractiveMode, KubeconfigError,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Says to processes below which sign-ins wait for them: one in each line.
const SIGNING_IN: &str = "KEYLEASE_SIGNING_IN";

/// The id of a leased key that is in the environment. Such a key is not the
/// person's own, and opens no cluster.
pub(in crate::cli) const LEASED_KEY: &str = "KEYLEASE_ACCESS_KEY_ID";

/// What a leased key is in the environment.
const OF_LEASES: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
];

/// A token is renewed so long before its end.
const EARLY: SignedDuration = SignedDuration::from_secs(60);

/// The program, and whom it signs in where.
pub(super) struct Plugin {
    exec: ExecConfig,
    cluster: Option<ExecAuthCluster>,
    sign_in: String,
}

/// What it answers.
#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    #[serde(default, deserialize_with = "secret")]
    token: Option<Zeroizing<String>>,
    client_certificate_data: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    client_key_data: Option<Zeroizing<String>>,
}

/// A token, and the program for the next.
pub(super) struct Tokens {
    plugin: Plugin,
    token: Zeroizing<String>,
    expires: Option<Timestamp>,
}

impl Plugin {
    /// That of a user; `None` if the kubeconfig has the credentials itself, which
    /// go before it.
    pub fn of(
        user: &mut AuthInfo,
        name: &str,
        cluster: &Cluster,
    ) -> Result<Option<Self>, KubeconfigError> {
        let own = user.token.is_some() || user.token_file.is_some() || user.username.is_some();
        let Some(exec) = user.exec.take().filter(|_| !own) else {
            return Ok(None);
        };
        let server = cluster.server.as_deref().unwrap_or_default();
        let told = exec.provide_cluster_info;
        Ok(Some(Self {
            cluster: told
                .then(|| ExecAuthCluster::try_from(cluster))
                .transpose()?,
            sign_in: format!("{name}@{server}").replace('\n', " "),
            exec,
        }))
    }

    /// Signs in. A certificate goes into `user`.
    pub async fn sign_in(self, user: &mut AuthInfo) -> Result<Option<Arc<Mutex<Tokens>>>, String> {
        let status = self.run().await?;
        if let (Some(certificate), Some(key)) =
            (status.client_certificate_data, status.client_key_data)
        {
            user.client_certificate_data = Some(base64(&certificate));
            user.client_key_data = Some(base64(&key).into());
        }
        let tokens = status.token.map(|token| Tokens {
            plugin: self,
            token,
            expires: status.expiration_timestamp,
        });
        Ok(tokens.map(|tokens| Arc::new(Mutex::new(tokens))))
    }

    async fn run(&self) -> Result<Status, String> {
        let program = self.exec.command.as_deref().unwrap_or_default();
        let failed = |why: &str| format!("the kubeconfig's sign-in by {program:?} {why}");
        let variable = |name: &str| env::var(name).ok();
        let waiting = waiting(variable(SIGNING_IN), &self.sign_in)?;
        let mode = self.exec.interactive_mode.as_ref();
        let interactive = interactive(mode, io::stdin().is_terminal()).map_err(failed)?;
        let mut command = Command::new(program);
        for name in foreign(variable) {
            command.env_remove(name);
        }
        command
            .args(self.exec.args.iter().flatten())
            .envs(self.exec.env.iter().flatten().filter_map(named))
            .env("KUBERNETES_EXEC_INFO", self.info(interactive).to_string())
            .env(SIGNING_IN, waiting)
            .stdin(match interactive {
                true => Stdio::inherit(),
                false => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let output = command.spawn().map_err(|e| {
            let hint = self.exec.install_hint.as_deref().unwrap_or_default().trim();
            failed(&format!("could not be run: {e}; {hint}"))
                .trim_end_matches("; ")
                .to_owned()
        })?;
        let output = output.wait_with_output().await;
        let output = output.map_err(|e| failed(&format!("was not heard of: {e}")))?;
        let answer = Zeroizing::new(output.stdout);
        if !output.status.success() {
            return Err(failed(&format!("failed: {}", output.status)));
        }
        // What it says holds a token: nothing is quoted.
        let read: Result<Answer, _> = serde_saphyr::from_slice(&answer);
        let status = read.ok().and_then(|answer| answer.status);
        let status = status.filter(|s| s.token.is_some() || s.client_key_data.is_some());
        status.ok_or_else(|| failed("answered with no ExecCredential that has a status"))
    }

    fn info(&self, interactive: bool) -> Value {
        let mut spec = json!({"interactive": interactive});
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = json!(cluster);
        }
        json!({"apiVersion": self.exec.api_version, "kind": "ExecCredential", "spec": spec})
    }
}

impl Tokens {
    /// The request with a token that lasts.
    pub async fn put_on(
        tokens: Arc<Mutex<Self>>,
        mut request: http::Request<Body>,
    ) -> Result<http::Request<Body>, String> {
        let mut tokens = tokens.lock().await;
        if over(tokens.expires, Timestamp::now()) {
            let status = tokens.plugin.run().await?;
            let token = status.token;
            tokens.token = token.ok_or("the kubeconfig's sign-in gives no token any more")?;
            tokens.expires = status.expiration_timestamp;
        }
        let bearer = Zeroizing::new(format!("Bearer {}", tokens.token.trim()));
        let mut value = HeaderValue::from_str(&bearer)
            .map_err(|_| "the kubeconfig's sign-in answered with a token that is none")?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    let read = Option::<String>::deserialize(from)?;
    Ok(read.filter(|text| !text.is_empty()).map(Zeroizing::new))
}

fn over(expires: Option<Timestamp>, now: Timestamp) -> bool {
    expires.is_some_and(|end| end.duration_since(now) <= EARLY)
}

/// One entry of `exec.env`.
fn named(entry: &HashMap<String, String>) -> Option<(&String, &String)> {
    Some((entry.get("name")?, entry.get("value")?))
}

/// PEM as kubeconfigs have it.
fn base64(pem: &str) -> String {
    let text = serde_json::to_value(ByteString(pem.as_bytes().to_vec()));
    text.ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Whether the program may ask the person: what stands on our standard input is
/// for others, unless it is a terminal.
fn interactive(mode: Option<&ExecInteractiveMode>, terminal: bool) -> Result<bool, &'static str> {
    match mode {
        Some(ExecInteractiveMode::Never) => Ok(false),
        Some(ExecInteractiveMode::Always) if !terminal => {
            Err("has to ask you something, and standard input is no terminal")
        }
        _ => Ok(terminal),
    }
}

/// The sign-ins that wait, this one too.
fn waiting(above: Option<String>, this: &str) -> Result<String, String> {
    let above = above.unwrap_or_default();
    if above.lines().any(|sign_in| sign_in == this) {
        return Err(format!(
            "the kubeconfig's sign-in of {this} uses the AWS profile whose credential_process \
             called this command, so each would wait for the other; give it a profile of its \
             own: --profile NAME in the args of aws eks get-token"
        ));
    }
    Ok(format!("{above}{this}\n"))
}

/// What the program is not to see: a key that was leased here.
fn foreign(variable: impl Fn(&str) -> Option<String>) -> &'static [&'static str] {
    let leased = variable(LEASED_KEY).filter(|id| !id.is_empty());
    if leased.is_some() && leased == variable(OF_LEASES[0]) {
        &OF_LEASES
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_that_waits_for_itself_is_refused() {
        let one = waiting(None, "a@https://one").unwrap();
        let two = waiting(Some(one), "a@https://two").unwrap();
        assert!(waiting(Some(two.clone()), "b@https://one").is_ok());
        for this in ["a@https://one", "a@https://two"] {
            let refused = waiting(Some(two.clone()), this).unwrap_err();
            assert!(refused.contains("--profile"), "{refused}");
        }
    }

    #[test]
    fn only_a_leased_key_is_kept_from_the_program() {
        let with = |set: &'static [(&str, &str)]| {
            foreign(move |name| {
                let found = set.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(!with(&[("AWS_ACCESS_KEY_ID", "AKIA1"), (LEASED_KEY, "AKIA1")]).is_empty());
        // The person has set another since.
        assert!(with(&[("AWS_ACCESS_KEY_ID", "AKIA2"), (LEASED_KEY, "AKIA1")]).is_empty());
        assert!(with(&[("AWS_ACCESS_KEY_ID", ""), (LEASED_KEY, "")]).is_empty());
        assert!(with(&[("AWS_ACCESS_KEY_ID", "AKIA1")]).is_empty());
    }

    #[test]
    fn a_pipe_is_not_the_programs_to_read() {
        use ExecInteractiveMode::{Always, IfAvailable, Never};
        for (mode, terminal, expected) in [
            (None, true, Ok(true)),
            (None, false, Ok(false)),
            (Some(IfAvailable), false, Ok(false)),
            (Some(Never), true, Ok(false)),
            (Some(Always), true, Ok(true)),
        ] {
            assert_eq!(interactive(mode.as_ref(), terminal), expected, "{mode:?}");
        }
        assert!(interactive(Some(&Always), false).is_err());
    }

    #[test]
    fn tokens_are_renewed_before_their_end() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let of = |text: &str| over(Some(text.parse().unwrap()), now);
        assert!(of("2026-01-01T00:00:30Z") && of("2025-12-31T23:00:00Z"));
        assert!(!of("2026-01-01T00:02:00Z") && !over(None, now));
    }

    #[test]
    fn certificates_are_written_as_kubeconfigs_have_them() {
        assert_eq!(base64("-----BEGIN"), "LS0tLS1CRUdJTg==");
    }
}
