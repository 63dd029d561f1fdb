//! The decisions of whole lives, rule by rule, as files to read: `golden/*.txt`.
//! `UPDATE_GOLDEN=1 cargo test --workspace --lib golden` writes them anew.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::leases::{rotating_world, run};
use super::operator::Operator;
use super::world::{StoredSecret, World};
use super::{marked, revoking, role, world};
use crate::plan::view::View;
use crate::plan::{Step, live, request};

/// One decision: where the request is, the rule that decides, and its step.
pub(super) fn decision(view: &View, now: Timestamp) -> String {
    let (mut rule, mut step) = request::decide(view, now);
    if let ("serve_lease", Some(live)) = (rule, view.live()) {
        (rule, step) = live::explained(view, live, now);
    }
    let stage = match view.gone {
        true => "Vanished",
        false => view.stage().name(),
    };
    let step = match &step {
        Step::Look(look) => look.name().to_owned(),
        Step::Do(effect) => effect.name().to_owned(),
        Step::TakeBack(verdict) => format!("take back: {}", verdict.reason.as_str()),
        Step::Wait(until) => format!("wait {}s", until.duration_since(now).as_secs()),
        Step::Rest => "rest".to_owned(),
    };
    format!("{stage:<10} {rule:<21} {step}")
}

/// Compares what was decided since with the file of that name.
fn expect(name: &str, operator: &Operator) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/plan/tests/golden")
        .join(format!("{name}.txt"));
    let decided = operator.decisions.as_ref().unwrap().join("\n") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &decided).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == decided,
        "{name} was decided otherwise; UPDATE_GOLDEN=1 writes the file anew:\n{decided}"
    );
}

/// An operator whose decisions are written down from now on.
fn watched() -> Operator {
    let mut operator = Operator::new();
    operator.decisions = Some(Vec::new());
    operator
}

/// A request with its first key, and an operator that is watched from there.
fn served(mut world: World) -> (World, Operator) {
    run(&mut Operator::new(), &mut world, 1);
    (world, watched())
}

fn minutes(world: &World, minutes: i64) -> Timestamp {
    world.now + SignedDuration::from_mins(minutes)
}

#[test]
fn a_lease_from_its_making_to_its_end() {
    let (mut world, mut operator) = (world(), watched());
    run(&mut operator, &mut world, 61);
    expect("lease", &operator);
}

#[test]
fn a_rotation_and_its_overlap() {
    let (mut world, mut operator) = served(rotating_world());
    run(&mut operator, &mut world, 57);
    expect("rotation", &operator);
}

#[test]
fn a_deletion() {
    let (mut world, mut operator) = served(world());
    world.delete_request();
    run(&mut operator, &mut world, 1);
    expect("deletion", &operator);
}

#[test]
fn a_revocation_by_the_role() {
    let (mut world, mut operator) = served(world());
    world.now += SignedDuration::from_secs(1);
    world.role = Some(Arc::new(revoking(world.now)));
    run(&mut operator, &mut world, 1);
    expect("revocation", &operator);
}

/// The mark in the role's status says it for all leases: the keys go first.
#[test]
fn a_revocation_by_a_mark() {
    let (mut world, mut operator) = served(world());
    world.now += SignedDuration::from_secs(1);
    world.role = Some(Arc::new(marked(world.now)));
    run(&mut operator, &mut world, 1);
    expect("mark", &operator);
}

#[test]
fn a_secret_that_was_deleted() {
    let (mut world, mut operator) = served(world());
    world.secret = None;
    run(&mut operator, &mut world, 1);
    expect("secret-lost", &operator);
}

#[test]
fn a_key_that_was_deleted_in_aws() {
    let (mut world, mut operator) = served(world());
    world.user.as_mut().unwrap().on_it.clear();
    operator.doubt(&world);
    run(&mut operator, &mut world, 2);
    expect("key-lost", &operator);
}

#[test]
fn a_secret_of_somebody_else_in_the_way() {
    let (mut world, mut operator) = (world(), watched());
    world.secret = Some(StoredSecret::foreign());
    run(&mut operator, &mut world, 1);
    expect("foreign-secret", &operator);
}

/// Refused while its user is half made: that is taken back.
#[test]
fn a_refusal_of_a_request_that_a_former_process_began() {
    let (mut world, mut operator) = (
        world(),
        Operator::with_mishaps(&[(2, super::Mishap::DieAfter)]),
    );
    operator.run_to_its_death(&mut world);
    operator.decisions = Some(Vec::new());
    let mut closed = role();
    closed.spec.allowed_namespaces = None;
    world.role = Some(Arc::new(closed));
    run(&mut operator, &mut world, 2);
    expect("refused-half-made", &operator);
}

#[test]
fn an_account_that_cannot_be_reached_at_the_end() {
    let (mut world, mut operator) = served(world());
    world.down = true;
    let until = minutes(&world, 60);
    operator.run_until(&mut world, until);
    world.down = false;
    run(&mut operator, &mut world, 5);
    expect("outage-at-the-end", &operator);
}
