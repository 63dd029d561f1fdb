//! kubectl and kubeconfigs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::paths;
use crate::pki::Identity;

/// Whom a client of the API acts as.
pub(super) enum Actor<'a> {
    /// A client certificate.
    Certificate(&'a Identity),
    /// The same, impersonating another user: authorisation is that user's.
    Impersonating {
        admin: &'a Identity,
        user: &'a str,
        groups: &'a [&'a str],
    },
    /// A bearer token.
    Token(&'a str),
}

impl Actor<'_> {
    fn user_entry(&self) -> serde_json::Value {
        match self {
            Self::Certificate(identity) => certificate(identity),
            Self::Impersonating {
                admin,
                user,
                groups,
            } => {
                let mut entry = certificate(admin);
                entry["as"] = json!(user);
                entry["as-groups"] = json!(groups);
                entry
            }
            Self::Token(token) => json!({ "token": token }),
        }
    }
}

fn certificate(identity: &Identity) -> serde_json::Value {
    json!({
        "client-certificate-data": STANDARD.encode(&identity.cert),
        "client-key-data": STANDARD.encode(&identity.key),
    })
}

/// Writes a kubeconfig (JSON is YAML) that needs no other file.
pub(super) fn write_kubeconfig(
    path: &Path,
    server: &str,
    ca_pem: &str,
    actor: &Actor<'_>,
) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "testbed",
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed"}}],
        "clusters": [{"name": "testbed", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": "testbed", "user": actor.user_entry()}],
    });
    let text = serde_json::to_string_pretty(&config)?;
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// kubectl for one cluster; nothing of the user's own settings gets in.
#[derive(Debug, Clone)]
pub(super) struct Kubectl {
    pub(super) kubeconfig: PathBuf,
    pub(super) home: PathBuf,
}

impl Kubectl {
    /// Runs kubectl and answers its standard output.
    pub(super) async fn run(&self, args: &[&str], stdin: Option<&str>) -> Result<String> {
        let mut child = Command::new(paths::tool("kubectl")?)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env("KUBECACHEDIR", self.home.join("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting kubectl")?;
        let pipe = child.stdin.take();
        let feed = async move {
            if let (Some(mut pipe), Some(text)) = (pipe, stdin) {
                // kubectl that ends early closes the pipe; its own message
                // says why.
                let _ = pipe.write_all(text.as_bytes()).await;
            }
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.context("waiting for kubectl")?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", args.join(" "), stderr.trim_end());
        }
        String::from_utf8(output.stdout).context("kubectl wrote no UTF-8")
    }
}
