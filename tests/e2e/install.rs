//! Install: a namespace that admits only restricted pods, the operator's key,
//! the chart.

use anyhow::{Context, Result, ensure};
use keylease_testbed::wait;
use serde_json::json;

use crate::bed::{Bed, OPERATOR, SOON, SYSTEM, restricted_namespace};

/// Any request; it is not made.
const REQUEST: &str = r#"
apiVersion: keylease.dev/v1alpha1
kind: AwsCredentialRequest
metadata: {name: not-made, namespace: default}
spec: {roleRef: {name: none}}
"#;

/// The operator's namespace does not admit a pod that asks for more than the
/// standard "restricted" allows.
pub async fn with_the_chart(bed: &Bed) -> Result<()> {
    let namespace = restricted_namespace(SYSTEM);
    let key = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "aws-root", "namespace": SYSTEM},
        "stringData": {
            "AWS_ACCESS_KEY_ID": bed.aws.operator.id,
            "AWS_SECRET_ACCESS_KEY": bed.aws.operator.secret,
        },
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace, key]});
    bed.cluster.apply(&list.to_string()).await?;
    chart(bed).await?;

    let pods = bed
        .cluster
        .get(&["pods", "-n", SYSTEM, "-l", OPERATOR])
        .await?;
    let pods = pods["items"].as_array().context("no list")?;
    ensure!(pods.len() == 2, "{} pods", pods.len());
    for pod in pods {
        let status = &pod["status"]["containerStatuses"][0];
        ensure!(
            status["ready"] == true && status["restartCount"] == 0,
            "{status}"
        );
    }
    Ok(())
}

/// `helm install`; it returns when both replicas are ready.
pub async fn chart(bed: &Bed) -> Result<()> {
    let endpoint = json!([{"name": "AWS_ENDPOINT_URL", "value": bed.aws.endpoint()}]);
    let env = format!("extraEnv={endpoint}");
    let install = [
        "install",
        "keylease",
        "charts/keylease",
        "--namespace",
        SYSTEM,
    ];
    let values = ["--values", "tests/e2e/values.yaml", "--set-json", &env];
    let patience = ["--wait", "--timeout", "3m"];
    bed.cluster
        .helm(&[&install[..], &values, &patience].concat())
        .await?;
    // For some seconds after a kind was defined the API server refuses to make
    // objects of it.
    wait::until_ok("the new kinds to be served", SOON, || {
        bed.cluster.dry_run(REQUEST)
    })
    .await
}

/// `helm test`: a pod with the operator's rights and AWS identity signs in to every
/// account, and finds nothing in AWS that no request accounts for.
pub async fn is_tested(bed: &Bed) -> Result<()> {
    let test = ["test", "keylease", "--namespace", SYSTEM];
    let patience = ["--logs", "--timeout", "2m"];
    let said = bed.cluster.helm(&[&test[..], &patience].concat()).await?;
    ensure!(said.contains("AwsAccount default: "), "{said}");
    ensure!(said.contains(", 0 without a request"), "{said}");
    Ok(())
}
