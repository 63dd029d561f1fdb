//! The API server's audit log: who asked for what, so that tests can count.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

const LOG: &str = "audit.log";

/// Metadata only: request and response bodies, and with them the contents of
/// Secrets, are never written.
const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "omitManagedFields": true,
  "rules": [{"level": "Metadata"}]
}"#;

/// One request, as the API server logged it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `ResponseComplete`; for watches also `ResponseStarted`.
    pub stage: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// The client's `User-Agent`.
    #[serde(default)]
    pub user_agent: String,
    /// Who asked; with impersonation, the one that impersonates.
    #[serde(default)]
    pub user: AuditUser,
    /// On whose behalf, with impersonation.
    pub impersonated_user: Option<AuditUser>,
    /// What it was about; absent for `/readyz` and the like.
    pub object_ref: Option<AuditObject>,
    /// The outcome.
    pub response_status: Option<AuditStatus>,
}

/// A user of the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct AuditUser {
    /// Such as `system:serviceaccount:keylease-system:keylease`.
    #[serde(default)]
    pub username: String,
}

/// The object of a request. Missing parts are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// Plural, such as `secrets`.
    pub resource: String,
    /// Such as `status`.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The API group.
    pub api_group: String,
}

/// The status code of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuditStatus {
    /// Such as 201.
    pub code: u16,
}

impl AuditEvent {
    /// Whether the request was to change something, dry runs included.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let reads = ["get", "list", "watch"];
        self.stage == "ResponseComplete" && !reads.contains(&self.verb.as_str())
    }

    /// Whether it was a dry run.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.request_uri.contains("dryRun=")
    }
}

pub(super) fn flags(dir: &Path) -> Result<Vec<String>> {
    let policy = dir.join("audit-policy.json");
    std::fs::write(&policy, POLICY).with_context(|| format!("writing {}", policy.display()))?;
    Ok(vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", dir.join(LOG).display()),
        // One line is written before the client has its answer, so a test
        // that saw the answer also sees the line.
        "--audit-log-mode=blocking-strict".to_owned(),
    ])
}

pub(super) fn read(dir: &Path) -> Result<Vec<AuditEvent>> {
    let path = dir.join(LOG);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {} (is audit_log on?)", path.display()))?;
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("audit line {line:?}")))
        .collect()
}
