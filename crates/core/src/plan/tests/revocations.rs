//! Leases that their role revokes, with a mark in its status and without.

use std::sync::Arc;

use jiff::SignedDuration;

use super::leases::{rotating_world, run, status};
use super::operator::{Mishap, Operator};
use super::{marked, request, revoking, role, world};
use crate::plan::intent::has_finalizer;
use keylease_api::Phase;

#[test]
fn a_role_revokes_what_was_issued_before_and_nothing_after() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.role = Some(Arc::new(revoking(world.now)));
    world.applied.clear();
    run(&mut operator, &mut world, 1);
    assert_eq!(world.aws_calls(), ["clear", "clear", "delete_user"]);
    assert_eq!(status(&world).phase, Some(Phase::Revoked));
    assert!(world.secret.is_none() && !has_finalizer(world.request.as_ref().unwrap()));
    // A request that comes later is served.
    let mut later = request();
    later.metadata.uid = Some("later".into());
    world.request = Some(later);
    Operator::new().settle(&mut world);
    assert_eq!(status(&world).phase, Some(Phase::Ready));
}

#[test]
fn a_revocation_that_is_called_off_half_way_leaves_no_dead_key() {
    for dies_after in 0..5 {
        let mut world = world();
        run(&mut Operator::new(), &mut world, 5);
        world.role = Some(Arc::new(revoking(world.now)));
        world.applied.clear();
        let mut operator = Operator::with_mishaps(&[(dies_after, Mishap::DieAfter)]);
        operator.run_to_its_death(&mut world);
        assert_eq!(world.applied.first().map(String::as_str), Some("report"));
        world.role = Some(Arc::new(role()));
        run(&mut Operator::new(), &mut world, 5);
        let status = status(&world);
        assert_eq!(status.phase, Some(Phase::Ready), "{:?}", world.applied);
        let shown = status.credential.unwrap().access_key_id;
        assert_eq!(world.keys(), std::slice::from_ref(&shown));
        let secret = world.secret.as_ref().unwrap();
        assert_eq!(secret.key.as_ref().unwrap().0, shown);
    }
}

#[test]
fn a_marked_revocation_takes_the_key_before_it_says_so() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.role = Some(Arc::new(marked(world.now)));
    world.applied.clear();
    run(&mut operator, &mut world, 1);
    assert_eq!(
        world.applied,
        [
            "clear",
            "report",
            "delete_secret",
            "clear",
            "delete_user",
            "report",
            "release"
        ]
    );
    assert_eq!(status(&world).phase, Some(Phase::Revoked));
}

#[test]
fn a_marked_revocation_is_not_called_off() {
    for dies_after in 0..5 {
        let mut world = world();
        run(&mut Operator::new(), &mut world, 5);
        let marked = marked(world.now);
        world.role = Some(Arc::new(marked.clone()));
        world.applied.clear();
        let mut operator = Operator::with_mishaps(&[(dies_after, Mishap::DieAfter)]);
        operator.run_to_its_death(&mut world);
        assert_eq!(world.applied.first().map(String::as_str), Some("clear"));
        assert!(world.keys().is_empty());
        let mut back = marked;
        back.spec.revoke_before = None;
        world.role = Some(Arc::new(back));
        run(&mut Operator::new(), &mut world, 5);
        assert_eq!(status(&world).phase, Some(Phase::Revoked));
        assert!(world.user.is_none() && world.secret.is_none());
    }
}

#[test]
fn with_rotate_a_revocation_leads_to_a_new_credential() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.role = Some(Arc::new(revoking(world.now)));
    run(&mut operator, &mut world, 2);
    assert_eq!(status(&world).phase, Some(Phase::Ready));
    assert_eq!(world.keys(), ["AKIA2"]);
}

#[test]
fn a_revocation_that_lies_ahead_is_waited_for_and_does_not_churn() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let mut revoking = role();
    let ahead = world.now + SignedDuration::from_millis(5_500);
    revoking.spec.revoke_before = Some(ahead.into());
    world.role = Some(Arc::new(revoking));
    world.applied.clear();
    run(&mut operator, &mut world, 2);
    assert_eq!(
        world.applied.iter().filter(|e| *e == "create_user").count(),
        1
    );
    assert!(status(&world).lease.unwrap().issued_at.0 >= ahead);
}
