//! Static users: one that exists is adopted, held by one request at a time,
//! and left as it was.

use anyhow::Context;
use keylease_api::{AwsRole, Phase};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{SOON, Scene, Story, caller_of, condition};

/// An IAM user outside our path, with a key that somebody uses, and a role for
/// it.
async fn adopted(scene: &Scene, user: &str) -> anyhow::Result<String> {
    let aws = &scene.bed.aws;
    let create = [
        "iam",
        "create-user",
        "--user-name",
        user,
        "--path",
        "/apps/",
    ];
    aws.aws_cli(&[], &create).await?;
    let create = [
        "iam",
        "create-access-key",
        "--user-name",
        user,
        "--output",
        "json",
    ];
    let made: Value = serde_json::from_str(&aws.aws_cli(&[], &create).await?)?;
    let key = made["AccessKey"]["AccessKeyId"]
        .as_str()
        .context("no key")?;
    role(scene, &scene.name, user).await?;
    Ok(key.to_owned())
}

async fn role(scene: &Scene, name: &str, user: &str) -> anyhow::Result<()> {
    let object = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsRole",
        "metadata": {"name": name},
        "spec": {
            "accountRef": {"name": "default"}, "staticUser": {"userName": user},
            "allowedNamespaces": {"names": [scene.name]},
        },
    });
    scene.bed.cluster.kubectl_apply(&object.to_string()).await?;
    Ok(())
}

fn keys(scene: &Scene, user: &str) -> Vec<String> {
    let user = scene.bed.aws.user(user);
    let keys = user.iter().flat_map(|u| &u.keys);
    let mut ids: Vec<_> = keys.map(|k| k.id.clone()).collect();
    ids.sort();
    ids
}

/// Adopted, used, waited for, handed on, given back with the key that it had.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_a_time_holds_the_user_and_leaves_it_as_it_was() -> Story {
    let scene = Scene::shared("static-hold").await?;
    let theirs = adopted(&scene, "legacy-hold").await?;
    scene.request("first", json!({})).await?;
    let first = scene.ready("first").await?;
    let status = first.status.context("status")?;
    let credential = status.credential.context("credential")?;
    assert_eq!(credential.type_, "staticUser");
    let arn = "arn:aws:iam::123456789012:user/apps/legacy-hold";
    assert_eq!(credential.arn.as_deref(), Some(arn));
    let secret = scene.secret("first").await?.context("Secret")?;
    assert_eq!(caller_of(&secret, &scene.bed.aws.endpoint()).await?, arn);
    let mut both = vec![theirs.clone(), credential.access_key_id];
    both.sort();
    assert_eq!(keys(&scene, "legacy-hold"), both);

    scene.request("second", json!({})).await?;
    let told = scene.refused("second", "UserHeld").await?;
    assert!(told.contains("one at a time"), "{told}");
    scene.delete("first").await?;
    scene.gone("first").await?;
    let second = scene.ready("second").await?;
    let key = second
        .status
        .context("status")?
        .credential
        .context("credential")?;
    let mut both = vec![theirs.clone(), key.access_key_id];
    both.sort();
    assert_eq!(keys(&scene, "legacy-hold"), both);
    scene.delete("second").await?;
    scene.gone("second").await?;
    assert_eq!(keys(&scene, "legacy-hold"), [theirs]);
    let roles: Api<AwsRole> = scene.roles();
    let role = roles.get(&scene.name).await?;
    assert_eq!(role.status.context("status")?.holder, None);
    Ok(())
}

/// With room for two keys the rotation overlaps, on the same user.
#[tokio::test(flavor = "multi_thread")]
async fn its_key_rotates_with_an_overlap() -> Story {
    let scene = Scene::shared("static-rotate").await?;
    let theirs = adopted(&scene, "legacy-rotate").await?;
    let arguments = [
        "iam",
        "delete-access-key",
        "--user-name",
        "legacy-rotate",
        "--access-key-id",
        &theirs,
    ];
    scene.bed.aws.aws_cli(&[], &arguments).await?;
    scene
        .request("app", json!({"rotation": {"overlap": "3s"}}))
        .await?;
    let old = scene.ready("app").await?;
    let old = old
        .status
        .context("status")?
        .credential
        .context("credential")?;
    let mark = json!({"metadata": {"annotations": {
        "keylease.dev/rotate-at": jiff::Timestamp::now().to_string(),
    }}});
    let params = PatchParams::default();
    scene
        .requests()
        .patch("app", &params, &Patch::Merge(&mark))
        .await?;
    let rotated = scene
        .until("rotated", "app", SOON, |r| {
            let status = r.status.as_ref();
            let shown = status.and_then(|s| s.credential.as_ref());
            shown.is_some_and(|c| c.access_key_id != old.access_key_id)
        })
        .await?;
    let previous = rotated.status.context("status")?.previous;
    assert_eq!(
        previous.context("previous")?.access_key_id,
        old.access_key_id
    );
    scene
        .until("with one key", "app", SOON, |r| {
            r.status.as_ref().is_some_and(|s| s.previous.is_none())
        })
        .await?;
    assert!(!keys(&scene, "legacy-rotate").contains(&old.access_key_id));
    assert_eq!(keys(&scene, "legacy-rotate").len(), 1);
    scene.delete("app").await?;
    scene.gone("app").await?;
    assert!(scene.bed.aws.user("legacy-rotate").is_some());
    assert!(keys(&scene, "legacy-rotate").is_empty());
    Ok(())
}

/// No such user, a user of a lease, a user that another role has: each is
/// named, and nothing is touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_cannot_be_adopted_is_named() -> Story {
    let scene = Scene::shared("static-wrong").await?;
    role(&scene, "static-wrong", "nobody-here").await?;
    scene.request("missing", json!({})).await?;
    let told = scene.refused("missing", "UserNotFound").await?;
    assert!(told.contains("nobody-here"), "{told}");

    adopted_twice(&scene).await
}

async fn adopted_twice(scene: &Scene) -> Story {
    let older = "static-wrong-older";
    role(scene, older, "legacy-twice").await?;
    let roles = scene.roles();
    let is_there = || async { roles.get(older).await.ok()?.status };
    keylease_testbed::wait::until("the older role to be seen", SOON, is_there).await?;
    // Ages are told in whole seconds.
    let born = roles
        .get(older)
        .await?
        .metadata
        .creation_timestamp
        .context("age")?;
    keylease_testbed::wait::until("the next second", SOON, || async {
        let age = jiff::Timestamp::now().duration_since(born.0);
        (age.as_secs() >= 2).then_some(())
    })
    .await?;
    role(scene, "static-wrong-younger", "Legacy-Twice").await?;
    let request = json!({"roleRef": {"name": "static-wrong-younger"}});
    scene.request("twice", request).await?;
    let told = scene.refused("twice", "RoleInvalid").await?;
    assert!(told.contains(older), "{told}");
    let request = scene.requests().get("twice").await?;
    assert_eq!(
        request.status.clone().context("status")?.phase,
        Some(Phase::Failed)
    );
    assert!(condition(&request, "Ready").is_some());
    Ok(())
}
