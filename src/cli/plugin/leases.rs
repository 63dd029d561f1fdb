//! `kubectl keylease leases`: who holds what, and for how long.

use jiff::Timestamp;
use serde_json::json;

use super::client::{REQUESTS, Target, list};
use super::error::Failure;
use super::paint::{self, Paint, phase_tint, phase_word};
use super::table::{Cell, Table};
use super::{wait, when};
use keylease_api::{AwsCredentialRequest, Phase};

/// List leases.
#[derive(clap::Args)]
pub(super) struct Args {
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Only those of this AwsRole.
    #[arg(long, value_name = "NAME")]
    role: Option<String>,

    /// Only those in this phase, such as Ready or Failed.
    #[arg(long, value_parser = parse_phase)]
    phase: Option<Phase>,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

/// The forms of `leases --output`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// The lease.
    Table,
    /// Also user, Secret, account and age.
    Wide,
    /// The requests as a JSON list.
    Json,
    /// The same as YAML.
    Yaml,
}

fn parse_phase(text: &str) -> Result<Phase, String> {
    let capital: String = text
        .char_indices()
        .map(|(i, c)| {
            if i == 0 {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    serde_json::from_value(json!(capital)).map_err(|_| {
        "phases are Pending, Issuing, Ready, Rotating, Revoking, Expired, Revoked and Failed"
            .to_owned()
    })
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args {
        all_namespaces,
        role,
        phase,
        output,
    } = args;
    let session = target.session().await?;
    let namespace = (!all_namespaces).then_some(session.namespace.as_str());
    let mut requests: Vec<AwsCredentialRequest> =
        list(&session.client, namespace, REQUESTS).await?;
    requests.retain(|r| {
        role.as_ref()
            .is_none_or(|role| r.spec.role_ref.name == *role)
            && phase.is_none_or(|p| wait::phase(r) == Some(p))
    });
    let text = match output {
        Format::Table | Format::Wide => {
            let table = table(&requests, output == Format::Wide, Timestamp::now());
            if table.is_empty() {
                eprintln!("keylease: no leases{}", place(namespace));
                return Ok(0);
            }
            table.render("", Paint::stdout())
        }
        Format::Json => format!("{:#}\n", as_list(requests)?),
        Format::Yaml => serde_saphyr::to_string(&as_list(requests)?)
            .map_err(|e| Failure::new(format!("cannot write YAML: {e}")))?,
    };
    paint::print(&text)?;
    Ok(0)
}

fn place(namespace: Option<&str>) -> String {
    namespace.map_or_else(String::new, |n| format!(" in namespace {n}"))
}

/// A list as kubectl prints it, without the book-keeping of field managers.
fn as_list(mut requests: Vec<AwsCredentialRequest>) -> Result<serde_json::Value, Failure> {
    for request in &mut requests {
        request.metadata.managed_fields = None;
    }
    let items = serde_json::to_value(requests)
        .map_err(|e| Failure::new(format!("cannot write the leases: {e}")))?;
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

const HEAD: [&str; 7] = [
    "NAMESPACE",
    "NAME",
    "ROLE",
    "PHASE",
    "KEY-ID",
    "EXPIRES-IN",
    "RENEWALS",
];
const WIDE_HEAD: [&str; 4] = ["USER", "SECRET", "ACCOUNT", "AGE"];

fn table(requests: &[AwsCredentialRequest], wide: bool, now: Timestamp) -> Table {
    let mut head = HEAD.to_vec();
    if wide {
        head.extend(WIDE_HEAD);
    }
    let mut table = Table::new(&head);
    for request in requests {
        let mut row = row(request, now);
        if wide {
            row.extend(wide_row(request, now));
        }
        table.row(row);
    }
    table
}

fn row(request: &AwsCredentialRequest, now: Timestamp) -> Vec<Cell> {
    let status = request.status.as_ref();
    let phase = wait::phase(request);
    let credential = status.and_then(|s| s.credential.as_ref());
    let lease = status.and_then(|s| s.lease.as_ref());
    vec![
        request.namespace_name().into(),
        request.metadata.name.as_deref().unwrap_or_default().into(),
        (&request.spec.role_ref.name).into(),
        Cell::tinted(phase_word(phase), phase_tint(phase)),
        credential.map_or("", |c| &c.access_key_id).into(),
        when::left(request, now).into(),
        lease
            .map_or_else(String::new, |l| l.renewals.to_string())
            .into(),
    ]
}

fn wide_row(request: &AwsCredentialRequest, now: Timestamp) -> Vec<Cell> {
    let status = request.status.as_ref();
    let credential = status.and_then(|s| s.credential.as_ref());
    let who = credential.and_then(|c| c.user_name.as_deref().or(c.arn.as_deref()));
    let secret = status.and_then(|s| s.secret_name.as_deref());
    let created = request.metadata.creation_timestamp.as_ref().map(|t| t.0);
    vec![
        who.unwrap_or_default().into(),
        secret.unwrap_or_default().into(),
        credential.map_or("", |c| &c.account_id).into(),
        when::age(created, now).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(status: serde_json::Value) -> AwsCredentialRequest {
        serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
            "metadata": {"name": "x", "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"roleRef": {"name": "r"}}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn shows_a_lease_and_what_has_none() {
        let live = request(json!({
            "phase": "Ready", "secretName": "s",
            "lease": {"id": "i", "issuedAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-01T01:00:00Z",
                "maxExpiresAt": "2026-01-01T02:00:00Z", "duration": "1h", "renewable": true, "renewals": 2},
            "credential": {"type": "iamUser", "accountId": "123456789012", "accessKeyId": "AKIA1", "userName": "u"},
        }));
        let all = [live, request(json!({"phase": "Failed"}))];
        let now = "2026-01-01T00:30:30Z".parse().unwrap();
        let text = table(&all, true, now).render("", Paint::none());
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        let live = [
            "ns",
            "x",
            "r",
            "Ready",
            "AKIA1",
            "29m30s",
            "2",
            "u",
            "s",
            "123456789012",
            "30m30s",
        ];
        assert_eq!(lines[1], live);
        assert_eq!(
            lines[2],
            [
                "ns", "x", "r", "Failed", "-", "-", "-", "-", "-", "-", "30m30s"
            ]
        );
        assert_eq!(lines[0].len(), 11);
    }

    #[test]
    fn phases_are_read_in_any_case() {
        assert_eq!(parse_phase("ready"), Ok(Phase::Ready));
        assert_eq!(parse_phase("FAILED"), Ok(Phase::Failed));
        assert!(parse_phase("gone").unwrap_err().contains("Revoking"));
    }
}
