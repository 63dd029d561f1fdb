//! Uninstall: in the order that is documented it leaves nothing in AWS, and in
//! the other order nothing is lost.

use anyhow::{Result, ensure};

use crate::bed::{Bed, SHOP, SYSTEM};
use crate::install;

/// What the release makes outside of its namespace.
const CLUSTER_WIDE: &str = "clusterrole,clusterrolebinding,validatingadmissionpolicy,\
    validatingadmissionpolicybinding";

const DELETED_MEANWHILE: &str = r#"
apiVersion: keylease.dev/v1alpha1
kind: AwsCredentialRequest
metadata: {name: meanwhile, namespace: shop}
spec: {roleRef: {name: shop}}
"#;

/// `helm uninstall` while leases are in force: the requests stay, because the
/// definitions do, and so do the keys. What is deleted meanwhile waits. Who
/// installs again goes on with both.
pub async fn in_the_wrong_order_loses_nothing(bed: &Bed) -> Result<()> {
    let kept = bed.served("app").await?;
    bed.cluster.apply(DELETED_MEANWHILE).await?;
    let deleted = bed.served("meanwhile").await?;
    release_is_gone(bed).await?;
    bed.cluster
        .kubectl(&["delete", "awscr", "meanwhile", "-n", SHOP, "--wait=false"])
        .await?;
    bed.users_are(&[&kept.user, &deleted.user]).await?;

    install::chart(bed).await?;
    bed.users_are(&[&kept.user]).await?;
    let after = bed.served("app").await?;
    ensure!(after.key == kept.key, "the key was replaced");
    Ok(())
}

/// Requests first, then roles and accounts, then the release. Nothing hangs,
/// and nothing but the definitions is left.
pub async fn leaves_nothing_in_aws(bed: &Bed) -> Result<()> {
    let delete = |what: &'static [&'static str]| {
        let args = [&["delete"], what, &["--all", "--timeout=2m"]].concat();
        async move { bed.cluster.kubectl(&args).await }
    };
    delete(&["awscr", "--all-namespaces"]).await?;
    bed.users_are(&[]).await?;
    delete(&["awsrole,awsaccount"]).await?;
    release_is_gone(bed).await?;
    let end = [
        "delete",
        "namespace",
        SHOP,
        SYSTEM,
        "stand-in",
        "--timeout=2m",
    ];
    bed.cluster.kubectl(&end).await?;
    bed.cluster
        .kubectl(&["delete", "-k", "crds", "--timeout=1m"])
        .await?;
    bed.users_are(&[]).await
}

async fn release_is_gone(bed: &Bed) -> Result<()> {
    let uninstall = ["uninstall", "keylease", "--namespace", SYSTEM];
    bed.cluster
        .helm(&[&uninstall[..], &["--wait", "--timeout", "3m"]].concat())
        .await?;
    let ours = "app.kubernetes.io/instance=keylease";
    let left = bed
        .cluster
        .kubectl(&["get", CLUSTER_WIDE, "-l", ours, "-o", "name"])
        .await?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}
