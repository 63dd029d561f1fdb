//! `deploy/` in its parts, as GitOps tools apply them: one after the other, and
//! the definitions never pruned.

use anyhow::ensure;
use keylease_testbed::wait;

use crate::chart::established;
use crate::harness::{Begin, SOON, Story, begin};

/// A part of `deploy/`.
fn part(name: &str) -> String {
    format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"))
}

const REQUEST: &str = r#"
apiVersion: keylease.dev/v1alpha1
kind: AwsCredentialRequest
metadata: {name: not-made, namespace: default}
spec: {roleRef: {name: none}}
"#;

/// Each part is taken for itself, twice, and with the last one the API server
/// notes who wrote a request.
#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_deploy_are_taken_one_after_the_other() -> Story {
    let cluster = begin(Begin::Empty).await?;
    for name in ["crds", "operator", "requester", "crds", "operator"] {
        cluster.kubectl(&["apply", "-k", &part(name)]).await?;
        established(&cluster).await?;
    }
    let marks = [
        "argocd\\.argoproj\\.io/sync-options",
        "kustomize\\.toolkit\\.fluxcd\\.io/prune",
    ];
    for mark in marks {
        let path = format!("-o=jsonpath={{.items[*].metadata.annotations.{mark}}}");
        let marked = cluster.kubectl(&["get", "crds", &path]).await?;
        assert_eq!(marked.split_whitespace().count(), 3, "{mark}: {marked}");
    }
    wait::until_ok("the requester's name", SOON, || async {
        let create = ["create", "--dry-run=server", "-o", "yaml", "-f", "-"];
        let made = cluster.kubectl_stdin(&create, REQUEST).await?;
        ensure!(made.contains("keylease.dev/requested-by"), "{made}");
        Ok(())
    })
    .await?;
    Ok(())
}
