//! Objects of which some cannot be read, on an API server that holds them: of
//! before a rule, of a newer version, with a malformed status. They are stored
//! while the definitions have no rules.

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use keylease_api::crds;
use keylease_testbed::wait;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::harness::{LATER, SOON, Scene, Story};

/// Takes types and rules off the definitions: everything is stored from now on.
pub async fn loosen(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in crds() {
        let name = definition
            .metadata
            .name
            .context("a definition has a name")?;
        let mut versions = serde_json::to_value(&definition.spec.versions)?;
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        versions[0]["schema"]["openAPIV3Schema"] = json!({
            "type": "object", "properties": {"spec": any, "status": any},
        });
        let patch = json!({"spec": {"versions": versions}});
        let params = PatchParams::default();
        api.patch(&name, &params, &Patch::Merge(patch)).await?;
    }
    Ok(())
}

/// Makes or changes an object, as soon as the API server has forgotten the rules.
async fn store(scene: &Scene, kind: &str, name: &str, object: Value) -> Result<()> {
    let api = scene.untyped(kind);
    let params = PatchParams::apply("somebody").force();
    let mut whole = object;
    whole["apiVersion"] = json!("keylease.dev/v1alpha1");
    whole["kind"] = json!(kind);
    whole["metadata"] = json!({"name": name});
    let what = format!("{kind} {name} to be stored");
    wait::until_ok(&what, SOON, || async {
        let stored = api.patch(name, &params, &Patch::Apply(&whole)).await;
        let stored = stored.map_err(|e| anyhow!("{e}"))?;
        ensure!(stored.data["spec"] == whole["spec"], "{:?}", stored.data);
        Ok(())
    })
    .await
}

/// Patches what is there, likewise.
async fn patch(scene: &Scene, name: &str, subresource: Option<&str>, change: Value) -> Result<()> {
    let api = scene.untyped("AwsCredentialRequest");
    let params = PatchParams::default();
    wait::until_ok(&format!("{name} to be patched"), SOON, || async {
        let patch = Patch::Merge(&change);
        let patched = match subresource {
            Some(_) => api.patch_status(name, &params, &patch).await,
            None => api.patch(name, &params, &patch).await,
        };
        patched.map(drop).map_err(|e| e.to_string())
    })
    .await
}

/// Waits until `Ready` has this reason; its status and message.
async fn told(scene: &Scene, kind: &str, name: &str, reason: &str) -> Result<(String, String)> {
    let api = scene.untyped(kind);
    wait::until_ok(&format!("{kind} {name} to be {reason}"), SOON, || async {
        let object = api.get(name).await.map_err(|e| e.to_string())?;
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|c| c["type"] == "Ready");
        let ready = ready.unwrap_or_default();
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        match ready["reason"] == reason {
            true => Ok((text("status"), text("message"))),
            false => Err(object.data["status"].to_string()),
        }
    })
    .await
}

async fn ended(scene: &Scene, name: &str) -> Result<()> {
    wait::until_ok(&format!("the end of {name}"), LATER, || async {
        match (scene.users(name), scene.secret(name).await) {
            (users, Ok(None)) if users.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
    .await
}

/// A short lease that becomes unreadable in each way ends in time all the same,
/// and nothing follows it while the request cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_lease_ends_in_time() -> Story {
    let scene = Scene::alone(Default::default(), "odd-ends").await?;
    scene.role(json!({})).await?;
    let changes = [
        (
            "time",
            json!({"spec": {"renew": {"at": "2026-11-23T10:00:00+99:99"}}}),
            false,
        ),
        (
            "year",
            json!({"spec": {"renew": {"at": "9999-12-31T23:59:59Z"}}}),
            false,
        ),
        ("wish", json!({"spec": {"onExpiry": "Extend"}}), false),
        ("type", json!({"spec": {"ttl": 20}}), false),
        ("phase", json!({"status": {"phase": "Suspended"}}), true),
        (
            "cred",
            json!({"status": {"credential": {"accessKeyId": 7}}}),
            true,
        ),
        (
            "lease",
            json!({"status": {"lease": {"renewedFor": "+99:99", "duration": 20}}}),
            true,
        ),
    ];
    let rotating = ["type", "phase"];
    for (name, ..) in &changes {
        let spec = json!({"ttl": "75s", "onExpiry": "Rotate", "rotation": {"overlap": "1s"}});
        let once = json!({"ttl": "75s"});
        scene
            .request(name, if rotating.contains(name) { spec } else { once })
            .await?;
    }
    for (name, ..) in &changes {
        scene.ready(name).await?;
    }
    loosen(&scene.client).await?;
    for (name, change, of_status) in changes.clone() {
        patch(&scene, name, of_status.then_some("status"), change).await?;
    }
    for name in ["wish", "type", "phase", "cred", "lease"] {
        let (_, message) = told(&scene, "AwsCredentialRequest", name, "Unreadable").await?;
        assert!(message.contains("cannot be read"), "{message}");
    }
    for name in ["time", "year"] {
        told(&scene, "AwsCredentialRequest", name, "RenewalRefused").await?;
    }
    let metrics = scene.bed.operator.lock().await.metrics().await?;
    let gauge = "keylease_unreadable_objects{kind=\"AwsCredentialRequest\"} 5";
    assert!(metrics.contains(gauge), "{metrics}");
    for (name, ..) in changes.iter().filter(|(name, ..)| *name != "phase") {
        ended(&scene, name).await?;
        assert_eq!(keys_made(&scene, name), 1, "{name} was given another key");
    }
    // The end is a phase that can be read, and so is the wish for another lease.
    wait::until_ok("a lease after the unreadable phase", LATER, || async {
        let operations = scene.operations("phase");
        let ended = operations.iter().position(|op| op == "DeleteUser");
        let after = ended.and_then(|at| {
            operations
                .iter()
                .rposition(|op| op == "CreateUser")
                .filter(|made| *made > at)
        });
        after.map(drop).ok_or(operations)
    })
    .await?;
    scene.ready("phase").await?;
    Ok(())
}

fn keys_made(scene: &Scene, name: &str) -> usize {
    let operations = scene.operations(name);
    let made = operations.iter().filter(|op| *op == "CreateAccessKey");
    made.count()
}

/// Deleting one is enough, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_request_can_be_deleted_and_revoked() -> Story {
    let scene = Scene::alone(Default::default(), "odd-deleted").await?;
    scene.role(json!({})).await?;
    for name in ["deleted", "revoked", "alias"] {
        scene.request(name, json!({})).await?;
    }
    for name in ["deleted", "revoked", "alias"] {
        scene.ready(name).await?;
    }
    loosen(&scene.client).await?;
    for name in ["deleted", "revoked"] {
        patch(&scene, name, None, json!({"spec": {"onExpiry": "Extend"}})).await?;
    }
    // A name of before the rule, under which the API server answers the role.
    let alias = json!({"spec": {"roleRef": {"name": "odd-deleted/"}}});
    patch(&scene, "alias", None, alias).await?;
    ended(&scene, "alias").await?;
    told(&scene, "AwsCredentialRequest", "revoked", "Unreadable").await?;
    let requests = scene.untyped("AwsCredentialRequest");
    requests.delete("deleted", &Default::default()).await?;
    ended(&scene, "deleted").await?;
    wait::until_ok("the request to go", SOON, || async {
        match requests.get_opt("deleted").await {
            Ok(None) => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
    .await?;
    // A patch: the operator writes the role's status meanwhile.
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    let revoke = Patch::Merge(json!({"spec": {"revokeBefore": at.to_string()}}));
    let roles = scene.untyped("AwsRole");
    roles
        .patch("odd-deleted", &PatchParams::default(), &revoke)
        .await?;
    ended(&scene, "revoked").await?;
    Ok(())
}

/// The operator starts among unreadable objects of each kind, and serves
/// everybody else; the sweep runs.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_starts_among_them_serves_all_others() -> Story {
    let env = [
        ("KEYLEASE_SWEEP_INTERVAL", "1s"),
        ("KEYLEASE_SWEEP_MIN_AGE", "1s"),
    ];
    let scene = Scene::with_env("odd-start", &env).await?;
    scene.role(json!({})).await?;
    scene.request("before", json!({})).await?;
    scene.request("odd", json!({})).await?;
    scene.ready("before").await?;
    scene.ready("odd").await?;
    scene.kill().await?;
    loosen(&scene.client).await?;
    patch(
        &scene,
        "odd",
        None,
        json!({"spec": {"onExpiry": {"soon": true}}}),
    )
    .await?;
    let odd_role = json!({"spec": {"accountRef": {"name": "default"}, "iamUser": {},
        "allowedNamespaces": {"names": ["odd-start"]}, "limits": {"maxLeases": "many"}}});
    store(&scene, "AwsRole", "odd-role", odd_role).await?;
    let before_no_time = json!({"spec": {"accountRef": {"name": "default"}, "iamUser": {},
        "revokeBefore": "9999-12-31T23:59:59Z"}});
    store(&scene, "AwsRole", "odd-time", before_no_time).await?;
    let odd_account = json!({"spec": {"limits": {"maxUsers": "many"}}});
    store(&scene, "AwsAccount", "odd-account", odd_account).await?;
    let never = json!({"spec": {"roleRef": {"name": "odd-role"}, "restart": "all"}});
    store(&scene, "AwsCredentialRequest", "never", never).await?;

    scene.start_again().await?;
    scene.request("after", json!({})).await?;
    scene.ready("after").await?;
    scene
        .request("waits", json!({"roleRef": {"name": "odd-role"}}))
        .await?;
    let (status, message) = told(&scene, "AwsCredentialRequest", "waits", "Unreadable").await?;
    assert_eq!(status, "False");
    assert!(message.contains("spec.limits.maxLeases"), "{message}");
    let (status, _) = told(&scene, "AwsCredentialRequest", "odd", "Unreadable").await?;
    assert_eq!(status, "True", "its key works");
    let (status, _) = told(&scene, "AwsCredentialRequest", "never", "Unreadable").await?;
    assert_eq!(status, "False");
    told(&scene, "AwsRole", "odd-role", "Unreadable").await?;
    told(&scene, "AwsRole", "odd-time", "RoleInvalid").await?;
    told(&scene, "AwsAccount", "odd-account", "Unreadable").await?;
    let warned = ("Warning".to_owned(), "Unreadable".to_owned());
    assert!(scene.events("odd").await?.contains(&warned));
    for name in ["before", "odd", "after"] {
        assert_eq!(scene.users(name).len(), 1, "{name}");
    }
    wait::until("a sweep", SOON, || async {
        let metrics = scene.bed.operator.lock().await.metrics().await.ok()?;
        metrics
            .contains("keylease_sweeps_total{outcome=\"Swept\"}")
            .then_some(())
    })
    .await?;
    let requests = scene.untyped("AwsCredentialRequest");
    requests.delete("odd", &Default::default()).await?;
    ended(&scene, "odd").await?;
    assert_eq!(scene.users("before").len(), 1);
    Ok(())
}
