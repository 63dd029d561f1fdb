//! A new key in time, the old one for an overlap.

use std::sync::Arc;

use jiff::SignedDuration;

use super::leases::{rotating_world, run, status, told};
use super::operator::Operator;
use super::{role, world};
use crate::plan::effect::Attachment;
use keylease_api::{ConditionType, Phase};

#[test]
fn a_rotation_proves_the_new_key_and_lets_the_old_one_live_for_the_overlap() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 44);
    world.applied.clear();
    run(&mut operator, &mut world, 2);
    assert_eq!(
        world.applied,
        [
            "read_standing",
            "begin",
            "create_key",
            "prove_key",
            "prove_key",
            "prove_key",
            "publish_secret",
            "restart_workload",
            "report"
        ]
    );
    assert_eq!(world.keys(), ["AKIA1", "AKIA2"]);
    assert_eq!(status(&world).previous.unwrap().access_key_id, "AKIA1");
    assert_eq!(world.rolled, [("web".to_owned(), "AKIA2".to_owned())]);
    let end_of_first = world.now;
    run(&mut operator, &mut world, 12);
    assert_eq!(world.keys(), ["AKIA2"]);
    assert!(status(&world).previous.is_none());
    assert!(
        status(&world).lease.unwrap().expires_at.0 > end_of_first + SignedDuration::from_mins(30)
    );
    assert_eq!(status(&world).phase, Some(Phase::Ready));
}

#[test]
fn rotations_go_on_for_days_on_one_user_with_two_keys_at_most() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    for _ in 0..200 {
        run(&mut operator, &mut world, 7);
        assert!(world.keys().len() <= 2, "{:?}", world.keys());
    }
    assert_eq!(
        world.applied.iter().filter(|e| *e == "create_user").count(),
        1
    );
    assert_eq!(
        world.applied.iter().filter(|e| *e == "list_keys").count(),
        0
    );
    assert!(world.rolled.len() > 20);
}

#[test]
fn without_an_overlap_the_old_key_goes_at_once() {
    let mut world = rotating_world();
    let request = world.request.as_mut().unwrap();
    request.spec.rotation.as_mut().unwrap().overlap = Some("0s".into());
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 62);
    assert_eq!(world.keys(), ["AKIA2"]);
    assert!(status(&world).previous.is_none());
}

#[test]
fn a_rotation_brings_the_user_to_what_the_role_says_today() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    let mut narrowed = role();
    narrowed.spec.iam_user.as_mut().unwrap().policy_arns =
        vec!["arn:aws:iam::aws:policy/Other".into()];
    narrowed.metadata.generation = Some(2);
    world.role = Some(Arc::new(narrowed));
    run(&mut operator, &mut world, 70);
    let on_it = &world.user.as_ref().unwrap().on_it;
    let policies: Vec<_> = on_it
        .iter()
        .filter(|a| matches!(a, Attachment::ManagedPolicy(_)))
        .collect();
    assert_eq!(
        policies,
        [&Attachment::ManagedPolicy(
            "arn:aws:iam::aws:policy/Other".into()
        )]
    );
    // What is off is not taken off again by the rotations that follow: each
    // removes the key before it, and nothing else.
    world.applied.clear();
    run(&mut operator, &mut world, 100);
    let count = |name: &str| world.applied.iter().filter(|e| *e == name).count();
    assert_eq!(count("clear"), count("create_key"), "{:?}", world.applied);
    world.delete_request();
    operator.settle(&mut world);
    assert!(world.user.is_none() && world.request.is_none());
}

/// The intent of a rotation names what is to be taken off the user. By the next
/// rotation it is off, and has to be put on again where the role wants it again.
#[test]
fn a_permission_that_comes_back_to_the_role_comes_back_to_the_user() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    let wide = role();
    let mut narrowed = role();
    narrowed.spec.iam_user.as_mut().unwrap().policy_arns =
        vec!["arn:aws:iam::aws:policy/Other".into()];
    for (generation, mut now) in [(2, narrowed), (3, wide)] {
        now.metadata.generation = Some(generation);
        let arns = now.spec.iam_user.clone().unwrap().policy_arns;
        world.role = Some(Arc::new(now));
        run(&mut operator, &mut world, 70);
        let on_it = world.user.as_ref().unwrap().on_it.iter();
        let policies: Vec<_> = on_it
            .filter(|a| matches!(a, Attachment::ManagedPolicy(_)))
            .cloned()
            .collect();
        let wanted: Vec<_> = arns.into_iter().map(Attachment::ManagedPolicy).collect();
        assert_eq!(policies, wanted, "generation {generation}");
    }
}

#[test]
fn a_role_that_no_longer_allows_it_lets_the_lease_run_out() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    let mut closed = role();
    closed.spec.allowed_namespaces = None;
    world.role = Some(Arc::new(closed));
    run(&mut operator, &mut world, 55);
    assert_eq!(world.keys(), ["AKIA1"]);
    let told = told(&world, ConditionType::Rotating);
    assert!(
        told.starts_with("no new key: role dev does not allow"),
        "{told}"
    );
    run(&mut operator, &mut world, 30);
    assert!(world.user.is_none() && world.secret.is_none());
    assert_eq!(status(&world).phase, Some(Phase::Failed));
}

#[test]
fn a_key_that_is_asked_for_within_a_second_is_made_once() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let at = world.now + SignedDuration::from_millis(700);
    let annotations = world
        .request
        .as_mut()
        .unwrap()
        .metadata
        .annotations
        .as_mut();
    annotations
        .unwrap()
        .insert(crate::plan::live::ROTATE_ANNOTATION.into(), at.to_string());
    world.bump();
    world.applied.clear();
    run(&mut operator, &mut world, 1);
    assert_eq!(
        world.applied.iter().filter(|e| *e == "create_key").count(),
        1
    );
    assert_eq!(world.keys().len(), 2);
}
