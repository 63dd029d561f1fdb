//! A key that a responder made inactive, or a user that AWS put into quarantine:
//! no fresh key behind their backs.

use std::sync::Arc;

use super::leases::{renew_now, rotating_world, run, status};
use super::operator::Operator;
use super::world::World;
use crate::plan::standing::Standing;
use keylease_api::{ConditionType, OnDisabledKey, Phase, get_condition};

const QUARANTINE: &str = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3";

fn inactive() -> Standing {
    Standing::KeyInactive("AKIA1".into())
}

fn quarantined() -> Standing {
    Standing::Quarantined(QUARANTINE.into())
}

fn let_replace(world: &mut World) {
    let mut role = world.role.as_deref().unwrap().clone();
    role.spec.on_disabled_key = Some(OnDisabledKey::Replace);
    world.role = Some(Arc::new(role));
}

fn keys_made(world: &World) -> usize {
    world.applied.iter().filter(|e| *e == "create_key").count()
}

/// The reason of the condition, while there is one.
fn told(world: &World) -> Option<String> {
    let conditions = status(world).conditions;
    let suspended = get_condition(&conditions, ConditionType::Suspended)?;
    let usable = get_condition(&conditions, ConditionType::Usable).unwrap();
    assert_eq!(
        (suspended.status.as_str(), usable.status.as_str()),
        ("True", "False")
    );
    Some(suspended.reason.clone())
}

#[test]
fn a_key_out_of_service_gets_no_successor_and_ends_with_its_lease() {
    for (standing, reason) in [(inactive(), "KeyInactive"), (quarantined(), "Quarantined")] {
        let mut world = rotating_world();
        let mut operator = Operator::new();
        run(&mut operator, &mut world, 40);
        world.standing = standing;
        // Its rotation comes due, and its Secret is lost.
        run(&mut operator, &mut world, 12);
        assert_eq!(told(&world).as_deref(), Some(reason));
        world.secret = None;
        run(&mut operator, &mut world, 6);
        assert_eq!(
            (keys_made(&world), world.keys()),
            (1, vec!["AKIA1".to_owned()])
        );
        let told = world.applied.iter().filter(|e| *e == "report").count();
        run(&mut operator, &mut world, 1);
        let again = world.applied.iter().filter(|e| *e == "report").count();
        assert_eq!(told, again, "it is told once");
        // The end: gone, and not made anew although it rotates.
        run(&mut operator, &mut world, 60);
        assert!(world.user.is_none() && keys_made(&world) == 1);
        assert_eq!(status(&world).phase, Some(Phase::Expired));
    }
}

#[test]
fn a_key_in_service_again_is_told_and_rotated() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 40);
    world.standing = inactive();
    run(&mut operator, &mut world, 9);
    world.standing = Standing::Good;
    run(&mut operator, &mut world, 11);
    assert_eq!(told(&world), None);
    assert_eq!(keys_made(&world), 2);
    assert_eq!(status(&world).credential.unwrap().access_key_id, "AKIA2");
}

#[test]
fn where_the_role_says_replace_an_inactive_key_is_followed_and_a_quarantined_user_is_made_anew() {
    for (standing, users) in [(inactive(), 1), (quarantined(), 2)] {
        let mut world = rotating_world();
        let mut operator = Operator::new();
        let_replace(&mut world);
        run(&mut operator, &mut world, 40);
        world.standing = standing;
        run(&mut operator, &mut world, 5);
        while keys_made(&world) == 1 {
            run(&mut operator, &mut world, 1);
        }
        world.standing = Standing::Good;
        run(&mut operator, &mut world, 12);
        let made = world.applied.iter().filter(|e| *e == "create_user").count();
        assert_eq!((made, world.keys()), (users, vec!["AKIA2".to_owned()]));
        assert_eq!(
            (told(&world), status(&world).phase),
            (None, Some(Phase::Ready))
        );
    }
}

/// The sweep says so long before anything is due.
#[test]
fn what_the_sweep_saw_is_told_with_two_calls_and_taken_back_when_it_is_over() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.applied.clear();
    world.standing = quarantined();
    operator.doubt(&world);
    run(&mut operator, &mut world, 5);
    assert_eq!(told(&world).as_deref(), Some("Quarantined"));
    assert_eq!(world.applied, ["read_standing", "report"]);
    world.applied.clear();
    run(&mut operator, &mut world, 5);
    assert!(world.applied.is_empty(), "an idle lease costs no call");
    world.standing = Standing::Good;
    operator.doubt(&world);
    run(&mut operator, &mut world, 5);
    assert_eq!(told(&world), None);
}

/// A renewal is served: the end is later, and the key no more in service.
#[test]
fn what_else_is_told_of_a_key_out_of_service_does_not_make_it_usable() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.standing = inactive();
    operator.doubt(&world);
    run(&mut operator, &mut world, 5);
    let end = status(&world).lease.unwrap().expires_at;
    renew_now(&mut world);
    run(&mut operator, &mut world, 1);
    let after = status(&world);
    assert!(after.lease.unwrap().expires_at.0 > end.0);
    assert_eq!(told(&world).as_deref(), Some("KeyInactive"));
    let ready = get_condition(&after.conditions, ConditionType::Ready).unwrap();
    assert_eq!(ready.reason, "KeyInactive");
}
