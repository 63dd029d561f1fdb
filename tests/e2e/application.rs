//! The application: it starts when its Secret is there, and its key works the
//! first time it is used.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::bed::{Bed, SHOP, SOON, quote, restricted_namespace};

/// Pods first, request second: pods wait for the Secret, and the Secret is
/// there only once AWS accepts the key. So none of them ever sees a refusal.
pub async fn uses_its_key(bed: &Bed) -> Result<()> {
    bed.cluster
        .apply(include_str!("manifests/platform.yaml"))
        .await?;
    let namespace = restricted_namespace(SHOP);
    let settings = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "aws", "namespace": SHOP},
        "data": {"AWS_ENDPOINT_URL": bed.aws.endpoint(), "AWS_REGION": "us-east-1"},
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace, settings]});
    bed.cluster.apply(&list.to_string()).await?;
    bed.cluster
        .apply(include_str!("manifests/application.yaml"))
        .await?;
    bed.cluster.apply(&request(bed)).await?;

    let served = bed.served("app").await?;
    bed.users_are(&[&served.user]).await?;
    for who in ["pod/reader", "deployment/web"] {
        let line = format!("key={}", served.key);
        let log = bed.written(who, &line, SOON).await?;
        quote(who, &log);
        ensure!(log.contains(&served.arn), "{} is not in {log}", served.arn);
        ensure!(log.lines().count() == 1, "not at the first time: {log}");
    }
    Ok(())
}

/// The old key works on until every file has the new one.
fn request(bed: &Bed) -> String {
    let overlap = format!("{}s", 4 * bed.cluster.sync().as_secs());
    json!({
        "apiVersion": "keylease.dev/v1alpha1",
        "kind": "AwsCredentialRequest",
        "metadata": {"name": "app", "namespace": SHOP},
        "spec": {
            "roleRef": {"name": "shop"},
            "ttl": "1h",
            "onExpiry": "Rotate",
            "rotation": {"overlap": overlap},
            "restart": [{"kind": "Deployment", "name": "web"}],
        },
    })
    .to_string()
}
