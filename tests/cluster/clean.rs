//! The harness itself: a test that has a control plane to itself finds nothing
//! of the test before, whatever that one left, changed or took away.

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::wait;
use kube::Api;
use serde_json::json;

use crate::chart::install;
use crate::harness::{Begin, Cluster, Namespace, SOON, Story, begin, client_of};
use crate::unreadable::loosen;

/// What nothing is to be left of, of each kind that tests make; two are held by a
/// finalizer that nobody takes off.
const LEFT: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: left, namespace: keylease-system, finalizers: [example.com/held]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: left, namespace: keylease-system}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: keylease, namespace: keylease-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: left}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: left}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: left}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lefts.example.com}
spec:
  group: example.com
  names: {plural: lefts, singular: left, kind: Left}
  scope: Cluster
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: left}
webhooks:
- name: left.example.com
  admissionReviewVersions: [v1]
  clientConfig: {url: "https://127.0.0.1:1"}
  failurePolicy: Fail
  sideEffects: None
  rules:
  - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
"#;

/// Kinds of which there is nothing of ours in a cluster that has just begun, and
/// how they are asked for.
const NONE: &[&str] = &[
    "awscredentialrequests -A",
    "awsroles",
    "secrets -n keylease-system",
    "leases.coordination.k8s.io -n keylease-system",
    "clusterrole left",
    "clusterrolebinding left",
    "crd lefts.example.com",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "mutatingadmissionpolicies",
    "namespace left",
];

/// Makes, changes and takes away what it can.
async fn rage(cluster: &Cluster) -> Result<()> {
    let client = client_of(cluster.kubeconfig()).await?;
    let namespace = Namespace::create(client, "left").await?;
    namespace.role(json!({})).await?;
    namespace.request("left", json!({})).await?;
    let held = r#"{"metadata": {"finalizers": ["keylease.dev/revoke"]}}"#;
    let patch = ["patch", "--type=merge", "-p", held];
    let of = |what: [&'static str; 2]| [&patch[..], &what].concat();
    cluster.kubectl(&of(["awsrole", "left"])).await?;
    cluster.kubectl(&of(["awsaccount", "default"])).await?;
    let account = ["label", "awsaccount", "default", "left=behind"];
    cluster.kubectl(&account).await?;
    cluster.kubectl_apply(LEFT).await?;
    loosen(&namespace.client).await?;
    // One that goes for ever, one that is gone.
    let delete = ["delete", "--wait=false", "awsrole", "left"];
    cluster.kubectl(&delete).await?;
    let delete = ["delete", "clusterrole", "view"];
    cluster.kubectl(&delete).await?;
    std::fs::create_dir_all(cluster.dir().join("state"))?;
    // Last: its policies keep others from most of the above.
    install(
        cluster,
        &["--set=crds.install=false,watchNamespaces={left}"],
    )
    .await
}

/// Checks that it is as if nobody had been there.
async fn expect_nothing(cluster: &Cluster) -> Result<()> {
    for kind in NONE {
        let args = [
            &["get", "-o", "name", "--ignore-not-found"],
            &kind.split(' ').collect::<Vec<_>>()[..],
        ]
        .concat();
        let left = cluster.kubectl(&args).await?;
        ensure!(left.trim().is_empty(), "{kind}: {left}");
    }
    let account = cluster
        .kubectl(&["get", "awsaccount", "default", "-o", "json"])
        .await?;
    for left in ["behind", "finalizers", "deletionTimestamp", "conditions"] {
        ensure!(!account.contains(left), "{left}: {account}");
    }
    cluster.kubectl(&["get", "clusterrole", "view"]).await?;
    let client = client_of(cluster.kubeconfig()).await?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for shipped in keylease_api::crds() {
        let name = shipped.metadata.name.unwrap_or_default();
        let there = api.get(&name).await?.spec.versions.remove(0).schema;
        let shipped = shipped.spec.versions[0].schema.clone();
        ensure!(there == shipped, "{name} is not the one that is shipped");
    }
    // The rules are in force, and nobody's webhook or policy.
    let namespace = Namespace::create(client, "next").await?;
    let wrong = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "metadata": {"name": "wrong", "namespace": "next"}, "spec": {},
    });
    let wrong = cluster.kubectl_apply(&wrong.to_string()).await;
    let refusal = wrong.err().context("a request without a role was taken")?;
    ensure!(format!("{refusal:#}").contains("is invalid"), "{refusal:#}");
    namespace.role(json!({})).await?;
    let request = namespace.request("app", json!({})).await?;
    ensure!(request.metadata.annotations.is_none(), "{request:?}");
    cluster
        .kubectl(&["create", "configmap", "next", "-n", NAMESPACE])
        .await?;
    ensure!(!cluster.dir().join("state").exists(), "an operator's state");
    Ok(())
}

/// With definitions as without: what a test left is gone for the next, and all
/// works as it does on a new control plane, its controllers too.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_for_the_next_test() -> Story {
    let mut cluster = begin(Begin::Installed).await?;
    rage(&cluster).await?;
    cluster.begin_again(Begin::Installed).await?;
    expect_nothing(&cluster).await?;

    rage(&cluster).await?;
    cluster.begin_again(Begin::Empty).await?;
    let kinds = cluster.kubectl(&["get", "crd", "-o", "name"]).await?;
    assert_eq!(kinds, "", "definitions are left");
    let gone = cluster.kubectl(&["get", "namespace", NAMESPACE]).await;
    assert!(gone.is_err(), "{gone:?}");

    cluster.begin_again(Begin::Installed).await?;
    expect_nothing(&cluster).await?;
    collects_garbage(&cluster).await?;
    Ok(())
}

/// The collector knows our kinds, also when they were away.
async fn collects_garbage(cluster: &Cluster) -> Result<()> {
    let namespace = Namespace {
        client: client_of(cluster.kubeconfig()).await?,
        name: "next".into(),
    };
    let owner = namespace.requests().get("app").await?;
    let owner = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "name": "app", "uid": owner.metadata.uid,
    });
    let owned = json!({"ownerReferences": [owner]});
    namespace.foreign_secret("owned", owned).await?;
    namespace.delete("app").await?;
    wait::until("the Secret to be collected", SOON, || async {
        namespace
            .secret("owned")
            .await
            .ok()?
            .is_none()
            .then_some(())
    })
    .await
}
