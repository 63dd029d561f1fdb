//! AWS is away for hours while a lease ends: the revocation never gives up,
//! asks about once a minute, and goes on after any restart where it was.

use jiff::SignedDuration;

use super::leases::status;
use super::operator::Operator;
use super::world;
use crate::api::Phase;

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
