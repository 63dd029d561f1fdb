//! Objects of which some cannot be read: what they hold ends in time, nothing
//! new is made for them, and nobody else is harmed.

use std::sync::Arc;

use super::leases::{ready_message, rotating_world, run, status};
use super::operator::{Mishap, Operator};
use super::sessions::sessions;
use super::world::World;
use super::{revoking, role, world};
use crate::plan::effect::FaultClass;
use crate::plan::intent::has_finalizer;
use crate::plan::view::AccountView;
use keylease_api::{ConditionType, Defects, Phase, Renew, get_condition};

fn odd() -> Defects {
    let mut defects = Defects::default();
    defects.add("spec.onExpiry", "unknown variant");
    defects
}

/// From now on some of the request cannot be read.
fn spoil(world: &mut World) {
    let request = world.request.as_mut().unwrap();
    request.spec.unreadable = odd();
    request.metadata.generation = Some(2);
    world.bump();
}

fn mend(world: &mut World) {
    world.request.as_mut().unwrap().spec.unreadable = Defects::default();
    world.bump();
}

fn condition(world: &World, kind: ConditionType) -> (String, String) {
    let status = status(world);
    let found = get_condition(&status.conditions, kind).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn ready(world: &World) -> (String, String) {
    condition(world, ConditionType::Ready)
}

fn told(status: &str) -> (String, String) {
    (status.to_owned(), "Unreadable".to_owned())
}

#[test]
fn its_lease_runs_to_its_end_and_is_not_rotated() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    spoil(&mut world);
    world.applied.clear();
    run(&mut operator, &mut world, 54);
    assert_eq!(world.applied, ["report"], "told once, and nothing else");
    assert_eq!(world.keys(), ["AKIA1"]);
    assert_eq!(ready(&world), told("True"));
    assert!(
        ready_message(&world).contains("spec.onExpiry"),
        "{}",
        ready_message(&world)
    );
    run(&mut operator, &mut world, 2);
    assert!(world.user.is_none() && world.secret.is_none());
    let now = status(&world);
    let issued = get_condition(&now.conditions, ConditionType::Issued).unwrap();
    assert!(issued.message.contains("none is made while"), "{issued:?}");
    run(&mut operator, &mut world, 60);
    assert!(world.user.is_none(), "nothing is issued");
    assert_eq!(ready(&world), told("False"));
    mend(&mut world);
    run(&mut operator, &mut world, 5);
    assert_eq!(status(&world).phase, Some(Phase::Ready));
    assert_eq!(world.keys(), ["AKIA2"]);
}

#[test]
fn it_ends_by_deletion_and_by_its_role() {
    let mut deleted = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut deleted, 5);
    spoil(&mut deleted);
    run(&mut operator, &mut deleted, 1);
    deleted.delete_request();
    run(&mut operator, &mut deleted, 1);
    assert!(deleted.request.is_none() && deleted.user.is_none() && deleted.secret.is_none());

    let mut revoked = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut revoked, 5);
    spoil(&mut revoked);
    revoked.role = Some(Arc::new(revoking(revoked.now)));
    run(&mut operator, &mut revoked, 1);
    assert!(revoked.user.is_none() && revoked.secret.is_none());
    assert_eq!(status(&revoked).phase, Some(Phase::Revoked));
}

/// A lease whose credential cannot be read ends by what AWS says is there.
#[test]
fn a_lease_without_its_credential_ends_too() {
    let mut world = world();
    run(&mut Operator::new(), &mut world, 5);
    spoil(&mut world);
    let status = world.request.as_mut().unwrap().status.as_mut().unwrap();
    status.credential = None;
    status.phase = None;
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 54);
    assert_eq!(world.keys(), ["AKIA1"]);
    run(&mut operator, &mut world, 2);
    assert!(world.user.is_none() && world.secret.is_none());
    assert!(!has_finalizer(world.request.as_ref().unwrap()));
}

/// The request becomes unreadable between two calls.
#[test]
fn what_is_half_made_is_removed() {
    for effects in 0..6 {
        let mut world = world();
        Operator::with_mishaps(&[(effects, Mishap::DieAfter)]).run_to_its_death(&mut world);
        spoil(&mut world);
        let mut operator = Operator::new();
        run(&mut operator, &mut world, 5);
        assert!(world.user.is_none(), "after {effects}: {:?}", world.applied);
        assert!(!has_finalizer(world.request.as_ref().unwrap()));
        assert_eq!(ready(&world), told("False"));
    }
}

#[test]
fn a_role_that_cannot_be_read_revokes_nothing_and_gives_nothing() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let mut unreadable = role();
    unreadable.spec.unreadable = odd();
    unreadable.spec.iam_user = None;
    world.role = Some(Arc::new(unreadable));
    run(&mut operator, &mut world, 53);
    assert_eq!(world.keys(), ["AKIA1"]);
    assert_eq!(ready(&world).0, "True");
    assert_eq!(condition(&world, ConditionType::Rotating), told("False"));
    run(&mut operator, &mut world, 5);
    assert!(world.user.is_none() && world.secret.is_none());
    assert_eq!(ready(&world), told("False"));
    world.role = Some(Arc::new(role()));
    run(&mut operator, &mut world, 10);
    assert_eq!(world.keys(), ["AKIA2"]);
}

#[test]
fn an_account_that_cannot_be_read_still_ends_leases() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let AccountView::Ready(facts) = &mut world.account else {
        panic!("the account is signed in to");
    };
    facts.unreadable = odd();
    run(&mut operator, &mut world, 53);
    assert_eq!(world.keys(), ["AKIA1"]);
    run(&mut operator, &mut world, 5);
    assert!(world.user.is_none() && world.secret.is_none());
}

/// Stored before there was a rule.
#[test]
fn a_renewal_at_no_time_is_refused_once() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.request.as_mut().unwrap().spec.renew = Some(Renew {
        at: "2026-11-23T10:00:00+99:99".into(),
        increment: None,
    });
    world.bump();
    world.applied.clear();
    run(&mut operator, &mut world, 50);
    assert_eq!(world.applied, ["report"]);
    assert_eq!(
        ready(&world),
        ("True".to_owned(), "RenewalRefused".to_owned())
    );
    assert!(ready_message(&world).contains("+99:99"));
    run(&mut operator, &mut world, 10);
    assert!(world.user.is_none());
    assert_eq!(status(&world).phase, Some(Phase::Expired));
}

/// A revocation at no time revokes nothing, and does not pass for one that does.
#[test]
fn a_role_that_revokes_before_no_time_says_so() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let mut bad = role();
    bad.metadata.generation = Some(2);
    bad.spec.revoke_before = Some("9999-12-31T23:59:59Z".into());
    let told = crate::plan::role::status(&bad, &world.account, 1, None, world.now);
    let ready = get_condition(&told.conditions, ConditionType::Ready).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "RoleInvalid")
    );
    assert!(ready.message.contains("revokeBefore"), "{}", ready.message);
    world.role = Some(Arc::new(bad));
    run(&mut operator, &mut world, 30);
    assert_eq!(world.keys(), ["AKIA1"]);
}

/// The API server took the Secret of a session, and the status that tells of it
/// met somebody's edit.
#[test]
fn a_session_that_no_status_tells_of_goes() {
    let mut world = world();
    world.role = Some(Arc::new(sessions()));
    let published = 2;
    let after = [(published, Mishap::DieAfter)];
    Operator::with_mishaps(&after).run_to_its_death(&mut world);
    assert!(world.secret.is_some());
    spoil(&mut world);
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    assert!(world.secret.is_none(), "{:?}", world.applied);
    assert_eq!(ready(&world), told("False"));
}

/// Attempts to remove the key before the present one are paced, whatever the
/// request asks for.
#[test]
fn a_removal_that_is_denied_is_paced() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    while world.keys().len() < 2 {
        run(&mut operator, &mut world, 1);
    }
    spoil(&mut world);
    world.refusing = vec![("clear", FaultClass::AccessDenied)];
    world.applied.clear();
    run(&mut operator, &mut world, 40);
    let tries = world.applied.iter().filter(|e| *e == "clear").count();
    assert!((5..60).contains(&tries), "{tries} tries");
    world.refusing.clear();
    run(&mut operator, &mut world, 5);
    assert_eq!(world.keys().len(), 1);
}
