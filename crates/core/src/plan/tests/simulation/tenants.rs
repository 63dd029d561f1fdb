//! What the owners of requests and Secrets do.

use super::cluster::{PAUSED, Stored};
use super::roles::Kind;
use super::sim::Sim;
use crate::plan::live::ROTATE_ANNOTATION;
use crate::plan::tests::request;
use keylease_api::{OnExpiry, Phase, Renew, Rotation, Workload, WorkloadKind};

/// The names that requests have, one after the other.
const NAMES: [&str; 3] = ["a", "b", "c"];

pub(super) fn pick(sim: &mut Sim) -> &'static str {
    NAMES[sim.rng.usize(..NAMES.len())]
}

/// Somebody applies a manifest.
pub(super) fn create(sim: &mut Sim) {
    let name = pick(sim);
    if sim.cluster.request(name).is_some() {
        return;
    }
    let kind = match sim.rng.u8(..8) {
        0..=4 => Kind::Users,
        5..=6 => Kind::Static,
        _ => Kind::Sessions,
    };
    let mut new = request();
    new.metadata.name = Some(name.to_owned());
    new.metadata.uid = Some(format!("uid-{}", sim.cluster.number()));
    new.spec.role_ref.name = kind.role().to_owned();
    // STS gives no session of less than 15 minutes.
    let short = if kind == Kind::Sessions { "15m" } else { "10m" };
    let ttls = [None, Some(short), Some("30m"), Some("3h")];
    new.spec.ttl = ttls[sim.rng.usize(..4)].map(Into::into);
    if sim.rng.bool() {
        new.spec.on_expiry = Some(OnExpiry::Rotate);
        let overlap = ["0s", "2m", "5m"][sim.rng.usize(..3)];
        new.spec.rotation = Some(Rotation {
            overlap: Some(overlap.into()),
        });
    } else if sim.rng.u8(..4) == 0 {
        new.spec.ttl_after_expiry = Some("5m".into());
    }
    if sim.rng.bool() {
        let name = ["web", PAUSED][sim.rng.usize(..2)].to_owned();
        let kind = WorkloadKind::Deployment;
        new.spec.restart = vec![Workload { kind, name }];
    }
    // A URL that ends in a slash leads to the role all the same.
    if kind == Kind::Users && sim.rng.u8(..12) == 0 {
        new.spec.role_ref.name.push('/');
    }
    let now = sim.now;
    sim.tell(|| {
        format!(
            "create {name} {:?} {kind:?} {:?} {:?}",
            new.metadata.uid, new.spec.ttl, new.spec.on_expiry
        )
    });
    sim.cluster.store(new, now);
    sim.changed(name);
}

/// `kubectl delete`.
pub(super) fn delete(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("delete {name}"));
    sim.cluster.delete(name, now);
    sim.changed(name);
}

/// Somebody takes the finalizer off: to be rid of the request at once, or by
/// mistake, which is put right where a lease runs. Not where it holds a static
/// user: what it had there is removed when the next holder begins, and no sweep
/// looks.
pub(super) fn strip(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    let Some(request) = sim.cluster.request(name).cloned() else {
        return;
    };
    if Kind::of(&request) == Kind::Static {
        return;
    }
    let phase = request.status.as_ref().and_then(|s| s.phase);
    let deletes = sim.rng.bool() || phase != Some(Phase::Ready);
    sim.tell(|| format!("take the finalizer off {name}, and delete it: {deletes}"));
    sim.cluster.strip(name, now);
    if deletes {
        sim.cluster.delete(name, now);
    }
    sim.changed(name);
}

/// `kubectl keylease renew`.
pub(super) fn renew(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("renew {name}"));
    sim.cluster.edit(name, now, |request| {
        request.spec.renew = Some(Renew {
            at: now.into(),
            increment: Some("40m".into()),
        });
    });
    sim.changed(name);
}

/// Somebody asks for another key.
pub(super) fn rotate(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("ask {name} to rotate"));
    sim.cluster.edit(name, now, |request| {
        let annotations = request.metadata.annotations.get_or_insert_default();
        annotations.insert(ROTATE_ANNOTATION.into(), now.to_string());
    });
    sim.changed(name);
}

/// Somebody changes the length of the leases to come.
pub(super) fn edit(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("edit {name}"));
    sim.cluster.edit(name, now, |request| {
        request.spec.ttl = Some("20m".into());
    });
    sim.changed(name);
}

/// Somebody deletes or edits a Secret, or makes one of that name.
pub(super) fn spoil_secret(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    let version = sim.cluster.number();
    let found = sim.cluster.secret(name).cloned();
    let next = match (found, sim.rng.bool()) {
        (Some(secret), true) if !secret.owner.is_empty() => Some(Stored {
            key: None,
            version,
            ..secret
        }),
        (Some(_), _) => None,
        (None, _) => Some(Stored {
            owner: String::new(),
            uid: format!("secret-{version}"),
            version,
            key: None,
            renewed_for: None,
            written: now,
        }),
    };
    sim.tell(|| format!("the Secret {name} becomes {next:?}"));
    sim.cluster.set_secret(name, next, now);
    sim.changed(name);
}
