//! Leases that are sessions: nothing to delete, and nothing to renew.

use std::sync::Arc;

use jiff::SignedDuration;

use super::leases::{ready_message, rotating_world, run, status};
use super::operator::Operator;
use super::{role, world};
use crate::plan::intent::has_finalizer;
use keylease_api::{AssumedRole, AwsRole, Phase};

/// A role whose credentials are sessions.
pub(super) fn sessions() -> AwsRole {
    let mut sessions = role();
    sessions.spec.iam_user = None;
    sessions.spec.assumed_role = Some(AssumedRole {
        role_arns: vec!["arn:aws:iam::123456789012:role/dev".into()],
        ..AssumedRole::default()
    });
    sessions.spec.ttl.as_mut().unwrap().max = Some("12h".into());
    sessions
}

#[test]
fn a_session_costs_one_call_and_leaves_nothing_to_delete() {
    let mut world = world();
    world.role = Some(Arc::new(sessions()));
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    assert_eq!(
        world.applied,
        ["check_secret", "issue_session", "publish_secret", "report"]
    );
    assert!(!has_finalizer(world.request.as_ref().unwrap()));
    assert_eq!(status(&world).credential.unwrap().type_, "assumedRole");
    run(&mut operator, &mut world, 60);
    assert_eq!(status(&world).phase, Some(Phase::Expired));
    assert!(world.secret.is_none());
}

#[test]
fn a_rotating_session_is_issued_anew_before_it_ends() {
    let mut world = rotating_world();
    world.role = Some(Arc::new(sessions()));
    let mut operator = Operator::new();
    for _ in 0..100 {
        run(&mut operator, &mut world, 5);
        let lease = status(&world).lease.unwrap();
        assert!(
            lease.expires_at.0 > world.now,
            "an ended session in the Secret"
        );
    }
    assert!(world.rolled.len() >= 8);
}

#[test]
fn a_session_works_on_while_sts_is_away() {
    let mut world = rotating_world();
    world.role = Some(Arc::new(sessions()));
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let first = status(&world);
    world.down = true;
    let end = first.lease.unwrap().expires_at.0;
    operator.run_until(&mut world, end - SignedDuration::from_secs(1));
    let now = status(&world);
    assert!(now.failures > Some(0), "no attempt failed");
    assert_eq!(now.phase, Some(Phase::Ready));
    assert_eq!(now.credential, first.credential);
    assert!(world.secret.is_some());
    // At its end it is of no use to anybody, and is not left about.
    operator.run_until(&mut world, end + SignedDuration::from_mins(5));
    assert!(world.secret.is_none());
    assert_eq!(status(&world).credential, None);
    world.down = false;
    operator.run_until(&mut world, end + SignedDuration::from_mins(10));
    assert_eq!(status(&world).phase, Some(Phase::Ready));
    assert!(world.secret.is_some());
}

/// By the operator's clock each session is over as soon as it is there: AWS is
/// not asked for another at once, and the status says why.
#[test]
fn a_clock_that_is_ahead_of_awss_is_told_and_makes_no_storm() {
    let mut world = world();
    world.role = Some(Arc::new(sessions()));
    world.sts_behind = SignedDuration::from_hours(24);
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 10);
    let asked = world.applied.iter().filter(|e| *e == "issue_session");
    let asked = asked.count();
    assert!((4..20).contains(&asked), "{asked} times");
    assert!(world.secret.is_none());
    assert!(ready_message(&world).contains("set the clock"));
    world.sts_behind = SignedDuration::ZERO;
    run(&mut operator, &mut world, 2);
    assert_eq!(status(&world).phase, Some(Phase::Ready));
}
