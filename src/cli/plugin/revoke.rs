//! `kubectl keylease revoke`: leases by name, a role's, or all.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::client::{MANAGER, REQUESTS, ROLES, Session, Target, check_name, list, on_role};
use super::error::Failure;
use super::paint::{self, Paint};
use super::revoked::{self, Affected, Marks, Tally};
use super::wait::Patience;
use super::{claim, revocation, when};
use keylease_api::decode::Lenient;
use keylease_api::{AwsCredentialRequest, AwsRole};

/// End leases before their time.
///
/// NAME deletes that request. --role and --all set AwsRole.spec.revokeBefore to
/// now: every credential issued before is revoked, requests with onExpiry
/// Rotate get a new one, and requests that are still to come are served.
///
/// Waits until AWS holds nothing of what is revoked; the exit code is 3 if that
/// takes too long. A session that was handed out is not ended by AWS before its
/// time: its Secret goes, and that is said.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["names", "role", "all"]))]
pub(super) struct Args {
    /// The requests.
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// All leases of this AwsRole, in every namespace.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// All leases of all roles.
    #[arg(long)]
    all: bool,

    /// Do not ask, with --role and --all.
    #[arg(short, long)]
    yes: bool,

    /// Print what would be revoked, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Do not wait until AWS holds nothing of it.
    #[arg(long)]
    no_wait: bool,

    /// How long to wait.
    #[arg(long, default_value = "2m", value_parser = when::parse_patience)]
    timeout: Duration,
}

pub(super) async fn run(args: Args, target: Target) -> Result<u8, Failure> {
    let session = target.session().await?;
    let patience = Patience::of(args.timeout);
    match (args.names.as_slice(), &args.role) {
        ([], Some(role)) => {
            check_name(role)?;
            let call = on_role("get", role);
            let role = session.roles().get(role).await;
            let Lenient(role) = role.map_err(|e| call.failed(&e))?;
            of_roles(&session, &[role], &args, patience).await?;
        }
        ([], None) => {
            let roles: Vec<AwsRole> = list(&session.client, None, ROLES).await?;
            if roles.is_empty() {
                eprintln!("keylease: there are no roles");
                return Ok(0);
            }
            of_roles(&session, &roles, &args, patience).await?;
        }
        (names, _) => by_name(&session, names, &args, patience).await?,
    }
    Ok(0)
}

/// Deletes requests, and waits for all of them.
async fn by_name(
    session: &Session,
    names: &[String],
    args: &Args,
    patience: Patience,
) -> Result<(), Failure> {
    let mut failed = Vec::new();
    let mut deleted = Vec::new();
    let mut shown = Vec::new();
    for name in names {
        // One that is not there must not keep the others alive.
        match session.request(name).await {
            Ok(request) if args.dry_run => shown.push(Affected::deleted(&request)),
            Ok(request) => match delete(session, &request).await {
                Ok(()) => deleted.push(request),
                Err(failure) => failed.push(failure),
            },
            Err(failure) => failed.push(failure),
        }
    }
    if args.dry_run {
        show(&shown)?;
    }
    for request in &deleted {
        let name = request.metadata.name.as_deref().unwrap_or_default();
        if args.no_wait {
            paint::print(&format!("{name} is being revoked\n"))?;
            continue;
        }
        match claim::gone(session, request, patience).await {
            Ok(()) => paint::print(&format!("{name} {}\n", revoked::told(request)))?,
            Err(f) => failed.push(Failure {
                sentence: format!("{name} is being revoked and is {}", f.sentence),
                ..f
            }),
        }
    }
    Failure::all(failed)
}

async fn delete(session: &Session, request: &AwsCredentialRequest) -> Result<(), Failure> {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: request.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let deleted = session.requests().delete(name, &params).await;
    let failed = |e| session.on_request("delete", name).failed(&e);
    deleted.map(|_| ()).map_err(failed)
}

/// Revokes what these roles issued so far.
async fn of_roles(
    session: &Session,
    roles: &[AwsRole],
    args: &Args,
    patience: Patience,
) -> Result<(), Failure> {
    // Counted one by one: what a role's status counts is the operator's word,
    // and it may be away.
    let listed = list::<AwsCredentialRequest>(&session.client, None, REQUESTS).await;
    let now = Timestamp::now();
    let seen = listed.as_ref().map(|all| {
        let marks = roles.iter().map(|role| (name_of(role), mark(role, now)));
        revoked::affected(all, &marks.collect(), now)
    });
    if args.dry_run {
        let seen = seen.map_err(Clone::clone)?;
        show(&seen)?;
        return Ok(());
    }
    if !args.yes {
        confirm(roles, args.all, seen.as_deref().ok())?;
    }
    if let Err(failure) = &listed {
        eprintln!(
            "keylease: {}; nobody counts what is revoked",
            failure.sentence
        );
    }
    let mut failed = Vec::new();
    let mut marked = Marks::new();
    let mut known = BTreeSet::new();
    for role in roles {
        // One that cannot be revoked must not keep the others alive.
        match set_mark(session, role).await {
            Ok(mark) => {
                let name = name_of(role);
                if mark > fresh_mark(Timestamp::now()) {
                    eprintln!(
                        "keylease: spec.revokeBefore of role {name} is {mark}: until then each \
                         new credential is revoked as soon as it is issued"
                    );
                    known.insert(name.clone());
                }
                marked.insert(name, mark);
            }
            Err(failure) => failed.push(failure),
        }
    }
    let tally = |role: &str| {
        let all = seen.as_ref().ok()?.iter();
        Some(Tally::of(all.filter(|a| a.role == role)))
    };
    let watched = !args.no_wait && listed.is_ok();
    if watched {
        // Of one that lies ahead, what is past can be done.
        let past = fresh_mark(Timestamp::now());
        let marks = marked
            .iter()
            .map(|(role, mark)| (role.clone(), past.min(*mark)));
        if let Err(failure) = revocation::done(session, marks.collect(), known, patience).await {
            failed.push(failure);
            return Failure::all(failed);
        }
    }
    for (name, mark) in &marked {
        let count = tally(name).map_or_else(String::new, |t| format!(" ({t})"));
        let what = format!("every credential issued before {mark}");
        paint::print(&if watched {
            format!("{name}: {what} is revoked{count}\n")
        } else {
            format!("{name}: the revocation of {what} is asked for{count}\n")
        })?;
    }
    if let (Err(failure), false) = (listed, args.no_wait) {
        failed.push(Failure::pending(format!(
            "asked for, and not known to be done: {}; add --no-wait to ask without watching",
            failure.sentence
        )));
    }
    Failure::all(failed)
}

fn name_of(role: &AwsRole) -> String {
    role.metadata.name.clone().unwrap_or_default()
}

/// The time before which what was issued is revoked.
///
/// Times of issue are cut to whole seconds, so the mark is the next one: a
/// credential that was issued in this very second counts as before. One that
/// lies further ahead revokes more: it is not turned back.
fn mark(role: &AwsRole, now: Timestamp) -> Timestamp {
    let mark = fresh_mark(now);
    let set = role.spec.revoke_before.as_ref();
    let set = set.and_then(|t| t.get().ok());
    set.map_or(mark, |t| t.max(mark))
}

fn fresh_mark(now: Timestamp) -> Timestamp {
    let this_second = when::fresh_mark(now, None);
    when::fresh_mark(this_second, Some(this_second))
}

async fn set_mark(session: &Session, role: &AwsRole) -> Result<Timestamp, Failure> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let mark = mark(role, Timestamp::now());
    let patch = json!({
        "metadata": {"uid": role.metadata.uid},
        "spec": {"revokeBefore": mark},
    });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let roles = session.roles();
    let patched = roles.patch(name, &params, &Patch::Merge(patch)).await;
    patched.map_err(|e| on_role("patch", name).failed(&e))?;
    Ok(mark)
}

/// What would be revoked, and what becomes of it.
fn show(affected: &[Affected]) -> Result<(), Failure> {
    if affected.is_empty() {
        eprintln!("keylease: no lease would be revoked");
        return Ok(());
    }
    paint::print(&revoked::table(affected).render("", Paint::stdout()))?;
    eprintln!("keylease: {} would be revoked", Tally::of(affected.iter()));
    Ok(())
}

/// Asks whoever sits at the terminal. Without one, all roles at once need a word
/// beforehand.
fn confirm(roles: &[AwsRole], all: bool, affected: Option<&[Affected]>) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return if all {
            Err(Failure::usage(
                "nobody is there to be asked; add --yes to revoke all leases",
            ))
        } else {
            Ok(())
        };
    }
    let what = match roles {
        [role] if !all => format!("role {}", name_of(role)),
        _ => format!("all {} roles", roles.len()),
    };
    let count = affected.map_or_else(
        || "an unknown number of leases".to_owned(),
        |a| Tally::of(a.iter()).to_string(),
    );
    eprint!("Revoke {count} of {what}, in all namespaces? [y/N] ");
    let mut answer = String::new();
    let read = io::stderr()
        .flush()
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new("nothing was revoked")),
    }
}
