//! The life of the operator's own key, one story a test.

use jiff::SignedDuration;

use super::world::{FIRST, PERIOD, Process, World};
use crate::plan::effect::FaultClass;
use crate::plan::root_rotation::user_of;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn a_young_key_is_left_alone_and_its_time_is_told() {
    let mut world = World::with_key_aged(HOUR);
    Process::start(&world, &[]).run_for(&mut world, HOUR);
    assert_eq!(world.applied, ["list_keys", "report"]);
    let root_key = world.told.as_ref().unwrap().root_key.clone().unwrap();
    assert_eq!(root_key.id, FIRST);
    assert_eq!(root_key.rotated_at.0, world.keys[0].created);
    assert_eq!(root_key.next_rotation.0, world.keys[0].created + PERIOD);
}

#[test]
fn an_idle_key_costs_no_call_to_aws_even_after_a_restart() {
    let mut world = World::with_key_aged(HOUR);
    Process::start(&world, &[]).run_for(&mut world, HOUR);
    world.applied.clear();
    Process::start(&world, &[]).run_for(&mut world, HOUR);
    assert_eq!(world.applied, ["report"]);
}

#[test]
fn the_old_key_goes_last() {
    let mut world = World::with_key_aged(PERIOD);
    let mut process = Process::start(&world, &[]);
    process.run_for(&mut world, HOUR);
    let proofs = world.count("prove_key");
    assert!((4..12).contains(&proofs), "{proofs} proofs");
    world.applied.retain(|effect| *effect != "prove_key");
    assert_eq!(
        world.applied,
        [
            "list_keys",
            "report",
            "claim",
            "create_key",
            "store",
            "sign_in",
            "delete_key",
            "unclaim",
            "list_keys",
            "report"
        ]
    );
    assert_eq!(world.ids(), ["AKIA1"]);
    assert_eq!(world.key_in_secret, "AKIA1");
    // And again, a period later.
    process.run_for(&mut world, PERIOD + HOUR);
    assert_eq!(world.ids(), ["AKIA2"]);
}

#[test]
fn a_second_key_of_somebody_else_is_told_and_left_alone() {
    let mut world = World::with_key_aged(PERIOD);
    world.add_key("AKIAOTHER", HOUR);
    let mut process = Process::start(&world, &[]);
    process.run_for(&mut world, HOUR);
    assert_eq!(world.reason(), Some("ForeignKey"));
    let message = &world
        .told
        .as_ref()
        .unwrap()
        .verdict
        .as_ref()
        .unwrap()
        .message;
    assert!(message.contains("--access-key-id AKIAOTHER"), "{message}");
    assert_eq!(world.ids(), [FIRST, "AKIAOTHER"]);
    assert_eq!((world.count("claim"), world.count("create_key")), (0, 0));
    let tries = world.count("list_keys");
    assert!((10..25).contains(&tries), "{tries} tries in an hour");
    // It is deleted by hand, and the rotation goes on by itself.
    world.keys.retain(|key| key.id == FIRST);
    process.run_for(&mut world, HOUR);
    assert_eq!(world.reason(), Some("RotationScheduled"));
    assert_eq!(world.ids(), ["AKIA1"]);
}

#[test]
fn a_missing_permission_is_told_and_leaves_no_marker() {
    let mut world = World::with_key_aged(PERIOD);
    world.refuses = vec![("create_key", FaultClass::AccessDenied)];
    let mut process = Process::start(&world, &[]);
    process.run_for(&mut world, HOUR);
    assert_eq!(world.reason(), Some("AwsAccessDenied"));
    assert_eq!((world.marker.clone(), world.ids()), (None, vec![FIRST]));
    let tries = world.count("create_key");
    assert!((10..25).contains(&tries), "{tries} tries in an hour");
    world.refuses.clear();
    process.run_for(&mut world, HOUR);
    assert_eq!(world.ids(), ["AKIA1"]);
}

#[test]
fn a_key_outlives_an_outage_of_the_api_server_in_memory() {
    let mut world = World::with_key_aged(PERIOD);
    world.refuses = vec![("store", FaultClass::Unavailable)];
    let mut process = Process::start(&world, &[]);
    process.run_for(&mut world, HOUR);
    assert_eq!(world.reason(), Some("SecretRefused"));
    assert_eq!(world.ids(), [FIRST, "AKIA1"]);
    world.refuses.clear();
    process.run_for(&mut world, HOUR);
    assert_eq!(world.ids(), ["AKIA1"]);
    assert_eq!(world.count("create_key"), 1);
}

#[test]
fn a_secret_that_takes_no_key_costs_no_key() {
    let mut world = World::with_key_aged(PERIOD);
    world.refuses = vec![("store", FaultClass::Refused)];
    Process::start(&world, &[]).run_for(&mut world, HOUR);
    assert_eq!(world.reason(), Some("SecretRefused"));
    assert_eq!(world.key_in_secret, FIRST);
    assert!(world.ids().len() <= 2);
    let made = world.count("create_key");
    assert!((5..25).contains(&made), "{made} keys in an hour");
    assert!(world.count("delete_key") >= made - 1);
}

#[test]
fn a_key_that_is_never_accepted_is_deleted() {
    let mut world = World::with_key_aged(PERIOD);
    world.key_delay = SignedDuration::from_hours(9);
    let minutes = SignedDuration::from_mins(10);
    Process::start(&world, &[]).run_for(&mut world, minutes);
    assert_eq!(world.reason(), Some("KeyNotProven"));
    assert_eq!(world.key_in_secret, FIRST);
    assert_eq!(world.count("store"), 0);
}

#[test]
fn a_key_put_there_by_hand_is_kept() {
    let mut world = World::with_key_aged(PERIOD);
    let mut process = Process::start(&world, &[]);
    // Up to the first proof; then a person replaces the key of another user.
    let end = world.now + HOUR;
    process.run(&mut world, end, 5);
    assert_eq!(world.ids(), [FIRST, "AKIA1"]);
    world.keys.retain(|key| key.id != FIRST);
    world.add_key("AKIAHAND", SignedDuration::ZERO);
    world.key_in_secret = "AKIAHAND".into();
    world.version += 1;
    world.now += SignedDuration::from_secs(10);
    process.restart(&world);
    process.run_for(&mut world, HOUR);
    assert!(world.ids().contains(&"AKIAHAND"));
    assert_eq!(
        (world.marker.clone(), world.key_in_secret.as_str()),
        (None, "AKIAHAND")
    );
}

#[test]
fn a_rotation_that_is_not_asked_for_any_more_is_cleaned_up() {
    let mut world = World::with_key_aged(PERIOD);
    let mut process = Process::start(&world, &[]);
    let end = world.now + HOUR;
    process.run(&mut world, end, 5);
    process.restart(&world);
    process.stop_rotating();
    process.run_for(&mut world, HOUR);
    assert_eq!((world.ids(), world.marker.clone()), (vec![FIRST], None));
    assert_eq!(world.told, Some(Default::default()));
}

#[test]
fn only_an_iam_user_has_keys_to_rotate() {
    for (arn, user) in [
        ("arn:aws:iam::123456789012:user/keylease", Some("keylease")),
        ("arn:aws-cn:iam::123456789012:user/a/b/c", Some("c")),
        ("arn:aws:iam::123456789012:root", None),
        ("arn:aws:sts::123456789012:assumed-role/a/b", None),
        ("arn:aws:sts::123456789012:federated-user/a", None),
    ] {
        assert_eq!(user_of(arn), user, "{arn}");
    }
}
