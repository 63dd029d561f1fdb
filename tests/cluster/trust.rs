//! Whoever may edit a request may edit its annotations and finalizers. That
//! gives nothing, and leaves nothing behind.

use anyhow::Context;
use keylease_testbed::wait;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{LATER, READ_ONLY, SOON, Scene, Story};

const INTENT: &str = "keylease.dev/intent";

async fn annotate(scene: &Scene, name: &str, intent: Value) -> kube::Result<()> {
    let patch = json!({"metadata": {"annotations": {INTENT: intent}}});
    let params = PatchParams::default();
    let patch = Patch::Merge(&patch);
    scene
        .requests()
        .patch(name, &params, &patch)
        .await
        .map(drop)
}

/// The intent of a served request, with another policy and a year of life.
fn greedy(annotation: &str) -> anyhow::Result<Value> {
    let mut intent: Value = serde_json::from_str(annotation)?;
    intent["permissions"] =
        json!([{"managedPolicy": "arn:aws:iam::aws:policy/AdministratorAccess"}]);
    intent["ttlSeconds"] = json!(31_536_000);
    intent["maxTtlSeconds"] = json!(31_536_000);
    Ok(intent)
}

/// A tenant whose namespace the role does not allow writes the intent by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_intent_gets_no_credential() -> Story {
    let scene = Scene::shared("forged").await?;
    scene.role(json!({})).await?;
    scene.request("model", json!({})).await?;
    let model = scene.ready("model").await?;
    let annotation = model.metadata.annotations.context("annotations")?[INTENT].clone();
    scene
        .role_named(
            "closed",
            json!({"allowedNamespaces": {"names": ["nobody"]}}),
        )
        .await?;
    let made = scene
        .request("app", json!({"roleRef": {"name": "closed"}}))
        .await?;
    scene.refused("app", "NamespaceNotAllowed").await?;
    let uid = made.metadata.uid.context("uid")?;
    let kube_system: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(scene.client.clone());
    let cluster = kube_system
        .get("kube-system")
        .await?
        .metadata
        .uid
        .context("uid")?;
    let cluster = keylease_core::plan::naming::ClusterId(cluster);
    let mut intent = greedy(&annotation)?;
    intent["uid"] = json!(uid);
    intent["userName"] = json!(keylease_core::plan::naming::user_name(
        &cluster, "forged", "app", &uid
    ));
    let patch = json!({"metadata": {"finalizers": ["keylease.dev/revoke"]}});
    let params = PatchParams::default();
    scene
        .requests()
        .patch("app", &params, &Patch::Merge(&patch))
        .await?;
    annotate(&scene, "app", json!(intent.to_string())).await?;
    // It is looked at, taken back, and says again why not.
    scene
        .until("clean", "app", SOON, |r| r.metadata.finalizers.is_none())
        .await?;
    scene.refused("app", "NamespaceNotAllowed").await?;
    assert!(scene.users("app").is_empty());
    assert!(scene.secret("app").await?.is_none());
    Ok(())
}

/// The holder of a lease edits its intent and then makes the operator act.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_intent_widens_no_live_lease() -> Story {
    let scene = Scene::shared("edited").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let before = scene.ready("app").await?;
    let annotation = before.metadata.annotations.context("annotations")?[INTENT].clone();
    let mut intent = greedy(&annotation)?;
    intent["accountId"] = json!("999999999999");
    intent["account"] = json!("elsewhere");
    annotate(&scene, "app", json!(intent.to_string())).await?;
    scene.secrets().delete("app", &Default::default()).await?;
    let key = before
        .status
        .and_then(|s| s.credential)
        .context("key")?
        .access_key_id;
    scene
        .until("restored", "app", SOON, |r| {
            let status = r.status.as_ref();
            let now = status.and_then(|s| s.credential.as_ref());
            now.is_some_and(|c| c.access_key_id != key)
        })
        .await?;
    let user = scene.expect_one_key("app").await?;
    assert_eq!(user.attached, [READ_ONLY]);
    let lease = scene
        .ready("app")
        .await?
        .status
        .and_then(|s| s.lease)
        .context("lease")?;
    assert!(lease.expires_at.0 < jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2));
    annotate(&scene, "app", Value::Null).await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// A finalizer that was taken off comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_that_was_taken_off_comes_back() -> Story {
    let scene = Scene::shared("finalizer").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let patch = json!({"metadata": {"finalizers": null}});
    let params = PatchParams::default();
    scene
        .requests()
        .patch("app", &params, &Patch::Merge(&patch))
        .await?;
    wait::until("the finalizer", SOON, || async {
        let request = scene.requests().get("app").await.ok()?;
        request
            .metadata
            .finalizers
            .filter(|f| !f.is_empty())
            .map(drop)
    })
    .await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// A request that is created with our finalizer looks like one that is served. It
/// counts like any other, and takes no place of one that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_finalizer_is_no_way_around_a_limit() -> Story {
    let scene = Scene::shared("forged-limit").await?;
    scene.role(json!({"limits": {"maxLeases": 1}})).await?;
    scene.request("first", json!({})).await?;
    scene.ready("first").await?;
    let forged = serde_json::from_value(json!({
        "apiVersion": "keylease.dev/v1alpha1",
        "kind": "AwsCredentialRequest",
        "metadata": {"name": "forged", "finalizers": ["keylease.dev/revoke"]},
        "spec": {"roleRef": {"name": "forged-limit"}},
    }))?;
    scene
        .requests()
        .create(&PostParams::default(), &forged)
        .await?;
    let told = scene.refused("forged", "QuotaExceeded").await?;
    assert!(told.contains("maxLeases"), "{told}");
    assert!(scene.users("forged").is_empty());
    // The finalizer said nothing, and is gone: the place that comes free is not
    // taken by it twice.
    scene
        .until("let go of", "forged", SOON, |r| {
            r.metadata.finalizers.is_none()
        })
        .await?;
    scene.delete("first").await?;
    scene.gone("first").await?;
    scene.ready_within("forged", LATER).await?;
    Ok(())
}
