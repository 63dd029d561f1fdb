//! Rotation: the mounted file changes under a running pod, and a Deployment
//! that has the key in its environment is rolled, once.

use anyhow::{Context, Result, ensure};
use keylease_testbed::wait;

use crate::bed::{Bed, SHOP, SOON, quote};

const REVISION: &str = "deployment.kubernetes.io/revision";

pub async fn reaches_file_and_deployment(bed: &Bed) -> Result<()> {
    let old = bed.served("app").await?;
    let before = revision(bed).await?;
    bed.cluster
        .plugin(&["rotate", "app", "--namespace", SHOP])
        .await?;
    let new = bed.served("app").await?;
    ensure!(new.key != old.key && new.user == old.user, "{}", new.key);

    let line = format!("key={}", new.key);
    bed.written("pod/reader", &line, SOON.max(2 * bed.cluster.sync()))
        .await?;
    bed.cluster
        .kubectl(&[
            "rollout",
            "status",
            "deployment/web",
            "-n",
            SHOP,
            "--timeout=2m",
        ])
        .await?;
    quote(
        "deployment/web",
        &bed.written("deployment/web", &line, SOON).await?,
    );

    let what = "the replaced key to be gone";
    wait::until_ok(what, SOON + 4 * bed.cluster.sync(), || async {
        let keys = bed.aws.keys(&new.user).await?;
        ensure!(keys == [new.key.as_str()], "{keys:?}");
        Ok(())
    })
    .await?;
    ensure!(revision(bed).await? == before + 1, "rolled more than once");
    let log = bed.log("pod/reader").await?;
    quote("pod/reader", &log);
    ensure!(!log.contains("refused"), "a gap between the keys: {log}");
    Ok(())
}

/// How often the Deployment was rolled.
async fn revision(bed: &Bed) -> Result<u32> {
    let web = bed.cluster.get(&["deployment", "web", "-n", SHOP]).await?;
    let text = web["metadata"]["annotations"][REVISION].as_str();
    Ok(text.context("no revision")?.parse()?)
}
