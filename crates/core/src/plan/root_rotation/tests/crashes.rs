//! Every mishap at every effect, every pair of them, and two operators at a
//! time: afterwards there is one key, the Secret's.

use jiff::SignedDuration;

use super::world::{FIRST, PERIOD, Process, STRANGERS, World};
use crate::plan::effect::FaultClass;
use crate::plan::root_rotation::facts::made_none;
use crate::plan::tests::Mishap;

const DUE: SignedDuration = SignedDuration::from_hours(25);
const WHILE: SignedDuration = SignedDuration::from_hours(1);

/// Plays one rotation with these mishaps; how many effects it came to.
fn play(mishaps: &[(usize, Mishap)]) -> usize {
    let mut world = World::with_key_aged(DUE);
    let mut process = Process::start(&world, mishaps);
    process.run_for(&mut world, WHILE);
    let effects = process.effects;
    process.restart(&world);
    process.run_for(&mut world, WHILE);
    check(&world, &format!("{mishaps:?}"));
    effects
}

fn check(world: &World, what: &str) {
    let told = format!("{what}: {:?}", world.applied);
    assert_eq!(world.ids(), [world.key_in_secret.as_str()], "{told}");
    assert_ne!(world.key_in_secret, FIRST, "{told}");
    assert_eq!(world.marker, None, "{told}");
    assert_eq!(world.reason(), Some("RotationScheduled"), "{told}");
    let root_key = world
        .told
        .as_ref()
        .and_then(|t| t.root_key.as_ref())
        .unwrap();
    assert_eq!(root_key.id, world.key_in_secret, "{told}");
    let period = root_key
        .next_rotation
        .0
        .duration_since(root_key.rotated_at.0);
    assert_eq!(period, PERIOD, "{told}");
}

#[test]
fn after_any_single_mishap_the_secret_holds_the_only_key() {
    for at in 0..play(&[]) {
        for mishap in Mishap::ALL {
            play(&[(at, mishap)]);
        }
    }
}

#[test]
fn after_any_pair_of_mishaps_the_secret_holds_the_only_key() {
    let mut runs = 0;
    for first in 0..play(&[]) {
        for one in Mishap::ALL {
            let effects = play(&[(first, one)]);
            for second in first + 1..effects {
                for two in Mishap::ALL {
                    play(&[(first, one), (second, two)]);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs with two mishaps");
    assert!(runs > 3_000);
}

/// Every refusal at every effect, and every pair of them: of what was not
/// applied, and of what was.
#[test]
fn after_any_refusal_the_secret_holds_the_only_key() {
    let classes = [
        FaultClass::Refused,
        FaultClass::AccessDenied,
        FaultClass::BadCredentials,
        FaultClass::NotFound,
        FaultClass::QuotaExceeded,
        FaultClass::Stale,
        FaultClass::NoAnswer,
    ];
    let all: Vec<_> = classes
        .into_iter()
        .flat_map(|c| [(c, false), (c, true)])
        .collect();
    for first in 0..play(&[]) {
        for &(class, applied) in &all {
            let one = (first, class, applied);
            let effects = play_refused(&[one]);
            // The same lie about one key is believed the second time.
            let lie = (FaultClass::NotFound, false);
            let others = || {
                all.iter()
                    .filter(|other| (class, applied) != lie || **other != lie)
            };
            for second in first + 1..effects.min(first + 8) {
                for &(class, applied) in others() {
                    play_refused(&[one, (second, class, applied)]);
                }
            }
        }
    }
}

/// Plays one rotation with these refusals. A key that AWS made and denied having
/// made is taken for somebody else's: a person deletes it, as the status says.
fn play_refused(refusals: &[(usize, FaultClass, bool)]) -> usize {
    let mut world = World::with_key_aged(DUE);
    let mut process = Process::start(&world, &[]);
    process.refusals = refusals.to_vec();
    process.run_for(&mut world, WHILE);
    let effects = process.effects;
    if world.reason() == Some("ForeignKey") {
        let denied = |(at, class, applied): &(usize, FaultClass, bool)| {
            *applied && made_none(*class) && process.performed.get(*at) == Some(&"create_key")
        };
        assert!(
            refusals.iter().any(denied),
            "{refusals:?}: {:?}",
            world.applied
        );
        let secrets = world.key_in_secret.clone();
        world.keys.retain(|key| key.id == secrets);
    }
    // What memory alone knows does not count.
    process.restart(&world);
    process.run_for(&mut world, WHILE);
    check(&world, &format!("{refusals:?}"));
    effects
}

/// Somebody else makes a key for the operator's user before any effect of a
/// rotation, of which any is denied or over a quota: that key stays. (One that
/// is made in the seconds around a `CreateKey` whose answer says nothing cannot
/// be told from the operator's own.)
#[test]
fn a_key_that_somebody_else_makes_meanwhile_stays() {
    let refusals = [
        None,
        Some(FaultClass::AccessDenied),
        Some(FaultClass::Unseen),
        Some(FaultClass::QuotaExceeded),
        Some(FaultClass::Throttled),
    ];
    let mut met = 0;
    for stranger in 0..play(&[]) + 2 {
        for at in 0..play(&[]) {
            for class in refusals {
                let mut world = World::with_key_aged(DUE);
                world.stranger_comes_at = Some(stranger);
                let mut process = Process::start(&world, &[]);
                process.refusals = class.map(|class| (at, class, false)).into_iter().collect();
                process.run_for(&mut world, WHILE);
                process.restart(&world);
                process.run_for(&mut world, WHILE);
                let told = format!("{stranger}, {at}, {class:?}: {:?}", world.applied);
                let deleted = world.deleted.iter().any(|id| id == STRANGERS);
                assert!(!deleted, "{told}");
                if world.ids().contains(&STRANGERS) {
                    met += 1;
                    assert_eq!(world.marker, None, "{told}");
                    world.keys.retain(|key| key.id != STRANGERS);
                    process.run_for(&mut world, WHILE);
                }
                check(&world, &told);
            }
        }
    }
    println!("met a stranger's key {met} times");
    assert!(met > 100, "{met}");
}

/// An operator dies at any effect, or did not run. Then one falls asleep
/// between two steps, another rotates for so long and falls asleep too, and
/// the first wakes up and goes on with what it believes.
#[test]
fn two_operators_do_not_store_a_key_that_the_other_deleted() {
    let mut runs = 0;
    for dead in [0, 3, 4, 6, 8, 9] {
        for first in 1..15 {
            for second in 1..20 {
                for third in [1, 2, 3, 5, 8, 1_000] {
                    play_two(dead, first, second, third);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs with two operators");
}

fn play_two(dead: usize, first: usize, second: usize, third: usize) {
    let mut world = World::with_key_aged(DUE);
    let end = world.now + WHILE;
    Process::start(&world, &[]).run(&mut world, end, dead);
    let mut one = Process::start(&world, &[]);
    let mut other = Process::start(&world, &[]);
    one.run(&mut world, end, first);
    other.run(&mut world, end, second);
    let so_far = one.effects;
    one.run(&mut world, end, so_far + third);
    // Both go on, one after the other.
    for _ in 0..4 {
        other.run_for(&mut world, WHILE);
        one.run_for(&mut world, WHILE);
    }
    check(&world, &format!("{dead}, {first}, {second}, {third}"));
}
