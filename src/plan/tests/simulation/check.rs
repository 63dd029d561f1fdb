//! The promises, compared with the world.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::sim::Sim;
use crate::api::{AwsCredentialRequest, Phase};
use crate::plan::effect::{Attachment, Effect};
use crate::plan::intent::{Permission, user_name_of};
use crate::plan::tests::world::World;
use crate::plan::view::View;

/// How long after a change of the role a decision that was made before it may
/// still arrive.
const IN_FLIGHT: SignedDuration = SignedDuration::from_secs(60);

/// What must be true of each call at the moment at which it takes effect.
pub(super) fn before(sim: &mut Sim, view: &View, effect: &Effect) {
    let wrong = match effect {
        Effect::PublishSecret(_) => unproven(sim, view),
        Effect::Clear(Attachment::Key(id)) => kills_delivered(sim, view, id),
        _ => None,
    };
    if let Some(wrong) = wrong {
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

/// A key that a running lease shows, and that its Secret holds, is let live.
fn kills_delivered(sim: &Sim, view: &View, id: &str) -> Option<String> {
    let name = view.request.metadata.name.as_deref()?;
    let request = sim.cluster.request(name)?;
    let status = request.status.as_ref()?;
    let (lease, credential) = (status.lease.as_ref()?, status.credential.as_ref()?);
    let secret = sim.cluster.secret(name)?;
    let holds = secret.key.as_ref().is_some_and(|(held, _)| held == id);
    let role = sim.cluster.role.now()?;
    let revoked = role.spec.revoke_before.as_ref().map(|t| t.0);
    let runs = matches!(status.phase, Some(Phase::Ready | Phase::Rotating))
        && request.metadata.deletion_timestamp.is_none()
        && request.uid_str() == view.request.uid_str()
        && secret.owner == request.uid_str()
        && sim.now < lease.expires_at.0
        && revoked.is_none_or(|t| lease.issued_at.0 >= t)
        && sim.cluster.role.since()? + IN_FLIGHT < sim.now;
    (runs && holds && credential.access_key_id == id)
        .then(|| format!("{id} is deleted while its lease runs"))
}

/// The promises O1 to O4 and O6, when all is quiet.
pub(super) fn quiet(sim: &Sim) -> Result<(), String> {
    let mut accounted = BTreeSet::new();
    for (name, past) in &sim.cluster.requests {
        if let Some(request) = past.now() {
            let user = user_name_of(request, &World::cluster());
            one(sim, name, request, &user).map_err(|why| format!("{name}: {why}"))?;
            accounted.insert(user);
        }
    }
    for user in sim.iam.users.keys() {
        if !accounted.contains(user) {
            return Err(format!("O1: {user} belongs to nobody"));
        }
    }
    for (name, past) in &sim.cluster.secrets {
        let ours = past.now().filter(|s| !s.owner.is_empty());
        let owner = sim.cluster.request(name).map(|r| r.uid_str().to_owned());
        if ours.is_some_and(|s| Some(&s.owner) != owner.as_ref()) {
            return Err(format!("Secret {name} outlived its request"));
        }
    }
    Ok(())
}

fn one(sim: &Sim, name: &str, request: &AwsCredentialRequest, user: &str) -> Result<(), String> {
    if request.metadata.deletion_timestamp.is_some() {
        return Err("O6: it is being deleted, and does not go".to_owned());
    }
    let status = request.status.clone().unwrap_or_default();
    let secret = sim.cluster.secret(name);
    let foreign = secret.is_some_and(|s| s.owner.is_empty());
    let ended = matches!(status.phase, Some(Phase::Expired | Phase::Revoked));
    let served = sim.cluster.role.now().is_some() && !foreign && !ended;
    if !served {
        let left = sim.iam.users.get(user);
        if left.is_some() {
            return Err(format!(
                "O1: phase {:?}, and there is {left:?}",
                status.phase
            ));
        }
        if secret.is_some_and(|s| !s.owner.is_empty()) {
            return Err(format!("phase {:?}, and there is a Secret", status.phase));
        }
        return Ok(());
    }
    if status.phase != Some(Phase::Ready) {
        return Err(format!("O6: its phase is {:?}", status.phase));
    }
    let lease = status.lease.ok_or("no lease")?;
    if lease.expires_at.0 + SignedDuration::from_secs(10) < sim.now {
        return Err("O3: its lease is over".to_owned());
    }
    let shown = status.credential.ok_or("no credential")?;
    let held = secret.and_then(|s| s.key.as_ref().map(|(id, _)| id.clone()));
    if held.as_ref() != Some(&shown.access_key_id) {
        return Err(format!(
            "O2: the Secret holds {held:?}, not {}",
            shown.access_key_id
        ));
    }
    let keys = std::iter::once(shown.access_key_id)
        .chain(status.previous.map(|p| p.access_key_id))
        .map(Attachment::Key);
    let permissions = shown.permissions.iter();
    let permissions = permissions.map(|p| Attachment::from(&Permission::from(p.as_str())));
    let wanted: BTreeSet<_> = keys.chain(permissions).collect();
    let found = sim.iam.users.get(user).ok_or("O1: it has no user")?;
    let found: BTreeSet<_> = found.on_it.keys().cloned().collect();
    if found != wanted {
        return Err(format!("O2: on the user is {found:?}, not {wanted:?}"));
    }
    Ok(())
}
