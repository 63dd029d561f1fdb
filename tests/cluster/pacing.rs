//! An AWS that allows few calls: who gets them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use keylease_api::Phase;
use keylease_testbed::aws::{Call, Outcome, Rate, UserView};
use keylease_testbed::{FakeConfig, wait};
use kube::api::ListParams;
use serde_json::json;

use crate::harness::{Bed, LATER, Scene, Settings, Story};

/// Requests of the burst: two minutes' worth of few calls.
const BURST: usize = 200;

/// So few calls a second that even an operator on a slow machine is faster than AWS:
/// what it sends next is then its choice, not what it has got round to.
const FEW: f64 = 5.0;
/// As AWS has it for us.
const USUAL: f64 = 20.0;

fn rate(per_second: f64) -> Option<Rate> {
    Some(Rate {
        per_second,
        burst: per_second,
    })
}

/// A bed whose AWS allows so many IAM calls a second.
async fn slow_bed(per_second: f64) -> Result<Arc<Bed>> {
    let usual = Settings::default();
    let aws = FakeConfig {
        rate: rate(per_second),
        ..usual.aws
    };
    Bed::start(Settings { aws, ..usual }).await
}

/// A namespace that asks for many at once; some of them are served already.
async fn burst(bed: Arc<Bed>, name: &str) -> Result<Scene> {
    let scene = Scene::on(bed, name).await?;
    scene.role(json!({})).await?;
    let names: Vec<_> = (0..BURST).map(|n| format!("r{n}")).collect();
    // All are there before the first is served, however slow this machine is.
    let mut operator = scene.bed.operator.lock().await;
    operator.pause()?;
    try_join_all(names.iter().map(|name| scene.request(name, json!({})))).await?;
    operator.resume()?;
    drop(operator);
    wait::until("a few to be served", LATER, || async {
        let ready = ready(&scene).await.unwrap_or_default();
        (ready.len() >= 10).then_some(())
    })
    .await?;
    Ok(scene)
}

/// Names of the requests that are served.
async fn ready(scene: &Scene) -> Result<Vec<String>> {
    let mut all = scene.requests().list(&ListParams::default()).await?.items;
    all.retain(|r| r.status.as_ref().and_then(|s| s.phase) == Some(Phase::Ready));
    Ok(all.into_iter().filter_map(|r| r.metadata.name).collect())
}

fn throttled(call: &Call) -> bool {
    matches!(&call.outcome, Outcome::Error(code) if code == "Throttling")
}

/// From the first of these calls to the last: how many others AWS took between.
fn others_between(journal: &[Call], ours: impl Fn(&Call) -> bool) -> usize {
    let taken = journal.iter().filter(|c| !throttled(c));
    let iam: Vec<_> = taken.filter(|c| c.service == "iam").collect();
    let at: Vec<_> = (0..iam.len()).filter(|n| ours(iam[*n])).collect();
    let (Some(first), Some(last)) = (at.first(), at.last()) else {
        return usize::MAX;
    };
    last + 1 - first - at.len()
}

/// One request of another namespace does not wait for two hundred: between its
/// calls come at most a few of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_does_not_hold_up_another_namespace() -> Story {
    let bed = slow_bed(FEW).await?;
    let single = Scene::on(bed.clone(), "pace-single").await?;
    single.role(json!({})).await?;
    let crowd = burst(bed.clone(), "pace-crowd").await?;
    single.request("app", json!({})).await?;
    single.ready_within("app", LATER).await?;
    let served = ready(&crowd).await?.len();
    assert!(served < BURST / 2, "{served} of the burst went before it");
    let prefix = single.user_prefix("app");
    let others = others_between(&bed.aws.journal(), |c| {
        c.user.as_ref().is_some_and(|u| u.starts_with(&prefix))
    });
    assert!(others <= 12, "{others} calls of the burst between its own");
    Ok(())
}

/// Keys that are to die do not wait for keys that are to be made. In the end
/// everything is served, and hardly a call was throttled.
#[tokio::test(flavor = "multi_thread")]
async fn revocation_overtakes_issuing() -> Story {
    let bed = slow_bed(FEW).await?;
    let crowd = burst(bed.clone(), "pace-revoke").await?;
    let mut leaving = ready(&crowd).await?;
    leaving.truncate(5);
    let mut operator = bed.operator.lock().await;
    operator.pause()?;
    try_join_all(leaving.iter().map(|name| crowd.delete(name))).await?;
    operator.resume()?;
    drop(operator);
    try_join_all(leaving.iter().map(|name| crowd.gone_within(name, LATER))).await?;
    let served = ready(&crowd).await?.len();
    assert!(served < BURST / 2, "{served} were issued meanwhile");
    let removes = ["DeleteAccessKey", "DetachUserPolicy", "DeleteUser"];
    let others = others_between(&bed.aws.journal(), |c| removes.contains(&c.op.as_str()));
    assert!(others <= 15, "{others} other calls between the revocations");

    bed.aws.set_config(|config| config.rate = rate(USUAL));
    wait::until_ok("all to be served", LATER, || async {
        let served = ready(&crowd).await?.len();
        ensure!(served == BURST - leaving.len(), "{served} are");
        Ok(())
    })
    .await?;
    let failures = crowd.requests().list(&ListParams::default()).await?.items;
    let failed = failures.iter().filter(|r| {
        let status = r.status.as_ref();
        status.and_then(|s| s.failures).unwrap_or_default() > 0
    });
    assert_eq!(failed.count(), 0, "throttling is nobody's failure");
    let journal = bed.aws.journal();
    let throttled = journal.iter().filter(|c| throttled(c)).count();
    assert!(throttled * 20 < journal.len(), "{throttled} throttled");
    Ok(())
}

/// Where many leases are revoked and AWS is slow, all keys die before what is
/// left of the users is removed: with three calls a lease in a third of the
/// time.
#[tokio::test(flavor = "multi_thread")]
async fn all_keys_die_before_the_users_go() -> Story {
    /// More than are worked on at a time with this budget.
    const LEASES: usize = 80;
    let bed = slow_bed(USUAL).await?;
    let scene = Scene::on(bed.clone(), "pace-keys").await?;
    scene.role(json!({})).await?;
    let names: Vec<_> = (0..LEASES).map(|n| format!("r{n}")).collect();
    try_join_all(names.iter().map(|name| scene.request(name, json!({})))).await?;
    for name in &names {
        scene.ready_within(name, LATER).await?;
    }
    bed.aws.clear_journal();
    // Leases begin on whole seconds; the next one is certainly after them.
    let mark = Timestamp::now() + SignedDuration::from_secs(1);
    scene
        .role(json!({"revokeBefore": mark.to_string()}))
        .await?;
    wait::until_ok("all to be revoked", LATER, || async {
        let ours = |user: &UserView| user.name.starts_with("keylease-pace-keys-");
        let left = bed.aws.users().into_iter().filter(ours).count();
        ensure!(left == 0, "{left} users are left");
        Ok(())
    })
    .await?;
    let done = |op: &str| {
        let journal = bed.aws.journal();
        let done = journal
            .into_iter()
            .filter(|c| c.op == op && matches!(c.outcome, Outcome::Applied));
        done.map(|c| c.at).collect::<Vec<_>>()
    };
    let keys = done("DeleteAccessKey");
    assert_eq!(keys.len(), LEASES);
    let last = keys.into_iter().max().context("no keys")?;
    let early = done("DeleteUser")
        .into_iter()
        .filter(|at| *at < last)
        .count();
    assert!(
        early <= LEASES / 8,
        "{early} users went before the last key"
    );
    Ok(())
}
