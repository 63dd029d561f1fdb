//! What people, machines and time do to the operator.

use jiff::SignedDuration;

use super::iam::User;
use super::replica::Replica;
use super::roles::{Kind, STATIC_USER};
use super::sim::{Event, Sim};
use super::{admins, neighbour, refusals, tenants, wishes};
use crate::plan::effect::Attachment;
use crate::plan::ownership::UserFacts;
use crate::plan::tests::world::Pathless;

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
    sim.iam.pathless = match sim.rng.u8(..3) {
        0 => Pathless::Allowed,
        1 => Pathless::OnlyRemovals,
        _ => Pathless::Denied,
    };
    sim.iam.key_delay = sim.millis(0..=15_000);
    let now = sim.now;
    for kind in Kind::ALL {
        sim.cluster.store_role(kind.new_role(), now);
    }
    make_static_user(sim);
    if sim.rng.bool() {
        let interval = sim.millis(300_000..=1_200_000);
        sim.sweep_interval = Some(interval);
        sim.after(interval, Event::SweepDue(None));
    }
    sim.weather.slow = 0.1 * f64::from(sim.rng.u8(..4));
    if sim.rng.bool() {
        sim.weather.errors = 0.1 * sim.rng.f64();
        sim.weather.lost = 0.1 * sim.rng.f64();
        sim.weather.throttled = 0.2 * sim.rng.f64();
    }
    for _ in 0..sim.rng.u8(1..=3) {
        tenants::create(sim);
    }
    next(sim);
}

/// A user that was there before the operator, as often as not with a key.
fn make_static_user(sim: &mut Sim) {
    let facts = UserFacts {
        path: "/".to_owned(),
        ..UserFacts::default()
    };
    let long_ago = sim.now - SignedDuration::from_hours(1_000);
    let mut user = User::new(facts, long_ago);
    if sim.rng.bool() {
        let key = Attachment::Key(sim.iam.key_id());
        sim.iam.foreign.insert(key.clone());
        user.on_it.insert(key, long_ago);
    }
    sim.iam.users.insert(STATIC_USER.to_owned(), user);
}

/// Everything heals, roles included, and nobody does anything any more.
pub(super) fn heal(sim: &mut Sim) {
    sim.tell(|| "everything heals".to_owned());
    let slow = sim.weather.slow;
    // STS may take longer.
    let pause = match sim.rng.u8(..5) {
        0 => sim.millis(60_000..=1_200_000),
        _ => SignedDuration::ZERO,
    };
    let latest = sim.now + SignedDuration::from_mins(20);
    sim.weather = super::weather::Weather {
        slow,
        sts_back: (sim.now + pause).max(sim.weather.sts_back.min(latest)),
        ..super::weather::Weather::fair(sim.now)
    };
    sim.iam.conflicts_until = sim.now;
    sim.healed = Some(sim.now);
    sim.ahead = SignedDuration::ZERO;
    admins::mend_roles(sim);
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
    match sim.rng.u8(..38) {
        0..=3 => tenants::create(sim),
        4..=6 => tenants::delete(sim),
        7 => tenants::renew(sim),
        8 => tenants::rotate(sim),
        9..=10 => admins::change_role(sim),
        11..=12 => tenants::spoil_secret(sim),
        13..=16 => kill(sim),
        17..=18 => freeze(sim),
        19 => terminate(sim),
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
        22 => tenants::edit(sim),
        28..=31 => refusals::begin(sim),
        32 => {
            let pause = refusals::a_while(sim);
            sim.weather.sts_back = sim.now + pause;
            sim.tell(|| format!("STS is away for {pause}"));
        }
        33 => {
            let pause = sim.millis(5_000..=60_000);
            sim.iam.conflicts_until = sim.now + pause;
            sim.tell(|| format!("DeleteUser conflicts for {pause}"));
        }
        34 => wishes::ask(sim),
        35 => wishes::garble(sim),
        36..=37 => set_clock(sim),
        // What the plan mends only with the help of a sweep.
        23..=24 if sim.sweep_interval.is_some() => tenants::strip(sim),
        25 if sim.sweep_interval.is_some() => admins::meddle(sim),
        26 if sim.sweep_interval.is_some() => neighbour::act(sim),
        _ => {
            sim.weather.errors = 0.3 * sim.rng.f64();
            sim.weather.lost = 0.3 * sim.rng.f64();
        }
    }
    next(sim);
}

/// Somebody sets the clock on the wall: right, or by seconds, hours or a day
/// ahead or behind.
fn set_clock(sim: &mut Sim) {
    let by = match sim.rng.u8(..6) {
        0..=1 => SignedDuration::ZERO,
        2 => sim.millis(-60_000..=60_000),
        3..=4 => sim.millis(-7_200_000..=7_200_000),
        _ => SignedDuration::from_hours([-24, 24][sim.rng.usize(..2)]),
    };
    sim.ahead = by;
    sim.tell(|| format!("the clock is ahead by {by}"));
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
