//! `kubectl keylease roles`: what there is to ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::client::{ROLES, Session, Target, list};
use super::error::Failure;
use super::paint::{self, Paint, Tint};
use super::table::{Cell, Table};
use jiff::SignedDuration;

use keylease_api::{AwsRole, AwsRoleSpec, ConditionType, format_duration, get_condition};
use keylease_core::plan;

/// List roles, and whether the current namespace may use them.
#[derive(clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_: Args, target: Target) -> Result<u8, Failure> {
    let session = target.session().await?;
    let roles: Vec<AwsRole> = list(&session.client, None, ROLES).await?;
    if roles.is_empty() {
        eprintln!("keylease: there are no roles");
        return Ok(0);
    }
    let labels = labels(&session, &roles).await;
    let mut table = Table::new(&[
        "NAME",
        "TYPE",
        "ACCOUNT",
        "DEFAULT-TTL",
        "MAX-TTL",
        "LEASES",
        "READY",
        "ALLOWED-HERE",
    ]);
    for role in &roles {
        table.row(row(role, &session.namespace, labels.as_ref()));
    }
    paint::print(&table.render("", Paint::stdout()))?;
    Ok(0)
}

/// The namespace's labels, if a role asks for them and the person may read
/// them.
async fn labels(session: &Session, roles: &[AwsRole]) -> Option<BTreeMap<String, String>> {
    let select = |r: &AwsRole| r.spec.allowed_namespaces.as_ref()?.selector.clone();
    roles.iter().find_map(select)?;
    let api: Api<Namespace> = Api::all(session.client.clone());
    let namespace = api.get_metadata(&session.namespace).await.ok()?;
    Some(namespace.metadata.labels.unwrap_or_default())
}

fn row(role: &AwsRole, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> Vec<Cell> {
    let ttls = plan::ttl::of_role(role).ok();
    let text = |ttl: Option<SignedDuration>| ttl.map_or_else(|| "?".to_owned(), format_duration);
    let leases = role.status.as_ref().and_then(|s| s.leases);
    vec![
        role.metadata.name.as_deref().unwrap_or_default().into(),
        type_of(&role.spec).into(),
        (&role.spec.account_ref.name).into(),
        text(ttls.map(|t| t.ttl)).into(),
        text(ttls.map(|t| t.max)).into(),
        leases.map_or_else(String::new, |n| n.to_string()).into(),
        ready(role),
        match plan::admission::allows(role, namespace, labels)
            .ok()
            .flatten()
        {
            Some(true) => Cell::tinted("yes", Tint::Good),
            Some(false) => "no".into(),
            None => "unknown".into(),
        },
    ]
}

fn type_of(spec: &AwsRoleSpec) -> &'static str {
    let all = [
        (spec.iam_user.is_some(), "iamUser"),
        (spec.assumed_role.is_some(), "assumedRole"),
        (spec.federation_token.is_some(), "federationToken"),
        (spec.session_token.is_some(), "sessionToken"),
        (spec.static_user.is_some(), "staticUser"),
    ];
    all.into_iter()
        .find(|(is, _)| *is)
        .map_or("", |(_, name)| name)
}

fn ready(role: &AwsRole) -> Cell {
    let conditions = role.status.as_ref().map(|s| s.conditions.as_slice());
    match get_condition(conditions.unwrap_or_default(), ConditionType::Ready) {
        Some(c) if c.status == "True" => Cell::tinted("True", Tint::Good),
        Some(c) => Cell::tinted(format!("{} ({})", c.status, c.reason), Tint::Bad),
        None => Cell::tinted("Unknown", Tint::Warn),
    }
}
