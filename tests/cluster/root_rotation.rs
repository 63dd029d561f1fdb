//! The operator replaces its own key. The shortest period is a minute, so each
//! test takes one or two; beds are their own, because the key is everybody's.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::Secret;
use keylease_api::{AwsAccount, Condition, RootKey};
use keylease_testbed::aws::{KeyDelay, KeyView};
use keylease_testbed::aws_cli::{ROOT_KEY_ID, ROOT_SECRET};
use keylease_testbed::operator::NAMESPACE;
use keylease_testbed::{FakeConfig, Fault, FaultKind, wait};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::harness::{LATER, SOON, Scene, Settings, Story, caller_of};

/// The user that the first key belongs to.
const USER: &str = "keylease-operator";
/// Name of the account, of its Secret, and of the role.
const NAME: &str = "rotating";

/// A bed whose AWS accepts and lists keys late, with a Secret that holds the
/// operator's key.
async fn with_secret() -> Result<Scene> {
    let settings = Settings {
        aws: FakeConfig {
            latency: Duration::from_millis(5),
            key_delay: KeyDelay::fixed(Duration::from_secs(2)),
            key_read_lag: Duration::from_secs(1),
            ..FakeConfig::default()
        },
        ..Settings::default()
    };
    let scene = Scene::alone(settings, NAME).await?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "labels": {"team": "platform"}},
        "stringData": {
            "AWS_ACCESS_KEY_ID": ROOT_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": ROOT_SECRET,
            "note": "stays",
        },
    });
    let params = PatchParams::apply("a-platform-team");
    let api = secrets(&scene);
    api.patch(NAME, &params, &Patch::Apply(secret)).await?;
    Ok(scene)
}

/// A role in an account that signs in from that Secret and replaces the key in it
/// every minute.
async fn rotating(scene: &Scene) -> Result<()> {
    let spec = json!({
        "credentials": {"secretRef": {"name": NAME}},
        "rootRotation": {"period": "1m"},
    });
    scene.account(NAME, spec).await?;
    scene.role(json!({"accountRef": {"name": NAME}})).await
}

async fn scene() -> Result<Scene> {
    let scene = with_secret().await?;
    rotating(&scene).await?;
    Ok(scene)
}

fn secrets(scene: &Scene) -> Api<Secret> {
    Api::namespaced(scene.client.clone(), NAMESPACE)
}

fn keys(scene: &Scene) -> Vec<KeyView> {
    scene.bed.aws.user(USER).map_or_else(Vec::new, |u| u.keys)
}

async fn told(scene: &Scene) -> Result<(Option<RootKey>, Option<Condition>)> {
    let api: Api<AwsAccount> = Api::all(scene.client.clone());
    let status = api.get(NAME).await?.status.unwrap_or_default();
    let mut conditions = status.conditions.into_iter();
    let condition = conditions.find(|c| c.type_ == "RootRotation");
    Ok((status.root_key, condition))
}

/// Waits until AWS, the Secret and the status agree on one key, which is not
/// that one, and nothing is under way any more.
async fn replaced(scene: &Scene, old: &str) -> Result<Secret> {
    wait::until_ok("the key to be replaced", LATER, || async {
        let secret = secrets(scene).get(NAME).await?;
        let id = text(&secret, "AWS_ACCESS_KEY_ID")?;
        let keys = keys(scene);
        let (root_key, condition) = told(scene).await?;
        let only = keys.len() == 1 && keys[0].id == id && id != old;
        let said = root_key.as_ref().is_some_and(|key| key.id == id);
        let marked = secret.metadata.annotations.is_some();
        if only && said && !marked {
            return Ok(secret);
        }
        Err(anyhow!("{keys:?} {root_key:?} {condition:?} {marked}"))
    })
    .await
}

fn text(secret: &Secret, key: &str) -> Result<String> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    Ok(String::from_utf8(value.context("no such key")?.0.clone())?)
}

/// The whole way, over a lost answer to `CreateAccessKey`. Leases are issued
/// all the time, the Secret keeps what is not ours, and the old key is dead.
#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_key_is_replaced_while_leases_are_issued() -> Story {
    let scene = scene().await?;
    let lost = Fault::on("CreateAccessKey", FaultKind::LostReply);
    scene.bed.aws.add_fault(lost.user(USER).times(1));
    let replaced = replaced(&scene, ROOT_KEY_ID);
    let issue = async {
        for n in 0.. {
            let name = format!("r{n}");
            scene.request(&name, json!({})).await?;
            scene.ready(&name).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Result::<()>::Ok(())
    };
    let secret = tokio::select! {
        secret = replaced => secret?,
        failed = issue => return failed.map_err(Into::into),
    };
    assert_eq!(text(&secret, "note")?, "stays");
    assert_eq!(
        secret.metadata.labels.unwrap_or_default()["team"],
        "platform"
    );

    let old = [
        ("AWS_ACCESS_KEY_ID", ROOT_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", ROOT_SECRET),
        ("AWS_REGION", "us-east-1"),
    ];
    let old = old.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let refused = caller_of(&old.into(), &scene.bed.aws.endpoint()).await;
    assert!(refused.is_err(), "the old key still works");

    scene.request("later", json!({})).await?;
    scene.ready("later").await?;
    scene.expect_one_key("later").await?;
    let log = scene.bed.operator.lock().await.log_text();
    for secret in scene.bed.aws.all_secrets() {
        assert!(!log.contains(&secret), "a secret is in the log");
    }
    Ok(())
}

/// The operator dies with the only copy of the new key. Its successor knows
/// from the mark on the Secret whose the second key is.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_died_with_the_operator_is_deleted() -> Story {
    let scene = scene().await?;
    wait::until("a second key", LATER, || async {
        (keys(&scene).len() == 2).then_some(())
    })
    .await?;
    let mut operator = scene.bed.operator.lock().await;
    operator.kill_hard()?;
    let lost = keys(&scene).pop().context("it was there a moment ago")?;
    let secret = secrets(&scene).get(NAME).await?;
    assert_eq!(text(&secret, "AWS_ACCESS_KEY_ID")?, ROOT_KEY_ID);
    operator.start_again()?;
    operator.wait_ready(SOON).await?;
    drop(operator);

    let secret = replaced(&scene, ROOT_KEY_ID).await?;
    assert_ne!(text(&secret, "AWS_ACCESS_KEY_ID")?, lost.id);
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    Ok(())
}

/// A second key that the operator did not make is somebody's: it is told, and
/// left alone until that somebody deletes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_key_of_somebody_else_is_told_and_left_alone() -> Story {
    let scene = with_secret().await?;
    let aws = &scene.bed.aws;
    let user = ["--user-name", USER];
    let create = [&["iam", "create-access-key"], &user[..]].concat();
    aws.aws_cli(&[], &create).await?;
    let other = keys(&scene).pop().context("no second key")?.id;
    rotating(&scene).await?;
    let message = wait::until_ok("ForeignKey to be told", LATER, || async {
        match told(&scene).await?.1 {
            Some(c) if c.reason == "ForeignKey" && c.status == "False" => Ok(c.message),
            condition => Err(anyhow!("{condition:?}")),
        }
    })
    .await?;
    assert!(message.contains(&other), "{message}");
    assert_eq!(keys(&scene).len(), 2);
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;

    let delete = ["iam", "delete-access-key", "--access-key-id", &other];
    let delete = [&delete[..], &user[..]].concat();
    aws.aws_cli(&[], &delete).await?;
    replaced(&scene, ROOT_KEY_ID).await?;
    Ok(())
}
