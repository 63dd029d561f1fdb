//! The life of a request, one story a test, with its effects counted.

use std::sync::Arc;

use jiff::SignedDuration;

use super::operator::{Mishap, Operator};
use super::world::{StoredSecret, User};
use super::{request, role, world};
use crate::plan::effect::{Attachment, FaultClass};
use crate::plan::intent::has_finalizer;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::view::AccountView;
use crate::plan::work::PROOFS;
use keylease_api::{ConditionType, Phase, get_condition};

fn ready_reason(world: &super::world::World) -> String {
    let status = world.request.as_ref().unwrap().status.as_ref().unwrap();
    let condition = get_condition(&status.conditions, ConditionType::Ready).unwrap();
    condition.reason.clone()
}

fn phase(world: &super::world::World) -> Option<Phase> {
    world.request.as_ref().unwrap().status.as_ref()?.phase
}

#[test]
fn issuing_takes_three_iam_calls_and_one_proof() {
    let mut world = world();
    Operator::new().settle(&mut world);
    assert_eq!(
        world.applied,
        [
            "begin",
            "check_secret",
            "create_user",
            "grant",
            "create_key",
            "prove_key",
            "prove_key",
            "prove_key",
            "publish_secret",
            "report"
        ]
    );
    assert_eq!(phase(&world), Some(Phase::Ready));
    assert_eq!(world.keys(), ["AKIA1"]);
    let status = world.request.unwrap().status.unwrap();
    let lease = status.lease.unwrap();
    let length = lease.expires_at.0.duration_since(lease.issued_at.0);
    assert_eq!(length, SignedDuration::from_hours(1));
    assert_eq!(status.credential.unwrap().access_key_id, "AKIA1");
}

/// A key waits for AWS when the process is told to hand over.
#[test]
fn a_key_that_nobody_was_given_is_taken_back_before_a_hand_over() {
    let proof = 5;
    let publication = proof + PROOFS as usize;
    for (at, taken_back) in [(proof, true), (publication, true), (publication + 1, false)] {
        let mut world = world();
        let mut operator = Operator::with_mishaps(&[(at, Mishap::HandOver)]);
        operator.settle(&mut world);
        let took = world.applied.contains(&"take_back_key".to_owned());
        assert_eq!(took, taken_back, "{at}: {:?}", world.applied);
        assert_eq!(phase(&world), Some(Phase::Ready));
        assert_eq!(world.keys().len(), 1);
    }
}

#[test]
fn deleting_takes_three_iam_calls_and_the_key_goes_first() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.applied.clear();
    world.delete_request();
    operator.settle(&mut world);
    assert_eq!(
        world.applied,
        ["clear", "delete_secret", "clear", "delete_user", "release"]
    );
    assert!(world.request.is_none() && world.user.is_none() && world.secret.is_none());
}

#[test]
fn a_lease_ends_on_time_and_the_request_stays_as_expired() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.applied.clear();
    let end = world.now + SignedDuration::from_hours(2);
    operator.run_until(&mut world, end);
    assert_eq!(world.aws_calls(), ["clear", "clear", "delete_user"]);
    assert_eq!(phase(&world), Some(Phase::Expired));
    assert!(world.user.is_none() && world.secret.is_none());
    assert!(!has_finalizer(world.request.as_ref().unwrap()));
    // And it stays so: another process finds nothing to do.
    world.applied.clear();
    Operator::new().settle(&mut world);
    assert!(world.applied.is_empty());
}

#[test]
fn an_idle_lease_costs_nothing_even_after_a_restart() {
    let mut world = world();
    Operator::new().settle(&mut world);
    world.applied.clear();
    Operator::new().settle(&mut world);
    assert!(world.applied.is_empty(), "{:?}", world.applied);
}

#[test]
fn the_secret_waits_until_the_key_works() {
    let mut world = world();
    world.key_delay = SignedDuration::from_secs(9);
    let begin = world.now;
    Operator::new().settle(&mut world);
    assert!(world.now.duration_since(begin) >= SignedDuration::from_secs(9));
    let proofs = world.applied.iter().filter(|e| *e == "prove_key").count();
    assert!((5..25).contains(&proofs), "{proofs} proofs in 9 s");
    assert_eq!(
        world.applied.iter().filter(|e| *e == "create_key").count(),
        1
    );
    assert_eq!(phase(&world), Some(Phase::Ready));
}

#[test]
fn a_key_that_never_works_is_replaced_and_told() {
    let mut world = world();
    world.key_delay = SignedDuration::from_hours(1);
    let mut operator = Operator::new();
    let end = world.now + SignedDuration::from_mins(5);
    operator.run_until(&mut world, end);
    assert_eq!(world.keys().len(), 1);
    assert!(world.applied.iter().filter(|e| *e == "create_key").count() >= 2);
    assert!(world.secret.is_none());
}

#[test]
fn a_foreign_secret_stops_the_request_before_aws_and_is_left_alone() {
    let mut world = world();
    world.secret = Some(StoredSecret::foreign());
    let mut operator = Operator::new();
    let end = world.now + SignedDuration::from_secs(5);
    operator.run_until(&mut world, end);
    assert!(world.aws_calls().is_empty());
    assert_eq!(phase(&world), Some(Phase::Failed));
    assert_eq!(ready_reason(&world), "SecretConflict");
    world.delete_request();
    operator.settle(&mut world);
    assert!(world.request.is_none());
    assert_eq!(world.secret.unwrap().version, 7);
}

/// The first attempt finds out; after that a retry looks, and writes nothing,
/// until the name is free.
#[test]
fn a_request_that_a_foreign_secret_blocks_writes_nothing_while_it_waits() {
    let mut world = world();
    let theirs = StoredSecret::foreign();
    world.secret = Some(theirs);
    let mut operator = Operator::new();
    let hour = world.now + SignedDuration::from_hours(1);
    operator.run_until(&mut world, hour);
    assert_eq!(
        world.applied,
        ["begin", "check_secret", "release", "report"],
        "one attempt, however long it waits"
    );
    // Another process writes nothing either.
    operator.restart();
    let hour = world.now + SignedDuration::from_hours(1);
    operator.run_until(&mut world, hour);
    assert_eq!(world.applied.len(), 4);
    world.secret = None;
    let soon = world.now + SignedDuration::from_secs(75);
    operator.run_until(&mut world, soon);
    assert_eq!(phase(&world), Some(Phase::Ready));
}

#[test]
fn a_foreign_user_of_our_name_is_never_touched() {
    let mut world = world();
    world.user = Some(User::default());
    let mut operator = Operator::new();
    let end = world.now + SignedDuration::from_secs(5);
    operator.run_until(&mut world, end);
    assert_eq!(ready_reason(&world), "UserConflict");
    world.delete_request();
    operator.settle(&mut world);
    assert!(world.request.is_none() && world.user.is_some());
}

#[test]
fn what_others_put_on_the_user_does_not_keep_it_alive() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    let user = world.user.as_mut().unwrap();
    user.on_it.insert(Attachment::LoginProfile);
    user.on_it.insert(Attachment::MfaDevice("m".into()));
    user.on_it.insert(Attachment::Key("AKIAother".into()));
    world.delete_request();
    operator.settle(&mut world);
    assert!(world.user.is_none() && world.request.is_none());
}

#[test]
fn a_lost_secret_comes_back_with_a_new_key_and_the_same_end() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    let lease = |w: &super::world::World| w.request.clone().unwrap().status.unwrap().lease;
    let before = lease(&world);
    world.secret = None;
    operator.settle(&mut world);
    assert_eq!(world.keys(), ["AKIA2"]);
    assert_eq!(
        world.secret.as_ref().unwrap().key.as_ref().unwrap().0,
        "AKIA2"
    );
    assert_eq!(lease(&world), before);
}

#[test]
fn nobody_is_allowed_by_default() {
    let mut world = world();
    let mut closed = role();
    closed.spec.allowed_namespaces = None;
    world.role = Some(Arc::new(closed));
    Operator::new().settle(&mut world);
    assert_eq!(phase(&world), Some(Phase::Failed));
    assert_eq!(ready_reason(&world), "NamespaceNotAllowed");
    assert_eq!(world.applied, ["report"]);
    // It proceeds by itself once the role allows it.
    world.role = Some(Arc::new(role()));
    Operator::new().settle(&mut world);
    assert_eq!(phase(&world), Some(Phase::Ready));
}

#[test]
fn a_ttl_above_the_maximum_is_refused_with_both_numbers() {
    let mut greedy = request();
    greedy.spec.ttl = Some("48h".into());
    let mut world = world();
    world.request = Some(greedy);
    Operator::new().settle(&mut world);
    assert_eq!(ready_reason(&world), "TtlAboveMaximum");
    let status = world.request.unwrap().status.unwrap();
    let message = &get_condition(&status.conditions, ConditionType::Ready)
        .unwrap()
        .message;
    assert!(
        message.contains("48h") && message.contains("24h"),
        "{message}"
    );
}

#[test]
fn an_account_that_is_not_ready_is_waited_for_even_when_revoking() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    let ready = world.account.clone();
    world.account = AccountView::NotReady(Verdict::new(Reason::AccountNotReady, "AWS is away"));
    world.delete_request();
    let soon = world.now + SignedDuration::from_secs(10);
    operator.run_until(&mut world, soon);
    assert!(world.user.is_some() && world.request.is_some());
    assert_eq!(phase(&world), Some(Phase::Revoking));
    world.account = ready;
    operator.settle(&mut world);
    assert!(world.user.is_none() && world.request.is_none());
}

#[test]
fn the_account_is_held_before_the_intent_is_written() {
    let mut world = world();
    world.account_held = false;
    Operator::new().settle(&mut world);
    assert_eq!(world.applied[..2], ["hold_account", "begin"]);
    assert_eq!(phase(&world), Some(Phase::Ready));
}

#[test]
fn nothing_is_made_in_an_account_that_cannot_be_held() {
    let mut world = world();
    world.account_held = false;
    world.refusing = vec![("hold_account", FaultClass::Unavailable)];
    let mut operator = Operator::new();
    let soon = world.now + SignedDuration::from_secs(60);
    operator.run_until(&mut world, soon);
    assert!(world.aws_calls().is_empty(), "{:?}", world.applied);
    assert!(
        !world.applied.iter().any(|e| e == "begin"),
        "{:?}",
        world.applied
    );
    world.refusing.clear();
    operator.settle(&mut world);
    assert_eq!(phase(&world), Some(Phase::Ready));
}

#[test]
fn an_intent_that_was_edited_by_hand_points_nowhere() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    let request = world.request.as_mut().unwrap();
    let annotations = request.metadata.annotations.as_mut().unwrap();
    for text in annotations.values_mut() {
        *text = text.replace("keylease-team", "admin");
    }
    let edited = world.request.clone().unwrap();
    let cluster = super::world::World::cluster();
    assert!(crate::plan::intent::Intent::of(&edited, &cluster).is_none());
}

#[test]
fn an_edited_secret_is_restored_with_a_new_key_once_a_minute() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    let written = world.secret.as_ref().unwrap().written.unwrap();
    for key in ["AKIA2", "AKIA3"] {
        world.secret.as_mut().unwrap().key = None;
        world.secret.as_mut().unwrap().version += 1;
        operator.settle(&mut world);
        assert_eq!(world.keys(), [key], "the one before is gone");
        let secret = world.secret.as_ref().unwrap();
        assert_eq!(secret.key.as_ref().unwrap().0, key);
        let pause = secret.written.unwrap().duration_since(written);
        assert!(pause >= SignedDuration::from_mins(1), "{pause}");
    }
}
