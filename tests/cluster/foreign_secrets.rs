//! Secrets that are not ours are never changed and never deleted, whatever
//! they are called and whatever they claim (O4).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use keylease_api::AwsCredentialRequest;
use keylease_testbed::wait;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{LATER, SOON, Scene, Settings, Story, condition};

/// The Secret is to the byte what it was, version included.
async fn expect_untouched(scene: &Scene, before: &Secret) -> Result<()> {
    let name = before.metadata.name.as_deref().context("no name")?;
    let now = scene.secrets().get(name).await?;
    assert_eq!(
        now.metadata.resource_version,
        before.metadata.resource_version
    );
    assert_eq!(&now, before);
    Ok(())
}

/// The name is taken by another application: the request says so, and the
/// Secret is untouched, also when the request is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn another_applications_secret_is_left_alone() -> Story {
    let scene = Scene::shared("foreign-plain").await?;
    scene.role(json!({})).await?;
    let theirs = scene.foreign_secret("app", json!({})).await?;
    scene.request("app", json!({})).await?;
    let message = scene.refused("app", "SecretConflict").await?;
    assert!(
        message.contains("Secret app exists and does not belong to this request"),
        "{message}"
    );
    assert!(scene.calls("app").is_empty(), "AWS was asked");
    expect_untouched(&scene, &theirs).await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    expect_untouched(&scene, &theirs).await?;
    Ok(())
}

/// When the other application's Secret goes, the request takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_becomes_free_is_taken() -> Story {
    let scene = Scene::shared("foreign-freed").await?;
    scene.role(json!({})).await?;
    scene.foreign_secret("app", json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.refused("app", "SecretConflict").await?;
    scene
        .secrets()
        .delete("app", &DeleteParams::default())
        .await?;
    scene.ready_within("app", LATER).await?;
    scene.expect_one_key("app").await?;
    Ok(())
}

/// As long as the name is taken, the request is looked at and not written to.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_for_a_name_is_not_written_to() -> Story {
    let scene = Scene::alone(Settings::default(), "foreign-waits").await?;
    scene.role(json!({})).await?;
    let theirs = scene.foreign_secret("app", json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.refused("app", "SecretConflict").await?;
    let before = scene.requests().get("app").await?;
    until_looked_again(&scene, 3).await?;
    assert_eq!(scene.requests().get("app").await?, before);
    expect_untouched(&scene, &theirs).await?;
    Ok(())
}

/// Waits until the operator has read a Secret so many more times.
async fn until_looked_again(scene: &Scene, times: u64) -> Result<()> {
    let before = looks_at_secrets(scene).await?;
    wait::until_ok("another look whether it is free", LATER, || async {
        let looks = looks_at_secrets(scene).await?;
        ensure!(looks >= before + times, "{looks} looks, {before} before");
        Ok(())
    })
    .await
}

/// How often the operator has read a Secret.
async fn looks_at_secrets(scene: &Scene) -> Result<u64> {
    let metrics = scene.bed.operator.lock().await.metrics().await?;
    let reads = metrics.lines().filter(|l| l.contains("\"get_secret\""));
    let counts = reads.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(counts.sum())
}

/// Labels, annotations and an owner reference that look like ours do not make
/// it ours: the uid is of another request.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_owner_reference_does_not_make_it_ours() -> Story {
    let scene = Scene::shared("foreign-forged").await?;
    scene.role(json!({})).await?;
    let other = scene.request("other", json!({})).await?;
    let other_key = scene
        .ready("other")
        .await?
        .status
        .and_then(|s| s.credential);
    let other_key = other_key.context("no key")?.access_key_id;
    let other_calls = scene.operations("other");
    // The owner exists, or the garbage collector would take the Secret.
    let theirs = scene
        .foreign_secret(
            "app",
            json!({
                "labels": {"app.kubernetes.io/managed-by": "keylease"},
                "annotations": {
                    "keylease.dev/access-key-id": other_key,
                    "keylease.dev/issued-at": "2020-01-01T00:00:00Z",
                    "keylease.dev/expires-at": "2020-01-01T00:00:00Z",
                    "keylease.dev/max-expires-at": "2020-01-01T00:00:00Z",
                },
                "ownerReferences": [{
                    "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
                    "name": "other", "uid": other.metadata.uid, "controller": true,
                }],
            }),
        )
        .await?;
    scene.request("app", json!({})).await?;
    scene.refused("app", "SecretConflict").await?;
    assert!(scene.calls("app").is_empty(), "AWS was asked");
    expect_untouched(&scene, &theirs).await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    expect_untouched(&scene, &theirs).await?;
    // The request that the forgery names is not disturbed either.
    scene.expect_one_key("other").await?;
    assert_eq!(scene.operations("other"), other_calls);
    Ok(())
}

/// Our own Secret, deleted by somebody: the lease keeps its end and gets a new
/// key, and the old one is gone from AWS.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_somebody_deletes_is_made_again() -> Story {
    let scene = Scene::shared("foreign-deleted").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let before = scene.ready("app").await?.status.context("no status")?;
    let (lease, key) = (
        before.lease.context("lease")?,
        before.credential.context("key")?,
    );
    scene
        .secrets()
        .delete("app", &DeleteParams::default())
        .await?;
    let renewed = |r: &keylease_api::AwsCredentialRequest| {
        let credential = r.status.as_ref().and_then(|s| s.credential.as_ref());
        credential.is_some_and(|c| c.access_key_id != key.access_key_id)
    };
    let after = scene.until("renewed", "app", LATER, renewed).await?;
    scene.expect_one_key("app").await?;
    let after = after.status.and_then(|s| s.lease).context("no lease")?;
    assert_eq!(after.expires_at, lease.expires_at);
    Ok(())
}

/// The data of our own Secret, edited by somebody: a new key, and none of what
/// was written into it. A label is nobody's business.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_somebody_edits_is_restored() -> Story {
    let scene = Scene::shared("foreign-edited").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let before = scene.ready("app").await?.status.context("no status")?;
    let key = before.credential.context("key")?.access_key_id;
    let edit = |change: serde_json::Value| async {
        let params = PatchParams::apply("somebody");
        let params = PatchParams {
            force: false,
            ..params
        };
        let patch = Patch::Merge(change);
        scene.secrets().patch("app", &params, &patch).await
    };
    edit(json!({"metadata": {"labels": {"team": "a"}}})).await?;
    edit(json!({"stringData": {"AWS_SECRET_ACCESS_KEY": "nonsense", "more": "x"}})).await?;
    let restored = |r: &keylease_api::AwsCredentialRequest| {
        let credential = r.status.as_ref().and_then(|s| s.credential.as_ref());
        credential.is_some_and(|c| c.access_key_id != key)
    };
    scene.until("restored", "app", LATER, restored).await?;
    scene.expect_one_key("app").await?;
    let data = scene.secret("app").await?.context("no Secret")?;
    assert!(!data.contains_key("more"), "what was added is still there");
    assert_ne!(data["AWS_SECRET_ACCESS_KEY"], "nonsense");
    let operations = scene.operations("app");
    let made = operations
        .iter()
        .filter(|o| *o == "CreateAccessKey")
        .count();
    assert_eq!(
        made, 2,
        "one for the lease, one for the edit: {operations:?}"
    );
    Ok(())
}

/// Somebody takes our Secret over by giving it another owner: it is theirs
/// now, and the key in it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changes_hands_is_let_go() -> Story {
    let scene = Scene::shared("foreign-taken").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    let theirs = scene
        .secrets()
        .patch("app", &PatchParams::default(), &patch)
        .await?;
    let told = |r: &AwsCredentialRequest| {
        condition(r, "Rotating").is_some_and(|c| c.reason == "SecretConflict")
    };
    scene.until("told of it", "app", SOON, told).await?;
    // A lease in force ends by its end, its revocation or its deletion.
    assert_eq!(scene.users("app").len(), 1);
    expect_untouched(&scene, &theirs).await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    assert!(scene.users("app").is_empty(), "the user is left");
    expect_untouched(&scene, &theirs).await?;
    Ok(())
}

/// How often AWS was asked for a key of this request.
fn keys_made(scene: &Scene, request: &str) -> usize {
    let operations = scene.operations(request);
    operations
        .iter()
        .filter(|o| *o == "CreateAccessKey")
        .count()
}

/// Changes the Secret as some controller of that name does.
async fn change(scene: &Scene, manager: &str, change: serde_json::Value) -> Result<Secret> {
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(change);
    Ok(scene.secrets().patch("app", &params, &patch).await?)
}

/// Waits until the status tells, or does not tell any more, what others did to
/// the Secret.
async fn until_told(scene: &Scene, wanted: Option<&str>) -> Result<()> {
    let told = |r: &keylease_api::AwsCredentialRequest| {
        let condition = condition(r, "SecretModified");
        match wanted {
            None => condition.is_none(),
            Some(text) => condition.is_some_and(|c| c.status == "True" && c.message.contains(text)),
        }
    };
    let what = format!("told {wanted:?} of its Secret");
    scene.until(&what, "app", LATER, told).await?;
    Ok(())
}

/// Entries, labels and annotations that others add, by patch and by server-side
/// apply, more writers than the API server keeps apart, and a record of writers
/// that somebody emptied: told where data was added, and no new key.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_others_write_to_costs_no_key() -> Story {
    let scene = Scene::shared("foreign-shared").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    change(&scene, "argocd", json!({"stringData": {"more": "x"}})).await?;
    until_told(&scene, Some("(more)")).await?;
    let apply = PatchParams::apply("reflector").force();
    let label = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "app", "labels": {"team": "a"}, "annotations": {"note": "b"}}});
    let patch = Patch::Apply(label);
    scene.secrets().patch("app", &apply, &patch).await?;
    // The API server keeps ten writers apart; the oldest are merged.
    for number in 0..12 {
        let manager = format!("controller-{number}");
        let label = json!({"metadata": {"labels": {manager.as_str(): "x"}}});
        change(&scene, &manager, label).await?;
    }
    let merged = scene.secrets().get("app").await?;
    let writers = merged.metadata.managed_fields.clone().unwrap_or_default();
    let is_merged = |w: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        w.manager.as_deref() == Some("ancient-changes")
    };
    assert!(
        writers.iter().any(is_merged),
        "nothing was merged: {writers:?}"
    );
    scene.expect_one_key("app").await?;
    // An object whose record was emptied gets none any more.
    let emptied = json!({"metadata": {"managedFields": [{}]}});
    change(&scene, "cleaner", emptied).await?;
    until_told(&scene, None).await?;
    let unseen = json!({"stringData": {"again": "x"}});
    change(&scene, "argocd", unseen).await?;
    scene.expect_one_key("app").await?;
    assert_eq!(keys_made(&scene, "app"), 1);
    let told = scene.events("app").await?;
    let told = told.iter().filter(|(_, reason)| reason == "SecretModified");
    assert_eq!(told.count(), 1, "told once");

    // The next key cleans up: everything is on record as ours.
    scene.rotate("app", jiff::Timestamp::now()).await?;
    let rotated = |_: &_| keys_made(&scene, "app") == 2;
    scene.until("rotated", "app", LATER, rotated).await?;
    scene.expect_secret_of_the_last_key("app").await?;
    // And an edit of ours is still an edit.
    change(&scene, "somebody", json!({"data": {"AWS_REGION": null}})).await?;
    let restored = |_: &_| keys_made(&scene, "app") == 3;
    scene.until("restored", "app", RESTORED, restored).await?;
    scene.expect_secret_of_the_last_key("app").await?;
    Ok(())
}

/// A Secret that was made a moment ago is restored a minute later.
const RESTORED: Duration = Duration::from_secs(120);

/// Somebody makes the Secret immutable, as hardening guides say: it is told, a
/// renewal says what to do, and a rotation takes one key.
#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_secret_is_told_and_rotated_with_one_key() -> Story {
    let scene = Scene::shared("foreign-frozen").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let frozen = change(&scene, "hardener", json!({"immutable": true})).await?;
    until_told(&scene, Some("immutable")).await?;
    let renew = json!({"spec": {"renew": {"at": jiff::Timestamp::now().to_string()}}});
    let patch = Patch::Merge(renew);
    scene
        .requests()
        .patch("app", &PatchParams::default(), &patch)
        .await?;
    let refused = || async {
        let told = scene.events("app").await.ok()?;
        told.iter()
            .any(|(_, r)| r == "RenewalRefused")
            .then_some(())
    };
    wait::until("the renewal to be refused", LATER, refused).await?;

    scene.rotate("app", jiff::Timestamp::now()).await?;
    until_told(&scene, None).await?;
    let made_again = scene.secrets().get("app").await?;
    assert_ne!(made_again.metadata.uid, frozen.metadata.uid);
    assert_eq!(made_again.immutable, None);
    scene.expect_secret_of_the_last_key("app").await?;
    assert_eq!(
        keys_made(&scene, "app"),
        2,
        "one for the lease, one for the rotation"
    );
    Ok(())
}
