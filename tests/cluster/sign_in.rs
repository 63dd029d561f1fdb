//! Outages stay where they are: STS away, providers that hang, and texts that
//! change stop nobody but those who need them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keylease_api::AwsAccount;
use keylease_testbed::aws_cli::{ROOT_KEY_ID, ROOT_SECRET};
use keylease_testbed::{Fault, FaultKind, wait};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::accounts::{account_says, root_secret};
use crate::harness::{LATER, SOON, Scene, Settings, Story};

async fn account(scene: &Scene, name: &str) -> Result<AwsAccount> {
    let api: Api<AwsAccount> = Api::all(scene.client.clone());
    Ok(api.get(name).await?)
}

fn is_ready(account: &AwsAccount) -> Option<bool> {
    let status = account.status.as_ref()?;
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready")?;
    Some(ready.status == "True")
}

/// STS is down and IAM is well. One answer of IAM is lost, so the sign-in is
/// looked at, and fails: the session is kept, leases end in time, and what needs
/// STS waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn leases_end_in_time_while_sts_is_down() -> Story {
    let scene = Scene::alone(Settings::default(), "sts-down").await?;
    let aws = &scene.bed.aws;
    scene.role(json!({})).await?;
    scene.request("deleted", json!({"ttl": "1h"})).await?;
    scene.request("expires", json!({"ttl": "20s"})).await?;
    scene.ready("deleted").await?;
    scene.ready("expires").await?;

    let down = FaultKind::error(503, "ServiceUnavailable", "later");
    aws.add_fault(Fault::on("GetCallerIdentity", down));
    let prefix = scene.user_prefix("deleted");
    let lost = Fault::on("DeleteAccessKey", FaultKind::LostReply).user(&prefix);
    aws.add_fault(lost.times(1));
    scene.delete("deleted").await?;
    let message = account_says(&scene, "default", "Unreachable").await?;
    ensure_kept(&scene, &message).await?;
    scene.gone_within("deleted", LATER).await?;
    scene.expired("expires").await?;
    let late = late_by(&scene, "expires").await?;
    assert!(
        late < Duration::from_secs(8),
        "the key lived {late:?} longer"
    );
    scene.expect_nothing_left("deleted").await?;
    scene.expect_nothing_left("expires").await?;

    scene.request("waits", json!({})).await?;
    let asked = |r: &keylease_api::AwsCredentialRequest| {
        let status = r.status.as_ref();
        status.is_some_and(|s| s.phase != Some(keylease_api::Phase::Ready))
    };
    scene.until("waiting", "waits", SOON, asked).await?;
    let message = account_says(&scene, "default", "Unreachable").await?;
    ensure_kept(&scene, &message).await?;
    aws.clear_faults();
    account_says(&scene, "default", "SignedIn").await?;
    scene.ready_within("waits", LATER).await?;
    Ok(())
}

async fn ensure_kept(scene: &Scene, message: &str) -> Result<()> {
    let account = account(scene, "default").await?;
    ensure!(is_ready(&account) == Some(true), "not ready: {message}");
    let status = account.status.context("no status")?;
    ensure!(status.account_id.is_some() && status.arn.is_some());
    ensure!(message.contains("ServiceUnavailable: later"), "{message}");
    Ok(())
}

/// How long after the end of a lease its key was deleted.
async fn late_by(scene: &Scene, request: &str) -> Result<Duration> {
    let object = scene.requests().get(request).await?;
    let lease = object.status.and_then(|s| s.lease).context("no lease")?;
    let calls = scene.calls(request);
    let deleted = calls.iter().find(|c| c.op == "DeleteAccessKey");
    let late = deleted.context("no DeleteAccessKey")?.at;
    let late = late.duration_since(lease.expires_at.0);
    Ok(Duration::try_from(late).unwrap_or_default())
}

/// Nine sign-ins that are never answered, more than there used to be workers.
#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_that_hang_hang_nobody_else() -> Story {
    let scene = Scene::alone(Settings::default(), "hangs").await?;
    scene
        .bed
        .aws
        .add_fault(Fault::on("AssumeRole", FaultKind::Hang));
    let role = json!([{"roleArn": "arn:aws:iam::123456789012:role/hangs"}]);
    for n in 0..9 {
        let name = format!("hangs-{n}");
        scene.account(&name, json!({"assumeRoles": role})).await?;
    }
    wait::until("nine to be asked", SOON, || async {
        (scene.bed.aws.count("AssumeRole") >= 9).then_some(())
    })
    .await?;
    scene.account("well", json!({})).await?;
    account_says(&scene, "well", "SignedIn").await?;
    let message = account_says(&scene, "hangs-0", "Unreachable").await?;
    assert!(message.contains("spec.assumeRoles[0]"), "{message}");
    Ok(())
}

/// A refused link is told with AWS's words and its place in the chain.
#[tokio::test(flavor = "multi_thread")]
async fn the_link_that_failed_is_told() -> Story {
    let scene = Scene::alone(Settings::default(), "link").await?;
    let denied = Fault::on("AssumeRole", FaultKind::access_denied());
    scene.bed.aws.add_fault(denied);
    let key = json!({"AWS_ACCESS_KEY_ID": ROOT_KEY_ID, "AWS_SECRET_ACCESS_KEY": ROOT_SECRET});
    root_secret(&scene, "link", key).await?;
    let arn = "arn:aws:iam::123456789012:role/a";
    let spec = json!({
        "credentials": {"secretRef": {"name": "link"}}, "assumeRoles": [{"roleArn": arn}],
    });
    scene.account("link", spec).await?;
    let message = account_says(&scene, "link", "AccessDenied").await?;
    let told = format!("spec.assumeRoles[0] ({arn}): AccessDenied: User is not authorized");
    assert!(message.contains(&told), "{message}");
    scene.bed.aws.clear_faults();
    account_says(&scene, "link", "SignedIn").await?;
    Ok(())
}

/// Requests that wait in the test below.
const WAITING: usize = 100;

/// What AWS says is another text at each attempt. It is told in the account, at the
/// pace of the attempts, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_changes_is_written_in_the_account_alone() -> Story {
    let scene = Scene::alone(Settings::default(), "skew").await?;
    let aws = &scene.bed.aws;
    let skew = "Signature expired: {n} is now earlier than the present";
    let skew = FaultKind::error(403, "SignatureDoesNotMatch", skew);
    aws.add_fault(Fault::on("GetCallerIdentity", skew));
    scene.account("skewed", json!({})).await?;
    scene
        .role(json!({"accountRef": {"name": "skewed"}}))
        .await?;
    account_says(&scene, "skewed", "CredentialsRejected").await?;
    for n in 0..WAITING {
        scene.request(&format!("app-{n}"), json!({})).await?;
    }
    for n in 0..WAITING {
        scene
            .refused(&format!("app-{n}"), "AccountNotReady")
            .await?;
    }
    let versions = || async {
        let all = scene.requests().list(&ListParams::default()).await?;
        let all = all.items.into_iter().map(|r| r.metadata.resource_version);
        Ok::<Vec<_>, kube::Error>(all.collect())
    };
    let before = versions().await?;
    let (asked, since) = (aws.count("GetCallerIdentity"), std::time::Instant::now());
    let texts = parking_lot::Mutex::new(std::collections::BTreeSet::new());
    wait::until("three other texts", LATER, || async {
        let text = account_says(&scene, "skewed", "CredentialsRejected").await;
        let mut texts = texts.lock();
        texts.insert(text.ok()?);
        (texts.len() > 3).then_some(())
    })
    .await?;
    assert_eq!(versions().await?, before, "requests were written");
    // Two accounts, each at most every fifteen seconds, but for the first few.
    let asked = aws.count("GetCallerIdentity") - asked;
    let most = 8 + 2 * since.elapsed().as_secs() as usize / 15;
    assert!(asked <= most, "{asked} sign-ins in {:?}", since.elapsed());
    Ok(())
}
