//! Another cluster with an operator of its own in the same AWS account. Its
//! operator is not played: its users come and go at once, and now and then one
//! is left behind. Its sweep is the real one.

use std::collections::BTreeMap;

use super::iam::User;
use super::sim::Sim;
use crate::plan::effect::Attachment;
use crate::plan::intent::{FINALIZER, identity_tags, user_name_of};
use crate::plan::naming::{self, ClusterId};
use crate::plan::ownership::UserFacts;
use keylease_api::{AwsCredentialRequest, Lease, Phase, SweepHalt};

/// What it has.
#[derive(Default)]
pub(super) struct Neighbour {
    /// Its requests, by uid.
    pub requests: BTreeMap<String, AwsCredentialRequest>,
    /// What its account's status shows of sweeps that were halted.
    pub halt: Option<SweepHalt>,
}

impl Neighbour {
    /// Its id begins like ours, which must not matter.
    pub fn cluster() -> ClusterId {
        ClusterId("cluster-2".into())
    }
}

/// Something happens there.
pub(super) fn act(sim: &mut Sim) {
    let uids: Vec<_> = sim.neighbour.requests.keys().cloned().collect();
    match (sim.rng.u8(..4), uids.first()) {
        (0, Some(uid)) => end(sim, uid, true),
        (1, Some(uid)) => end(sim, uid, false),
        _ => begin(sim),
    }
}

/// A request is served: a copy of one of ours if there is any, uid and all, as
/// after a restore into another cluster.
fn begin(sim: &mut Sim) {
    let ours = sim.cluster.requests.values().find_map(|past| past.now());
    let mut request = match ours {
        Some(ours) => AwsCredentialRequest::clone(ours),
        None => crate::plan::tests::request(),
    };
    request.metadata.finalizers = Some(vec![FINALIZER.into()]);
    request.metadata.deletion_timestamp = None;
    let status = request.status.get_or_insert_default();
    status.phase = Some(Phase::Ready);
    status.lease = None::<Lease>;
    let uid = request.uid_str().to_owned();
    let cluster = Neighbour::cluster();
    let name = user_name_of(&request, &cluster);
    if sim.iam.users.contains_key(&name) {
        return;
    }
    sim.tell(|| format!("the other cluster makes {name}"));
    let facts = UserFacts {
        path: naming::user_path("/keylease/", &cluster, ""),
        boundary: None,
        tags: identity_tags(&request, &cluster),
    };
    let key = Attachment::Key(sim.iam.key_id());
    let mut user = User::new(facts, sim.now);
    user.on_it.insert(key, sim.now);
    sim.iam.users.insert(name, user);
    sim.neighbour.requests.insert(uid, request);
}

/// A request goes, with its user or without it.
fn end(sim: &mut Sim, uid: &str, clean: bool) {
    let Some(request) = sim.neighbour.requests.remove(uid) else {
        return;
    };
    let name = user_name_of(&request, &Neighbour::cluster());
    sim.tell(|| format!("the other cluster ends {name}, with its user: {clean}"));
    if clean {
        sim.iam.users.remove(&name);
    }
}
