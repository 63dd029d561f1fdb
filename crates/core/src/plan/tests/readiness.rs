//! What tools that wait go by (kstatus): every edit is acknowledged, a person who
//! has to act is told so, and an end that was asked for is done.

use std::sync::Arc;

use super::leases::{rotating_world, run, status};
use super::operator::Operator;
use super::world::World;
use super::{revoking, role, world};
use keylease_api::{
    AwsCredentialRequestSpec, ConditionType, OnExpiry, Phase, get_condition, set_condition,
};

/// Somebody edits the spec.
fn edit(world: &mut World, change: impl FnOnce(&mut AwsCredentialRequestSpec)) {
    let request = world.request.as_mut().unwrap();
    change(&mut request.spec);
    request.metadata.generation = request.metadata.generation.map(|g| g + 1);
    world.bump();
    world.applied.clear();
}

/// The condition's status and reason, while there is one.
fn is(world: &World, kind: ConditionType) -> Option<(String, String)> {
    let conditions = status(world).conditions;
    get_condition(&conditions, kind).map(|c| (c.status.clone(), c.reason.clone()))
}

fn says(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}

fn closed() -> Arc<keylease_api::AwsRole> {
    let mut closed = role();
    closed.spec.allowed_namespaces = None;
    Arc::new(closed)
}

/// The status and each of its conditions speak of the spec as it is.
fn acknowledged(world: &World) {
    let wanted = world.request.as_ref().unwrap().metadata.generation;
    let status = status(world);
    assert_eq!(status.observed_generation, wanted);
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, wanted, "{condition:?}");
    }
}

/// Once acknowledged it is not written again, by this process or the next.
fn is_left_alone(operator: &mut Operator, world: &mut World, minutes: i64) {
    world.applied.clear();
    run(operator, world, minutes);
    operator.restart();
    run(operator, world, minutes);
    assert!(world.applied.is_empty(), "{:?}", world.applied);
}

#[test]
fn an_edit_at_rest_is_acknowledged_by_one_write() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    acknowledged(&world);
    let before = status(&world);
    edit(&mut world, |spec| spec.ttl = Some("2h".into()));
    run(&mut operator, &mut world, 1);
    assert_eq!(world.applied, ["report"]);
    acknowledged(&world);
    let after = status(&world);
    assert_eq!(
        (after.lease, after.credential),
        (before.lease, before.credential)
    );
    assert_eq!(after.phase, Some(Phase::Ready));
    is_left_alone(&mut operator, &mut world, 5);
}

#[test]
fn an_edit_whose_next_key_is_refused_is_acknowledged_too() {
    let mut world = rotating_world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 5);
    world.role = Some(closed());
    run(&mut operator, &mut world, 50);
    let refused = says("False", "NamespaceNotAllowed");
    assert_eq!(is(&world, ConditionType::Rotating), refused);
    assert_eq!(
        is(&world, ConditionType::Stalled),
        None,
        "the lease is in force"
    );
    edit(&mut world, |spec| spec.restart.clear());
    run(&mut operator, &mut world, 1);
    acknowledged(&world);
    assert_eq!(is(&world, ConditionType::Rotating), refused);
}

#[test]
fn an_edit_while_a_revocation_waits_for_its_account_is_acknowledged() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 59);
    world.down = true;
    run(&mut operator, &mut world, 3);
    edit(&mut world, |spec| spec.on_expiry = Some(OnExpiry::Revoke));
    run(&mut operator, &mut world, 2);
    acknowledged(&world);
    assert_eq!(status(&world).phase, Some(Phase::Revoking));
}

#[test]
fn an_end_that_was_asked_for_has_no_ready_and_says_why() {
    let mut expired = world();
    run(&mut Operator::new(), &mut expired, 61);
    assert_eq!(status(&expired).phase, Some(Phase::Expired));
    assert_eq!(
        is(&expired, ConditionType::Revoked),
        says("True", "Expired")
    );

    let mut revoked = world();
    run(&mut Operator::new(), &mut revoked, 5);
    revoked.role = Some(Arc::new(revoking(revoked.now)));
    run(&mut Operator::new(), &mut revoked, 1);
    assert_eq!(status(&revoked).phase, Some(Phase::Revoked));
    assert_eq!(
        is(&revoked, ConditionType::Revoked),
        says("True", "Revoked")
    );

    for mut ended in [expired, revoked] {
        let mut operator = Operator::new();
        assert_eq!(is(&ended, ConditionType::Ready), None);
        assert_eq!(is(&ended, ConditionType::Stalled), None);
        acknowledged(&ended);
        edit(&mut ended, |spec| spec.ttl = Some("2h".into()));
        run(&mut operator, &mut ended, 1);
        assert_eq!(ended.applied, ["report"]);
        acknowledged(&ended);
        is_left_alone(&mut operator, &mut ended, 30);
    }
}

/// As a version before this one left it.
#[test]
fn an_ended_lease_whose_status_says_not_ready_is_put_right_once() {
    let mut world = world();
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 61);
    let now = world.now;
    let request = world.request.as_mut().unwrap();
    let generation = request.metadata.generation;
    let conditions = &mut request.status.as_mut().unwrap().conditions;
    let kind = ConditionType::Ready;
    set_condition(
        conditions, kind, false, "Expired", "it ended", generation, now,
    );
    world.bump();
    world.applied.clear();
    operator.restart();
    run(&mut operator, &mut world, 1);
    assert_eq!(world.applied, ["report"]);
    assert_eq!(is(&world, ConditionType::Ready), None);
    is_left_alone(&mut operator, &mut world, 30);
}

#[test]
fn what_a_person_has_to_change_is_stalled_until_it_moves() {
    let mut world = world();
    world.role = Some(closed());
    let mut operator = Operator::new();
    operator.settle(&mut world);
    let refused = says("False", "NamespaceNotAllowed");
    assert_eq!(is(&world, ConditionType::Ready), refused);
    let stalled = says("True", "NamespaceNotAllowed");
    assert_eq!(is(&world, ConditionType::Stalled), stalled);
    is_left_alone(&mut operator, &mut world, 30);
    // Gone before the first effect, and not only with the key.
    world.role = Some(Arc::new(role()));
    world.applied.clear();
    operator.settle(&mut world);
    assert_eq!(world.applied[..2], ["report", "begin"]);
    assert_eq!(is(&world, ConditionType::Stalled), None);
    assert_eq!(is(&world, ConditionType::Ready), says("True", "Issued"));
}

/// AWS is asked again and again, and says the same: that is no movement.
#[test]
fn what_aws_refuses_stays_stalled_while_it_is_asked_again() {
    let mut world = world();
    world.full = true;
    let mut operator = Operator::new();
    run(&mut operator, &mut world, 1);
    let first = status(&world);
    let since = |status: &keylease_api::AwsCredentialRequestStatus| {
        let told = get_condition(&status.conditions, ConditionType::Stalled).unwrap();
        assert_eq!(told.reason, "AwsQuotaExceeded");
        told.last_transition_time.clone()
    };
    run(&mut operator, &mut world, 10);
    let later = status(&world);
    assert!(later.failures > first.failures, "it was asked again");
    assert_eq!(since(&later), since(&first));
    world.full = false;
    run(&mut operator, &mut world, 5);
    assert_eq!(is(&world, ConditionType::Stalled), None);
    assert_eq!(status(&world).phase, Some(Phase::Ready));
}

#[test]
fn what_time_or_another_object_may_bring_is_not_stalled() {
    let mut without_role = world();
    without_role.role = None;
    let mut in_an_outage = world();
    in_an_outage.down = true;
    for (mut world, reason) in [
        (without_role, "RoleNotFound"),
        (in_an_outage, "AwsUnavailable"),
    ] {
        run(&mut Operator::new(), &mut world, 2);
        assert_eq!(is(&world, ConditionType::Ready), says("False", reason));
        assert_eq!(is(&world, ConditionType::Stalled), None, "{reason}");
    }
}
