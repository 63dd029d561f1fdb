//! Leases that go on: renewed, tidied up, and tampered with.

use std::sync::Arc;

use jiff::SignedDuration;

use super::operator::Operator;
use super::world::World;
use super::{request, role, world};
use crate::plan::effect::Attachment;
use crate::plan::intent::{INTENT_ANNOTATION, Intent, has_finalizer};
use keylease_api::{
    ConditionType, OnExpiry, Phase, Renew, Rotation, Workload, WorkloadKind, get_condition,
};

pub(super) fn status(world: &World) -> keylease_api::AwsCredentialRequestStatus {
    world.request.clone().unwrap().status.unwrap()
}

/// What a condition tells.
pub(super) fn told(world: &World, kind: ConditionType) -> String {
    let conditions = status(world).conditions;
    let found = get_condition(&conditions, kind);
    found.map(|c| c.message.clone()).unwrap_or_default()
}

pub(super) fn ready_message(world: &World) -> String {
    told(world, ConditionType::Ready)
}

/// `kubectl keylease renew`.
pub(super) fn renew(world: &mut World, increment: &str) {
    let at = world.now.into();
    let request = world.request.as_mut().unwrap();
    request.spec.renew = Some(Renew {
        at,
        increment: Some(increment.into()),
    });
    request.metadata.generation = request.metadata.generation.map(|g| g + 1);
    world.bump();
}

/// A request whose hourly lease is followed by another, with ten minutes of
/// overlap, and one workload to roll.
pub(super) fn rotating_world() -> World {
    let mut world = world();
    let mut request = request();
    request.spec.on_expiry = Some(OnExpiry::Rotate);
    request.spec.rotation = Some(Rotation {
        overlap: Some("10m".into()),
    });
    request.spec.restart = vec![Workload {
        kind: WorkloadKind::Deployment,
        name: "web".into(),
    }];
    world.request = Some(request);
    world
}

pub(super) fn run(operator: &mut Operator, world: &mut World, minutes: i64) {
    let end = world.now + SignedDuration::from_mins(minutes);
    operator.run_until(world, end);
    world.now = world.now.max(end);
}

#[test]
fn a_renewal_moves_the_end_once_and_no_further_than_the_maximum() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    let first = status(&world).lease.unwrap();
    renew(&mut world, "2h");
    world.applied.clear();
    run(&mut operator, &mut world, 1);
    assert_eq!(world.applied, ["amend_secret", "report"]);
    let second = status(&world).lease.unwrap();
    assert_eq!(
        second.expires_at.0.duration_since(first.issued_at.0),
        SignedDuration::from_mins(150)
    );
    assert_eq!((second.renewals, &second.issued_at), (1, &first.issued_at));
    let in_secret = world.secret.as_ref().unwrap().key.as_ref().unwrap().1;
    assert_eq!(in_secret.expires_at, second.expires_at.0);
    // Served once; another process does not serve it again.
    operator.restart();
    run(&mut operator, &mut world, 1);
    assert_eq!(status(&world).lease.unwrap(), second);
    // Not past the role's maximum since issue.
    renew(&mut world, "700h");
    run(&mut operator, &mut world, 1);
    let third = status(&world).lease.unwrap();
    assert_eq!(third.expires_at, first.max_expires_at);
    assert!(!third.renewable);
}

/// Asks for a renewal now, by the usual length.
pub(super) fn renew_now(world: &mut World) {
    let at = world.now.into();
    world.request.as_mut().unwrap().spec.renew = Some(Renew {
        at,
        increment: None,
    });
    world.bump();
}

#[test]
fn a_renewal_that_comes_after_the_end_changes_nothing() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.now = status(&world).lease.unwrap().expires_at.0;
    renew_now(&mut world);
    run(&mut operator, &mut world, 1);
    assert_eq!(status(&world).phase, Some(Phase::Expired));
    assert!(world.user.is_none());
}

/// The operator dies after each effect of a revocation, and the role is turned
/// back before another starts: the Secret is not left with a key that is gone.
/// The role's mark says that the revocation has begun: the status can wait until
/// the key is dead.
/// Whoever comes after the process that began goes by the mark, and turning the
/// role back calls nothing off.
#[test]
fn an_ended_request_is_deleted_in_time() {
    let mut world = world();
    world.request.as_mut().unwrap().spec.ttl_after_expiry = Some("30m".into());
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 80);
    assert_eq!(status(&world).phase, Some(Phase::Expired));
    run(&mut operator, &mut world, 20);
    assert!(world.request.is_none() && world.user.is_none());
}

#[test]
fn an_intent_that_was_written_by_hand_gives_nothing() {
    use crate::plan::intent::{FINALIZER, Permission, user_name_of};
    for (guarded, closed) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = world();
        let mut request = request();
        let admin = Permission::ManagedPolicy("arn:aws:iam::aws:policy/AdministratorAccess".into());
        let forged = Intent {
            uid: request.uid_str().into(),
            attempt: 1,
            account: "default".into(),
            account_id: "123456789012".into(),
            adopted: false,
            user_name: user_name_of(&request, &World::cluster()),
            path: "/".into(),
            boundary: None,
            permissions: vec![admin.clone()],
            retired: vec![],
            replaces: None,
            role: "role-uid/1".into(),
            ttl_seconds: 1 << 40,
            max_ttl_seconds: 1 << 40,
        };
        let annotations = request.metadata.annotations.get_or_insert_default();
        annotations.insert(INTENT_ANNOTATION.into(), forged.to_json());
        if guarded {
            request.metadata.finalizers = Some(vec![FINALIZER.into()]);
        }
        world.request = Some(request);
        if closed {
            let mut role = role();
            role.spec.allowed_namespaces = None;
            world.role = Some(Arc::new(role));
        }
        let mut operator = Operator::new();
        run(&mut operator, &mut world, 5);
        let told = format!("guarded {guarded}, closed {closed}: {:?}", world.applied);
        let wants = if closed { Phase::Failed } else { Phase::Ready };
        assert_eq!(status(&world).phase, Some(wants), "{told}");
        assert_eq!(world.user.is_none(), closed, "{told}");
        let on_it = world.user.iter().flat_map(|u| &u.on_it);
        assert!(
            on_it.clone().all(|a| *a != Attachment::from(&admin)),
            "{told}"
        );
    }
}

#[test]
fn a_finalizer_that_was_taken_off_is_put_back() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.request.as_mut().unwrap().metadata.finalizers = None;
    world.bump();
    operator.settle(&mut world);
    assert!(has_finalizer(world.request.as_ref().unwrap()));
    assert_eq!(world.keys(), ["AKIA1"]);
    world.delete_request();
    operator.settle(&mut world);
    assert!(world.user.is_none() && world.request.is_none());
}

#[test]
fn a_renewal_with_parts_of_a_second_is_served_once() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    let at = world.now + SignedDuration::from_micros(123_456);
    world.request.as_mut().unwrap().spec.renew = Some(Renew {
        at: at.into(),
        increment: None,
    });
    world.bump();
    run(&mut operator, &mut world, 1);
    assert_eq!(status(&world).lease.unwrap().renewals, 1);
}

#[test]
fn a_lost_secret_beside_an_edited_intent_leaves_one_key() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    let annotations = world
        .request
        .as_mut()
        .unwrap()
        .metadata
        .annotations
        .as_mut();
    let intent = annotations.unwrap().get_mut(INTENT_ANNOTATION).unwrap();
    *intent = intent.replace("ReadOnlyAccess", "AdministratorAccess");
    world.bump();
    world.secret = None;
    operator.settle(&mut world);
    assert_eq!(world.keys(), ["AKIA2"]);
    let policy = Attachment::ManagedPolicy("arn:aws:iam::aws:policy/AdministratorAccess".into());
    assert!(!world.user.unwrap().on_it.contains(&policy));
}

#[test]
fn an_intent_that_was_taken_off_a_live_request_does_not_leave_the_user_behind() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.request.as_mut().unwrap().metadata.annotations = None;
    world.bump();
    world.delete_request();
    operator.settle(&mut world);
    assert!(world.user.is_none() && world.request.is_none());
}

/// The intent is an annotation. What it says of the account's name is believed no
/// longer than until the role is read for the next key.
#[test]
fn an_account_that_was_edited_is_put_right_with_the_next_key() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let request = world.request.as_mut().unwrap();
    let mut edited = Intent::of(request, &World::cluster()).unwrap();
    edited.account = "elsewhere".into();
    let annotations = request.metadata.annotations.get_or_insert_default();
    annotations.insert(INTENT_ANNOTATION.into(), edited.to_json());
    world.bump();
    run(&mut operator, &mut world, 60);
    let request = world.request.as_ref().unwrap();
    let intent = Intent::of(request, &World::cluster()).unwrap();
    assert_eq!(intent.account, "default");
}
