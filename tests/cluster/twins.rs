//! Clusters that are copies of each other, over one AWS account: neither harms
//! the other's leases, both say so, and a person decides.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};
use keylease_api::AwsAccount;
use keylease_testbed::aws::UserView;
use keylease_testbed::{ControlPlane, Operator, wait};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::harness::{Bed, KEYLEASE, LATER, Namespace, SOON, Scene, Settings, Story, client_of};

/// Sweeps at once, and removes what no request accounts for. Of each other they
/// hear in seconds: no reader of the stand-in lags.
const SWEEPING: [(&str, &str); 4] = [
    ("KEYLEASE_IDENTITY_CHECK", "1s"),
    ("KEYLEASE_IDENTITY_SETTLE", "200ms"),
    ("KEYLEASE_SWEEP_INTERVAL", "6s"),
    ("KEYLEASE_SWEEP_MIN_AGE", "1s"),
];

/// Several of these intervals.
const SOME_SWEEPS: SignedDuration = SignedDuration::from_secs(20);

/// A control plane made of a backup of the bed's, with nobody in it yet. It is of
/// its own: two are needed at the same time.
async fn copy_of(bed: &Bed) -> Result<ControlPlane> {
    let backup = bed.cluster.backup_etcd().await?;
    let copy = ControlPlane::start().await?;
    copy.restore_etcd(&backup).await?;
    Ok(copy)
}

fn operator_in(cluster: &ControlPlane, bed: &Bed) -> Result<Operator> {
    let debug = ("KEYLEASE_LOG", "keylease=debug,info");
    let env: Vec<_> = SWEEPING.into_iter().chain([debug]).collect();
    let endpoint = bed.aws.endpoint();
    Operator::start(
        Path::new(KEYLEASE),
        cluster.kubeconfig(),
        &endpoint,
        &env,
        &[],
    )
}

/// Waits until the account says this of its identity; the sentence.
async fn unique(client: &Client, reason: &str) -> Result<String> {
    let api: Api<AwsAccount> = Api::all(client.clone());
    wait::until_ok(&format!("Unique: {reason}"), SOON, || async {
        let account = api.get("default").await.map_err(|e| anyhow!("{e}"))?;
        let status = account.status.unwrap_or_default();
        let mut all = status.conditions.iter();
        match all.find(|c| c.type_ == "Unique") {
            Some(c) if c.reason == reason => Ok(c.message.clone()),
            other => Err(anyhow!("{other:?}")),
        }
    })
    .await
}

/// Does what the condition tells: the one command in it.
async fn confirm(client: &Client) -> Result<()> {
    let told = unique(client, "TwinHolds").await?;
    let (_, rest) = told
        .split_once("keylease.dev/take-over=")
        .context("no command")?;
    let code: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    let yes = json!({"metadata": {"annotations": {"keylease.dev/take-over": code}}});
    let api: Api<AwsAccount> = Api::all(client.clone());
    api.patch("default", &PatchParams::default(), &Patch::Merge(&yes))
        .await?;
    Ok(())
}

fn keys(users: &[UserView]) -> Vec<String> {
    let ids = users.iter().flat_map(|user| &user.keys);
    ids.map(|key| key.id.clone()).collect()
}

/// The copy is begun while the first runs on: what the first renewed does not end
/// at the old end, nothing is rotated by the copy, and what was made since is
/// swept by nobody. Then a person moves the identity to the copy, and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_running_cluster_harms_none_of_its_leases() -> Story {
    let settings = Settings {
        env: &SWEEPING,
        ..Settings::default()
    };
    let scene = Scene::alone(settings, "twins").await?;
    scene.role(json!({})).await?;
    scene.request("renewed", json!({"ttl": "50s"})).await?;
    scene
        .request("rotated", json!({"ttl": "60s", "onExpiry": "Rotate"}))
        .await?;
    let known = scene.ready("renewed").await?.status.and_then(|s| s.lease);
    let known = known.context("no lease")?.expires_at.0;
    scene.ready("rotated").await?;
    unique(&scene.client, "Alone").await?;

    let cluster = copy_of(&scene.bed).await?;
    // The first was without its API server for a while.
    scene.bed.operator.lock().await.wait_ready(SOON).await?;
    scene.request("since", json!({})).await?;
    scene.ready("since").await?;
    let renew = json!({"spec": {"renew": {"at": Timestamp::now(), "increment": "2h"}}});
    scene
        .requests()
        .patch("renewed", &PatchParams::default(), &Patch::Merge(&renew))
        .await?;
    let (renewed, since) = (scene.users("renewed"), scene.users("since"));
    let mut second = operator_in(&cluster, &scene.bed)?;
    second.wait_ready(SOON).await?;
    let copy = client_of(cluster.kubeconfig()).await?;
    unique(&copy, "TwinHolds").await?;
    unique(&scene.client, "TwinSeen").await?;

    // Past the end that the copy knows by some sweeps of both, and past a rotation
    // of the first's.
    wait::until_ok("the old end and a rotation", LATER, || async {
        let past = Timestamp::now().duration_since(known);
        let operations = scene.operations("rotated");
        let made = operations.iter().filter(|op| *op == "CreateAccessKey");
        let made = made.count();
        ensure!(past > SOME_SWEEPS && made > 1, "{past:?}, {made} keys");
        Ok(())
    })
    .await?;
    assert_eq!(keys(&scene.users("renewed")), keys(&renewed));
    assert_eq!(keys(&scene.users("since")), keys(&since));
    for name in ["renewed", "since"] {
        scene.expect_one_key(name).await?;
    }
    let users = scene.users("rotated");
    assert_eq!(users.len(), 1, "{users:?}");
    let secret = scene.secret("rotated").await?.context("no Secret")?;
    assert!(keys(&users).contains(&secret["AWS_ACCESS_KEY_ID"]));
    let inherited = Namespace {
        client: copy.clone(),
        name: scene.name.clone(),
    };
    let waits = inherited.requests().get("renewed").await?;
    let told = serde_json::to_string(&waits.status)?;
    assert!(told.contains("(TwinHolds)"), "{told}");

    // The word moves the identity, and back.
    confirm(&copy).await?;
    unique(&copy, "Alone").await?;
    unique(&scene.client, "TwinHolds").await?;
    confirm(&scene.client).await?;
    unique(&copy, "TwinHolds").await?;
    // The copy is there and says so.
    unique(&scene.client, "TwinSeen").await?;
    scene.request("after", json!({})).await?;
    scene.ready_within("after", LATER).await?;
    Ok(())
}

/// One cluster goes back to a backup: that costs one word, and no key that its
/// Secrets hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cluster_asks_once_and_keeps_its_keys() -> Story {
    let scene = Scene::alone(Settings::default(), "twins-restored").await?;
    scene.role(json!({})).await?;
    scene.request("kept", json!({})).await?;
    scene.ready("kept").await?;
    let backup = scene.bed.cluster.backup_etcd().await?;
    let before = scene.expect_one_key("kept").await?;
    // Whoever leads next writes an epoch that the backup does not know.
    scene.bed.operator.lock().await.restart().await?;
    unique(&scene.client, "Alone").await?;
    let advanced = |marker: &UserView| marker.tags.get("keylease.dev/epoch").cloned();
    let old = scene.bed.aws.markers().iter().find_map(advanced);
    wait::until("the next epoch", SOON, || async {
        let new = scene.bed.aws.markers().iter().find_map(advanced);
        (new != old).then_some(())
    })
    .await?;
    scene.kill().await?;
    scene.bed.cluster.restore_etcd(&backup).await?;
    scene.start_again().await?;
    confirm(&scene.client).await?;
    unique(&scene.client, "Alone").await?;
    scene.request("new", json!({})).await?;
    scene.ready("new").await?;
    let after = scene.expect_one_key("kept").await?;
    assert_eq!(after.keys[0].id, before.keys[0].id);
    Ok(())
}
