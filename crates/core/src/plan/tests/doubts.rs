//! The sweep doubts a live lease, and the request looks at AWS for itself.

use jiff::SignedDuration;

use super::leases::status;
use super::operator::{Mishap, Operator};
use super::world::World;
use crate::plan::effect::Attachment;
use keylease_api::{ConditionType, Phase, get_condition};

/// A lease that runs, and the operator that made it.
fn served() -> (World, Operator) {
    let mut world = super::world();
    let mut operator = Operator::new();
    soon(&mut operator, &mut world);
    world.applied.clear();
    (world, operator)
}

fn soon(operator: &mut Operator, world: &mut World) {
    let end = world.now + SignedDuration::from_mins(5);
    operator.run_until(world, end);
}

fn on_user(world: &mut World) -> &mut std::collections::BTreeSet<Attachment> {
    &mut world.user.as_mut().unwrap().on_it
}

fn lose_key(world: &mut World) {
    on_user(world).retain(|a| !matches!(a, Attachment::Key(_)));
}

/// One user, one key, and Secret and status name it.
fn expect_one_key(world: &World) -> String {
    let keys = world.keys();
    let [key] = keys.as_slice() else {
        panic!("not one key: {keys:?}; {:?}", world.applied)
    };
    let (held, _) = world.secret.as_ref().unwrap().key.as_ref().unwrap();
    let status = status(world);
    assert_eq!((held, status.phase), (key, Some(Phase::Ready)));
    assert_eq!(&status.credential.unwrap().access_key_id, key);
    key.clone()
}

#[test]
fn a_doubt_without_cause_costs_one_look() {
    let (mut world, mut operator) = served();
    let before = world.request.clone();
    operator.doubt(&world);
    soon(&mut operator, &mut world);
    let looks = ["read_standing", "take_inventory"];
    assert_eq!(world.applied, looks);
    assert_eq!(world.request, before);
    soon(&mut operator, &mut world);
    assert_eq!(world.applied, looks, "it is asked once");
}

#[test]
fn a_key_deleted_in_aws_is_replaced_and_the_lease_keeps_its_end() {
    let (mut world, mut operator) = served();
    let end = status(&world).lease.unwrap().expires_at;
    lose_key(&mut world);
    operator.doubt(&world);
    soon(&mut operator, &mut world);
    assert_eq!(expect_one_key(&world), "AKIA2");
    assert_eq!(status(&world).lease.unwrap().expires_at, end);
    assert!(
        status(&world).previous.is_none(),
        "nobody can use the old one"
    );
    let looks = [
        "read_standing",
        "take_inventory",
        "take_inventory",
        "report",
    ];
    assert_eq!(world.applied[..4], looks, "IAM's lists lag");
}

#[test]
fn a_key_that_iam_forgot_for_a_moment_is_left_alone() {
    let (mut world, mut operator) = served();
    let user = world.user.take();
    operator.doubt(&world);
    let soon_after = world.now + SignedDuration::from_secs(4);
    operator.run_until(&mut world, soon_after);
    let looks = ["read_standing", "take_inventory", "take_inventory"];
    assert_eq!(world.applied, looks[..2]);
    world.user = user;
    soon(&mut operator, &mut world);
    assert_eq!(world.applied, looks);
    assert_eq!(expect_one_key(&world), "AKIA1");
}

#[test]
fn a_user_deleted_in_aws_is_made_anew() {
    let (mut world, mut operator) = served();
    world.user = None;
    operator.doubt(&world);
    soon(&mut operator, &mut world);
    expect_one_key(&world);
    assert_eq!(on_user(&mut world).len(), 2, "a policy and a key");
}

#[test]
fn what_lets_in_others_is_removed_and_what_permits_is_left() {
    let (mut world, mut operator) = served();
    let group = Attachment::Group("by-hand".into());
    for n in 0..7 {
        on_user(&mut world).insert(Attachment::Key(format!("AKIASTRAY{n}")));
    }
    let others = [
        Attachment::LoginProfile,
        Attachment::SshKey("s".into()),
        Attachment::MfaDevice("m".into()),
        group.clone(),
    ];
    on_user(&mut world).extend(others);
    operator.doubt(&world);
    soon(&mut operator, &mut world);
    assert_eq!(expect_one_key(&world), "AKIA1");
    assert!(on_user(&mut world).contains(&group));
    assert_eq!(on_user(&mut world).len(), 3, "policy, key, group");
    world.applied.clear();
    soon(&mut operator, &mut world);
    assert!(world.applied.is_empty());
}

#[test]
fn the_key_of_an_overlap_is_no_stray() {
    let mut world = super::leases::rotating_world();
    let mut operator = Operator::new();
    let end = world.now + SignedDuration::from_mins(51);
    operator.run_until(&mut world, end);
    assert_eq!(world.keys().len(), 2);
    world.applied.clear();
    operator.doubt(&world);
    operator.run_until(&mut world, end);
    assert_eq!(world.applied, ["read_standing", "take_inventory"]);
    assert_eq!(world.keys().len(), 2);
}

#[test]
fn while_a_lost_key_cannot_be_replaced_the_request_is_not_ready() {
    let (mut world, mut operator) = served();
    lose_key(&mut world);
    let mut closed = super::role();
    closed.spec.allowed_namespaces = None;
    let open = world.role.replace(std::sync::Arc::new(closed));
    operator.doubt(&world);
    soon(&mut operator, &mut world);
    let conditions = status(&world).conditions;
    let ready = get_condition(&conditions, ConditionType::Ready).unwrap();
    assert_eq!(ready.reason, "NamespaceNotAllowed");
    assert_eq!(ready.status, "False");
    // A fresh process knows from the status what it has to do.
    world.role = open;
    operator.restart();
    soon(&mut operator, &mut world);
    expect_one_key(&world);
}

#[test]
fn any_mishap_on_the_way_to_the_next_key_is_made_good() {
    for (gone, mishap) in [false, true]
        .into_iter()
        .flat_map(|gone| Mishap::ALL.map(|m| (gone, m)))
    {
        for at in 0..15 {
            let mut world = super::world();
            let mut first = Operator::new();
            soon(&mut first, &mut world);
            lose_key(&mut world);
            if gone {
                world.user = None;
            }
            let mut operator = Operator::with_mishaps(&[(at, mishap)]);
            operator.doubt(&world);
            soon(&mut operator, &mut world);
            // What died before it was written is seen by the next sweep.
            operator.doubt(&world);
            soon(&mut operator, &mut world);
            expect_one_key(&world);
        }
    }
}
