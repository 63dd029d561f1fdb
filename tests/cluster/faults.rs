//! Single calls that fail, or whose answer is lost. However it goes, it ends
//! with exactly the key in the Secret, and after the end with nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use keylease_testbed::aws::Outcome;
use keylease_testbed::{Fault, FaultKind, wait};
use serde_json::json;

use crate::harness::{Bed, LATER, SOON, Scene, Settings, Story};

const ALL: [&str; 6] = [
    "CreateUser",
    "AttachUserPolicy",
    "CreateAccessKey",
    "DeleteAccessKey",
    "DetachUserPolicy",
    "DeleteUser",
];

/// One life of a request each, in which the first call of one kind meets the
/// fault; all at once.
async fn each_call_once(namespace: &str, kind: FaultKind, calls: &[&str]) -> Story {
    let scene = Scene::shared(namespace).await?;
    scene.role(json!({})).await?;
    let lives = calls.iter().map(|op| one_life(&scene, op, kind.clone()));
    try_join_all(lives).await?;
    Ok(())
}

async fn one_life(scene: &Scene, op: &str, kind: FaultKind) -> Result<()> {
    let name: String = op.to_lowercase().chars().take(16).collect();
    let name = name.as_str();
    // A late answer leaves no other mark in the journal than the call.
    let applied = matches!(kind, FaultKind::DelayReply(_));
    let fault = Fault::on(op, kind).user(&scene.user_prefix(name)).times(1);
    scene.bed.aws.add_fault(fault);
    scene.request(name, json!({})).await?;
    scene.ready_within(name, LATER).await?;
    scene
        .expect_one_key(name)
        .await
        .with_context(|| format!("{op}: issued"))?;
    scene.delete(name).await?;
    scene.gone_within(name, LATER).await?;
    scene
        .expect_nothing_left(name)
        .await
        .with_context(|| format!("{op}: deleted"))?;
    let calls = scene.calls(name);
    let met = calls
        .iter()
        .any(|c| c.op == op && (applied || c.outcome != Outcome::Applied));
    ensure!(met, "{op} never met the fault: {calls:?}");
    Ok(())
}

/// Applied, and the answer never came.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_any_call_is_made_good() -> Story {
    each_call_once("fault-lost", FaultKind::LostReply, &ALL).await
}

/// Not applied, and no answer either.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_at_any_call_is_made_good() -> Story {
    each_call_once("fault-dropped", FaultKind::DropBefore, &ALL).await
}

/// AWS has a fault of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_500_at_any_call_is_made_good() -> Story {
    each_call_once("fault-500", FaultKind::service_failure(), &ALL).await
}

/// AWS asks to slow down.
#[tokio::test(flavor = "multi_thread")]
async fn throttling_of_any_call_is_made_good() -> Story {
    each_call_once("fault-throttled", FaultKind::throttling(), &ALL).await
}

/// The call timed out and succeeded: two answers that come too late.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_late_is_made_good() -> Story {
    let late = FaultKind::DelayReply(Duration::from_secs(12));
    each_call_once(
        "fault-late",
        late,
        &["CreateUser", "CreateAccessKey", "DeleteUser"],
    )
    .await
}

/// A `CreateUser` that takes effect after everybody has given it up, while the
/// request is being deleted, leaves no user.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_made_after_its_request_was_deleted_is_removed() -> Story {
    let scene = Scene::shared("fault-after").await?;
    let aws = &scene.bed.aws;
    scene.role(json!({})).await?;
    let delay = FaultKind::Delay(Duration::from_secs(12));
    aws.add_fault(
        Fault::on("CreateUser", delay)
            .user(&scene.user_prefix("app"))
            .times(1),
    );
    scene.request("app", json!({})).await?;
    let begun = |r: &keylease_api::AwsCredentialRequest| {
        !r.metadata
            .finalizers
            .as_deref()
            .unwrap_or_default()
            .is_empty()
    };
    scene.until("begun", "app", SOON, begun).await?;
    scene.delete("app").await?;
    scene.gone_within("app", LATER).await?;
    let made = scene.calls("app").into_iter().any(|c| c.op == "CreateUser");
    assert!(made, "the call never took effect: {:?}", scene.calls("app"));
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// The operator may not delete users for a while. It never gives up, says why
/// it waits, and the key is dead meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn revocation_never_gives_up() -> Story {
    // On a bed of its own: nothing else is issued in this account meanwhile.
    let bed = Bed::start(Settings::default()).await?;
    let scene = Scene::on(bed, "fault-denied").await?;
    let aws = &scene.bed.aws;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let denied = Fault::on("DeleteUser", FaultKind::access_denied());
    let denied = aws.add_fault(denied.user(&scene.user_prefix("app")));
    scene.delete("app").await?;
    let message = scene.refused("app", "AwsAccessDenied").await?;
    assert!(message.contains("DeleteUser"), "{message}");
    wait::until("three attempts", LATER, || async {
        let attempts = scene
            .operations("app")
            .into_iter()
            .filter(|op| op == "DeleteUser");
        (attempts.count() >= 3).then_some(())
    })
    .await?;
    assert!(scene.users("app")[0].keys.is_empty(), "the key still works");
    assert!(
        scene.secret("app").await?.is_none(),
        "the Secret is still there"
    );
    // What cannot be revoked is not issued either.
    scene.request("next", json!({})).await?;
    let message = scene.refused("next", "RevocationDenied").await?;
    assert!(
        message.contains("1 ended leases of AwsAccount"),
        "{message}"
    );
    assert!(scene.users("next").is_empty(), "a user was made");
    aws.remove_fault(denied);
    scene.gone_within("app", LATER).await?;
    scene.expect_nothing_left("app").await?;
    scene.ready("next").await?;
    Ok(())
}

/// Somebody gave the user everything that a user can have. All nine kinds of
/// it are cleared.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_all_kinds_of_things_on_it_is_cleared() -> Story {
    let scene = Scene::shared("fault-laden").await?;
    let aws = &scene.bed.aws;
    aws.add_group("fault-laden");
    let document =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    scene
        .role(json!({"iamUser": {"policyDocument": document, "groups": ["fault-laden"]}}))
        .await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let user = scene.expect_one_key("app").await?.name;
    aws.encumber_user(&user)?;
    scene.delete("app").await?;
    scene.gone_within("app", LATER).await?;
    scene.expect_nothing_left("app").await?;
    let calls = scene.operations("app");
    for cleared in [
        "DeleteAccessKey",
        "DetachUserPolicy",
        "DeleteUserPolicy",
        "RemoveUserFromGroup",
        "DeleteLoginProfile",
        "DeactivateMFADevice",
        "DeleteSSHPublicKey",
        "DeleteSigningCertificate",
        "DeleteServiceSpecificCredential",
    ] {
        assert!(
            calls.iter().any(|op| op == cleared),
            "{cleared} is missing: {calls:?}"
        );
    }
    Ok(())
}
