//! `kubectl keylease revoke`: one lease, a role's, or all.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::client::{MANAGER, ROLES, Session, Target, check_name, list, on_role};
use super::error::Failure;
use super::{claim, paint, when};
use crate::api::AwsRole;

/// End leases before their time.
///
/// NAME deletes that request and waits until AWS holds nothing of it. --role
/// and --all set AwsRole.spec.revokeBefore to now: every credential issued
/// before is revoked, requests with onExpiry Rotate get a new one, and requests
/// that are still to come are served.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["name", "role", "all"]))]
pub(super) struct Args {
    /// The request.
    name: Option<String>,

    /// All leases of this AwsRole, in every namespace.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// All leases of all roles.
    #[arg(long)]
    all: bool,

    /// Do not ask, with --all.
    #[arg(short, long)]
    yes: bool,

    /// Do not wait until AWS holds nothing of it.
    #[arg(long, conflicts_with_all = ["role", "all"])]
    no_wait: bool,

    /// How long to wait.
    #[arg(long, default_value = "2m", value_parser = when::parse_patience)]
    timeout: Duration,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let Args {
        name,
        role,
        all: _,
        yes,
        no_wait,
        timeout,
    } = args;
    let session = target.session().await?;
    match (name, role) {
        (Some(name), _) => one(&session, &name, (!no_wait).then_some(timeout)).await,
        (None, Some(role)) => {
            check_name(&role)?;
            let call = on_role("get", &role);
            let role = session
                .roles()
                .get(&role)
                .await
                .map_err(|e| call.failed(&e))?;
            of_role(&session, &role).await
        }
        (None, None) => everything(&session, yes).await,
    }?;
    Ok(0)
}

async fn one(session: &Session, name: &str, patience: Option<Duration>) -> Result<(), Failure> {
    let request = session.request(name).await?;
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: request.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let deleted = session.requests().delete(name, &params).await;
    deleted.map_err(|e| session.on_request("delete", name).failed(&e))?;
    let Some(patience) = patience else {
        return paint::print(&format!("{name} is being revoked\n"));
    };
    let gone = claim::gone(session, &request, patience).await;
    gone.map_err(|f| Failure::new(format!("{name} is being revoked and is {}", f.sentence)))?;
    paint::print(&format!("{name} revoked\n"))
}

/// Sets a role's `revokeBefore`.
///
/// Times of issue are cut to whole seconds, so the mark is the next one: a
/// credential that was issued in this very second counts as before.
async fn of_role(session: &Session, role: &AwsRole) -> Result<(), Failure> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let this_second = when::fresh_mark(Timestamp::now(), None);
    let mark = when::fresh_mark(this_second, Some(this_second));
    // One that lies further ahead revokes more: it is not turned back.
    let mark = role
        .spec
        .revoke_before
        .as_ref()
        .and_then(|t| t.get().ok())
        .map_or(mark, |t| t.max(mark));
    let patch = json!({
        "metadata": {"uid": role.metadata.uid},
        "spec": {"revokeBefore": mark},
    });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = session
        .roles()
        .patch(name, &params, &Patch::Merge(patch))
        .await;
    patched.map_err(|e| on_role("patch", name).failed(&e))?;
    let leases = role.status.as_ref().and_then(|s| s.leases);
    let count = leases.map_or_else(String::new, |n| format!(" ({n} leases)"));
    paint::print(&format!(
        "{name}: every credential issued before {mark} is revoked{count}\n"
    ))
}

async fn everything(session: &Session, yes: bool) -> Result<(), Failure> {
    let roles: Vec<AwsRole> = list(&session.client, None, ROLES).await?;
    if roles.is_empty() {
        eprintln!("keylease: there are no roles");
        return Ok(());
    }
    if !yes {
        confirm(roles.len())?;
    }
    let mut failed = Vec::new();
    for role in &roles {
        // One that cannot be revoked must not keep the others alive.
        if let Err(failure) = of_role(session, role).await {
            failed.push(failure.sentence);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        all => Err(Failure::new(format!(
            "{} roles are not revoked: {}",
            all.len(),
            all.join("; ")
        ))),
    }
}

fn confirm(roles: usize) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nobody is there to be asked; add --yes to revoke all leases",
        ));
    }
    eprint!("Revoke every credential of all {roles} roles, in all namespaces? [y/N] ");
    let mut answer = String::new();
    let read = io::stderr()
        .flush()
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new("nothing was revoked")),
    }
}
