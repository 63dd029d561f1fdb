//! Static users: adopted, held by one, rotated, given back as they were.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::leases::{rotating_world, status};
use super::operator::Operator;
use super::world;
use super::world::{FOREIGN, Pathless, World};
use crate::plan::effect::Attachment;
use keylease_api::{AwsRole, ConditionType, Holder, Phase, get_condition};

fn run(operator: &mut Operator, world: &mut World, minutes: i64) {
    let end = world.now + SignedDuration::from_mins(minutes);
    operator.run_until(world, end);
    world.now = world.now.max(end);
}

fn holder(world: &World) -> Option<Holder> {
    let status = world.role.as_ref().unwrap().status.clone();
    status.unwrap_or_default().holder
}

/// It was there before us or not at all: a denial that finds none is believed at
/// once, also by a process that knows nothing.
#[test]
fn a_user_that_is_not_there_is_named_where_iam_denies_to_say_so() {
    let mut world = world().with_static_user("24h");
    world.user = None;
    world.pathless = Pathless::Denied;
    Operator::new().run_until(&mut world, super::start());
    let status = status(&world);
    let ready = get_condition(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(ready.reason, "UserNotFound", "{status:?}");
}

#[test]
fn a_user_is_claimed_before_its_key_is_made_and_given_back_after() {
    let mut world = world().with_static_user("24h");
    world.foreign_key();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 10);
    assert_eq!(
        world.applied,
        [
            "find_user",
            "begin",
            "check_secret",
            "list_keys",
            "claim",
            "create_key",
            "prove_key",
            "prove_key",
            "prove_key",
            "publish_secret",
            "report"
        ]
    );
    assert_eq!(holder(&world).unwrap().foreign_keys, [FOREIGN]);
    let credential = status(&world).credential.unwrap();
    assert_eq!(credential.type_, "staticUser");
    assert_eq!(
        credential.arn.as_deref(),
        Some("arn:aws:iam::123456789012:user/legacy")
    );
    world.applied.clear();
    world.delete_request();
    run(&mut operator, &mut world, 10);
    assert_eq!(
        world.applied,
        ["clear", "delete_secret", "unclaim", "release"]
    );
    assert_eq!(world.keys(), [FOREIGN]);
    assert_eq!(holder(&world), None);
}

#[test]
fn its_key_rotates_on_the_period_though_the_lease_is_to_be_revoked() {
    let mut world = world().with_static_user("20m");
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 10);
    let end = status(&world).lease.unwrap().expires_at;
    run(&mut operator, &mut world, 12);
    let now = status(&world);
    assert_eq!(
        now.lease.unwrap().expires_at,
        end,
        "the lease keeps its end"
    );
    assert_eq!(now.previous.unwrap().access_key_id, "AKIA1");
    assert_eq!(now.credential.unwrap().access_key_id, "AKIA2");
    run(&mut operator, &mut world, 8);
    assert_eq!(world.keys(), ["AKIA2"]);
    run(&mut operator, &mut world, 40);
    assert_eq!(status(&world).phase, Some(Phase::Expired));
    assert!(world.keys().is_empty());
    assert_eq!(holder(&world), None);
}

#[test]
fn two_keys_of_others_leave_no_room() {
    let mut world = world().with_static_user("24h");
    world.foreign_key();
    let user = world.user.as_mut().unwrap();
    user.on_it.insert(Attachment::Key("AKIAFOREIGN2".into()));
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let status = status(&world);
    assert_eq!(status.phase, Some(Phase::Failed));
    let told = format!("{:?}", status.conditions);
    assert!(told.contains("AKIAFOREIGN and AKIAFOREIGN2"), "{told}");
    assert_eq!(world.keys().len(), 2);
    assert_eq!(holder(&world), None);
}

#[test]
fn without_room_for_an_overlap_the_key_works_on_to_the_end_of_its_lease() {
    let mut world = rotating_world().with_static_user("24h");
    world.foreign_key();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 55);
    let now = status(&world);
    assert_eq!(now.credential.unwrap().access_key_id, "AKIA1");
    assert!(world.keys().contains(&"AKIA1".to_owned()));
    run(&mut operator, &mut world, 10);
    let now = status(&world);
    assert_eq!(now.phase, Some(Phase::Ready), "another follows at the end");
    assert_eq!(now.credential.unwrap().access_key_id, "AKIA2");
    assert_eq!(world.keys(), ["AKIA2", FOREIGN]);
}

#[test]
fn keys_of_a_holder_that_vanished_go_before_the_next_one_begins() {
    let mut world = world().with_static_user("24h");
    world.foreign_key();
    let user = world.user.as_mut().unwrap();
    user.on_it.insert(Attachment::Key("AKIALEFT".into()));
    let mut role = AwsRole::clone(world.role.as_ref().unwrap());
    role.status.get_or_insert_default().holder = Some(Holder {
        uid: "somebody".into(),
        user_name: "legacy".into(),
        account_id: "123456789012".into(),
        foreign_keys: vec![FOREIGN.into()],
        ..Holder::default()
    });
    world.role = Some(Arc::new(role));
    run(&mut Operator::new(), &mut world, 5);
    assert_eq!(world.keys(), ["AKIA1", FOREIGN]);
    assert_eq!(holder(&world).unwrap().uid, "request-uid");
}

#[test]
fn a_forged_intent_reaches_no_user_that_the_request_does_not_hold() {
    let mut world = world().with_static_user("24h");
    world.foreign_key();
    run(&mut Operator::new(), &mut world, 1);
    // The same annotation on a request that never claimed the user.
    let request = world.request.as_mut().unwrap();
    request.status = None;
    let mut role = AwsRole::clone(world.role.as_ref().unwrap());
    role.status = None;
    world.role = Some(Arc::new(role));
    world.secret = None;
    let keys = world.keys();
    world.delete_request();
    run(&mut Operator::new(), &mut world, 5);
    assert!(world.request.is_none());
    assert_eq!(world.keys(), keys);
}

/// The role says who holds the user until its last lease is gone.
#[test]
fn a_role_that_is_deleted_while_its_key_is_made_leaves_none() {
    let mut world = world().with_static_user("24h");
    world.foreign_key();
    world.key_delay = SignedDuration::from_mins(1);
    run(&mut Operator::new(), &mut world, 0);
    assert_eq!(world.keys().len(), 2, "a key is being proven");
    let mut leaving = AwsRole::clone(world.role.as_ref().unwrap());
    leaving.metadata.deletion_timestamp = Some(Time(world.now));
    world.role = Some(Arc::new(leaving));
    run(&mut Operator::new(), &mut world, 5);
    assert_eq!(world.keys(), [FOREIGN]);
    assert_eq!(holder(&world), None);
}

/// The status of a lease that lost its Secret does not show every key.
#[test]
fn a_lease_that_ends_while_its_secret_is_restored_leaves_no_key() {
    let mut world = world().with_static_user("24h");
    world.foreign_key();
    run(&mut Operator::new(), &mut world, 10);
    world.secret = None;
    world.key_delay = SignedDuration::from_mins(1);
    run(&mut Operator::new(), &mut world, 0);
    world.delete_request();
    run(&mut Operator::new(), &mut world, 5);
    assert!(world.request.is_none());
    assert_eq!(world.keys(), [FOREIGN]);
}

/// In the world of these tests the operator signs in as `user/operator`.
#[test]
fn the_operator_is_nobodys_static_user() {
    for name in ["operator", "Operator"] {
        let mut world = super::world().with_static_user("24h");
        let mut role = AwsRole::clone(world.role.as_ref().unwrap());
        role.spec.static_user.as_mut().unwrap().user_name = name.into();
        world.role = Some(Arc::new(role));
        let mut operator = Operator::new();
        operator.settle(&mut world);
        let status = world.request.as_ref().unwrap().status.clone().unwrap();
        let kind = keylease_api::ConditionType::Ready;
        let ready = keylease_api::get_condition(&status.conditions, kind).unwrap();
        assert_eq!(ready.reason, "RoleInvalid", "{name}: {}", ready.message);
        assert!(world.aws_calls().is_empty());
    }
}
