//! What people, machines and time do to the operator.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::cluster::Stored;
use super::replica::Replica;
use super::sim::{Event, Sim};
use crate::api::{AwsRole, OnExpiry, Renew, Rotation};
use crate::plan::live::ROTATE_ANNOTATION;
use crate::plan::tests::{request, role};

/// The names that requests have, one after the other.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Longest lag of IAM's readers that the plan by itself has to cope with: with
/// the longest way of a call it stays below `SETTLE`.
const LAG_MILLIS: i64 = 1_500;

/// Draws the world, and starts it.
pub(super) fn begin(sim: &mut Sim) {
    sim.elects = sim.rng.u8(..4) != 0;
    let replicas = if sim.elects { sim.rng.usize(1..=3) } else { 1 };
    for n in 0..replicas {
        let lag = match sim.rng.u8(..20) {
            0 => sim.millis(5_000..=30_000),
            1..=4 => sim.millis(500..=5_000),
            _ => sim.millis(1..=50),
        };
        let now = sim.now;
        sim.replicas.push(Replica::new(n, lag, now));
        let pause = sim.millis(0..=3_000);
        sim.after(pause, Event::Start(n));
    }
    sim.iam.lag = match sim.rng.u8(..3) {
        0 => SignedDuration::ZERO,
        _ => sim.millis(100..=LAG_MILLIS),
    };
    sim.iam.loose_limit = sim.rng.bool();
    sim.iam.key_delay = sim.millis(0..=15_000);
    let now = sim.now;
    sim.cluster.set_role(Some(role()), now);
    sim.weather.slow = 0.1 * f64::from(sim.rng.u8(..4));
    if sim.rng.bool() {
        sim.weather.errors = 0.1 * sim.rng.f64();
        sim.weather.lost = 0.1 * sim.rng.f64();
        sim.weather.throttled = 0.2 * sim.rng.f64();
    }
    for _ in 0..sim.rng.u8(1..=3) {
        create(sim);
    }
    next(sim);
}

/// Everything heals, and nobody does anything any more.
pub(super) fn heal(sim: &mut Sim) {
    sim.tell(|| "everything heals".to_owned());
    let slow = sim.weather.slow;
    sim.weather = super::weather::Weather {
        slow,
        ..super::weather::Weather::fair(sim.now)
    };
}

fn next(sim: &mut Sim) {
    let pause = match sim.rng.u8(..10) {
        0..=2 => sim.millis(1..=500),
        3..=5 => sim.millis(500..=10_000),
        6..=7 => sim.millis(10_000..=120_000),
        _ => sim.millis(120_000..=1_800_000),
    };
    sim.after(pause, Event::Person);
}

/// One thing happens, and another will.
pub(super) fn act(sim: &mut Sim) {
    match sim.rng.u8(..24) {
        0..=3 => create(sim),
        4..=6 => delete(sim),
        7 => renew(sim),
        8 => rotate(sim),
        9 => change_role(sim),
        10..=11 => spoil_secret(sim),
        12..=15 => kill(sim),
        16..=17 => freeze(sim),
        18..=19 => terminate(sim),
        20 => {
            let long = sim.rng.u8(..4) == 0;
            let pause = if long {
                sim.millis(60_000..=7_200_000)
            } else {
                sim.millis(500..=60_000)
            };
            sim.weather.aws_back = sim.now + pause;
            sim.tell(|| format!("AWS is away for {pause}"));
        }
        21 => {
            let pause = sim.millis(500..=600_000);
            sim.weather.api_back = sim.now + pause;
            sim.tell(|| format!("the API server is away for {pause}"));
        }
        22 => edit(sim),
        _ => {
            sim.weather.errors = 0.3 * sim.rng.f64();
            sim.weather.lost = 0.3 * sim.rng.f64();
        }
    }
    next(sim);
}

fn pick(sim: &mut Sim) -> &'static str {
    NAMES[sim.rng.usize(..NAMES.len())]
}

fn create(sim: &mut Sim) {
    let name = pick(sim);
    if sim.cluster.request(name).is_some() {
        return;
    }
    let mut new = request();
    new.metadata.name = Some(name.to_owned());
    new.metadata.uid = Some(format!("uid-{}", sim.cluster.number()));
    new.spec.ttl = [None, Some("10m"), Some("30m"), Some("3h")][sim.rng.usize(..4)].map(Into::into);
    if sim.rng.bool() {
        new.spec.on_expiry = Some(OnExpiry::Rotate);
        let overlap = ["0s", "2m", "5m"][sim.rng.usize(..3)];
        new.spec.rotation = Some(Rotation {
            overlap: Some(overlap.into()),
        });
    } else if sim.rng.u8(..4) == 0 {
        new.spec.ttl_after_expiry = Some("5m".into());
    }
    let now = sim.now;
    sim.tell(|| {
        format!(
            "create {name} {:?} {:?}",
            new.metadata.uid, new.spec.on_expiry
        )
    });
    sim.cluster.store(new, now);
    sim.changed(name);
}

fn delete(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("delete {name}"));
    sim.cluster.delete(name, now);
    sim.changed(name);
}

fn renew(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("renew {name}"));
    sim.cluster.edit(name, now, |request| {
        request.spec.renew = Some(Renew {
            at: Time(now),
            increment: Some("40m".into()),
        });
    });
    sim.changed(name);
}

fn rotate(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("ask {name} to rotate"));
    sim.cluster.edit(name, now, |request| {
        let annotations = request.metadata.annotations.get_or_insert_default();
        annotations.insert(ROTATE_ANNOTATION.into(), now.to_string());
    });
    sim.changed(name);
}

fn edit(sim: &mut Sim) {
    let name = pick(sim);
    let now = sim.now;
    sim.tell(|| format!("edit {name}"));
    sim.cluster.edit(name, now, |request| {
        request.spec.ttl = Some("20m".into());
    });
    sim.changed(name);
}

fn change_role(sim: &mut Sim) {
    let now = sim.now;
    // Its finalizer holds a role that is being deleted until its last lease is
    // gone: before that nobody can make another of its name.
    if sim.cluster.role.now().is_none() && sim.cluster.has_leases() {
        return;
    }
    let role = match (sim.cluster.role.now(), sim.rng.u8(..4)) {
        (Some(_), 0) => None,
        (Some(old), 1) => {
            let mut new = AwsRole::clone(old);
            new.spec.revoke_before = Some(Time(now));
            Some(new)
        }
        (Some(old), _) => {
            let mut new = AwsRole::clone(old);
            let policies = ["ReadOnlyAccess", "PowerUserAccess", "SecurityAudit"];
            let policy = policies[sim.rng.usize(..policies.len())];
            let user = new.spec.iam_user.get_or_insert_default();
            user.policy_arns = vec![format!("arn:aws:iam::aws:policy/{policy}")];
            Some(new)
        }
        (None, _) => Some(role()),
    };
    sim.tell(|| format!("the role becomes {:?}", role.as_ref().map(|r| &r.spec)));
    sim.cluster.set_role(role, now);
    sim.all_changed();
}

/// Somebody deletes or edits a Secret, or makes one of that name.
fn spoil_secret(sim: &mut Sim) {
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

fn kill(sim: &mut Sim) {
    let n = sim.rng.usize(..sim.replicas.len());
    if sim.replicas[n].up {
        let who = sim.replicas[n].who;
        sim.stop(who);
    }
}

fn terminate(sim: &mut Sim) {
    let n = sim.rng.usize(..sim.replicas.len());
    let Replica {
        who, up, closing, ..
    } = sim.replicas[n];
    if up && !closing {
        sim.terminate(who);
    }
}

fn freeze(sim: &mut Sim) {
    let n = sim.rng.usize(..sim.replicas.len());
    let pause = sim.millis(500..=90_000);
    sim.replicas[n].frozen = sim.now + pause;
    sim.tell(|| format!("replica {n} is frozen for {pause}"));
}
