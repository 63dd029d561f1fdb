//! Keys that follow each other: a client that reads the Secret never fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use keylease_api::{AwsCredentialRequest, Phase};
use keylease_testbed::aws::Outcome;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{SOON, Scene, Story, caller_of};

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "none.example/none"}]},
            },
        },
    })
}

fn key_of(request: &AwsCredentialRequest) -> Option<String> {
    let status = request.status.as_ref()?;
    Some(status.credential.as_ref()?.access_key_id.clone())
}

async fn marks(api: &Api<Deployment>) -> anyhow::Result<Vec<String>> {
    let web = api.get("web").await?;
    let template = web.spec.template.metadata;
    let marks = template.and_then(|m| m.annotations);
    let marks = marks.unwrap_or_default();
    Ok(marks.into_values().collect())
}

/// A client uses the Secret twice a second through several rotations, and not
/// one call fails. The user stays, its key changes, the workload is rolled
/// once for each new key and not for the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_never_fails_through_rotations() -> Story {
    let scene = Arc::new(Scene::shared("rotate-client").await?);
    scene.role(json!({})).await?;
    let web: Api<Deployment> = Api::namespaced(scene.client.clone(), &scene.name);
    let object = serde_json::from_value(deployment())?;
    web.create(&PostParams::default(), &object).await?;
    let spec = json!({
        "ttl": "12s", "onExpiry": "Rotate", "rotation": {"overlap": "4s"},
        "restart": [{"kind": "Deployment", "name": "web"}],
    });
    scene.request("app", spec).await?;
    let first = scene.ready("app").await?;
    assert!(marks(&web).await?.is_empty(), "rolled for the first key");
    let first = first
        .status
        .and_then(|s| s.credential)
        .context("credential")?;

    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let client = tokio::spawn({
        let (scene, stop, calls) = (scene.clone(), stop.clone(), calls.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let secret = scene.secret("app").await?.context("no Secret")?;
                caller_of(&secret, &scene.bed.aws.endpoint()).await?;
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            anyhow::Ok(())
        }
    });
    let mut seen = vec![first.access_key_id.clone()];
    while seen.len() <= 3 {
        let current = seen.last().cloned();
        let next = scene
            .until("rotated", "app", SOON, |r| key_of(r) != current)
            .await?;
        seen.extend(key_of(&next));
    }
    stop.store(true, Ordering::Relaxed);
    client.await??;
    assert!(calls.load(Ordering::Relaxed) > 10);

    let operations = scene.operations("app");
    let count = |op: &str| operations.iter().filter(|o| *o == op).count();
    assert_eq!(count("CreateUser"), 1, "{operations:?}");
    // Before each further key one look at whether the present one is in service.
    let looks = count("ListAccessKeys");
    assert!(looks <= count("CreateAccessKey"), "{operations:?}");
    let mark = marks(&web).await?;
    assert_eq!(mark.len(), 1);
    assert!(seen.contains(&mark[0]) && mark[0] != first.access_key_id);
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}

/// `kubectl keylease rotate` sets an annotation; an edit that means nothing
/// changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_when_asked_and_not_otherwise() -> Story {
    let scene = Scene::shared("rotate-asked").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let before = scene.ready("app").await?;
    let first = key_of(&before).context("key")?;
    let patch = |value: Value| {
        let scene = &scene;
        async move {
            let params = PatchParams::default();
            let patch = Patch::Merge(&value);
            scene.requests().patch("app", &params, &patch).await
        }
    };
    patch(json!({"metadata": {"labels": {"team": "blue"}}})).await?;
    patch(json!({"spec": {"ttl": "30m"}})).await?;
    let calls = scene.calls("app").len();
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    let annotations = json!({"keylease.dev/rotate-at": now.to_string()});
    patch(json!({"metadata": {"annotations": annotations}})).await?;
    let after = scene
        .until("rotated", "app", SOON, |r| {
            key_of(r).is_some_and(|k| k != first)
        })
        .await?;
    let applied = scene.calls("app");
    let applied: Vec<_> = applied[calls..]
        .iter()
        .filter(|c| c.outcome == Outcome::Applied)
        .map(|c| c.op.as_str())
        .collect();
    // Two looks at whether the key is in service, and the next one.
    assert_eq!(
        applied,
        [
            "ListAccessKeys",
            "ListAttachedUserPolicies",
            "CreateAccessKey"
        ],
        "the labels and the ttl cost calls"
    );
    let status = after.status.context("status")?;
    assert_eq!(status.phase, Some(Phase::Ready));
    assert_eq!(status.previous.context("previous")?.access_key_id, first);
    Ok(())
}

/// A Secret that somebody deleted comes back with another key, and the lost
/// one is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_secret_is_restored_with_a_new_key() -> Story {
    let scene = Scene::shared("secret-lost").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let before = scene.ready("app").await?.status.context("status")?;
    scene.secrets().delete("app", &Default::default()).await?;
    scene
        .until("restored", "app", SOON, |r| {
            let status = r.status.as_ref();
            let now = status.and_then(|s| s.credential.as_ref());
            now.is_some_and(|c| Some(c) != before.credential.as_ref())
        })
        .await?;
    scene.expect_one_key("app").await?;
    let after = scene.ready("app").await?.status.context("status")?;
    assert_eq!(after.lease, before.lease, "the lease has another end");
    Ok(())
}
