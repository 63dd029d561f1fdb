//! The operator under policies, with IAM's answers about users that are not
//! there, or not seen yet.

use std::time::Duration;

use anyhow::{Context, Result};
use keylease_testbed::FakeConfig;
use keylease_testbed::aws::{Fault, FaultKind, Outcome};
use serde_json::json;

use crate::harness::{LATER, READ_ONLY, Scene, Settings, Story, iam_of};

/// A policy as it was printed before: everything on the users' path, and nothing
/// besides.
fn old_policy() -> String {
    let users = "arn:aws:iam::123456789012:user/keylease/*";
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iam:*User*", "Resource": users},
        {"Effect": "Allow", "Action": "iam:*AccessKey*", "Resource": users},
        {"Effect": "Allow", "Action": "iam:*LoginProfile", "Resource": users},
        {"Effect": "Allow", "Action": "iam:*MFADevice*", "Resource": users},
        {"Effect": "Allow", "Action": "iam:*SSHPublicKey*", "Resource": users},
        {"Effect": "Allow", "Action": "iam:*SigningCertificate*", "Resource": users},
        {"Effect": "Allow", "Action": "iam:*ServiceSpecificCredential*", "Resource": users},
        {"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"},
    ]})
    .to_string()
}

/// A bed whose operator has that policy and no other.
async fn under_the_old_policy(name: &str) -> Result<Scene> {
    let scene = Scene::alone(Settings::default(), name).await?;
    scene.bed.aws.confine(&old_policy())?;
    scene.role(json!({})).await?;
    Ok(scene)
}

/// Ends with nothing left, and with new leases let in.
async fn goes_on(scene: &Scene) -> Result<()> {
    scene.request("next", json!({})).await?;
    scene.ready("next").await?;
    scene.delete("next").await?;
    scene.gone("next").await
}

/// The answer to `DeleteUser` is lost; the next is a denial, because IAM knows no
/// path of a user that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_deletion_had_no_answer_is_let_go() -> Story {
    let scene = under_the_old_policy("conf-lost").await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let lost = Fault::on("DeleteUser", FaultKind::LostReply).times(1);
    scene.bed.aws.add_fault(lost);
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    let denied =
        |c: &keylease_testbed::aws::Call| c.outcome == Outcome::Error("AccessDenied".into());
    assert!(
        scene.calls("app").iter().any(denied),
        "{:?}",
        scene.operations("app")
    );
    goes_on(&scene).await?;
    Ok(())
}

/// A person deletes the user in AWS; later the lease ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_somebody_deleted_holds_up_nothing() -> Story {
    let scene = under_the_old_policy("conf-gone").await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let user = scene.users("app").remove(0);
    let iam = iam_of(&scene.bed.aws.endpoint());
    let key = iam.delete_access_key().user_name(&user.name);
    key.access_key_id(&user.keys[0].id).send().await?;
    let policy = iam.detach_user_policy().user_name(&user.name);
    policy.policy_arn(READ_ONLY).send().await?;
    iam.delete_user().user_name(&user.name).send().await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    goes_on(&scene).await?;
    Ok(())
}

/// Who decides on rights hears of a new user late: that is no want of rights,
/// and nothing is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_is_not_seen_yet_is_waited_for() -> Story {
    let usual = Settings::default();
    let aws = FakeConfig {
        auth_lag: Duration::from_secs(2),
        ..usual.aws
    };
    let scene = Scene::alone(Settings { aws, ..usual }, "conf-young").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready_within("app", LATER).await?;
    scene.expect_one_key("app").await?;
    let calls = scene.operations("app");
    let count = |op: &str| calls.iter().filter(|c| *c == op).count();
    assert!(count("AttachUserPolicy") > 1, "{calls:?}");
    assert_eq!(
        (count("CreateUser"), count("DeleteUser")),
        (1, 0),
        "{calls:?}"
    );
    Ok(())
}

/// Somebody else's automation puts each user into a group, and a person gives it
/// a password, devices and keys: all of it comes off under the printed policy.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_put_on_a_user_comes_off_under_the_printed_policy() -> Story {
    let scene = Scene::shared("conf-laden").await?;
    let aws = &scene.bed.aws;
    aws.add_group("all-users-deny");
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let user = scene.users("app").remove(0).name;
    let iam = iam_of(&aws.endpoint());
    let add = iam.add_user_to_group().user_name(&user);
    add.group_name("all-users-deny").send().await?;
    aws.encumber_user(&user)?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    let calls = scene.bed.aws.journal();
    let virtual_ones = calls.iter().filter(|c| c.op == "DeleteVirtualMFADevice");
    let of_ours = virtual_ones.filter(|c| {
        let serial = c.params.get("SerialNumber");
        serial.is_some_and(|serial| serial.contains(&user))
    });
    let serials: Vec<_> = of_ours.map(|c| c.params["SerialNumber"].clone()).collect();
    assert_eq!(serials, [format!("arn:aws:iam::123456789012:mfa/{user}")]);
    Ok(())
}

/// The printed policy confines: the operator's own key may not do more.
#[tokio::test(flavor = "multi_thread")]
async fn the_operators_key_may_do_nothing_else() -> Story {
    let scene = Scene::shared("conf-narrow").await?;
    let aws = &scene.bed.aws;
    let operator = keylease_testbed::aws_cli::env(&aws.endpoint());
    let operator: Vec<_> = operator
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let other = "--user-name=keylease-operator";
    let policy = "--policy-arn=arn:aws:iam::aws:policy/AdministratorAccess";
    for refused in [
        &["iam", "attach-user-policy", other, policy][..],
        &["iam", "delete-user", "--user-name=somebody"],
        &["iam", "create-user", "--user-name=somebody"],
        &["iam", "create-user", "--user-name=x", "--path=/keyleases/"],
        &["iam", "create-group", "--group-name=x"],
        &[
            "sts",
            "assume-role",
            "--role-session-name=xx",
            "--role-arn=arn:aws:iam::123456789012:role/admin",
        ],
    ] {
        let answer = aws.aws_cli(&operator, refused).await;
        let told = answer.err().context("it was let in")?.to_string();
        assert!(told.contains("AccessDenied"), "{refused:?}: {told}");
    }
    aws.aws_cli(&operator, &["iam", "list-users"]).await?;
    Ok(())
}
