//! AWS is away for hours while a lease ends: the revocation never gives up,
//! asks about once a minute, and goes on after any restart where it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::leases::{run, status};
use super::operator::Operator;
use super::{marked, world};
use keylease_api::{ConditionType, Phase, get_condition};

/// How long AWS is away.
const HOURS: i64 = 6;

#[test]
fn a_lease_that_ends_in_a_long_outage_is_revoked_when_it_is_over() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.down = true;
    world.applied.clear();
    for hour in 1..=HOURS {
        let end = world.now + SignedDuration::from_hours(1);
        operator.run_until(&mut world, end);
        world.now = world.now.max(end);
        let now = status(&world);
        if hour > 1 {
            assert_eq!(now.phase, Some(Phase::Revoking));
            assert!(now.failures > Some(40), "{hour}: {:?}", now.failures);
        }
        // The count is in the status: a restart is no new beginning.
        operator.restart();
        let last = now.last_failure_time.unwrap().0;
        assert!(world.now.duration_since(last) < SignedDuration::from_secs(80));
    }
    let asked = world.aws_calls().len();
    let minutes = usize::try_from(HOURS * 60).unwrap();
    assert!(asked < minutes * 4 / 3 + 20, "asked {asked} times");
    assert!(asked > minutes / 2, "asked {asked} times");
    assert!(world.user.is_some());
    world.down = false;
    let end = world.now + SignedDuration::from_mins(2);
    operator.run_until(&mut world, end);
    assert!(world.user.is_none());
    let status = status(&world);
    assert_eq!(
        (status.phase, status.failures),
        (Some(Phase::Expired), None)
    );
}

#[test]
fn a_marked_revocation_says_what_holds_it_up() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.down = true;
    world.role = Some(Arc::new(marked(world.now)));
    let end = world.now + SignedDuration::from_mins(2);
    operator.run_until(&mut world, end);
    let held_up = status(&world);
    assert_eq!(held_up.phase, Some(Phase::Revoking));
    assert!(held_up.failures > Some(0));
    let revoked = get_condition(&held_up.conditions, ConditionType::Revoked).unwrap();
    assert_eq!(revoked.status, "False");
    world.down = false;
    let end = world.now + SignedDuration::from_mins(2);
    operator.run_until(&mut world, end);
    assert!(world.user.is_none());
    assert_eq!(status(&world).phase, Some(Phase::Revoked));
}

#[test]
fn a_deletion_in_an_outage_holds_the_request_until_aws_is_back() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.down = true;
    world.delete_request();
    let end = world.now + SignedDuration::from_hours(HOURS);
    operator.run_until(&mut world, end);
    assert!(world.request.is_some() && world.user.is_some());
    world.down = false;
    let end = end + SignedDuration::from_mins(2);
    operator.run_until(&mut world, end);
    assert!(world.request.is_none() && world.user.is_none());
}

/// Many leases, each with its own pauses: what they ask of AWS in each minute.
fn drain(leases: usize) {
    let outage = SignedDuration::from_hours(HOURS);
    let mut asked: BTreeMap<i64, usize> = BTreeMap::new();
    let begin = world().now;
    let end = begin + outage;
    for n in 0..leases {
        let mut world = world();
        let request = world.request.as_mut().unwrap();
        request.metadata.uid = Some(format!("uid-{n}"));
        request.spec.ttl = Some("5m".into());
        let mut operator = Operator::new();
        let soon = begin + SignedDuration::from_mins(1);
        operator.run_until(&mut world, soon);
        world.down = true;
        while world.now < end {
            let before = world.aws_calls().len();
            let minute = world.now.duration_since(begin).as_secs() / 60;
            let next = (world.now + SignedDuration::from_mins(1)).min(end);
            operator.run_until(&mut world, next);
            world.now = world.now.max(next);
            *asked.entry(minute).or_default() += world.aws_calls().len() - before;
            // All processes are new ones at half time.
            if minute == HOURS * 30 {
                operator.restart();
            }
            world.applied.clear();
        }
        assert!(world.user.is_some(), "{n}");
        world.down = false;
        let end: Timestamp = world.now + SignedDuration::from_mins(2);
        operator.run_until(&mut world, end);
        assert!(world.user.is_none() && world.secret.is_none(), "{n}");
        assert_eq!(status(&world).phase, Some(Phase::Expired), "{n}");
    }
    // Spread over the minute, each asks about once, also after the restart.
    let late = asked.range(20..HOURS * 60 - 2);
    let most = late.map(|(_, calls)| *calls).max().unwrap_or_default();
    println!("{leases} leases in an outage of {HOURS} h: {most} calls in the busiest minute");
    assert!(most <= leases * 2, "{most} calls in a minute");
}

/// Scenario 15, a part of it; what is done at full size is the next.
#[test]
fn leases_that_end_in_a_long_outage_ask_about_once_a_minute_and_drain() {
    drain(100);
}

#[test]
#[ignore = "minutes: make crashes"]
fn five_thousand_leases_that_end_in_a_long_outage_drain() {
    drain(5000);
}
