//! Every mishap at every effect, and every pair of them: afterwards a fresh
//! process finishes, and nothing is left over.

use jiff::SignedDuration;

use super::operator::{Mishap, Operator};
use super::world;
use super::world::World;
use crate::api::Phase;

/// What a request goes through in a run.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// Issue, then rest.
    Issued,
    /// Issue, then `kubectl delete`.
    Deleted,
    /// Issue, then the end of the lease.
    Expired,
    /// Issue, the Secret lost, issue again.
    SecretLost,
    /// `kubectl delete` before the operator has looked twice.
    DeletedEarly(usize),
}

/// Plays one life with these mishaps and returns how many effects it came to.
fn play(life: Life, mishaps: &[(usize, Mishap)]) -> usize {
    let mut world = world();
    world.key_delay = SignedDuration::from_secs(2);
    let mut operator = Operator::with_mishaps(&world, mishaps);
    if let Life::DeletedEarly(millis) = life {
        let early = world.now + SignedDuration::from_millis(millis as i64);
        operator.run_until(&mut world, early);
    } else {
        operator.settle(&mut world);
    }
    match life {
        Life::Issued => {}
        Life::SecretLost => {
            world.secret = None;
            operator.settle(&mut world);
        }
        Life::Deleted | Life::DeletedEarly(_) => {
            if world.request.is_some() {
                world.delete_request();
            }
            operator.settle(&mut world);
        }
        Life::Expired => {
            let end = world.now + SignedDuration::from_hours(3);
            operator.run_until(&mut world, end);
        }
    }
    let effects = operator.effects();
    // Whatever happened: a fresh process, and quiet.
    operator.restart(&world);
    let quiet = world.now + SignedDuration::from_mins(20);
    operator.run_until(&mut world, quiet);
    check(&world, life, mishaps);
    effects
}

/// O1 and O2: a user for each live request and no other, holding exactly the
/// key that the Secret holds.
fn check(world: &World, life: Life, mishaps: &[(usize, Mishap)]) {
    let told = format!("{life:?} with {mishaps:?}: {:?}", world.applied);
    let live = matches!(life, Life::Issued | Life::SecretLost);
    if live {
        let request = world.request.as_ref().unwrap();
        let status = request.status.as_ref().unwrap();
        assert_eq!(status.phase, Some(Phase::Ready), "{told}");
        let secret = world
            .secret
            .as_ref()
            .unwrap_or_else(|| panic!("no Secret: {told}"));
        let (in_secret, _) = secret.key.clone().unwrap();
        assert_eq!(world.keys(), [in_secret.clone()], "{told}");
        let shown = &status.credential.as_ref().unwrap().access_key_id;
        assert_eq!(shown, &in_secret, "{told}");
    } else {
        assert!(world.user.is_none(), "user left: {told}");
        assert!(world.secret.is_none(), "Secret left: {told}");
        let expired = matches!(life, Life::Expired);
        assert_eq!(world.request.is_some(), expired, "{told}");
    }
}

const LIVES: [Life; 7] = [
    Life::Issued,
    Life::Deleted,
    Life::Expired,
    Life::SecretLost,
    Life::DeletedEarly(0),
    Life::DeletedEarly(150),
    Life::DeletedEarly(1000),
];

/// Plays all lives side by side and returns the number of runs.
fn play_all(runs_of: impl Fn(Life) -> usize + Sync) -> usize {
    std::thread::scope(|scope| {
        let runs_of = &runs_of;
        let all: Vec<_> = LIVES.map(|life| scope.spawn(move || runs_of(life))).into();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    })
}

#[test]
fn after_any_single_mishap_nothing_is_left_over() {
    let runs = play_all(|life| {
        let effects = play(life, &[]);
        for at in 0..effects {
            for mishap in Mishap::ALL {
                play(life, &[(at, mishap)]);
            }
        }
        effects * Mishap::ALL.len()
    });
    println!("{runs} runs with one mishap");
    assert!(runs > 300);
}

#[test]
fn after_any_pair_of_mishaps_nothing_is_left_over() {
    let runs = play_all(|life| {
        let mut runs = 0;
        for first in 0..play(life, &[]) {
            for one in Mishap::ALL {
                let effects = play(life, &[(first, one)]);
                for second in first + 1..effects {
                    for two in Mishap::ALL {
                        play(life, &[(first, one), (second, two)]);
                        runs += 1;
                    }
                }
            }
        }
        runs
    });
    println!("{runs} runs with two mishaps");
    assert!(runs > 10_000);
}
