//! Numbers from outside, as bad as can be: what is computed of them keeps its
//! bounds. `PROPTEST_CASES=1000000` makes a long run of it. (Text is the
//! fuzzer's: `tests/fuzz`.)

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::operator::Operator;
use super::world;
use super::world::Pathless;
use crate::plan::backoff;
use crate::plan::intent::Intent;
use crate::plan::lease::Term;
use crate::plan::naming::{ClusterId, is_user_name, user_name};
use crate::plan::pacing::rate::{Rate, Sent};
use keylease_api::Phase;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn user_names_are_ours_whatever_the_uid(
        namespace in "[a-z0-9-]{0,63}", name in "[a-z0-9.-]{0,253}", uid in any::<String>(), other in any::<String>()
    ) {
        let cluster = ClusterId("c".into());
        let one = user_name(&cluster, &namespace, &name, &uid);
        prop_assert!(one.len() <= 64 && is_user_name(&one), "{}", one);
        let two = user_name(&cluster, &namespace, &name, &other);
        prop_assert_eq!(one == two, uid == other);
    }

    #[test]
    fn pauses_stay_between_their_bounds(failures in any::<u32>(), seed in any::<String>()) {
        let pause = backoff::pause(failures, &seed);
        prop_assert!(pause >= SignedDuration::from_millis(750), "{}", pause);
        prop_assert!(pause <= SignedDuration::from_secs(75), "{}", pause);
    }

    #[test]
    fn a_lease_ends_after_its_begin_and_before_its_maximum(at in any::<i64>(), ttl in 1_i64..i64::MAX, more in 0_i64..i64::MAX) {
        let at = at.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let now = Timestamp::from_second(at).unwrap();
        let mut intent = sample_intent();
        intent.ttl_seconds = ttl;
        intent.max_ttl_seconds = ttl.saturating_add(more);
        let term = Term::starting(now, &intent);
        prop_assert!(term.issued_at <= now);
        prop_assert!(term.issued_at <= term.expires_at && term.expires_at <= term.max_expires_at);
    }

    #[test]
    fn a_rate_stays_above_nothing_and_below_its_cap(
        cap in 0.1_f64..1000.0, answers in prop::collection::vec((any::<bool>(), 0_u64..5_000), 0..200)
    ) {
        let mut now = Instant::now();
        let mut rate = Rate::new(5.0, now);
        rate.set_cap(Some(cap));
        for (throttled, millis) in answers {
            let sent = Sent { at: now, held_up: true };
            now += Duration::from_millis(millis);
            if throttled { rate.throttled(sent, now) } else { rate.taken(sent) }
            prop_assert!(rate.per_second() > 0.0 && rate.per_second() <= cap.max(1.0), "{}", rate.per_second());
        }
    }
}

fn sample_intent() -> Intent {
    let mut world = world();
    Operator::new().settle(&mut world);
    Intent::of(
        world.request.as_ref().unwrap(),
        &super::world::World::cluster(),
    )
    .unwrap()
}

/// Scenario 25. A clock that jumps may end a lease early or late; it leaves
/// nothing behind, and what lives is one key in one Secret.
#[test]
fn a_clock_that_jumps_a_day_does_no_harm() {
    for hours in [-24, 24] {
        for seconds in [0, 1, 2, 30, 3_000] {
            let mut world = world();
            let mut operator = Operator::new();
            let first = world.now + SignedDuration::from_secs(seconds);
            operator.run_until(&mut world, first);
            world.now = first + SignedDuration::from_hours(hours);
            operator.settle(&mut world);
            let request = Arc::new(world.request.clone().unwrap());
            let phase = request.status.as_ref().and_then(|s| s.phase);
            let held = world.secret.as_ref().and_then(|s| s.key.clone());
            let held: Vec<_> = held.into_iter().map(|(id, _)| id).collect();
            assert_eq!(world.keys(), held, "{hours} h at {seconds} s");
            let live = phase == Some(Phase::Ready);
            assert_eq!(
                world.user.is_some(),
                live,
                "{phase:?}: {hours} h at {seconds} s"
            );
            world.delete_request();
            operator.settle(&mut world);
            let gone = world.user.is_none() && world.request.is_none();
            assert!(gone, "{hours} h at {seconds} s: {:?}", world.applied);
        }
    }
}

/// A user that somebody deleted, of a lease that was issued while the clock was
/// ahead: that IAM does not know it is believed before that time comes.
#[test]
fn a_user_that_is_gone_is_not_waited_for_until_a_wrong_clock_was_right() {
    for restarts in [false, true] {
        let mut world = world();
        world.pathless = Pathless::Denied;
        let mut operator = Operator::new();
        super::leases::run(&mut operator, &mut world, 1);
        world.now -= SignedDuration::from_hours(24);
        world.user = None;
        if restarts {
            operator.restart();
        }
        world.delete_request();
        super::leases::run(&mut operator, &mut world, 5);
        assert!(world.request.is_none(), "{restarts}: {:?}", world.applied);
    }
}

/// Scenario 17. The account is full: nothing half-made is left, and when there
/// is room the request is served.
#[test]
fn a_quota_of_users_that_is_reached_leaves_nothing_half_made() {
    let mut world = world();
    world.full = true;
    let mut operator = Operator::new();
    let end = world.now + SignedDuration::from_mins(10);
    operator.run_until(&mut world, end);
    let status = super::leases::status(&world);
    assert!(world.user.is_none() && world.secret.is_none());
    assert!(status.failures > Some(5), "{:?}", status.failures);
    // A refusal is no proof: after each the operator looks once.
    let asks = ["create_user", "inspect_user"];
    assert!(world.aws_calls().iter().all(|call| asks.contains(call)));
    world.full = false;
    operator.settle(&mut world);
    assert_eq!(super::leases::status(&world).phase, Some(Phase::Ready));
}
