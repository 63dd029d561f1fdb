//! The control plane, for real.

use std::time::Duration;

use anyhow::{Context, Result};
use keylease_testbed::{ControlPlane, ControlPlaneOptions, paths, wait};

/// The collector may be starting still.
const STARTED: Duration = Duration::from_secs(60);
/// Below the 30 seconds after which a collector that runs learns of new types.
const GARBAGE: Duration = Duration::from_secs(20);

const OWNER: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: owner, namespace: default}
";

const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.testbed.keylease.dev}
spec:
  group: testbed.keylease.dev
  names: {plural: things, singular: thing, kind: Thing}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
";

const THING: &str = "
apiVersion: testbed.keylease.dev/v1
kind: Thing
metadata: {name: owner, namespace: default}
";

fn missing() -> bool {
    let missing = paths::missing_control_plane();
    if let Some(why) = &missing {
        eprintln!("\n*** SKIPPED {}: {why}\n", module_path!());
    }
    missing.is_some()
}

/// Makes a Secret that belongs to the object `owner` of this kind.
async fn own_a_secret(plane: &ControlPlane, version: &str, kind: &str) -> Result<()> {
    let uid = ["get", kind, "owner", "-o", "jsonpath={.metadata.uid}"];
    let uid = plane.kubectl(&uid).await?;
    let secret = format!(
        "
apiVersion: v1
kind: Secret
metadata:
  name: of-{}
  namespace: default
  ownerReferences: [{{apiVersion: {version}, kind: {kind}, name: owner, uid: {uid}}}]
",
        kind.to_lowercase()
    );
    plane.kubectl_apply(&secret).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn collects_garbage_and_keeps_an_audit_log() -> Result<()> {
    if missing() {
        return Ok(());
    }
    let plane = ControlPlane::start_with(ControlPlaneOptions {
        audit_log: true,
        ..ControlPlaneOptions::default()
    })
    .await?;
    plane.kubectl_apply(CRD).await?;
    let established = ["wait", "--for=condition=Established", "crd", "--all"];
    plane.kubectl(&established).await?;
    plane.restart_controller_manager()?;

    plane.kubectl_apply(OWNER).await?;
    own_a_secret(&plane, "v1", "ConfigMap").await?;
    plane.kubectl_apply(THING).await?;
    own_a_secret(&plane, "testbed.keylease.dev/v1", "Thing").await?;
    plane
        .kubectl(&["delete", "configmap/owner", "thing/owner"])
        .await?;
    for (kind, within) in [("configmap", STARTED), ("thing", GARBAGE)] {
        let what = format!("garbage collection of what a {kind} owned");
        wait::until_ok(&what, within, || async {
            let left = plane.kubectl(&["get", "secrets", "-o", "name"]).await?;
            anyhow::ensure!(!left.contains(&format!("of-{kind}")), "left: {left}");
            Ok(())
        })
        .await?;
    }

    let events = plane.audit_events()?;
    let creation = events
        .iter()
        .find(|event| {
            event.verb == "create"
                && event
                    .object_ref
                    .as_ref()
                    .is_some_and(|object| object.resource == "secrets")
        })
        .context("the creation of the Secret")?;
    assert!(creation.is_write());
    assert!(creation.user_agent.starts_with("kubectl/"));

    let error = plane.kubectl_apply("kind: Nonsense").await;
    let message = error.expect_err("nonsense").to_string();
    assert!(message.contains("apiVersion not set"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_restarts_and_goes_back_in_time() -> Result<()> {
    if missing() {
        return Ok(());
    }
    let plane = ControlPlane::start_with(ControlPlaneOptions {
        controller_manager: false,
        ..ControlPlaneOptions::default()
    })
    .await?;
    let backup = plane.backup_etcd().await?;
    plane.kubectl_apply(OWNER).await?;

    plane.stop_apiserver();
    assert!(plane.kubectl(&["get", "--raw", "/readyz"]).await.is_err());
    plane.start_apiserver().await?;
    plane.kubectl(&["get", "configmap", "owner"]).await?;

    plane.restore_etcd(&backup).await?;
    let gone = plane.kubectl(&["get", "configmap", "owner"]).await;
    let message = gone.expect_err("forgotten").to_string();
    assert!(message.contains("NotFound"), "{message}");

    // Without a restart, whatever holds an object.
    let before = plane.contents().await?;
    plane.kubectl_apply(OWNER).await?;
    let held = r#"{"metadata": {"finalizers": ["example.com/held"]}}"#;
    let held = ["patch", "configmap", "owner", "--type=merge", "-p", held];
    plane.kubectl(&held).await?;
    let delete = [
        "delete",
        "--wait=false",
        "configmap/owner",
        "clusterrole/view",
    ];
    plane.kubectl(&delete).await?;
    let written = plane.put_back(&before).await?;
    let view = "/registry/clusterroles/view";
    assert!(written.contains(view), "{written:?}");
    let gone = plane.kubectl(&["get", "configmap", "owner"]).await;
    let message = gone.expect_err("taken back").to_string();
    assert!(message.contains("NotFound"), "{message}");
    plane.kubectl(&["get", "clusterrole", "view"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_with_restricted_users() -> Result<()> {
    if missing() {
        return Ok(());
    }
    let (one, two) = tokio::try_join!(ControlPlane::start(), ControlPlane::start())?;
    assert_ne!(one.server_url(), two.server_url());

    let stranger = one.client_kubeconfig("system:serviceaccount:default:stranger", &[])?;
    let list = ["get", "secrets", "-n", "default"];
    let refused = one.kubectl_with(&stranger, &list).await;
    let message = refused.expect_err("no role").to_string();
    assert!(
        message.contains("\"system:serviceaccount:default:stranger\" cannot list"),
        "{message}"
    );
    let admin = one.client_kubeconfig("someone", &["system:masters"])?;
    one.kubectl_with(&admin, &list).await?;

    let token = two.service_account_kubeconfig("default", "default").await?;
    let review = [
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ];
    assert_eq!(
        two.kubectl_with(&token, &review).await?,
        "system:serviceaccount:default:default"
    );
    Ok(())
}
