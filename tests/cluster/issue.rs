//! The main road: a request, a Secret with a key that works, and its end.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use keylease_api::Phase;
use keylease_testbed::aws::KeyDelay;
use keylease_testbed::{FakeConfig, wait};
use kube::api::{WatchEvent, WatchParams};
use serde_json::json;

use crate::harness::{Bed, READ_ONLY, SOON, Scene, Settings, Story, caller_of, condition};

/// A request gets a Secret with all documented keys and a key that works, for
/// two writes and one per permission, and no list or read.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_gets_a_secret_with_a_working_key() -> Story {
    let scene = Scene::shared("issue-plain").await?;
    scene.role(json!({})).await?;
    let made = scene.request("app", json!({"ttl": "90m"})).await?;
    let request = scene.ready("app").await?;

    let secret = scene.secret("app").await?.context("no Secret")?;
    let keys: Vec<&str> = secret.keys().map(String::as_str).collect();
    let documented = [
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "credentials",
        "expiration",
    ];
    assert_eq!(keys, documented);
    assert_eq!(secret["AWS_REGION"], "us-east-1");
    assert_eq!(secret["AWS_DEFAULT_REGION"], "us-east-1");
    let user = scene.expect_one_key("app").await?;
    let arn = caller_of(&secret, &scene.bed.aws.endpoint()).await?;
    assert!(
        arn.ends_with(&format!(":user{}{}", user.path, user.name)),
        "{arn}"
    );

    let calls = scene.operations("app");
    assert_eq!(calls, ["CreateUser", "AttachUserPolicy", "CreateAccessKey"]);
    assert_eq!(user.attached, [READ_ONLY]);

    let status = request.status.clone().context("no status")?;
    let (lease, credential) = (
        status.lease.context("lease")?,
        status.credential.context("key")?,
    );
    let uid = made.metadata.uid.context("uid")?;
    assert_eq!(lease.id, format!("keylease.dev/creds/issue-plain/{uid}"));
    assert_eq!(lease.duration, "1h30m");
    assert_eq!(
        lease
            .expires_at
            .0
            .duration_since(lease.issued_at.0)
            .as_mins(),
        90
    );
    assert_eq!(
        lease
            .max_expires_at
            .0
            .duration_since(lease.issued_at.0)
            .as_mins(),
        120
    );
    assert!(lease.renewable && lease.renewals == 0);
    assert_eq!(secret["expiration"], lease.expires_at.0.to_string());
    assert_eq!(credential.type_, "iamUser");
    assert_eq!(credential.account_id, "123456789012");
    assert_eq!(
        (credential.user_name, credential.arn),
        (Some(user.name), Some(arn))
    );
    assert_eq!(status.secret_name.as_deref(), Some("app"));
    assert_eq!(status.observed_generation, request.metadata.generation);
    for (type_, wanted) in [("Ready", "True"), ("Issued", "True"), ("Usable", "True")] {
        let condition = condition(&request, type_).context(type_)?;
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            (wanted, "Issued")
        );
    }
    assert_eq!(
        condition(&request, "Revoked").context("Revoked")?.status,
        "False"
    );
    Ok(())
}

/// The Secret belongs to the request, says which lease it is of, and can be
/// read by AWS's own tools.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_ours_and_says_so() -> Story {
    let scene = Scene::shared("issue-form").await?;
    scene.role(json!({})).await?;
    let template = json!({"secret": {
        "name": "aws-creds",
        "type": "example.com/aws",
        "labels": {"team": "a"},
        "annotations": {"note": "b"},
        "keys": {"accessKeyId": "id", "region": "where"},
        "credentialsFile": {"key": "aws.ini", "profile": "work"},
    }});
    let made = scene.request("app", template).await?;
    scene.ready("app").await?;

    let secret = scene.secrets().get("aws-creds").await?;
    let owners = secret
        .metadata
        .owner_references
        .clone()
        .context("no owner")?;
    assert_eq!(owners.len(), 1);
    assert_eq!(Some(&owners[0].uid), made.metadata.uid.as_ref());
    assert_eq!(owners[0].controller, Some(true));
    assert_eq!(secret.type_.as_deref(), Some("example.com/aws"));
    let labels = secret.metadata.labels.context("no labels")?;
    assert_eq!(labels["team"], "a");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "keylease");
    assert_eq!(
        secret.metadata.annotations.context("no annotations")?["note"],
        "b"
    );

    let data = scene.secret("aws-creds").await?.context("no data")?;
    let keys: BTreeSet<&str> = data.keys().map(String::as_str).collect();
    let wanted = [
        "id",
        "AWS_SECRET_ACCESS_KEY",
        "where",
        "expiration",
        "aws.ini",
    ];
    assert_eq!(keys, BTreeSet::from(wanted));
    let file = &data["aws.ini"];
    assert!(file.starts_with("[work]\n"), "{file}");
    let line = format!("aws_access_key_id = {}\n", data["id"]);
    assert!(file.contains(&line), "{file}");
    assert!(
        scene.secret("app").await?.is_none(),
        "there is a second Secret"
    );
    Ok(())
}

/// Path, tags and boundary are in the very call that creates the user; every
/// permission costs one more write.
#[tokio::test(flavor = "multi_thread")]
async fn everything_a_role_names_is_on_the_user() -> Story {
    let scene = Scene::shared("issue-full").await?;
    let aws = &scene.bed.aws;
    let bound = "arn:aws:iam::123456789012:policy/issue-full";
    aws.add_policy(bound);
    aws.add_group("issue-full-a");
    aws.add_group("issue-full-b");
    let account = json!({"iamUsers": {
        "path": "/keylease/issue/full/", "permissionsBoundaryArn": bound,
        "tags": {"team": "platform", "cost center": "{{role}}"},
    }});
    scene.account("issue-full", account).await?;
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    scene
        .role(json!({"accountRef": {"name": "issue-full"}, "iamUser": {
            "policyArns": [READ_ONLY, "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"],
            "policyDocument": document,
            "groups": ["issue-full-a", "issue-full-b"],
            "path": "team-a/",
            "tags": {"team": "a", "for": "{{namespace}}/{{request}}"},
        }}))
        .await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;

    let mut operations = scene.operations("app");
    assert_eq!(operations.remove(0), "CreateUser");
    assert_eq!(operations.pop().as_deref(), Some("CreateAccessKey"));
    operations.sort();
    assert_eq!(
        operations,
        [
            "AddUserToGroup",
            "AddUserToGroup",
            "AttachUserPolicy",
            "AttachUserPolicy",
            "PutUserPolicy"
        ]
    );

    let user = scene.expect_one_key("app").await?;
    let create = scene.calls("app").remove(0).params;
    assert_eq!(create["PermissionsBoundary"], bound);
    assert_eq!(create["Path"], user.path);
    assert!(
        user.path.starts_with("/keylease/issue/full/") && user.path.ends_with("/team-a/"),
        "{user:?}"
    );
    let sent: BTreeSet<&String> = create
        .iter()
        .filter(|(k, _)| k.ends_with(".Key"))
        .map(|(_, v)| v)
        .collect();
    assert_eq!(
        sent,
        user.tags.keys().collect(),
        "tags came later than the user"
    );
    assert_eq!(user.tags["team"], "a", "the role's tag wins");
    assert_eq!(user.tags["cost center"], "issue-full");
    assert_eq!(user.tags["for"], "issue-full/app");
    assert_eq!(user.tags["keylease.dev/namespace"], "issue-full");
    assert_eq!(user.tags["keylease.dev/request"], "app");
    assert_eq!(user.tags["keylease.dev/role"], "issue-full");
    assert_eq!(
        (user.attached.len(), user.inline.len(), user.groups.len()),
        (2, 1, 2)
    );

    let before = scene.calls("app").len();
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    let mut end = scene.operations("app").split_off(before);
    assert_eq!(end.remove(0), "DeleteAccessKey");
    assert_eq!(end.pop().as_deref(), Some("DeleteUser"));
    end.sort();
    let undone = [
        "DeleteUserPolicy",
        "DetachUserPolicy",
        "DetachUserPolicy",
        "RemoveUserFromGroup",
        "RemoveUserFromGroup",
    ];
    assert_eq!(end, undone);
    Ok(())
}

/// Deleting a request costs what issuing cost, begins with the key, and leaves
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_request_takes_everything_with_it() -> Story {
    let scene = Scene::shared("issue-delete").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let secret = scene.secret("app").await?.context("no Secret")?;
    let before = scene.calls("app").len();
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.expect_nothing_left("app").await?;
    let calls = scene.operations("app").split_off(before);
    assert_eq!(calls, ["DeleteAccessKey", "DetachUserPolicy", "DeleteUser"]);
    let refusal = caller_of(&secret, &scene.bed.aws.endpoint()).await;
    assert!(refusal.is_err(), "the key still works: {refusal:?}");
    Ok(())
}

/// A lease ends by itself: key, Secret and user are gone, the request stays
/// and says so; and in between AWS was not bothered.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_by_itself() -> Story {
    let scene = Scene::alone(Settings::default(), "issue-expire").await?;
    scene.role(json!({})).await?;
    for (name, ttl) in [("short", "10s"), ("longer", "30s")] {
        scene.request(name, json!({"ttl": ttl})).await?;
    }
    for name in ["short", "longer"] {
        let ready = scene.ready(name).await?;
        let issued = scene.operations(name);
        assert_eq!(
            issued,
            ["CreateUser", "AttachUserPolicy", "CreateAccessKey"]
        );
        let expires_at = ready
            .status
            .and_then(|s| s.lease)
            .context("no lease")?
            .expires_at
            .0;

        let request = scene.expired(name).await?;
        scene.expect_nothing_left(name).await?;
        let calls = scene.calls(name);
        let ending = &calls[issued.len()..];
        let operations: Vec<&str> = ending.iter().map(|c| c.op.as_str()).collect();
        assert_eq!(
            operations,
            ["DeleteAccessKey", "DetachUserPolicy", "DeleteUser"]
        );
        let late = ending[0].at.duration_since(expires_at).as_secs();
        assert!(
            (0..=5).contains(&late),
            "revoked {late} s after the lease's end (O3: 0-5 s)"
        );

        let status = request.status.clone().context("no status")?;
        assert_eq!(status.phase, Some(Phase::Expired));
        assert!(status.credential.is_none() && status.secret_name.is_none());
        assert!(condition(&request, "Ready").is_none(), "it ended as asked");
        for (type_, wanted) in [("Usable", "False"), ("Revoked", "True")] {
            let condition = condition(&request, type_).context(type_)?;
            assert_eq!(
                (condition.status.as_str(), condition.reason.as_str()),
                (wanted, "Expired")
            );
        }
        let told: Vec<_> = scene.events(name).await?;
        let normal = |reason: &str| ("Normal".to_owned(), reason.to_owned());
        assert_eq!(told, [normal("Issued"), normal("Expired")]);
    }
    Ok(())
}

/// An expired request can be deleted, which asks AWS for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_request_goes_without_a_call() -> Story {
    let scene = Scene::shared("issue-expired").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({"ttl": "1s"})).await?;
    scene.expired("app").await?;
    let before = scene.calls("app").len();
    scene.delete("app").await?;
    scene.gone("app").await?;
    assert_eq!(scene.calls("app").len(), before);
    Ok(())
}

/// AWS needs three seconds to know a new key. At the very moment at which the
/// Secret appears, its key works.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_works_when_the_secret_appears() -> Story {
    let aws = FakeConfig {
        key_delay: KeyDelay::fixed(Duration::from_secs(3)),
        latency: Duration::from_millis(20),
        ..FakeConfig::default()
    };
    let bed = Bed::start(Settings {
        aws,
        ..Settings::default()
    })
    .await?;
    let scene = Scene::on(bed, "issue-slow").await?;
    scene.role(json!({})).await?;
    let api = scene.secrets();
    let mut events = api.watch(&WatchParams::default(), "0").await?.boxed();
    scene.request("app", json!({})).await?;
    let watched = async {
        while let Some(event) = events.try_next().await? {
            if let WatchEvent::Added(secret) | WatchEvent::Modified(secret) = event {
                return Ok::<Secret, anyhow::Error>(secret);
            }
        }
        anyhow::bail!("the watch ended")
    };
    let appeared = tokio::time::timeout(SOON, watched).await??;
    let text = |(key, value): (String, k8s_openapi::ByteString)| {
        (key, String::from_utf8(value.0).expect("text"))
    };
    let secret = appeared
        .data
        .context("it is empty")?
        .into_iter()
        .map(text)
        .collect();
    let arn = caller_of(&secret, &scene.bed.aws.endpoint())
        .await
        .context("the key is not yet known")?;
    assert!(arn.contains("user/keylease/"), "{arn}");
    assert_eq!(
        scene.operations("app"),
        ["CreateUser", "AttachUserPolicy", "CreateAccessKey"]
    );
    Ok(())
}

/// While the key is not known everywhere, the request says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_says_that_its_key_is_not_known_yet() -> Story {
    let aws = FakeConfig {
        key_delay: KeyDelay::fixed(Duration::from_secs(5)),
        ..Settings::default().aws
    };
    let scene = Scene::alone(
        Settings {
            aws,
            ..Settings::default()
        },
        "issue-proving",
    )
    .await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let seen = wait::until("Proving", SOON, || async {
        let request = scene.requests().get("app").await.ok()?;
        let ready = condition(&request, "Ready")?;
        (ready.reason == "Proving" || ready.reason == "Issued").then(|| ready.reason.clone())
    });
    assert_eq!(seen.await?, "Proving", "the first thing that it says");
    scene.ready("app").await?;
    Ok(())
}
