//! The promises, compared with the world.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::in_force;
use super::roles::{Kind, STATIC_USER};
use super::sim::Sim;
use super::sweep_check;
use crate::plan::effect::{Attachment, Effect};
use crate::plan::intent::{Permission, user_name_of};
use crate::plan::tests::world::World;
use crate::plan::view::View;
use keylease_api::{AwsCredentialRequest, AwsCredentialRequestStatus, Lease, Phase};

/// What must be true of each call at the moment at which it takes effect.
pub(super) fn before(sim: &mut Sim, view: &View, effect: &Effect) {
    let wrong = match effect {
        Effect::PublishSecret(_) => unproven(sim, view),
        _ => in_force::before(sim, view, effect),
    };
    if let Some(wrong) = wrong.or_else(|| harms_static(sim, view, effect)) {
        let name = view.request.metadata.name.clone().unwrap_or_default();
        sim.violation.get_or_insert(format!("{name}: {wrong}"));
    }
}

/// A key that AWS does not accept yet is not delivered.
fn unproven(sim: &Sim, view: &View) -> Option<String> {
    let held = view.work.held.as_ref()?;
    let user = sim.iam.users.get(&view.intent()?.user_name)?;
    let since = user.on_it.get(&Attachment::Key(held.id.clone()))?;
    let young = sim.now.duration_since(*since) < sim.iam.key_delay;
    young.then(|| format!("{} is delivered before it works", held.id))
}

/// Of a user that stays, only keys of ours are made and removed.
fn harms_static(sim: &Sim, view: &View, effect: &Effect) -> Option<String> {
    let user = view.intent()?.user_name.clone();
    let harms = match effect {
        Effect::CreateUser | Effect::DeleteUser | Effect::Grant(_) => true,
        Effect::Clear(what) => {
            !matches!(what, Attachment::Key(_)) || sim.iam.foreign.contains(what)
        }
        _ => false,
    };
    (user == STATIC_USER && harms).then(|| format!("{effect:?} on a user that stays"))
}

/// The promises O1 to O4 and O6, when all is quiet.
pub(super) fn quiet(sim: &Sim) -> Result<(), String> {
    let mut on_static = sim.iam.foreign.clone();
    for (name, past) in &sim.cluster.requests {
        if let Some(request) = past.now() {
            let keys = one(sim, name, request).map_err(|why| format!("{name}: {why}"))?;
            on_static.extend(keys);
        }
    }
    let found = sim.iam.users.get(STATIC_USER);
    let found: BTreeSet<_> = found.iter().flat_map(|u| u.on_it.keys()).cloned().collect();
    if found != on_static {
        return Err(format!(
            "O2: on {STATIC_USER} is {found:?}, not {on_static:?}"
        ));
    }
    for (name, past) in &sim.cluster.secrets {
        let ours = past.now().filter(|s| !s.owner.is_empty());
        let owner = sim.cluster.request(name).map(|r| r.uid_str().to_owned());
        if ours.is_some_and(|s| Some(&s.owner) != owner.as_ref()) {
            return Err(format!("Secret {name} outlived its request"));
        }
    }
    sweep_check::quiet(sim)
}

/// One request is as it should be. Tells what it has on the static user.
fn one(
    sim: &Sim,
    name: &str,
    request: &AwsCredentialRequest,
) -> Result<BTreeSet<Attachment>, String> {
    if request.metadata.deletion_timestamp.is_some() {
        return Err("O6: it is being deleted, and does not go".to_owned());
    }
    let user = user_name_of(request, &World::cluster());
    let status = request.status.clone().unwrap_or_default();
    let wanted = match due(sim, name, request, &status)? {
        Due::Nothing => {
            let secret = sim.cluster.secret(name);
            return match sim.iam.users.get(&user) {
                Some(left) => Err(format!(
                    "O1: phase {:?}, and there is {left:?}",
                    status.phase
                )),
                None if secret.is_some_and(|s| !s.owner.is_empty()) => {
                    Err(format!("phase {:?}, and there is a Secret", status.phase))
                }
                None => Ok(BTreeSet::new()),
            };
        }
        Due::Lease => return at_most(sim, request, &status),
        Due::Secret => promised(sim, request, &status)?,
    };
    match Kind::of(request) {
        Kind::Static => Ok(wanted),
        Kind::Sessions => Ok(BTreeSet::new()),
        Kind::Users => {
            let found = sim.iam.users.get(&user).ok_or("O1: it has no user")?;
            let found: BTreeSet<_> = found.on_it.keys().cloned().collect();
            if found != wanted {
                return Err(format!("O2: on the user is {found:?}, not {wanted:?}"));
            }
            Ok(BTreeSet::new())
        }
    }
}

/// What a request is to have.
enum Due {
    /// Nothing: its lease is over, or it never had one.
    Nothing,
    /// The lease that it has, which runs to its end, and no other.
    Lease,
    /// A lease, and a Secret with its key.
    Secret,
}

/// Nothing is due after the end, without a role, or while another request holds
/// the static user. Beside another's Secret there is no new lease.
fn due(
    sim: &Sim,
    name: &str,
    request: &AwsCredentialRequest,
    status: &AwsCredentialRequestStatus,
) -> Result<Due, String> {
    let role = sim.cluster.role(&request.spec.role_ref.name);
    let ended = matches!(status.phase, Some(Phase::Expired | Phase::Revoked));
    let (Some(role), false) = (role, ended) else {
        return Ok(Due::Nothing);
    };
    let secret = sim.cluster.secret(name);
    let foreign = secret.is_some_and(|s| s.owner.is_empty());
    // Nor is there one for what cannot be read.
    if foreign || !request.spec.unreadable.is_empty() {
        let runs = |lease: &Lease| sim.now < lease.expires_at.0;
        return Ok(match status.lease.as_ref().is_some_and(runs) {
            true => Due::Lease,
            false => Due::Nothing,
        });
    }
    if Kind::of(request) != Kind::Static {
        return Ok(Due::Secret);
    }
    let holder = role.status.as_ref().and_then(|s| s.holder.as_ref());
    let holder = holder.ok_or("O6: nobody holds the static user")?;
    if holder.uid == request.uid_str() {
        return Ok(Due::Secret);
    }
    let all = sim.cluster.requests.values().filter_map(|past| past.now());
    let mut others = all.filter(|other| other.uid_str() == holder.uid);
    if others.next().is_none() {
        return Err("O6: a request that is gone holds the static user".to_owned());
    }
    Ok(Due::Nothing)
}

/// The status and the Secret of a request that is served agree. Tells what is
/// to be on its user.
fn promised(
    sim: &Sim,
    request: &AwsCredentialRequest,
    status: &AwsCredentialRequestStatus,
) -> Result<BTreeSet<Attachment>, String> {
    let role = &request.spec.role_ref.name;
    let name = request.metadata.name.as_deref().unwrap_or_default();
    if status.phase != Some(Phase::Ready) {
        return Err(format!("O6: its phase is {:?}", status.phase));
    }
    let lease = status.lease.as_ref().ok_or("no lease")?;
    if sim.cluster.is_marked(role, lease) {
        return Err("its role revoked it".to_owned());
    }
    if lease.expires_at.0 + SignedDuration::from_secs(10) < sim.now {
        return Err("O3: its lease is over".to_owned());
    }
    let shown = status.credential.clone().ok_or("no credential")?;
    let secret = sim.cluster.secret(name);
    let held = secret.and_then(|s| s.key.as_ref().map(|(id, _)| id.clone()));
    if held.as_ref() != Some(&shown.access_key_id) {
        return Err(format!(
            "O2: the Secret holds {held:?}, not {}",
            shown.access_key_id
        ));
    }
    shown_of(status).ok_or_else(|| "no credential".to_owned())
}

/// A lease that gets no other key has no more keys than its status shows. The
/// one of a Secret that was lost may have been followed by one that no Secret
/// could take, and the next one of a rotation was under way when its request
/// became unreadable: both go at the end, and nobody was given them.
fn at_most(
    sim: &Sim,
    request: &AwsCredentialRequest,
    status: &AwsCredentialRequestStatus,
) -> Result<BTreeSet<Attachment>, String> {
    let credential = status.credential.as_ref().ok_or("O2: no credential")?;
    let user = credential.user_name.as_ref();
    let user = user.and_then(|name| sim.iam.users.get(name));
    let keys = user.into_iter().flat_map(|user| user.on_it.keys());
    let keys = keys.filter(|what| matches!(what, Attachment::Key(_)));
    let keys: BTreeSet<_> = keys.cloned().collect();
    let ours: BTreeSet<_> = keys.difference(&sim.iam.foreign).cloned().collect();
    let under_way = !request.spec.unreadable.is_empty();
    let shown = 1 + usize::from(status.previous.is_some()) + usize::from(under_way);
    if ours.len() > shown {
        return Err(format!("O2: on the user is {ours:?}, of {shown} shown"));
    }
    match Kind::of(request) {
        Kind::Static => Ok(ours),
        Kind::Users | Kind::Sessions => Ok(BTreeSet::new()),
    }
}

/// What the status shows of a user: its keys and its permissions.
fn shown_of(status: &AwsCredentialRequestStatus) -> Option<BTreeSet<Attachment>> {
    let shown = status.credential.as_ref()?;
    let previous = status.previous.as_ref().map(|p| p.access_key_id.clone());
    let keys = std::iter::once(shown.access_key_id.clone())
        .chain(previous)
        .map(Attachment::Key);
    let permissions = shown.permissions.iter();
    let permissions = permissions.map(|p| Attachment::from(&Permission::from(p.as_str())));
    Some(keys.chain(permissions).collect())
}
