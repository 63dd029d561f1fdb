//! Schedules that nobody thought of: several replicas, one of them frozen or
//! killed at any moment, caches that lag, an IAM whose readers lag, keys that
//! work late, throttling, outages, lost answers, and people who create, edit,
//! renew, rotate, delete and create again under the same name, change and
//! delete the role, and lay hands on Secrets. All of it follows from one seed,
//! in virtual time. Then everything heals, and the promises are compared with
//! the world.
//!
//! The decisions are the real ones, and so is who leads. Calls travel: one that
//! was sent arrives, even if its sender is dead by then.
//!
//! That it finds something is shown with deliberate mistakes ([`flaws::Flaw`]):
//! each is found within a few hundred schedules.
//!
//! `make simulate SCHEDULES=1000000 SEED=1` runs more of them; a failure names
//! its seed and tells what happened, and `SCHEDULES=1 SEED=…` plays it again.

mod admins;
mod check;
mod cluster;
mod errand;
mod flaws;
mod iam;
mod iam_report;
mod in_force;
mod neighbour;
mod past;
mod people;
mod process;
mod refusals;
mod replica;
mod roles;
mod sim;
mod sweep_check;
mod sweeper;
mod tenants;
mod weather;
mod wishes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use jiff::SignedDuration;

use self::flaws::Flaw;
use self::sim::Sim;

/// Schedules of an ordinary test run.
const SCHEDULES: u64 = 900;
/// So many failures are told before a run ends.
const MOST_FAILURES: usize = 20;
/// Minutes after the healing at which the promises are first looked at: longer
/// than any pause of the operator.
const QUIET: i64 = 12;
/// In so many further minutes there must be one at which all of them hold; at
/// others a rotation may be under way.
const PATIENCE: i64 = 30;
/// The same where it may take some sweeps, and the patience of a halted one.
const PATIENCE_WITH_SWEEPS: i64 = 120;

/// Plays one schedule. `Err` tells what was wrong, and the trace if asked for.
fn play(seed: u64, flaw: Option<Flaw>, traced: bool) -> Result<(), String> {
    let account = super::world().account;
    let mut sim = Sim::new(seed, flaw, super::start(), account);
    sim.trace = traced.then(VecDeque::new);
    people::begin(&mut sim);
    let busy = sim.millis(60_000..=5_400_000);
    let end = sim.now + busy;
    sim.run_until(end);
    sim.forget_people();
    people::heal(&mut sim);
    let end = end.max(sim.weather.sts_back);
    let mut end = end + SignedDuration::from_mins(QUIET);
    sim.run_until(end);
    let mut found = check::quiet(&sim);
    let mut told = BTreeSet::new();
    let patience = match sim.sweep_interval {
        None => PATIENCE,
        Some(_) => PATIENCE_WITH_SWEEPS,
    };
    for _ in 0..patience {
        let (Err(wrong), None) = (&found, &sim.violation) else {
            break;
        };
        told.insert(wrong.clone());
        end += SignedDuration::from_mins(1);
        sim.run_until(end);
        found = check::quiet(&sim);
    }
    // What was wrong at some minutes only may be a rotation under way.
    let all = |last| {
        told.insert(last);
        told.into_iter().collect::<Vec<_>>().join("; at others: ")
    };
    let wrong = sim.violation.take().or(found.err().map(all));
    wrong.map_or(Ok(()), |wrong| {
        let trace = sim.trace.unwrap_or_default();
        let trace: Vec<_> = trace.into();
        Err(format!("{wrong}\n{}", trace.join("\n")))
    })
}

/// The same, with a panic of the plan as one more thing that can be wrong.
fn survive(seed: u64, flaw: Option<Flaw>, traced: bool) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| play(seed, flaw, traced)));
    played.unwrap_or_else(|_| Err("a panic".to_owned()))
}

/// Plays so many schedules on all cores, until [`MOST_FAILURES`] have failed;
/// panics with what was wrong in each, and the trace of the first.
fn play_all(first: u64, count: u64) {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let failures = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bad: BTreeMap<u64, String> = std::thread::scope(|scope| {
        let work = || {
            let mut bad = Vec::new();
            while failures.load(Ordering::Relaxed) < MOST_FAILURES {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    break;
                }
                let seed = first.wrapping_add(n);
                if let Err(told) = survive(seed, None, false) {
                    failures.fetch_add(1, Ordering::Relaxed);
                    bad.push((seed, told));
                }
            }
            bad
        };
        let all: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        all.into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    });
    for (seed, told) in &bad {
        println!("seed {seed}: {}", told.trim());
    }
    if let Some(seed) = bad.keys().next() {
        let told = survive(*seed, None, true).unwrap_err();
        panic!("{} schedules failed; seed {seed}: {told}", bad.len());
    }
    let took = begun.elapsed().as_secs_f64();
    let rate = count as f64 / took;
    println!("simulation: {count} schedules from seed {first}, {rate:.0} a second, all well");
}

#[test]
fn whatever_happens_the_promises_hold_when_it_is_over() {
    play_all(1, SCHEDULES);
}

/// Schedules that found rare mistakes of the plan, as long as the simulation
/// draws the same from them: keys of a static user that a new process listed
/// too early, a live lease taken back as if it were half-made, a session that
/// was delivered over and over when it had ended, one that followed a revoked one
/// because a cache did not know, a lease whose finalizer somebody took off while
/// its lost Secret was being restored, a removal that was denied and repeated
/// without a pause, a lease of a clock that was ahead whose lost key no sweep saw,
/// a key whose permission an attempt before had taken off again, a session that a
/// stale cache issued after the end, and a key that died by a clock that was ahead.
const RARE: [u64; 12] = [
    1_002_175, 2_057_716, 2_086_020, 3_004_629, 4_100_152, 4_100_530, 4_104_783, 4_118_327,
    4_145_317, 4_187_652, 6_005_356, 7_000_519,
];

#[test]
fn schedules_that_found_something_are_played_again() {
    for seed in RARE {
        play_all(seed, 1);
    }
}

/// `make simulate`: as many as asked for, from any seed.
#[test]
#[ignore = "as long as asked for: make simulate SCHEDULES=1000000 SEED=1"]
fn as_many_schedules_as_asked_for() {
    let number = |name: &str, usual: u64| {
        let named = std::env::var(name).ok().filter(|n| !n.is_empty());
        named.map_or(usual, |n| n.parse().unwrap())
    };
    play_all(number("SEED", 1), number("SCHEDULES", 100_000));
}

/// Each mistake, and the first schedule that finds it: that one is played first,
/// and others where the plan draws differently since.
const FOUND: [(Flaw, u64); Flaw::ALL.len()] = [
    (Flaw::CreateAgain, 53),
    (Flaw::LetGo, 11),
    (Flaw::LeadForEver, 44),
    (Flaw::BelieveCache, 118),
    (Flaw::SkipProof, 1),
    (Flaw::ForgetKeys, 129),
    (Flaw::StopAtUnreadable, 28),
    (Flaw::TakeAnyName, 1),
    (Flaw::BelieveDenials, 19),
    (Flaw::RefusalEnds, 10),
    (Flaw::WishInstead, 79),
    (Flaw::RenewUnasked, 916),
    (Flaw::AwaitFailure, 734),
    (Flaw::DeleteAgain, 185),
    (Flaw::RollFirst, 400),
    (Flaw::ForgetRemoval, 4_118_327),
];

#[test]
fn deliberate_mistakes_are_found() {
    const WITHIN: u64 = 3_000;
    for (flaw, first) in FOUND {
        let mut seeds = std::iter::once(first).chain(1..=WITHIN);
        let found = seeds.find_map(|seed| Some((seed, survive(seed, Some(flaw), false).err()?)));
        let (seed, told) = found.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        println!("{flaw:?} is found by schedule {seed}: {}", told.trim());
    }
}

#[test]
#[ignore = "minutes: for the list above, after a change of the world"]
fn first_schedules_that_find_the_deliberate_mistakes() {
    let found = |flaw| (1..=20_000).find(|seed| survive(*seed, Some(flaw), false).is_err());
    std::thread::scope(|scope| {
        for flaw in Flaw::ALL {
            scope.spawn(move || println!("(Flaw::{flaw:?}, {:?}),", found(flaw)));
        }
    });
}

#[test]
fn a_seed_plays_the_same_again() {
    let told = |seed| {
        let flaw = Some(Flaw::SkipProof);
        survive(seed, flaw, true).err()
    };
    for seed in 1..=20 {
        assert_eq!(told(seed), told(seed));
    }
}
