//! What tools that wait by kstatus (Flux, Helm, kpt) see of our objects in each
//! state, by the library itself (`tools/integrations/kstatus`).

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use keylease_api::{AwsCredentialRequest, Phase};
use keylease_testbed::{paths, wait};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::{SOON, Scene, Settings, Story};

const REQUEST: &str = "AwsCredentialRequest";

/// The first word is the status, what follows the reason for it.
async fn kstatus(scene: &Scene, kind: &str, name: &str) -> Result<String> {
    let object = scene.untyped(kind).get(name).await?;
    let mut line = serde_json::to_string(&object)?;
    line.push('\n');
    let tool = paths::tool("kstatus").context("tools/integrations/build.sh builds it")?;
    let mut judge = Command::new(tool)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = judge.stdin.take().context("no stdin")?;
    input.write_all(line.as_bytes()).await?;
    drop(input);
    let output = judge.wait_with_output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{complaint}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits until kstatus says this of the object.
async fn becomes(scene: &Scene, kind: &str, name: &str, wanted: &str) -> Result<()> {
    let what = format!("{kind} {name} to be {wanted}");
    wait::until_ok(&what, SOON, || async {
        let said = kstatus(scene, kind, name).await?;
        ensure!(said.starts_with(wanted), "{said}");
        Ok(())
    })
    .await
}

/// What kstatus says of a request that is left alone in its state.
async fn is(scene: &Scene, name: &str, wanted: &str) -> Result<()> {
    let said = kstatus(scene, REQUEST, name).await?;
    ensure!(said.starts_with(wanted), "{name}: {said}");
    Ok(())
}

async fn edit(scene: &Scene, name: &str, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    let params = PatchParams::default();
    scene.requests().patch(name, &params, &patch).await?;
    Ok(())
}

/// Waits until the operator has acknowledged the request's last edit.
async fn acknowledged(scene: &Scene, name: &str) -> Result<AwsCredentialRequest> {
    scene
        .until("acknowledged", name, SOON, |r| {
            let status = r.status.as_ref();
            status.and_then(|s| s.observed_generation) == r.metadata.generation
        })
        .await
}

async fn in_phase(scene: &Scene, name: &str, phase: Phase) -> Result<()> {
    let wanted = |r: &AwsCredentialRequest| r.status.as_ref().and_then(|s| s.phase) == Some(phase);
    let what = format!("{phase:?}");
    scene.until(&what, name, SOON, wanted).await?;
    Ok(())
}

/// From before anybody looked at it to its deletion, with the operator away at both
/// ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_from_its_making_to_its_deletion() -> Story {
    let scene = Scene::alone(Settings::default(), "kstatus-life").await?;
    scene.kill().await?;
    scene.request("app", json!({"ttl": "30m"})).await?;
    is(&scene, "app", "InProgress").await?;
    scene.start_again().await?;
    // Its role is not there yet: it may come.
    scene.refused("app", "RoleNotFound").await?;
    is(&scene, "app", "InProgress").await?;
    // It is there, and closed: a person has to open it.
    scene
        .role(json!({"allowedNamespaces": {"names": ["elsewhere"]}}))
        .await?;
    scene.refused("app", "NamespaceNotAllowed").await?;
    is(&scene, "app", "Failed").await?;
    scene.role(json!({})).await?;
    scene.ready("app").await?;
    is(&scene, "app", "Current").await?;

    // An edit that counts for the next key only.
    edit(&scene, "app", json!({"ttl": "40m"})).await?;
    becomes(&scene, REQUEST, "app", "Current").await?;
    let seen = acknowledged(&scene, "app").await?;
    assert_eq!(seen.metadata.generation, Some(2));
    // At rest nothing is written again.
    let version = seen.metadata.resource_version;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let later = scene.requests().get("app").await?;
    assert_eq!(later.metadata.resource_version, version);

    // Nobody has to wait for a rotation: the key that is there works.
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    scene.rotate("app", at).await?;
    let key = |r: &AwsCredentialRequest| {
        let credential = r.status.as_ref().and_then(|s| s.credential.clone());
        credential.map(|c| c.access_key_id)
    };
    let first = key(&later);
    let rotation = async {
        while key(&scene.requests().get("app").await?) == first {
            is(&scene, "app", "Current").await?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SOON, rotation).await??;

    scene.kill().await?;
    scene.delete("app").await?;
    is(&scene, "app", "Terminating").await?;
    scene.start_again().await?;
    scene.gone("app").await?;
    Ok(())
}

/// After an end that was asked for there is nothing to wait for, also when the spec
/// is edited afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ended_as_asked_is_current() -> Story {
    let scene = Scene::shared("kstatus-end").await?;
    scene.role(json!({})).await?;
    scene.request("brief", json!({"ttl": "3s"})).await?;
    scene.request("revoked", json!({})).await?;
    scene.ready("revoked").await?;
    scene.expired("brief").await?;
    is(&scene, "brief", "Current").await?;
    edit(&scene, "brief", json!({"ttlAfterExpiry": "24h"})).await?;
    acknowledged(&scene, "brief").await?;
    is(&scene, "brief", "Current").await?;

    let mark = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    scene
        .role(json!({"revokeBefore": mark.to_string()}))
        .await?;
    in_phase(&scene, "revoked", Phase::Revoked).await?;
    is(&scene, "revoked", "Current").await?;
    Ok(())
}

/// Roles and accounts: what another object may bring is waited for, what a person
/// has to correct has failed, and that is over when it is corrected.
#[tokio::test(flavor = "multi_thread")]
async fn roles_and_accounts_fail_where_a_person_has_to_act() -> Story {
    let scene = Scene::shared("kstatus-role").await?;
    let name = "kstatus-role";
    let account = json!({"accountRef": {"name": name}});
    scene.role(account.clone()).await?;
    becomes(&scene, "AwsRole", name, "InProgress").await?;
    scene
        .account(name, json!({"expectedAccountId": "999999999999"}))
        .await?;
    becomes(&scene, "AwsAccount", name, "Failed").await?;
    scene
        .account(name, json!({"expectedAccountId": "123456789012"}))
        .await?;
    becomes(&scene, "AwsAccount", name, "Current").await?;
    becomes(&scene, "AwsRole", name, "Current").await?;
    // It looks like a policy to CEL.
    let no_json = "{ \"Statement\": all }";
    let broken = json!({"accountRef": {"name": name}, "iamUser": {"policyDocument": no_json}});
    scene.role(broken).await?;
    becomes(&scene, "AwsRole", name, "Failed").await?;
    scene.role(account).await?;
    becomes(&scene, "AwsRole", name, "Current").await?;
    Ok(())
}
