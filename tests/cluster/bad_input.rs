//! What a request or a role gets wrong: nothing happens in AWS, the condition
//! says what to change, and once it is changed the request goes on by itself.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use keylease_api::Phase;
use keylease_testbed::wait;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::harness::{LATER, READ_ONLY, SOON, Scene, Story};

/// More time than the role gives is refused, not cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_longer_than_the_role_allows_is_refused() -> Story {
    let scene = Scene::shared("bad-ttl").await?;
    scene.role(json!({"ttl": {"max": "2h"}})).await?;
    scene.request("app", json!({"ttl": "3h"})).await?;
    let message = scene.refused("app", "TtlAboveMaximum").await?;
    assert!(
        message.contains("3h") && message.contains("ask for 2h or less"),
        "{message}"
    );
    let request = scene.requests().get("app").await?;
    assert_eq!(
        request.status.context("no status")?.phase,
        Some(Phase::Failed)
    );
    assert!(scene.calls("app").is_empty(), "AWS was asked");
    assert!(scene.secret("app").await?.is_none());

    scene.role(json!({"ttl": {"max": "4h"}})).await?;
    scene.ready("app").await?;
    let told = scene.events("app").await?;
    assert_eq!(
        told[0],
        ("Warning".to_owned(), "TtlAboveMaximum".to_owned())
    );
    Ok(())
}

/// Nobody may use a role unless it says so; once it names the namespace, the
/// request goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_allowed_waits_to_be_named() -> Story {
    let scene = Scene::shared("bad-ns-name").await?;
    for (name, allowed) in [
        ("bad-ns-name", json!({"names": ["bad-ns-name-2"]})),
        ("bad-ns-name-none", json!({"names": []})),
        ("bad-ns-name-sel", json!({"names": [], "selector": {}})),
    ] {
        scene
            .role_named(name, json!({"allowedNamespaces": allowed}))
            .await?;
        scene
            .request(name, json!({"roleRef": {"name": name}}))
            .await?;
        let message = scene.refused(name, "NamespaceNotAllowed").await?;
        assert!(
            message.contains("does not allow namespace bad-ns-name;"),
            "{message}"
        );
    }
    assert!(scene.calls("").is_empty(), "AWS was asked");
    scene
        .role(json!({"allowedNamespaces": {"names": ["x", "bad-ns-name"]}}))
        .await?;
    scene.ready("bad-ns-name").await?;
    Ok(())
}

/// A role may select namespaces by label.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_allowed_by_its_labels() -> Story {
    let scene = Scene::shared("bad-ns-selected").await?;
    label_namespace(&scene, json!({"team": "a"})).await?;
    let select = |value: &str| {
        let terms = json!([{"key": "team", "operator": "In", "values": ["x", value]}]);
        json!({"allowedNamespaces": {"names": [], "selector": {"matchExpressions": terms}}})
    };
    scene.role(select("b")).await?;
    scene.request("app", json!({})).await?;
    scene.refused("app", "NamespaceNotAllowed").await?;
    scene.role(select("a")).await?;
    scene.ready("app").await?;
    Ok(())
}

/// A namespace that gets the label which a role selects by is served then.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_gets_the_label_is_served() -> Story {
    let scene = Scene::shared("bad-ns-label").await?;
    let selector = json!({"matchLabels": {"aws": "yes"}});
    scene
        .role(json!({"allowedNamespaces": {"names": [], "selector": selector}}))
        .await?;
    scene.request("app", json!({})).await?;
    scene.refused("app", "NamespaceNotAllowed").await?;
    label_namespace(&scene, json!({"aws": "yes"})).await?;
    scene.ready("app").await?;
    Ok(())
}

async fn label_namespace(scene: &Scene, labels: serde_json::Value) -> Result<()> {
    let api: Api<Namespace> = Api::all(scene.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    api.patch(&scene.name, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// A request may come before its role.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_its_role() -> Story {
    let scene = Scene::shared("bad-no-role").await?;
    scene.request("app", json!({})).await?;
    let message = scene.refused("app", "RoleNotFound").await?;
    assert!(
        message.contains("there is no AwsRole bad-no-role"),
        "{message}"
    );
    let request = scene.requests().get("app").await?;
    assert_eq!(
        request.status.context("no status")?.phase,
        Some(Phase::Pending)
    );
    scene.role(json!({})).await?;
    scene.ready("app").await?;
    Ok(())
}

/// AWS refuses a policy: no user is left behind, and the condition names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_aws_does_not_know_leaves_no_user_behind() -> Story {
    let scene = Scene::shared("bad-policy").await?;
    let unknown = "arn:aws:iam::123456789012:policy/does-not-exist";
    scene
        .role(json!({"iamUser": {"policyArns": [READ_ONLY, unknown]}}))
        .await?;
    scene.request("app", json!({})).await?;
    // The next attempt takes the finalizer again, so both are looked for at once.
    let let_go = |r: &keylease_api::AwsCredentialRequest| {
        let failed = r.status.as_ref().and_then(|s| s.phase) == Some(Phase::Failed);
        failed && r.metadata.finalizers.iter().flatten().next().is_none()
    };
    scene
        .until("Failed and let go", "app", SOON, let_go)
        .await?;
    let message = scene.refused("app", "RefusedByAws").await?;
    assert!(
        message.contains(unknown) && message.contains("correct the AwsRole"),
        "{message}"
    );
    assert_eq!(
        scene
            .bed
            .aws
            .user(&scene.calls("app")[0].user.clone().unwrap()),
        None
    );

    scene
        .role(json!({"iamUser": {"policyArns": [READ_ONLY]}}))
        .await?;
    scene.ready_within("app", LATER).await?;
    scene.expect_one_key("app").await?;
    Ok(())
}

/// A text that looks like a policy to CEL and is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_document_that_is_no_json_is_told_before_aws_is_asked() -> Story {
    let scene = Scene::shared("bad-document").await?;
    scene
        .role(json!({"iamUser": {"policyDocument": "{ \"Statement\": all }"}}))
        .await?;
    scene.request("app", json!({})).await?;
    let message = scene.refused("app", "RoleInvalid").await?;
    assert!(message.contains("policyDocument is not JSON"), "{message}");
    assert!(scene.calls("app").is_empty(), "AWS was asked");
    let roles = scene.roles();
    let told = wait::until_ok("the role's condition", SOON, || async {
        let role = roles.get("bad-document").await.map_err(|e| e.to_string())?;
        let conditions = role.status.map(|s| s.conditions).unwrap_or_default();
        let found = conditions
            .into_iter()
            .find(|c| c.type_ == "Ready" && c.status == "False");
        found.ok_or("the role has no such condition".to_owned())
    });
    assert_eq!(told.await?.reason, "RoleInvalid");
    Ok(())
}

/// A role may not choose its own boundary unless the account lets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_does_not_choose_its_boundary() -> Story {
    let scene = Scene::shared("bad-boundary").await?;
    let own = "arn:aws:iam::123456789012:policy/bad-boundary";
    scene.bed.aws.add_policy(own);
    scene.account("bad-boundary", json!({})).await?;
    let account = json!({"name": "bad-boundary"});
    let user = json!({"permissionsBoundaryArn": own});
    scene
        .role(json!({"accountRef": account, "iamUser": user}))
        .await?;
    scene.request("app", json!({})).await?;
    let message = scene.refused("app", "RoleInvalid").await?;
    assert!(message.contains("allowRoleBoundary"), "{message}");
    assert!(scene.calls("app").is_empty(), "AWS was asked");

    let allowing = json!({"iamUsers": {"allowRoleBoundary": true}});
    scene.account("bad-boundary", allowing).await?;
    scene.ready("app").await?;
    assert_eq!(
        scene.expect_one_key("app").await?.boundary.as_deref(),
        Some(own)
    );
    Ok(())
}

/// Two parts of the Secret under one name would overwrite each other.
#[tokio::test(flavor = "multi_thread")]
async fn two_parts_of_the_secret_cannot_have_one_name() -> Story {
    let scene = Scene::shared("bad-keys").await?;
    scene.role(json!({})).await?;
    let same = json!({"secret": {"keys": {"region": "expiration"}}});
    let refused = format!("{:#}", scene.request("app", same).await.unwrap_err());
    assert!(refused.contains("have the same name"), "{refused}");
    assert!(scene.calls("app").is_empty(), "AWS was asked");

    let corrected = json!({"secret": {"keys": {"region": "where"}}});
    scene.request("app", corrected).await?;
    scene.ready("app").await?;
    Ok(())
}

/// A namespace without room for a Secret is told before anything irreversible.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_on_secrets_is_found_before_aws_is_asked() -> Story {
    let scene = Scene::shared("bad-quota").await?;
    let quotas: Api<ResourceQuota> = Api::namespaced(scene.client.clone(), &scene.name);
    let quota = serde_json::from_value(json!({
        "metadata": {"name": "none"}, "spec": {"hard": {"secrets": "0"}},
    }))?;
    quotas.create(&PostParams::default(), &quota).await?;
    wait::until("the quota to be in force", SOON, || async {
        let quota = quotas.get("none").await.ok()?;
        quota.status?.hard?.contains_key("secrets").then_some(())
    })
    .await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let message = scene.refused("app", "SecretRefused").await?;
    assert!(message.contains("exceeded quota"), "{message}");
    assert!(scene.calls("app").is_empty(), "AWS was asked");

    quotas.delete("none", &DeleteParams::default()).await?;
    scene.ready_within("app", LATER).await?;
    scene.expect_one_key("app").await?;
    Ok(())
}

/// The longest names that Kubernetes takes are no trouble.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_names_work() -> Story {
    let scene = Scene::shared("bad-long-names").await?;
    let long = [
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(61),
    ]
    .join(".");
    assert_eq!(long.len(), 253);
    scene.role_named(&long, json!({})).await?;
    scene
        .request(&long, json!({"roleRef": {"name": long}}))
        .await?;
    scene.ready(&long).await?;
    let users = scene.users("a");
    let of_ours = scene.bed.aws.users();
    let user = of_ours
        .iter()
        .find(|u| u.name.starts_with("keylease-bad-long-names-aaaa"));
    let user = user.with_context(|| format!("{users:?}"))?;
    assert!(user.name.len() <= 64, "{}", user.name);
    assert_eq!(user.tags["keylease.dev/request"], long);
    scene.delete(&long).await?;
    scene.gone(&long).await?;
    assert_eq!(scene.bed.aws.user(&user.name), None);
    Ok(())
}
