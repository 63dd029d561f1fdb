//! Leases that end while AWS is away.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use keylease_api::Phase;
use keylease_testbed::aws::Rate;
use keylease_testbed::wait;
use kube::api::ListParams;
use serde_json::json;

use crate::harness::{Bed, LATER, SOON, Scene, Settings, Story};

/// Leases that end in the outage. (Five thousand end in virtual time, in
/// `plan::tests::outages`.)
const LEASES: usize = 60;

/// How many requests are in that phase.
async fn in_phase(scene: &Scene, phase: Phase) -> Result<usize> {
    let all = scene.requests().list(&ListParams::default()).await?;
    let phases = all.into_iter().filter_map(|r| r.status?.phase);
    Ok(phases.filter(|p| *p == phase).count())
}

async fn all_in_phase(scene: &Scene, phase: Phase, count: usize) -> Result<()> {
    wait::until_ok(&format!("{count} in phase {phase:?}"), LATER, || async {
        let found = in_phase(scene, phase).await?;
        ensure!(found == count, "{found} are");
        Ok(())
    })
    .await
}

/// Leases end, and the operator is killed, while AWS is away. When it is back
/// and allows few calls, every user goes, and whoever waited is served.
#[tokio::test(flavor = "multi_thread")]
async fn leases_that_ended_in_an_outage_drain_when_it_is_over() -> Story {
    let bed = Bed::start(Settings::default()).await?;
    let scene = Scene::on(bed, "drain").await?;
    scene.role(json!({})).await?;
    let names: Vec<_> = (0..LEASES).map(|n| format!("old{n}")).collect();
    let wish = || json!({"ttl": "60s"});
    try_join_all(names.iter().map(|name| scene.request(name, wish()))).await?;
    all_in_phase(&scene, Phase::Ready, LEASES).await?;
    let aws = &scene.bed.aws;
    aws.set_down(true);
    all_in_phase(&scene, Phase::Revoking, LEASES).await?;
    let mut operator = scene.bed.operator.lock().await;
    operator.kill_hard()?;
    operator.start_again()?;
    drop(operator);
    let names: Vec<_> = (0..10).map(|n| format!("new{n}")).collect();
    try_join_all(names.iter().map(|name| scene.request(name, json!({})))).await?;
    assert_eq!(aws.users_under("/keylease/").len(), LEASES);

    aws.set_config(|config| {
        config.rate = Some(Rate {
            per_second: 20.0,
            burst: 20.0,
        });
    });
    aws.set_down(false);
    scene.bed.operator.lock().await.wait_ready(SOON).await?;
    all_in_phase(&scene, Phase::Expired, LEASES).await?;
    all_in_phase(&scene, Phase::Ready, names.len()).await?;
    assert_eq!(aws.users_under("/keylease/").len(), names.len());
    for name in &names {
        scene.expect_one_key(name).await?;
    }
    Ok(())
}
