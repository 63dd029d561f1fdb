//! `doctor`.

use anyhow::Result;
use keylease_testbed::wait;
use serde_json::json;

use crate::bed::{SOON, Said, Scene};

fn line<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|l| l.contains(part)).unwrap_or_default()
}

#[tokio::test]
async fn tells_ok_from_broken() -> Result<()> {
    let scene = Scene::set("d-all").await?;
    let said = scene.run(&["doctor"]).await?;
    for part in [
        "awscredentialrequests.keylease.dev is installed in this version",
        "you may use issue and exec",
        "you may use revoke --role and --all",
        "AwsAccount default is ready",
        "AwsRole d-all is ready",
        "none of 0 requests in namespace d-all is stuck",
    ] {
        assert!(
            line(&said.out, part).starts_with("ok "),
            "{part}: {}",
            said.out
        );
    }
    // The operator of the tests runs outside of the cluster.
    assert!(
        line(&said.out, "no Deployment labelled").starts_with("warn"),
        "{}",
        said.out
    );

    // Another test's roles may be broken on purpose; our request surely is.
    let request = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "metadata": {"name": "too-long", "namespace": "d-all"},
        "spec": {"roleRef": {"name": "d-all"}, "ttl": "3h"},
    });
    scene
        .bed
        .cluster
        .kubectl_apply(&request.to_string())
        .await?;
    let said = wait::until_ok("the failure", SOON, || async {
        let said = scene.run(&["doctor"]).await?;
        if said.out.contains("d-all/too-long failed") {
            Ok(said)
        } else {
            Err(anyhow::anyhow!(said.out))
        }
    })
    .await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("-> TtlAboveMaximum: "), "{}", said.out);
    Ok(())
}

#[tokio::test]
async fn names_the_rights_that_are_missing() -> Result<()> {
    let scene = Scene::set("d-rights").await?;
    let rules = json!([{
        "apiGroups": ["keylease.dev"], "resources": ["awscredentialrequests"],
        "verbs": ["get", "list", "watch"],
    }]);
    let viewer = scene.person("d-viewer", rules).await?;
    let said = Said::of(scene.plugin_as(&viewer, &["doctor"])).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        line(&said.out, "you may use leases").starts_with("ok"),
        "{}",
        said.out
    );
    assert!(
        line(&said.out, "may not use issue").starts_with("FAIL"),
        "{}",
        said.out
    );
    let remedy = line(
        &said.out,
        "create awscredentialrequests in namespace d-rights",
    );
    assert!(
        remedy.contains("get secrets in namespace d-rights"),
        "{}",
        said.out
    );
    assert!(
        line(&said.out, "may not use roles").starts_with("warn"),
        "{}",
        said.out
    );
    // Not being allowed to look everywhere, it looked in the usual place.
    assert!(
        line(&said.out, "Deployment in keylease-system").starts_with("warn"),
        "{}",
        said.out
    );
    // By discovery, which everybody may use.
    assert!(
        line(&said.out, "keylease.dev/v1alpha1 is installed").starts_with("ok"),
        "{}",
        said.out
    );
    Ok(())
}

/// A release of any name, in any namespace.
#[tokio::test]
async fn finds_the_operator_by_its_label() -> Result<()> {
    let scene = Scene::alone("d-label").await?;
    let pod = json!({"app.kubernetes.io/name": "keylease"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "aws-leases", "namespace": "d-label", "labels": pod},
        "spec": {"replicas": 0, "selector": {"matchLabels": pod}, "template": {
            "metadata": {"labels": pod},
            "spec": {"containers": [{"name": "keylease", "image": "keylease"}]},
        }},
    });
    let cluster = &scene.bed.cluster;
    cluster.kubectl_apply(&deployment.to_string()).await?;
    let said = scene.run(&["doctor"]).await?;
    let seen = line(&said.out, "Deployment d-label/aws-leases");
    assert!(seen.starts_with("FAIL"), "{}", said.out);
    Ok(())
}
