//! Leases at work: renewed, revoked one by one and by role, limited, cleaned up.

use std::time::{Duration, Instant};

use anyhow::Context;
use keylease_api::{AwsCredentialRequest, Phase};
use keylease_testbed::aws::{Call, UserView};
use keylease_testbed::wait;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{Bed, SOON, Scene, Settings, Story};

/// All IAM users of the namespace.
fn users_of(scene: &Scene) -> Vec<UserView> {
    let mut users = scene.bed.aws.users();
    let prefix = format!("keylease-{}-", scene.name);
    users.retain(|u| u.name.starts_with(&prefix));
    users
}

/// All IAM calls about them.
fn calls_of(scene: &Scene) -> Vec<Call> {
    let mut calls = scene.bed.aws.journal();
    let prefix = format!("keylease-{}-", scene.name);
    calls.retain(|c| c.user.as_ref().is_some_and(|u| u.starts_with(&prefix)));
    calls
}

fn phase(request: &AwsCredentialRequest) -> Option<Phase> {
    request.status.as_ref()?.phase
}

/// A renewal moves the end, in the status and in all of the Secret, costs no AWS call,
/// and stops at the role's maximum.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_moves_the_end_up_to_the_maximum() -> Story {
    let scene = Scene::shared("renew").await?;
    scene.role(json!({})).await?;
    let process = json!({"ttl": "10m", "secret": {"credentialProcess": {}}});
    scene.request("app", process).await?;
    let first = scene
        .ready("app")
        .await?
        .status
        .context("status")?
        .lease
        .context("lease")?;
    let before = scene.secret("app").await?.context("Secret")?;
    let calls = scene.calls("app").len();
    let at = jiff::Timestamp::now().to_string();
    let renew = json!({"spec": {"renew": {"at": at, "increment": "100h"}}});
    let params = PatchParams::default();
    scene
        .requests()
        .patch("app", &params, &Patch::Merge(&renew))
        .await?;
    let request = scene
        .until("renewed", "app", SOON, |r| {
            let status = r.status.as_ref();
            status
                .and_then(|s| s.lease.as_ref())
                .is_some_and(|l| l.renewals == 1)
        })
        .await?;
    let lease = request.status.context("status")?.lease.context("lease")?;
    assert_eq!(lease.expires_at, first.max_expires_at);
    assert!(!lease.renewable);
    let secret = scene.secret("app").await?.context("Secret")?;
    let end = lease.expires_at.0.to_string();
    assert_eq!(secret["expiration"], end);
    // What an SDK reads of it: the same key, for longer.
    let process = |secret: &std::collections::BTreeMap<String, String>| {
        serde_json::from_str::<serde_json::Value>(&secret["credential_process.json"])
    };
    let mut read = process(&before)?;
    assert_ne!(read["Expiration"], json!(end), "it was there already");
    read["Expiration"] = json!(end);
    assert_eq!(process(&secret)?, read);
    // Nobody but us wrote it: it is not restored with another key.
    assert_eq!(secret.len(), before.len());
    assert_eq!(scene.calls("app").len(), calls);
    scene.expect_one_key("app").await?;
    Ok(())
}

/// 200 leases of a role are revoked by one field: three calls each, and the
/// role tells how many are left, and up to when they are revoked. What is asked
/// for afterwards is served.
#[tokio::test(flavor = "multi_thread")]
async fn all_leases_of_a_role_are_revoked_at_once() -> Story {
    const LEASES: usize = 200;
    let bed = Bed::start(Settings::default()).await?;
    let scene = Scene::on(bed, "revoke-all").await?;
    scene.role(json!({})).await?;
    for n in 0..LEASES {
        scene.request(&format!("r{n}"), json!({})).await?;
    }
    let all = |wanted: Phase| {
        let api = scene.requests();
        async move {
            let found = api.list(&ListParams::default()).await.ok()?;
            let there = found.iter().filter(|r| phase(r) == Some(wanted)).count();
            (there == LEASES).then_some(())
        }
    };
    wait::until("200 leases", 2 * SOON, || all(Phase::Ready)).await?;
    let leases = |wanted: i32| {
        let api = scene.roles();
        async move {
            let role = api.get("revoke-all").await.ok()?;
            (role.status?.leases == Some(wanted)).then_some(())
        }
    };
    wait::until("the role to count them", SOON, || leases(LEASES as i32)).await?;
    let issued = scene.requests().list(&ListParams::default()).await?;
    let leases_of = issued
        .iter()
        .filter_map(|r| r.status.as_ref()?.lease.as_ref());
    let last = leases_of
        .map(|l| l.issued_at.0)
        .max()
        .context("no leases")?;
    // Leases begin on whole seconds; the next one is certainly after them.
    let second = jiff::SignedDuration::from_secs(1);
    wait::until("the next second", SOON, || async {
        (jiff::Timestamp::now() >= last + second).then_some(())
    })
    .await?;
    scene.bed.aws.clear_journal();
    let now = jiff::Timestamp::now() + second;
    let begun = Instant::now();
    scene.role(json!({"revokeBefore": now.to_string()})).await?;
    wait::until("200 revoked", 2 * SOON, || all(Phase::Revoked)).await?;
    let took = begun.elapsed();
    let calls = calls_of(&scene);
    println!(
        "revoked {LEASES} leases in {took:?} with {} IAM calls",
        calls.len()
    );
    assert_eq!(calls.len(), 3 * LEASES);
    assert!(users_of(&scene).is_empty());
    let status = scene.roles().get("revoke-all").await?.status;
    let mark = status.and_then(|s| s.revoked_before).context("no mark")?;
    assert!(mark.0 > last && mark.0 <= now + second, "{mark:?}");
    wait::until("the role to count none", SOON, || leases(0)).await?;
    wait::until("the moment to be past", SOON, || async {
        (jiff::Timestamp::now() > now).then_some(())
    })
    .await?;
    scene.request("later", json!({})).await?;
    scene.ready("later").await?;
    Ok(())
}

/// A role that is deleted takes its leases with it, and waits for them; so
/// does an account.
#[tokio::test(flavor = "multi_thread")]
async fn roles_and_accounts_wait_for_their_leases() -> Story {
    let scene = Scene::shared("holds").await?;
    scene.role(json!({})).await?;
    scene.account("holds-second", json!({})).await?;
    scene
        .role_named(
            "holds-other",
            json!({"accountRef": {"name": "holds-second"}}),
        )
        .await?;
    scene.request("one", json!({})).await?;
    scene
        .request("two", json!({"roleRef": {"name": "holds-other"}}))
        .await?;
    scene.ready("one").await?;
    scene.ready("two").await?;
    scene.held("AwsRole", "holds").await?;
    scene.held("AwsAccount", "holds-second").await?;
    let accounts: kube::Api<keylease_api::AwsAccount> = kube::Api::all(scene.client.clone());
    scene
        .roles()
        .delete("holds", &DeleteParams::default())
        .await?;
    accounts
        .delete("holds-second", &DeleteParams::default())
        .await?;
    for name in ["one", "two"] {
        scene
            .until("revoked", name, SOON, |r| phase(r) == Some(Phase::Revoked))
            .await?;
        scene.expect_nothing_left(name).await?;
    }
    wait::until("role and account to go", SOON, || async {
        let role = scene.roles().get_opt("holds").await.ok()?;
        let account = accounts.get_opt("holds-second").await.ok()?;
        (role.is_none() && account.is_none()).then_some(())
    })
    .await?;
    Ok(())
}

/// A limit is exact although requests come together; a place that comes free is
/// taken by one that waits; nothing half-made is left.
#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_when_requests_come_together() -> Story {
    let scene = Scene::shared("limits").await?;
    scene.role(json!({"limits": {"maxLeases": 3}})).await?;
    for n in 0..8 {
        scene.request(&format!("r{n}"), json!({})).await?;
    }
    let count = |wanted: usize| {
        let api = scene.requests();
        async move {
            let found = api.list(&ListParams::default()).await.ok()?;
            let ready = found
                .iter()
                .filter(|r| phase(r) == Some(Phase::Ready))
                .count();
            let waits = found
                .iter()
                .filter(|r| phase(r) == Some(Phase::Pending))
                .count();
            (ready == 3 && waits == wanted).then_some(found.items)
        }
    };
    let found = wait::until("three served, five waiting", SOON, || count(5)).await?;
    assert_eq!(users_of(&scene).len(), 3);
    let waiting = found
        .iter()
        .find(|r| phase(r) == Some(Phase::Pending))
        .context("one")?;
    let name = waiting.metadata.name.clone().context("name")?;
    let message = scene.refused(&name, "QuotaExceeded").await?;
    assert!(message.contains("limit of 3 leases"), "{message}");
    let ready = found
        .iter()
        .find(|r| phase(r) == Some(Phase::Ready))
        .context("one")?;
    scene
        .delete(ready.metadata.name.as_deref().context("name")?)
        .await?;
    wait::until("another to be served", SOON, || count(4)).await?;
    assert_eq!(users_of(&scene).len(), 3);
    Ok(())
}

/// An ended request deletes itself when asked to.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_request_is_cleaned_up() -> Story {
    let scene = Scene::shared("cleanup").await?;
    scene.role(json!({})).await?;
    let spec = json!({"ttl": "2s", "ttlAfterExpiry": "1s"});
    scene.request("app", spec).await?;
    scene.gone_within("app", Duration::from_secs(60)).await?;
    scene.expect_nothing_left("app").await?;
    Ok(())
}
