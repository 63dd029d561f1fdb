//! A renewal asks the role as it is when it is asked for.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::leases::{renew, rotating_world, run, status, told};
use super::operator::Operator;
use super::{role, world};
use crate::plan::effect::FaultClass;
use keylease_api::{AllowedNamespaces, AwsRole, ConditionType, Phase, RoleTtl};

fn selecting() -> AwsRole {
    let mut role = role();
    let labels = [("team".to_owned(), "a".to_owned())].into();
    role.spec.allowed_namespaces = Some(AllowedNamespaces {
        names: Vec::new(),
        selector: Some(LabelSelector {
            match_labels: Some(labels),
            ..LabelSelector::default()
        }),
    });
    role
}

/// The lease was issued by a clock that was a day ahead, and is renewed by one
/// that is right: its end comes before its beginning.
#[test]
fn a_lease_from_tomorrow_that_is_renewed_is_rotated_in_time() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    world.now += SignedDuration::from_hours(24);
    run(&mut operator, &mut world, 1);
    world.now -= SignedDuration::from_hours(24);
    renew(&mut world, "40m");
    run(&mut operator, &mut world, 60);
    let secret = world.secret.clone().unwrap();
    assert_eq!(world.keys(), ["AKIA2"], "{:?}", world.applied);
    assert_eq!(secret.key.unwrap().0, "AKIA2");
}

#[test]
fn a_namespace_that_the_role_does_not_allow_any_more_renews_nothing() {
    let mut closed = role();
    closed.spec.allowed_namespaces = None;
    for role in [closed, selecting()] {
        let mut world = world();
        let mut operator = Operator::new();
        run(&mut operator, &mut world, 10);
        let before = status(&world).lease.unwrap();
        world.role = Some(Arc::new(role));
        renew(&mut world, "5h");
        world.applied.clear();
        run(&mut operator, &mut world, 5);
        let status = status(&world);
        let lease = status.lease.unwrap();
        assert_eq!(lease.expires_at, before.expires_at);
        assert_eq!((lease.renewals, status.phase), (0, Some(Phase::Ready)));
        assert_eq!(world.applied, ["report"], "told once");
        let told = told(&world, ConditionType::Ready);
        assert!(told.contains("does not allow namespace"), "{told}");
        assert_eq!(world.keys(), ["AKIA1"]);
    }
}

#[test]
fn a_lower_maximum_counts_from_the_issue() {
    for (max, minutes) in [("2h", 120), ("30m", 60)] {
        let mut world = world();
        let mut operator = Operator::new();
        run(&mut operator, &mut world, 10);
        let mut lower = role();
        lower.spec.ttl = Some(RoleTtl {
            default: Some("20m".into()),
            max: Some(max.into()),
        });
        world.role = Some(Arc::new(lower));
        renew(&mut world, "5h");
        run(&mut operator, &mut world, 1);
        let lease = status(&world).lease.unwrap();
        let length = lease.expires_at.0.duration_since(lease.issued_at.0);
        assert_eq!(length, SignedDuration::from_mins(minutes), "{max}");
        assert!(!lease.renewable || minutes == 60);
    }
}

/// Whoever cannot have another key can have more time for the present one.
#[test]
fn a_lease_whose_rotation_fails_is_renewed() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 30);
    world.refusing = vec![("create_key", FaultClass::AccessDenied)];
    run(&mut operator, &mut world, 20);
    let before = status(&world).lease.unwrap().expires_at.0;
    renew(&mut world, "5h");
    run(&mut operator, &mut world, 1);
    let lease = status(&world).lease.unwrap();
    assert!(lease.expires_at.0 > before + SignedDuration::from_hours(3));
    assert_eq!(world.keys(), ["AKIA1"]);
}
