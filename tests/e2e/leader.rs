//! The pod that leads is deleted: the other one takes over, and nothing that
//! is in force changes.

use anyhow::{Context, Result, ensure};
use keylease_testbed::wait;

use crate::bed::{Bed, OPERATOR, SHOP, SOON, SYSTEM};

const REQUEST: &str = r#"
apiVersion: keylease.dev/v1alpha1
kind: AwsCredentialRequest
metadata: {name: later, namespace: shop}
spec: {roleRef: {name: shop}}
"#;

pub async fn is_replaced(bed: &Bed) -> Result<()> {
    let before = bed.served("app").await?;
    let old = pod_that_leads(bed).await?;
    bed.cluster
        .kubectl(&["delete", "pod", &old, "-n", SYSTEM, "--wait=false"])
        .await?;
    wait::until_ok("another leader", SOON, || async {
        let now = pod_that_leads(bed).await?;
        ensure!(now != old, "{now}");
        Ok(())
    })
    .await?;

    bed.cluster.apply(REQUEST).await?;
    let later = bed.served("later").await?;
    bed.cluster
        .kubectl(&["delete", "awscr", "later", "-n", SHOP, "--timeout=2m"])
        .await?;
    let after = bed.served("app").await?;
    ensure!(later.user != after.user && after.key == before.key);
    bed.users_are(&[&after.user]).await
}

/// The pod whose name the Lease's holder begins with.
async fn pod_that_leads(bed: &Bed) -> Result<String> {
    let lease = bed
        .cluster
        .get(&["lease", "keylease", "-n", SYSTEM])
        .await?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    let pods = bed
        .cluster
        .get(&["pods", "-n", SYSTEM, "-l", OPERATOR])
        .await?;
    let pods = pods["items"].as_array().context("no list")?;
    let names = pods
        .iter()
        .filter_map(|pod| pod["metadata"]["name"].as_str());
    let leader = names.filter(|name| holder.starts_with(name)).max();
    Ok(leader
        .with_context(|| format!("no pod is {holder:?}"))?
        .to_owned())
}
