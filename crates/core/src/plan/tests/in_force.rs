//! A lease in force ends by its end, its revocation or its deletion, and by
//! nothing else: whatever refuses its next key.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::leases::{rotating_world, run, status, told};
use super::operator::{Mishap, Operator};
use super::world::{StoredSecret, World};
use super::{role, world};
use crate::plan::effect::{Attachment, FaultClass};
use crate::plan::live::ROTATE_ANNOTATION;
use crate::plan::work::PROOFS;
use keylease_api::{ConditionType, Phase, RoleTtl, get_condition};

/// The place of `publish_secret` in a rotation, after `read_standing`, `begin`,
/// `create_key` and the proofs.
const PUBLICATION: usize = 3 + PROOFS as usize;

const OTHER: &str = "arn:aws:iam::aws:policy/Other";

/// That role with another policy.
fn edited() -> keylease_api::AwsRole {
    let mut edited = role();
    edited.spec.iam_user.as_mut().unwrap().policy_arns = vec![OTHER.into()];
    edited.metadata.generation = Some(2);
    edited
}

fn is(world: &World, kind: ConditionType) -> Option<String> {
    let conditions = status(world).conditions;
    get_condition(&conditions, kind).map(|c| c.status.clone())
}

fn in_secret(world: &World) -> String {
    let secret = world.secret.as_ref().expect("no Secret");
    secret.key.as_ref().expect("no key").0.clone()
}

/// The lease runs on, with what it had, and says what its next key meets with.
fn runs_on(world: &World, key: &str, why: &str) {
    let done = &world.applied;
    assert_eq!(world.keys(), [key], "{why}: {done:?}");
    assert_eq!(status(world).phase, Some(Phase::Ready), "{why}: {done:?}");
    assert_eq!(is(world, ConditionType::Ready).as_deref(), Some("True"));
    let rotating = is(world, ConditionType::Rotating);
    assert_eq!(rotating.as_deref(), Some("False"), "{why}: {done:?}");
    let message = told(world, ConditionType::Rotating);
    assert!(message.starts_with("no new key: "), "{why}: {message}");
}

#[test]
fn a_rotation_that_is_refused_leaves_the_lease_as_it_was() {
    let all = [
        ("grant", FaultClass::Refused),
        ("grant", FaultClass::AccessDenied),
        ("grant", FaultClass::NotFound),
        ("grant", FaultClass::QuotaExceeded),
        ("create_key", FaultClass::Refused),
        ("create_key", FaultClass::AccessDenied),
        ("create_key", FaultClass::QuotaExceeded),
        ("prove_key", FaultClass::AccessDenied),
        ("publish_secret", FaultClass::Refused),
        ("publish_secret", FaultClass::AccessDenied),
        ("publish_secret", FaultClass::NotFound),
    ];
    for (effect, class) in all {
        for restarts in [false, true] {
            let why = format!("{effect} {class:?}, restarts {restarts}");
            let mut world = rotating_world();
            let mut operator = Operator::new();
            run(&mut operator, &mut world, 30);
            world.role = Some(Arc::new(edited()));
            world.refusing = vec![(effect, class)];
            world.applied.clear();
            run(&mut operator, &mut world, 18);
            if restarts {
                operator.restart();
            }
            run(&mut operator, &mut world, 7);
            if effect != "prove_key" {
                runs_on(&world, "AKIA1", &why);
                let policies = world.user.as_ref().unwrap().on_it.iter();
                let other = Attachment::ManagedPolicy(OTHER.into());
                assert!(policies.clone().all(|a| *a != other), "{why}");
            }
            assert_eq!(in_secret(&world), "AKIA1", "{why}");
            assert!(status(&world).failures > Some(3), "{why}");
            let tried = world.applied.iter().filter(|e| *e == effect).count();
            assert!((2..40).contains(&tried), "{why}: {tried} times");
            // Whoever mends it gets the next key, as the role says.
            world.refusing.clear();
            run(&mut operator, &mut world, 3);
            assert_ne!(in_secret(&world), "AKIA1", "{why}: {:?}", world.applied);
            assert_eq!(is(&world, ConditionType::Rotating), None, "{why}");
            assert_eq!(status(&world).previous.unwrap().access_key_id, "AKIA1");
            let on_it = &world.user.as_ref().unwrap().on_it;
            let other = Attachment::ManagedPolicy(OTHER.into());
            assert!(on_it.contains(&other), "{why}: {:?}", world.applied);
        }
    }
}

#[test]
fn a_role_that_is_mended_after_a_refusal_is_read_again() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    world.role = Some(Arc::new(edited()));
    world.refusing = vec![("grant", FaultClass::NotFound)];
    run(&mut operator, &mut world, 20);
    // The policy that does not exist is refused for ever; the role names it no more.
    world.role = Some(Arc::new(role()));
    run(&mut operator, &mut world, 3);
    assert_eq!(in_secret(&world), "AKIA2", "{:?}", world.applied);
}

#[test]
fn what_cannot_be_rotated_lapses_at_its_end() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    let end = status(&world).lease.unwrap().expires_at.0;
    world.refusing = vec![("create_key", FaultClass::AccessDenied)];
    operator.run_until(&mut world, end - SignedDuration::from_secs(1));
    runs_on(&world, "AKIA1", "before the end");
    operator.run_until(&mut world, end);
    assert!(world.keys().is_empty(), "{:?}", world.applied);
    run(&mut operator, &mut world, 1);
    assert!(world.keys().is_empty() && world.secret.is_none());
}

#[test]
fn a_role_that_allows_less_time_is_told_while_the_lease_runs() {
    let mut world = rotating_world();
    world.request.as_mut().unwrap().spec.ttl = Some("24h".into());
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 60);
    let mut short = role();
    short.spec.ttl = Some(RoleTtl {
        default: Some("1h".into()),
        max: Some("12h".into()),
    });
    world.role = Some(Arc::new(short));
    let end = status(&world).lease.unwrap().expires_at.0;
    let hours_before = end - SignedDuration::from_mins(110);
    operator.run_until(&mut world, hours_before);
    runs_on(&world, "AKIA1", "ttl.max");
    assert!(told(&world, ConditionType::Rotating).contains("24h"));
    // The end is kept to the second, whatever is waited for.
    operator.run_until(&mut world, end);
    assert!(world.user.is_none() && world.secret.is_none());
}

#[test]
fn a_lost_secret_that_is_refused_costs_no_key() {
    for refused in ["check_secret", "create_key", "grant"] {
        let mut world = world();
        let mut operator = Operator::new();
        run(&mut operator, &mut world, 5);
        world.secret = None;
        world.refusing = vec![(refused, FaultClass::AccessDenied)];
        run(&mut operator, &mut world, 10);
        assert!(world.user.is_some(), "{refused}");
        if refused == "check_secret" {
            assert_eq!(world.keys(), ["AKIA1"], "whoever read it goes on");
            assert_eq!(is(&world, ConditionType::Usable).as_deref(), Some("False"));
        }
        assert_eq!(
            is(&world, ConditionType::Rotating).as_deref(),
            Some("False")
        );
        world.refusing.clear();
        run(&mut operator, &mut world, 3);
        assert_eq!(world.keys(), [in_secret(&world)], "{refused}");
        assert_eq!(is(&world, ConditionType::Usable).as_deref(), Some("True"));
    }
}

#[test]
fn a_foreign_secret_of_that_name_ends_no_lease() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.secret = Some(StoredSecret::foreign());
    world.applied.clear();
    run(&mut operator, &mut world, 30);
    runs_on(&world, "AKIA1", "a foreign Secret");
    assert_eq!(world.applied, ["report"], "told once");
    world.secret = None;
    run(&mut operator, &mut world, 6);
    assert_eq!(in_secret(&world), "AKIA2");
}

#[test]
fn a_user_that_was_changed_gives_no_new_key_and_keeps_the_present_one() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    world.user.as_mut().unwrap().ours = false;
    operator.restart();
    world.secret = None;
    run(&mut operator, &mut world, 5);
    assert_eq!(world.keys(), ["AKIA1"]);
    assert_eq!(status(&world).phase, Some(Phase::Ready));
}

fn ask(world: &mut World, at: &str) {
    let request = world.request.as_mut().unwrap();
    let annotations = request.metadata.annotations.get_or_insert_default();
    annotations.insert(ROTATE_ANNOTATION.into(), at.into());
    world.bump();
}

#[test]
fn a_rotation_that_is_asked_for_later_does_not_put_off_the_regular_one() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    let tomorrow = world.now + SignedDuration::from_hours(24);
    ask(&mut world, &tomorrow.to_string());
    run(&mut operator, &mut world, 50);
    assert_eq!(world.keys(), ["AKIA1", "AKIA2"]);
    run(&mut operator, &mut world, 120);
    let made = world.applied.iter().filter(|e| *e == "create_user").count();
    assert_eq!(made, 1, "{:?}", world.applied);
}

#[test]
fn a_rotation_at_no_time_is_told_until_it_is_corrected() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    ask(&mut world, "tonight");
    world.applied.clear();
    run(&mut operator, &mut world, 10);
    runs_on(&world, "AKIA1", "tonight");
    assert!(told(&world, ConditionType::Rotating).contains("tonight"));
    assert_eq!(world.applied, ["report"], "once");
    operator.restart();
    run(&mut operator, &mut world, 1);
    assert_eq!(world.applied, ["report"]);
    let now = world.now.to_string();
    ask(&mut world, &now);
    run(&mut operator, &mut world, 1);
    assert_eq!(in_secret(&world), "AKIA2");
    assert_eq!(is(&world, ConditionType::Rotating), None);
}

#[test]
fn a_conflict_over_nothing_is_counted_and_paced() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    world.conflicts_until = world.now + SignedDuration::from_secs(60);
    world.delete_request();
    world.applied.clear();
    let end = world.now + SignedDuration::from_secs(59);
    operator.run_until(&mut world, end);
    let calls = world.aws_calls().len();
    assert!((6..40).contains(&calls), "{calls} calls in a minute");
    assert!(status(&world).failures > Some(2));
    run(&mut operator, &mut world, 3);
    assert!(world.user.is_none() && world.request.is_none());
}

/// The process dies between Secret and status, and the role is edited: the key
/// that pods still use keeps its overlap.
#[test]
fn a_delivered_key_is_told_of_before_the_role_is_followed() {
    for closed in [false, true] {
        let mut world = rotating_world();
        run(&mut Operator::new(), &mut world, 44);
        let mut dies = Operator::with_mishaps(&[(PUBLICATION, Mishap::DieAfter)]);
        world.now += SignedDuration::from_mins(2);
        dies.run_to_its_death(&mut world);
        assert_eq!(in_secret(&world), "AKIA2");
        let mut edited = edited();
        if closed {
            edited.spec.allowed_namespaces = None;
        }
        world.role = Some(Arc::new(edited));
        let soon = world.now + SignedDuration::from_mins(1);
        Operator::new().run_until(&mut world, soon);
        let status = status(&world);
        let done = &world.applied;
        assert_eq!(world.keys(), ["AKIA1", "AKIA2"], "{closed}: {done:?}");
        assert_eq!(status.credential.unwrap().access_key_id, "AKIA2");
        assert_eq!(status.previous.unwrap().access_key_id, "AKIA1");
    }
}

#[test]
fn a_failure_that_lies_ahead_holds_up_nothing() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    let ahead = world.now + SignedDuration::from_hours(5);
    let request = world.request.as_mut().unwrap();
    let status = request.status.as_mut().unwrap();
    status.failures = Some(9);
    status.last_failure_time = Some(Time(ahead));
    status.observed_generation = request.metadata.generation;
    world.bump();
    world.now = status_end(&world);
    let soon = world.now + SignedDuration::from_secs(2);
    operator.run_until(&mut world, soon);
    assert!(world.user.is_none() && world.secret.is_none());
}

fn status_end(world: &World) -> jiff::Timestamp {
    status(world).lease.unwrap().expires_at.0
}

#[test]
fn a_workload_that_cannot_be_rolled_holds_nothing_up() {
    for class in [
        FaultClass::NotFound,
        FaultClass::AccessDenied,
        FaultClass::Refused,
        FaultClass::Unavailable,
        FaultClass::NoAnswer,
    ] {
        let mut world = rotating_world();
        let web = world.request.as_ref().unwrap().spec.restart[0].clone();
        let mut other = web.clone();
        other.name = "other".into();
        let request = world.request.as_mut().unwrap();
        request.spec.restart = vec![web, other];
        let mut operator = Operator::new();
        run(&mut operator, &mut world, 44);
        world.refusing = vec![("restart_workload", class)];
        run(&mut operator, &mut world, 3);
        let now = status(&world);
        let done = &world.applied;
        assert_eq!(now.credential.unwrap().access_key_id, "AKIA2", "{done:?}");
        assert_eq!(now.previous.unwrap().access_key_id, "AKIA1");
        assert_eq!(now.phase, Some(Phase::Ready));
        let told: Vec<_> = now
            .restarts
            .iter()
            .map(|r| (r.name.as_str(), r.rolled))
            .collect();
        assert_eq!(told, [("web", false), ("other", false)]);
        assert!(now.restarts.iter().all(|r| r.message.is_some()));
        let tried = done.iter().filter(|e| *e == "restart_workload").count();
        assert!(tried <= 5, "{class:?}: {tried} times");
        run(&mut operator, &mut world, 12);
        assert_eq!(world.keys(), ["AKIA2"], "the overlap is over");
    }
}

/// The Secret holds the next key, and the status could not be written before the
/// end that it shows.
#[test]
fn a_lease_that_was_delivered_goes_on_past_the_end_in_the_status() {
    let mut world = rotating_world();
    run(&mut Operator::new(), &mut world, 44);
    let mut dies = Operator::with_mishaps(&[(PUBLICATION, Mishap::DieAfter)]);
    world.now += SignedDuration::from_mins(2);
    dies.run_to_its_death(&mut world);
    world.now = status_end(&world) + SignedDuration::from_secs(5);
    run(&mut Operator::new(), &mut world, 1);
    let done = &world.applied;
    assert_eq!(in_secret(&world), "AKIA2", "{done:?}");
    assert!(world.keys().contains(&"AKIA2".to_owned()), "{done:?}");
    assert_eq!(status(&world).credential.unwrap().access_key_id, "AKIA2");
    assert!(world.now < status_end(&world));
    assert!(!done.contains(&"delete_user".to_owned()), "{done:?}");
}

/// A clock that was a day ahead ended the lease, and was set right when its key was
/// gone and its Secret was not.
#[test]
fn a_lease_that_a_wrong_clock_began_to_end_gets_another_key() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 10);
    let right = world.now;
    world.now += SignedDuration::from_hours(24);
    world.refusing = vec![("delete_secret", FaultClass::AccessDenied)];
    run(&mut operator, &mut world, 1);
    assert!(world.keys().is_empty(), "{:?}", world.applied);
    assert!(world.secret.is_some());
    world.now = right;
    world.refusing.clear();
    run(&mut operator, &mut world, 5);
    assert_eq!(world.keys(), [in_secret(&world)], "{:?}", world.applied);
    assert_eq!(status(&world).phase, Some(Phase::Ready));
}
