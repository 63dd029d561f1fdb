//! What those do who write roles, and those who have hands in AWS.

use jiff::SignedDuration;

use super::iam;
use super::roles::Kind;
use super::sim::{Event, Sim};
use crate::plan::effect::Attachment;
use crate::plan::naming;
use crate::plan::tests::world::World;
use keylease_api::AwsRole;

/// How ARNs of AWS's own policies begin.
const POLICY: &str = "arn:aws:iam::aws:policy";
/// Age of a user's newest key from which people lay hands on it. What they do
/// within five minutes of an issue the credential report may not tell.
const SETTLED: SignedDuration = SignedDuration::from_mins(6);

/// A role is made, changed, told to revoke, told not to, or deleted.
pub(super) fn change_role(sim: &mut Sim) {
    let now = sim.now;
    let kind = match sim.rng.u8(..4) {
        0..=1 => Kind::Users,
        2 => Kind::Static,
        _ => Kind::Sessions,
    };
    let name = kind.role();
    match (sim.cluster.role(name).cloned(), sim.rng.u8(..5)) {
        (None, _) if !sim.cluster.lacks_role(name) => return,
        (None, _) => drop(sim.cluster.store_role(kind.new_role(), now)),
        (Some(_), 0) => {
            sim.tell(|| format!("role {name} is deleted"));
            sim.cluster.delete_role(name, now);
        }
        (Some(old), change) => {
            let mut new = AwsRole::clone(&old);
            match change {
                1 => new.spec.revoke_before = Some(now.into()),
                2 => new.spec.revoke_before = None,
                _ => edit(sim, &mut new),
            }
            new.metadata.generation = new.metadata.generation.map(|g| g + 1);
            sim.tell(|| format!("role {name} becomes {:?}", new.spec));
            sim.cluster.store_role(new, now);
            // The role's controller is quick, or not.
            let pause = SignedDuration::from_millis(now.as_millisecond() % 5 * 40);
            sim.after(pause, Event::Mark(kind));
        }
    }
    sim.role_changed(name);
    sim.look_for_garbage();
}

fn edit(sim: &mut Sim, role: &mut AwsRole) {
    if let Some(user) = &mut role.spec.iam_user {
        let policies = [
            "/ReadOnlyAccess",
            "/PowerUserAccess",
            "/SecurityAudit",
            iam::MISSING,
            iam::MALFORMED,
        ];
        let policy = policies[sim.rng.usize(..policies.len())];
        user.policy_arns = vec![format!("{POLICY}{policy}")];
    }
    if sim.rng.u8(..4) == 0 {
        role.spec.allowed_namespaces = None;
    }
    if let Some(user) = &mut role.spec.static_user {
        let period = ["20m", "40m", "24h"][sim.rng.usize(..3)];
        user.rotation_period = Some(period.into());
    }
}

/// Roles name policies that there are, and are open to all.
pub(super) fn mend_roles(sim: &mut Sim) {
    for kind in Kind::ALL {
        let Some(old) = sim.cluster.role(kind.role()).cloned() else {
            continue;
        };
        let mut new = AwsRole::clone(&old);
        new.spec.allowed_namespaces = kind.new_role().spec.allowed_namespaces;
        if let Some(user) = &mut new.spec.iam_user {
            let bad = |arn: &String| arn.ends_with(iam::MISSING) || arn.ends_with(iam::MALFORMED);
            if user.policy_arns.iter().any(bad) {
                user.policy_arns = vec![format!("{POLICY}/SecurityAudit")];
            }
        }
        if new.spec != old.spec {
            new.metadata.generation = new.metadata.generation.map(|g| g + 1);
            sim.cluster.store_role(new, sim.now);
            sim.role_changed(kind.role());
        }
    }
}

/// Somebody lays hands on a user of ours, past the operator.
pub(super) fn meddle(sim: &mut Sim) {
    let now = sim.now;
    let path = naming::user_path("/keylease/", &World::cluster(), "");
    let settled = |since: &jiff::Timestamp| now.duration_since(*since) >= SETTLED;
    let ours = sim.iam.users.iter().filter(|(_, user)| {
        user.facts.path == path && !user.on_it.is_empty() && user.on_it.values().all(settled)
    });
    let Some(name) = ours.map(|(name, _)| name.clone()).next() else {
        return;
    };
    let stray = Attachment::Key(sim.iam.key_id());
    let what = sim.rng.u8(..4);
    sim.tell(|| format!("hands on {name}: {what}"));
    if what == 0 {
        sim.iam.users.remove(&name);
    } else if let Some(user) = sim.iam.users.get_mut(&name) {
        match what {
            1 => user.on_it.retain(|a, _| !matches!(a, Attachment::Key(_))),
            2 => drop(user.on_it.insert(Attachment::LoginProfile, now)),
            _ => drop(user.on_it.insert(stray, now)),
        }
    }
}
