//! `revoke` tells the truth: of what it reaches, and of when it is done.

use anyhow::{Context, Result, ensure};
use keylease_api::Phase;
use serde_json::json;

use crate::bed::Scene;

fn times<'a>(args: &[&'a str], timeout: &'a str) -> Vec<&'a str> {
    [args, &["--timeout", timeout]].concat()
}

/// On a cluster of its own, because the operator is away.
#[tokio::test]
async fn without_the_operator_nothing_is_called_revoked() -> Result<()> {
    let scene = Scene::alone("v-away").await?;
    scene.issue(&["--name", "one"]).await?;
    scene.issue(&["--name", "two"]).await?;
    let idle = json!({"names": ["v-away"]});
    scene.role("v-away-idle", idle).await?;
    scene.bed.operator.lock().await.pause()?;

    let said = scene
        .run(&times(&["revoke", "--role", "v-away"], "3s"))
        .await?;
    assert_eq!((said.code, said.out.as_str()), (Some(3), ""), "{said:?}");
    for part in [
        "asked for, not done: 2 leases of role v-away are still live",
        "is the operator running?",
    ] {
        assert!(said.err.contains(part), "{said:?}");
    }
    // Where there is none, nobody has taken note of it all the same.
    let said = scene
        .run(&times(&["revoke", "--role", "v-away-idle"], "3s"))
        .await?;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("has not taken note"), "{said:?}");
    let said = scene
        .run(&times(&["revoke", "--all", "--yes"], "3s"))
        .await?;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("2 leases of role v-away are"), "{said:?}");
    let said = scene
        .run(&["revoke", "--role", "v-away", "--no-wait"])
        .await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("is asked for (2 leases)"), "{said:?}");
    assert_eq!(scene.users(), 2, "who removed them?");

    scene.bed.operator.lock().await.resume()?;
    let said = scene.ok(&["revoke", "--role", "v-away"]).await?;
    assert_eq!(scene.users(), 0, "it said so: {said}");
    for name in ["one", "two"] {
        let phase = scene
            .requests()
            .get(name)
            .await?
            .status
            .and_then(|s| s.phase);
        assert_eq!(phase, Some(Phase::Revoked));
    }
    // By name.
    scene.issue(&["--name", "three"]).await?;
    scene.bed.operator.lock().await.pause()?;
    let said = scene
        .run(&times(&["revoke", "three", "no-such"], "2s"))
        .await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    let said = scene.run(&times(&["revoke", "three"], "2s")).await?;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.err.contains("three is being revoked and is not done"),
        "{said:?}"
    );
    scene.bed.operator.lock().await.resume()?;
    Ok(())
}

#[tokio::test]
async fn what_is_rotated_counts_when_its_old_key_is_gone() -> Result<()> {
    let scene = Scene::set("v-rotates").await?;
    let request = json!({
        "apiVersion": "keylease.dev/v1alpha1", "kind": "AwsCredentialRequest",
        "metadata": {"name": "app", "namespace": scene.name},
        "spec": {"roleRef": {"name": scene.name}, "onExpiry": "Rotate"},
    });
    scene
        .bed
        .cluster
        .kubectl_apply(&request.to_string())
        .await?;
    let ready = [
        "wait",
        "--for=condition=Ready",
        "awscr",
        "app",
        "-n",
        "v-rotates",
        "--timeout=60s",
    ];
    scene.bed.cluster.kubectl(&ready).await?;
    let key = || async {
        let status = scene
            .requests()
            .get("app")
            .await?
            .status
            .context("no status")?;
        anyhow::Ok(status.credential.map(|c| c.access_key_id))
    };
    let old = key().await?.context("no key")?;

    let said = scene
        .run(&["revoke", "--role", "v-rotates", "--dry-run"])
        .await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("gets a new credential") && said.out.contains(&old),
        "{said:?}"
    );
    assert!(
        said.err.contains("1 lease, 0 to end and 1 to get"),
        "{said:?}"
    );
    let mark = scene.roles().get("v-rotates").await?.spec.revoke_before;
    assert!(mark.is_none(), "a dry run revoked");
    assert_eq!(key().await?.as_ref(), Some(&old));

    let said = scene.ok(&["revoke", "--role", "v-rotates"]).await?;
    assert!(said.contains("1 to get a new credential"), "{said}");
    let keys: Vec<_> = scene
        .bed
        .aws
        .users()
        .into_iter()
        .flat_map(|u| u.keys)
        .collect();
    assert!(keys.iter().all(|k| k.id != old), "the old key works");
    ensure!(
        key().await?.as_ref() != Some(&old),
        "it is still in the status"
    );
    Ok(())
}

#[tokio::test]
async fn a_session_is_not_called_revoked_that_works_on() -> Result<()> {
    let scene = Scene::set("v-session").await?;
    let role = json!({
        "accountRef": {"name": "default"},
        "assumedRole": {"roleArns": ["arn:aws:iam::123456789012:role/dev"]},
        "ttl": {"default": "15m", "max": "1h"},
        "allowedNamespaces": {"names": ["v-session"]},
    });
    scene.role_of("v-session-dev", role).await?;
    for name in ["one", "two"] {
        scene
            .ok(&["issue", "v-session-dev", "--name", name])
            .await?;
    }
    let said = scene.run(&["revoke", "one", "two", "--dry-run"]).await?;
    assert!(said.out.contains("AWS does not end it before"), "{said:?}");
    assert!(
        said.err.contains("2 leases, 2 of them with a session"),
        "{said:?}"
    );
    assert_eq!(scene.count().await?, 2);
    let said = scene.ok(&["revoke", "one"]).await?;
    assert!(said.contains("can use the session until"), "{said}");
    let said = scene.ok(&["revoke", "--role", "v-session-dev"]).await?;
    assert!(
        said.contains("1 of them with a session that AWS does not end"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn several_names_are_revoked_together() -> Result<()> {
    let scene = Scene::set("v-names").await?;
    for name in ["one", "two"] {
        scene.issue(&["--name", name]).await?;
    }
    let said = scene.run(&["revoke", "one", "no-such", "two"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.out, "one revoked\ntwo revoked\n");
    assert!(said.err.contains("named no-such"), "{said:?}");
    assert_eq!((scene.count().await?, scene.users()), (0, 0));
    Ok(())
}

/// Who may set the mark and may not list requests has asked, and knows no more.
#[tokio::test]
async fn what_cannot_be_watched_is_not_called_done() -> Result<()> {
    let scene = Scene::set("v-blind").await?;
    scene.issue(&["--name", "one"]).await?;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "v-blind"},
        "rules": [{"apiGroups": ["keylease.dev"], "resources": ["awsroles"],
            "resourceNames": ["v-blind"], "verbs": ["get", "patch"]}],
    });
    scene.bed.cluster.kubectl_apply(&role.to_string()).await?;
    let bind = [
        "create",
        "clusterrolebinding",
        "v-blind",
        "--clusterrole=v-blind",
        "--user=v-blind",
    ];
    scene.bed.cluster.kubectl(&bind).await?;
    let person = scene.bed.cluster.client_kubeconfig("v-blind", &[])?;
    let args = ["revoke", "--role", "v-blind"];
    let said = crate::bed::Said::of(scene.plugin_as(&person, &args)).await?;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("not known to be done"), "{said:?}");
    assert!(
        scene
            .roles()
            .get("v-blind")
            .await?
            .spec
            .revoke_before
            .is_some()
    );
    Ok(())
}
