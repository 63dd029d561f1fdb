//! What a sweep must not touch, and what it must not leave.

use super::neighbour::Neighbour;
use super::sim::Sim;
use crate::plan::effect::Effect;
use crate::plan::intent::user_name_of;
use crate::plan::naming::{self, ClusterId};
use crate::plan::sweep::census::Claim;
use crate::plan::tests::world::World;
use crate::plan::view::View;

/// At the moment at which a sweep's call takes effect: its user is one of the
/// sweeping cluster's, and of no request that may have one.
pub(super) fn before(sim: &mut Sim, cluster: &ClusterId, view: &View, effect: &Effect) {
    if !matches!(effect, Effect::Clear(_) | Effect::DeleteUser) {
        return;
    }
    let name = view
        .intent()
        .map(|i| i.user_name.clone())
        .unwrap_or_default();
    let Some(user) = sim.iam.users.get(&name) else {
        return;
    };
    let path = naming::user_path("/keylease/", cluster, "");
    let mut ours = sim.cluster.requests.values().filter_map(|past| past.now());
    let live = if *cluster == Neighbour::cluster() {
        sim.neighbour.requests.contains_key(user.owner())
    } else {
        ours.any(|r| r.uid_str() == user.owner() && Claim::of(r, cluster).stands())
    };
    let wrong = if !user.facts.path.starts_with(&path) {
        format!("a sweep of {} touches {name}", cluster.0)
    } else if live {
        format!("a sweep touches {name}, whose request lives")
    } else {
        return;
    };
    sim.violation.get_or_insert(wrong);
}

/// When all is quiet: the other cluster has the users of its requests, and both
/// have no others.
pub(super) fn quiet(sim: &Sim) -> Result<(), String> {
    let other = Neighbour::cluster();
    for request in sim.neighbour.requests.values() {
        let name = user_name_of(request, &other);
        let user = sim.iam.users.get(&name);
        if user.is_none_or(|user| user.on_it.len() != 1) {
            return Err(format!("{name} of the other cluster was touched"));
        }
    }
    for (name, user) in &sim.iam.users {
        let of = |cluster: &ClusterId| {
            let path = naming::user_path("/keylease/", cluster, "");
            user.facts.path.starts_with(&path)
        };
        let theirs = || sim.neighbour.requests.contains_key(user.owner());
        if of(&other) && !theirs() || !of(&other) && of(&World::cluster()) && !accounted(sim, name)
        {
            return Err(format!("O1: {name} belongs to nobody"));
        }
    }
    Ok(())
}

fn accounted(sim: &Sim, name: &str) -> bool {
    let mut requests = sim.cluster.requests.values().filter_map(|past| past.now());
    requests.any(|request| user_name_of(request, &World::cluster()) == name)
}
