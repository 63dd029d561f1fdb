//! Leases that go on: rotation, renewal, revocation by the role, sessions.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::operator::{Mishap, Operator};
use super::world::World;
use super::{marked, request, revoking, role, world};
use crate::api::{
    AssumedRole, AwsRole, ConditionType, OnExpiry, Phase, Renew, Rotation, Workload, WorkloadKind,
    get_condition,
};
use crate::plan::effect::Attachment;
use crate::plan::intent::has_finalizer;

pub(super) fn status(world: &World) -> crate::api::AwsCredentialRequestStatus {
    world.request.clone().unwrap().status.unwrap()
}

fn ready_message(world: &World) -> String {
    let conditions = status(world).conditions;
    get_condition(&conditions, ConditionType::Ready)
        .unwrap()
        .message
        .clone()
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
fn a_rotation_proves_the_new_key_and_lets_the_old_one_live_for_the_overlap() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 45);
    world.applied.clear();
    run(&mut operator, &mut world, 6);
    assert_eq!(
        world.applied,
        [
            "begin",
            "create_key",
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
    assert!(ready_message(&world).starts_with("no new key: role dev does not allow"));
    run(&mut operator, &mut world, 30);
    assert!(world.user.is_none() && world.secret.is_none());
    assert_eq!(status(&world).phase, Some(Phase::Failed));
}

#[test]
fn a_renewal_moves_the_end_once_and_no_further_than_the_maximum() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    let first = status(&world).lease.unwrap();
    let renew = |world: &mut World, increment: &str| {
        let at = Time(world.now);
        let request = world.request.as_mut().unwrap();
        request.spec.renew = Some(Renew {
            at,
            increment: Some(increment.into()),
        });
        request.metadata.generation = request.metadata.generation.map(|g| g + 1);
        world.bump();
    };
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

#[test]
fn a_renewal_that_comes_after_the_end_changes_nothing() {
    let mut world = world();
    let mut operator = Operator::new();
    operator.settle(&mut world);
    world.now = status(&world).lease.unwrap().expires_at.0;
    let at = Time(world.now);
    world.request.as_mut().unwrap().spec.renew = Some(Renew {
        at,
        increment: None,
    });
    world.bump();
    run(&mut operator, &mut world, 1);
    assert_eq!(status(&world).phase, Some(Phase::Expired));
    assert!(world.user.is_none());
}

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

/// The operator dies after each effect of a revocation, and the role is turned
/// back before another starts: the Secret is not left with a key that is gone.
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

/// The role's mark says that the revocation has begun: the status can wait until
/// the key is dead.
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

/// Whoever comes after the process that began goes by the mark, and turning the
/// role back calls nothing off.
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
fn an_ended_request_is_deleted_in_time() {
    let mut world = world();
    world.request.as_mut().unwrap().spec.ttl_after_expiry = Some("30m".into());
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 80);
    assert_eq!(status(&world).phase, Some(Phase::Expired));
    run(&mut operator, &mut world, 20);
    assert!(world.request.is_none() && world.user.is_none());
}

/// A role whose credentials are sessions.
fn sessions() -> AwsRole {
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

#[test]
fn an_intent_that_was_written_by_hand_gives_nothing() {
    use crate::plan::intent::{FINALIZER, INTENT_ANNOTATION, Intent, Permission, user_name_of};
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
        at: Time(at),
        increment: None,
    });
    world.bump();
    run(&mut operator, &mut world, 1);
    assert_eq!(status(&world).lease.unwrap().renewals, 1);
}

#[test]
fn a_lost_secret_beside_an_edited_intent_leaves_one_key() {
    use crate::plan::intent::INTENT_ANNOTATION;
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

#[test]
fn a_revocation_that_lies_ahead_is_waited_for_and_does_not_churn() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    let mut revoking = role();
    let ahead = world.now + SignedDuration::from_millis(5_500);
    revoking.spec.revoke_before = Some(Time(ahead));
    world.role = Some(Arc::new(revoking));
    world.applied.clear();
    run(&mut operator, &mut world, 2);
    assert_eq!(
        world.applied.iter().filter(|e| *e == "create_user").count(),
        1
    );
    assert!(status(&world).lease.unwrap().issued_at.0 >= ahead);
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
