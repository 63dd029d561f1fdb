//! Keys that somebody took out of service in AWS: the lease tells it, and gets no
//! fresh key behind their backs until it is over.

use anyhow::Result;
use aws_sdk_iam::types::StatusType;
use keylease_api::AwsCredentialRequest;
use keylease_testbed::aws::UserView;
use keylease_testbed::wait;
use serde_json::json;

use crate::harness::{LATER, Scene, Story, condition, iam_of};

const QUARANTINE: &str = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3";

/// How often AWS was called so about the request's user.
fn count(scene: &Scene, operation: &str) -> usize {
    let operations = scene.operations("app");
    operations.iter().filter(|o| *o == operation).count()
}

/// Makes the user's key inactive, or active again, as a responder does.
async fn set_status(scene: &Scene, user: &UserView, status: StatusType) -> Result<()> {
    let call = iam_of(&scene.bed.aws.endpoint()).update_access_key();
    let call = call.user_name(&user.name).access_key_id(&user.keys[0].id);
    call.status(status).send().await?;
    Ok(())
}

/// Asks for a new key now, as `kubectl keylease rotate` does.
async fn rotate(scene: &Scene) -> Result<()> {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    scene.rotate("app", now).await
}

/// Waits until the lease tells that its key is out of service, for this reason.
async fn until_suspended(scene: &Scene, reason: &str) -> Result<()> {
    let is = |request: &AwsCredentialRequest, kind: &str, status: &str| {
        condition(request, kind).is_some_and(|c| c.status == status && c.reason == reason)
    };
    let told = |request: &AwsCredentialRequest| {
        is(request, "Suspended", "True")
            && is(request, "Ready", "False")
            && is(request, "Usable", "False")
    };
    scene.until(reason, "app", LATER, told).await?;
    let what = format!("the event {reason}");
    wait::until_ok(&what, LATER, || async {
        let events = scene.events("app").await.map_err(|e| e.to_string())?;
        let warned = events
            .iter()
            .any(|(kind, r)| kind == "Warning" && r == reason);
        if warned {
            Ok(())
        } else {
            Err(format!("{events:?}"))
        }
    })
    .await
}

/// Waits until AWS was asked again how the key stands, and checks that no
/// further key was made.
async fn looked_at_and_left(scene: &Scene, looks: usize) -> Result<()> {
    let operation = "ListAttachedUserPolicies";
    wait::until_ok("another look", LATER, || async {
        let seen = count(scene, operation);
        if seen > looks { Ok(()) } else { Err(seen) }
    })
    .await?;
    assert_eq!(count(scene, "CreateAccessKey"), 1);
    scene.expect_one_key("app").await?;
    Ok(())
}

/// Waits until the lease is in service again with the key that came after.
async fn until_rotated(scene: &Scene) -> Result<()> {
    let rotated = |request: &AwsCredentialRequest| {
        condition(request, "Suspended").is_none()
            && condition(request, "Usable").is_some_and(|c| c.status == "True")
            && count(scene, "CreateAccessKey") == 2
    };
    scene.until("rotated", "app", LATER, rotated).await?;
    scene.expect_secret_of_the_last_key("app").await?;
    Ok(())
}

/// A responder makes the key inactive, and then its rotation comes due: no new
/// key, however often one is asked for, until the responder takes it back.
#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_key_gets_no_successor() -> Story {
    let scene = Scene::shared("out-inactive").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let user = scene.expect_one_key("app").await?;
    set_status(&scene, &user, StatusType::Inactive).await?;
    rotate(&scene).await?;
    until_suspended(&scene, "KeyInactive").await?;
    let looks = count(&scene, "ListAttachedUserPolicies");
    rotate(&scene).await?;
    looked_at_and_left(&scene, looks).await?;

    set_status(&scene, &user, StatusType::Active).await?;
    rotate(&scene).await?;
    until_rotated(&scene).await?;
    Ok(())
}

/// AWS finds the key in public and puts its quarantine policy on the user: the
/// sweep sees it with nothing due, under the printed policy, and a rotation
/// gives no new key until a person takes the policy off.
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_user_gets_no_further_key() -> Story {
    let env = [("KEYLEASE_SWEEP_INTERVAL", "1s")];
    let scene = Scene::with_env("out-quarantine", &env).await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let user = scene.expect_one_key("app").await?;
    let aws = iam_of(&scene.bed.aws.endpoint());
    let attach = aws.attach_user_policy().user_name(&user.name);
    attach.policy_arn(QUARANTINE).send().await?;
    until_suspended(&scene, "Quarantined").await?;
    rotate(&scene).await?;
    // One look may have begun before the rotation was asked for.
    let looks = count(&scene, "ListAttachedUserPolicies");
    looked_at_and_left(&scene, looks + 1).await?;

    let detach = aws.detach_user_policy().user_name(&user.name);
    detach.policy_arn(QUARANTINE).send().await?;
    until_rotated(&scene).await?;
    Ok(())
}
