//! `--min-left`: a shared lease that is about to end is not handed out as it is.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use keylease_api::AwsCredentialRequest;
use keylease_testbed::wait;
use serde_json::{Value, json};

use crate::bed::{SOON, Said, Scene};

/// Of a lease of 24 s, 12 s are enough.
const TTL: &str = "24s";
const HALF: SignedDuration = SignedDuration::from_secs(12);

fn args<'a>(role: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = [
        "issue", role, "--name", "x", "--reuse", "--ttl", TTL, "-o", "process",
    ];
    [&args[..], more].concat()
}

/// What one call said: the id of the key and the end of the lease.
fn read(said: &Said) -> Result<(String, Timestamp)> {
    ensure!(said.code == Some(0), "{said:?}");
    let form: Value = serde_json::from_str(&said.out)?;
    let id = form["AccessKeyId"].as_str().context("no key")?.to_owned();
    let end = form["Expiration"].as_str().context("no end")?.parse()?;
    Ok((id, end))
}

async fn once(scene: &Scene, role: &str) -> Result<(String, Timestamp)> {
    read(&scene.run(&args(role, &[])).await?)
}

/// Several at once, which must all say the same.
async fn together(scene: &Scene, role: &str) -> Result<(String, Timestamp)> {
    let args = args(role, &[]);
    let said = try_join_all((0..6).map(|_| scene.run(&args))).await?;
    let all: BTreeSet<_> = said.iter().map(read).collect::<Result<_>>()?;
    let errors: Vec<_> = said.iter().map(|s| s.err.as_str()).collect();
    ensure!(all.len() == 1, "{all:?}, {errors:?}");
    // Each says how short it is, and nothing else.
    let short = errors
        .iter()
        .all(|e| e.contains("its leases live no longer"));
    ensure!(short, "{errors:?}");
    all.into_iter().next().context("nothing")
}

async fn request(scene: &Scene) -> Result<AwsCredentialRequest> {
    Ok(scene.requests().get("x").await?)
}

/// Waits until less than half of the lease is left.
async fn until_late(end: Timestamp) -> Result<()> {
    wait::until_ok("the lease to grow old", SOON, || async {
        let left = end.duration_since(Timestamp::now());
        ensure!(left < HALF - SignedDuration::from_millis(100), "{left}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_lease_is_renewed_where_that_helps() -> Result<()> {
    let scene = Scene::set("l-renew").await?;
    let first = once(&scene, "l-renew").await?;
    assert_eq!(
        once(&scene, "l-renew").await?,
        first,
        "a fresh one was touched"
    );
    until_late(first.1).await?;
    let (key, end) = together(&scene, "l-renew").await?;
    assert_eq!(key, first.0);
    assert!(end > first.1, "{end}");
    let lease = request(&scene).await?.status.and_then(|s| s.lease);
    assert_eq!(lease.context("no lease")?.renewals, 1, "each call renewed");
    Ok(())
}

/// A role that lets no lease live longer than `TTL`.
async fn role_at_its_maximum(scene: &Scene, name: &str, namespace: &str) -> Result<()> {
    let role = json!({
        "accountRef": {"name": "default"}, "iamUser": {},
        "ttl": {"default": TTL, "max": TTL},
        "allowedNamespaces": {"names": [namespace]},
    });
    scene.role_of(name, role).await
}

/// How many keys were made for the leases of one namespace.
fn keys_made(scene: &Scene, namespace: &str) -> usize {
    let prefix = format!("keylease-{namespace}-");
    let ours = |user: &Option<String>| user.as_ref().is_some_and(|u| u.starts_with(&prefix));
    let journal = scene.bed.aws.journal();
    let created = journal.iter().filter(|c| c.op == "CreateAccessKey");
    created.filter(|c| ours(&c.user)).count()
}

/// Several calls near the end of the first key, which get a later one.
async fn late_calls_share_one_new_key(
    scene: &Scene,
    role: &str,
    first: (String, Timestamp),
) -> Result<()> {
    until_late(first.1).await?;
    let (key, end) = together(scene, role).await?;
    assert!(
        key != first.0 && end > first.1,
        "{key} until {end}, after {first:?}"
    );
    Ok(())
}

/// What `issue` makes ends for good: only another request lasts longer.
#[tokio::test]
async fn a_lease_at_its_maximum_is_replaced() -> Result<()> {
    let scene = Scene::set("l-max").await?;
    role_at_its_maximum(&scene, "l-max-replace", "l-max").await?;
    let first = once(&scene, "l-max-replace").await?;
    let uid = request(&scene).await?.metadata.uid;
    late_calls_share_one_new_key(&scene, "l-max-replace", first).await?;
    assert_ne!(request(&scene).await?.metadata.uid, uid);
    assert_eq!(keys_made(&scene, "l-max"), 2, "each call made a key");
    Ok(())
}

/// One that goes on for ever has its next key before its time.
#[tokio::test]
async fn a_key_at_its_maximum_is_rotated() -> Result<()> {
    let scene = Scene::set("l-rotate").await?;
    role_at_its_maximum(&scene, "l-max-rotate", "l-rotate").await?;
    let spec = json!({
        "roleRef": {"name": "l-max-rotate"}, "onExpiry": "Rotate",
        // The operator's own rotation would come only after that of the plugin.
        "rotation": {"overlap": "3s"},
    });
    let made: AwsCredentialRequest = serde_json::from_value(json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "metadata": {"name": "x"}, "spec": spec,
    }))?;
    let uid = scene
        .requests()
        .create(&Default::default(), &made)
        .await?
        .metadata
        .uid;
    let first = once(&scene, "l-max-rotate").await?;
    late_calls_share_one_new_key(&scene, "l-max-rotate", first).await?;
    assert_eq!(request(&scene).await?.metadata.uid, uid);
    assert_eq!(keys_made(&scene, "l-rotate"), 2, "each call made a key");
    Ok(())
}

/// Who may not change requests has it replaced.
#[tokio::test]
async fn without_the_right_to_change_it_is_replaced() -> Result<()> {
    let scene = Scene::set("l-replace").await?;
    let rules = json!([
        {"apiGroups": ["keylease.dev"], "resources": ["awscredentialrequests"],
            "verbs": ["get", "list", "watch", "create", "delete"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ]);
    let person = scene.person("l-replace-user", rules).await?;
    let args = args("l-replace", &[]);
    let first = read(&Said::of(scene.plugin_as(&person, &args)).await?)?;
    let uid = request(&scene).await?.metadata.uid;
    until_late(first.1).await?;
    let second = read(&Said::of(scene.plugin_as(&person, &args)).await?)?;
    assert!(second.0 != first.0 && second.1 > first.1, "{second:?}");
    assert_ne!(request(&scene).await?.metadata.uid, uid);
    Ok(())
}

#[tokio::test]
async fn less_than_that_is_said_and_no_loop() -> Result<()> {
    let scene = Scene::set("l-said").await?;
    let said = scene.run(&args("l-said", &[])).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("less than --min-left 5m"), "{said:?}");
    let said = scene.run(&args("l-said", &["--min-left", "0s"])).await?;
    assert!(!said.err.contains("--min-left"), "{said:?}");
    let said = scene.run(&args("l-said", &["--min-left", "24s"])).await?;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("not less than --ttl"), "{said:?}");
    Ok(())
}
