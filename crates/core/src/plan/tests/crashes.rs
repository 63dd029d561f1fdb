//! Every mishap at every effect, and every pair of them: afterwards a fresh
//! process finishes, and nothing is left over.

use std::sync::Arc;

use jiff::SignedDuration;

use super::leases::rotating_world;
use super::operator::{Mishap, Operator};
use super::world::{FOREIGN, Pathless, World};
use super::{marked, revoking, world};
use keylease_api::{Phase, Renew};

/// What a request goes through in a run.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// Issue the first lease of an account, which nothing holds yet, then rest.
    Issued,
    /// Issue, then `kubectl delete`.
    Deleted,
    /// Issue, then the end of the lease.
    Expired,
    /// Issue, the Secret lost, issue again.
    SecretLost,
    /// Issue, rotate with an overlap, then rest.
    Rotated,
    /// Rotate, and `kubectl delete` while both keys live.
    DeletedInOverlap,
    /// Issue, renew, then rest.
    Renewed,
    /// Issue, and the role revokes it.
    Revoked,
    /// The same, and the role was marked before the request hears of it.
    RevokedByMark,
    /// Take a static user beside somebody's key, then `kubectl delete`.
    Adopted,
    /// Take a static user, rotate with an overlap, then rest.
    AdoptedRotated,
    /// The same, and `kubectl delete` while both keys live.
    AdoptedDeletedInOverlap,
    /// `kubectl delete` before the operator has looked twice.
    DeletedEarly(usize),
}

/// What reads and caches show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// What is.
    Clear,
    /// IAM's readers miss what is younger than 4 s, and caches show what was
    /// before the last write.
    Stale,
    /// The same under a policy: IAM denies calls about users that it does not
    /// find.
    Confined(Pathless),
}

/// All of them.
const SIGHTS: [Sight; 4] = [
    Sight::Clear,
    Sight::Stale,
    Sight::Confined(Pathless::OnlyRemovals),
    Sight::Confined(Pathless::Denied),
];

/// Plays one life with these mishaps and returns how many effects it came to.
fn play(life: Life, mishaps: &[(usize, Mishap)]) -> usize {
    play_with(Sight::Clear, life, mishaps)
}

fn play_with(sight: Sight, life: Life, mishaps: &[(usize, Mishap)]) -> usize {
    let mut world = match life {
        Life::Rotated | Life::DeletedInOverlap => rotating_world(),
        Life::AdoptedRotated | Life::AdoptedDeletedInOverlap => {
            rotating_world().with_static_user("24h")
        }
        Life::Adopted => {
            let mut world = world().with_static_user("24h");
            world.foreign_key();
            world
        }
        _ => world(),
    };
    // Two proofs that fail and one that does not.
    world.key_delay = SignedDuration::from_millis(200);
    if sight != Sight::Clear {
        world.read_lag = SignedDuration::from_secs(4);
        world.stale = true;
    }
    if let Sight::Confined(pathless) = sight {
        world.pathless = pathless;
    }
    world.account_held = !matches!(life, Life::Issued);
    let mut operator = Operator::with_mishaps(mishaps);
    let first = match life {
        Life::DeletedEarly(millis) => SignedDuration::from_millis(millis as i64),
        Life::Rotated
        | Life::DeletedInOverlap
        | Life::AdoptedRotated
        | Life::AdoptedDeletedInOverlap => SignedDuration::from_mins(20),
        _ => SignedDuration::from_mins(50),
    };
    let first = world.now + first;
    operator.run_until(&mut world, first);
    match life {
        Life::Issued => {}
        Life::Rotated | Life::AdoptedRotated => {
            let overlapped = world.now.max(first) + SignedDuration::from_mins(60);
            operator.run_until(&mut world, overlapped);
        }
        Life::DeletedInOverlap | Life::AdoptedDeletedInOverlap => {
            world.now = world.now.max(first);
            let middle = world.now + SignedDuration::from_mins(33);
            operator.run_until(&mut world, middle);
            world.delete_request();
            operator.settle(&mut world);
        }
        Life::Renewed => {
            let at = world.now.into();
            let request = world.request.as_mut().unwrap();
            request.spec.renew = Some(Renew {
                at,
                increment: Some("5h".into()),
            });
            world.bump();
            operator.settle(&mut world);
        }
        Life::Revoked | Life::RevokedByMark => {
            let before = world.now + SignedDuration::from_secs(1);
            world.role = Some(Arc::new(match life {
                Life::RevokedByMark => marked(before),
                _ => revoking(before),
            }));
            operator.settle(&mut world);
        }
        Life::SecretLost => {
            world.secret = None;
            operator.settle(&mut world);
        }
        Life::Deleted | Life::Adopted | Life::DeletedEarly(_) => {
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
    operator.restart();
    let quiet = world.now + SignedDuration::from_mins(20);
    operator.run_until(&mut world, quiet);
    check(&world, life, mishaps);
    effects
}

/// O1 and O2: a user for each live request and no other, holding exactly the
/// key that the Secret holds.
fn check(world: &World, life: Life, mishaps: &[(usize, Mishap)]) {
    let told = format!("{life:?} with {mishaps:?}: {:?}", world.applied);
    let live = matches!(
        life,
        Life::Issued | Life::SecretLost | Life::Rotated | Life::AdoptedRotated | Life::Renewed
    );
    if live {
        let request = world.request.as_ref().unwrap();
        let status = request.status.as_ref().unwrap();
        assert_eq!(status.phase, Some(Phase::Ready), "{told}");
        let secret = world
            .secret
            .as_ref()
            .unwrap_or_else(|| panic!("no Secret: {told}"));
        let (in_secret, _) = secret.key.clone().unwrap();
        let previous = status.previous.iter().map(|p| p.access_key_id.clone());
        let mut known: Vec<_> = previous.chain([in_secret.clone()]).collect();
        known.sort();
        assert_eq!(world.keys(), known, "{told}");
        let shown = &status.credential.as_ref().unwrap().access_key_id;
        assert_eq!(shown, &in_secret, "{told}");
    } else {
        match &world.user {
            // Nothing of ours is left, and nobody holds it.
            Some(user) if user.stays => {
                let theirs: Vec<_> = match life {
                    Life::Adopted => vec![FOREIGN.to_owned()],
                    _ => Vec::new(),
                };
                assert_eq!(world.keys(), theirs, "{told}");
                let role = world.role.as_ref().unwrap();
                let status = role.status.clone().unwrap_or_default();
                assert_eq!(status.holder, None, "{told}");
            }
            left => assert!(left.is_none(), "user left: {told}"),
        }
        assert!(world.secret.is_none(), "Secret left: {told}");
        let expired = matches!(life, Life::Expired | Life::Revoked | Life::RevokedByMark);
        assert_eq!(world.request.is_some(), expired, "{told}");
    }
}

const LIVES: [Life; 15] = [
    Life::Adopted,
    Life::AdoptedRotated,
    Life::AdoptedDeletedInOverlap,
    Life::Issued,
    Life::Rotated,
    Life::DeletedInOverlap,
    Life::Renewed,
    Life::Revoked,
    Life::RevokedByMark,
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
    for sight in SIGHTS {
        let runs = play_all(|life| {
            let effects = play_with(sight, life, &[]);
            for at in 0..effects {
                for mishap in Mishap::ALL {
                    play_with(sight, life, &[(at, mishap)]);
                }
            }
            effects * Mishap::ALL.len()
        });
        println!("crash matrix: {runs} runs with one mishap, sight {sight:?}");
        assert!(runs > 300);
    }
}

/// AWS or the API server refuses one effect, or one and then another: a lease in
/// force goes on, and what the attempt made is not left over.
#[test]
fn after_refusals_nothing_is_left_over_and_no_lease_is_lost() {
    let runs = play_all(|life| {
        let effects = play(life, &[]);
        let mut runs = 0;
        for one in Mishap::REFUSALS {
            for at in 0..effects {
                let after = play(life, &[(at, one)]);
                runs += 1;
                for again in (at + 1..after).take(3) {
                    play(life, &[(at, one), (again, one)]);
                    play(life, &[(at, one), (again, Mishap::DieAfter)]);
                    runs += 2;
                }
            }
        }
        runs
    });
    println!("crash matrix: {runs} runs with refusals");
    assert!(runs > 3_000);
}

/// A process that hands over takes back the key in hand unless somebody may
/// have it, also after an answer was lost; its successor finishes.
#[test]
fn after_a_hand_over_at_any_effect_nothing_is_left_over() {
    let runs = play_all(|life| {
        let whole = play(life, &[]);
        let lost = (0..whole).map(|at| vec![(at, Mishap::LoseAnswer)]);
        let mut runs = 0;
        for mut mishaps in std::iter::once(Vec::new()).chain(lost) {
            let effects = play(life, &mishaps);
            let from = mishaps.first().map_or(0, |(at, _)| at + 1);
            mishaps.push((0, Mishap::HandOver));
            for at in from..effects {
                if let Some((number, _)) = mishaps.last_mut() {
                    *number = at;
                }
                play(life, &mishaps);
                runs += 1;
            }
        }
        runs
    });
    println!("crash matrix: {runs} runs with a hand-over");
    assert!(runs > 500);
}

/// Plays every ordered pair of mishaps and returns the number of runs.
fn play_pairs(sight: Sight) -> usize {
    play_all(|life| {
        let mut runs = 0;
        for first in 0..play_with(sight, life, &[]) {
            for one in Mishap::ALL {
                let effects = play_with(sight, life, &[(first, one)]);
                for second in first + 1..effects {
                    for two in Mishap::ALL {
                        play_with(sight, life, &[(first, one), (second, two)]);
                        runs += 1;
                    }
                }
            }
        }
        runs
    })
}

#[test]
fn after_any_pair_of_mishaps_nothing_is_left_over() {
    let runs = play_pairs(Sight::Clear);
    println!("crash matrix: {runs} runs with two mishaps");
    assert!(runs > 10_000);
}

#[test]
#[ignore = "some minutes: make crashes"]
fn after_any_pair_of_mishaps_and_stale_reads_nothing_is_left_over() {
    for sight in [Sight::Stale, Sight::Confined(Pathless::Denied)] {
        let runs = play_pairs(sight);
        println!("crash matrix: {runs} runs with two mishaps, sight {sight:?}");
        assert!(runs > 10_000);
    }
}
