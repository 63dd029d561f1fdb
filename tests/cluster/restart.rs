//! The operator dies at the worst moments. Each test has a bed of its own and
//! kills with SIGKILL: nothing is tidied up before.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use keylease_testbed::aws::KeyDelay;
use keylease_testbed::{FakeConfig, Fault, FaultKind, wait};
use serde_json::json;

use crate::harness::{Bed, LATER, SOON, Scene, Settings, Story};

async fn scene(name: &str) -> Result<Scene> {
    let scene = Scene::alone(Settings::default(), name).await?;
    scene.role(json!({})).await?;
    Ok(scene)
}

/// Waits until AWS has been asked for this about a request.
async fn asked_for(scene: &Scene, request: &str, op: &str) -> Result<()> {
    let what = format!("{op} for {request}");
    wait::until(&what, SOON, || async {
        scene
            .operations(request)
            .iter()
            .any(|seen| seen == op)
            .then_some(())
    })
    .await
}

/// A restart issues nothing anew, writes nothing and asks AWS for nothing but
/// who it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_leaves_leases_alone() -> Story {
    let scene = scene("restart-ready").await?;
    for name in ["a", "b"] {
        scene.request(name, json!({})).await?;
    }
    let before = (scene.ready("a").await?, scene.ready("b").await?);
    let secret = scene.secrets().get("a").await?;
    scene.kill().await?;
    scene.bed.aws.clear_journal();
    scene.start_again().await?;
    // Served after those that were there before.
    scene.request("later", json!({})).await?;
    scene.ready("later").await?;

    let after = (
        scene.requests().get("a").await?,
        scene.requests().get("b").await?,
    );
    assert_eq!(after, before);
    assert_eq!(scene.secrets().get("a").await?, secret);
    let later = scene.user_prefix("later");
    let keys = scene.expect_one_key("later").await?.keys;
    let others: Vec<String> = scene
        .bed
        .aws
        .journal()
        .into_iter()
        .filter(|c| !c.user.as_ref().is_some_and(|u| u.starts_with(&later)))
        .filter(|c| c.caller_key.as_ref() != Some(&keys[0].id))
        // The marker belongs to no lease.
        .filter(|c| {
            !c.user
                .as_ref()
                .is_some_and(|u| u.starts_with("keylease-cluster-"))
        })
        .map(|c| c.op)
        .collect();
    assert_eq!(others, ["GetCallerIdentity"]);
    Ok(())
}

/// Killed when the key was made and not yet proven: its secret is lost, so it
/// is removed and another one made.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_never_stored_is_replaced() -> Story {
    let slow = FakeConfig {
        key_delay: KeyDelay::fixed(Duration::from_secs(8)),
        ..FakeConfig::default()
    };
    let bed = Bed::start(Settings {
        aws: slow,
        ..Settings::default()
    })
    .await?;
    let scene = Scene::on(bed, "restart-issuing").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    asked_for(&scene, "app", "CreateAccessKey").await?;
    let lost = scene.users("app")[0].keys.clone();
    scene.kill().await?;
    assert!(
        scene.secret("app").await?.is_none(),
        "the Secret came before the proof"
    );
    scene.start_again().await?;
    scene.ready_within("app", LATER).await?;
    let user = scene.expect_one_key("app").await?;
    assert_ne!(user.keys, lost);
    scene.delete("app").await?;
    scene.gone_within("app", LATER).await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// Leases that end while the operator is away end when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn leases_that_ended_meanwhile_are_revoked() -> Story {
    let scene = scene("restart-expired").await?;
    scene.request("app", json!({"ttl": "10s"})).await?;
    let status = scene.ready("app").await?.status.context("no status")?;
    scene.kill().await?;
    let end = status.lease.context("no lease")?.expires_at.0;
    wait::until("the lease's end", SOON, || async {
        (Timestamp::now() > end).then_some(())
    })
    .await?;
    scene.expect_one_key("app").await?;
    scene.start_again().await?;
    scene.expired("app").await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// Killed with the key removed and the user still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_cut_short_goes_on() -> Story {
    let scene = scene("restart-delete").await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let aws = &scene.bed.aws;
    aws.add_fault(Fault::on("DetachUserPolicy", FaultKind::Hang));
    scene.delete("app").await?;
    asked_for(&scene, "app", "DeleteAccessKey").await?;
    scene.kill().await?;
    aws.clear_faults();
    assert_eq!(scene.users("app").len(), 1);
    scene.start_again().await?;
    scene.gone_within("app", LATER).await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// Killed in mid-issue, and the request deleted while nobody was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_deleted_in_mid_issue_leaves_nothing() -> Story {
    let scene = scene("restart-deleted").await?;
    let aws = &scene.bed.aws;
    let late = FaultKind::DelayReply(Duration::from_secs(8));
    aws.add_fault(Fault::on("AttachUserPolicy", late).times(1));
    scene.request("app", json!({})).await?;
    asked_for(&scene, "app", "AttachUserPolicy").await?;
    scene.kill().await?;
    scene.delete("app").await?;
    scene.start_again().await?;
    scene.gone_within("app", LATER).await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// Killed between each write to AWS and its answer, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_write_to_aws_is_made_good() -> Story {
    let scene = scene("restart-any").await?;
    let aws = &scene.bed.aws;
    let late = || FaultKind::DelayReply(Duration::from_secs(8));
    for op in ["CreateUser", "AttachUserPolicy", "CreateAccessKey"] {
        aws.add_fault(Fault::on(op, late()).times(1));
        scene.request("app", json!({})).await?;
        asked_for(&scene, "app", op).await?;
        scene.kill().await?;
        scene.start_again().await?;
        scene.ready_within("app", LATER).await.context(op)?;
        scene.expect_one_key("app").await.context(op)?;
        scene.delete("app").await?;
        scene.gone_within("app", LATER).await.context(op)?;
        scene.expect_nothing_left("app").await.context(op)?;
        aws.clear_journal();
    }
    for op in ["DeleteAccessKey", "DetachUserPolicy", "DeleteUser"] {
        scene.request("app", json!({})).await?;
        scene.ready("app").await.context(op)?;
        aws.add_fault(Fault::on(op, late()).times(1));
        scene.delete("app").await?;
        asked_for(&scene, "app", op).await?;
        scene.kill().await?;
        scene.start_again().await?;
        scene.gone_within("app", LATER).await.context(op)?;
        scene.expect_nothing_left("app").await.context(op)?;
        aws.clear_journal();
    }
    Ok(())
}

/// Told to stop in the middle of an issue, the operator ends within the grace
/// period of a pod and without an error; its successor finishes the work.
#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_ends_well() -> Story {
    let slow = FakeConfig {
        key_delay: KeyDelay::fixed(Duration::from_secs(6)),
        ..FakeConfig::default()
    };
    let bed = Bed::start(Settings {
        aws: slow,
        ..Settings::default()
    })
    .await?;
    let scene = Scene::on(bed, "restart-term").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    asked_for(&scene, "app", "CreateAccessKey").await?;
    let mut operator = scene.bed.operator.lock().await;
    operator.terminate()?;
    let exit = operator.wait_exit(SOON).await?;
    assert_eq!(exit.code(), Some(0), "{exit}");
    drop(operator);
    scene.start_again().await?;
    scene.ready_within("app", LATER).await?;
    scene.expect_one_key("app").await?;
    Ok(())
}
