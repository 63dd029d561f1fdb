//! What whoever runs the operator relies on: the audit trail, the log level, the
//! numbers.

use anyhow::Context;
use keylease_testbed::{http, wait};
use serde_json::{Value, json};

use crate::harness::{SOON, Scene, Settings, Story};

/// The records of the audit trail about a request, oldest first.
fn records(log: &str, request: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|r: &Value| r["target"] == "keylease::audit" && r["request"] == request)
        .collect()
}

/// However quiet the log is, each act on a credential is on record: which key,
/// until when, asked for with what; and never the secret key.
#[tokio::test(flavor = "multi_thread")]
async fn every_act_on_a_credential_is_on_record() -> Story {
    let env = [("KEYLEASE_LOG", "error"), ("KEYLEASE_LOG_FORMAT", "json")];
    let scene = Scene::with_env("audit", &env).await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let ready = scene.ready("app").await?;
    let secret = scene.secret("app").await?.context("no Secret")?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    scene.request("short", json!({"ttl": "2s"})).await?;
    scene.expired("short").await?;

    let log = scene.bed.operator.lock().await.log_text();
    let told = records(&log, "app");
    let said = |field: &str| -> Vec<_> { told.iter().map(|r| r[field].clone()).collect() };
    assert_eq!(said("act"), ["issue", "revoke"], "{log}");
    assert_eq!(said("reason"), ["Issued", "Deleted"]);
    let key = secret["AWS_ACCESS_KEY_ID"].as_str();
    assert_eq!(said("access_key_id"), [key, key]);
    let uid = ready.metadata.uid.context("no uid")?;
    assert_eq!(said("uid"), [uid.as_str(), &uid]);
    assert!(told.iter().all(|r| r["asked_at"].is_string()), "{told:?}");
    let ended = records(&log, "short");
    let reasons: Vec<_> = ended.iter().map(|r| &r["reason"]).collect();
    assert_eq!(reasons, ["Issued", "Expired"]);
    assert!(!log.contains(&secret["AWS_SECRET_ACCESS_KEY"]));
    Ok(())
}

/// The level is changed without a restart, and what makes no sense changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_is_changed_at_run_time() -> Story {
    let scene = Scene::with_env("loud", &[("KEYLEASE_LOG", "error")]).await?;
    let operator = scene.bed.operator.lock().await;
    let addr = operator.metrics_addr().to_owned();
    drop(operator);
    let level = || async { Ok::<_, anyhow::Error>(http::get(&addr, "/log-level").await?.body) };
    assert_eq!(level().await?, "error");
    let refused = http::put(&addr, "/log-level", "keylease=shouting").await?;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("no log filter"), "{}", refused.body);
    assert_eq!(level().await?, "error");

    let changed = http::put(&addr, "/log-level", "keylease=debug").await?;
    assert_eq!(changed.status, 204);
    assert_eq!(level().await?, "keylease=debug");
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let log = scene.bed.operator.lock().await.log_text();
    assert!(log.contains("Kubernetes call"), "{log}");
    Ok(())
}

/// Leases by role and phase, and how long their ends took; a role that does not
/// exist is no label.
#[tokio::test(flavor = "multi_thread")]
async fn leases_are_counted_by_role_and_phase() -> Story {
    let scene = Scene::alone(Settings::default(), "counted").await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    let none = json!({"roleRef": {"name": "invented"}});
    scene.request("lost", none).await?;
    scene.ready("app").await?;
    scene.refused("lost", "RoleNotFound").await?;
    let ready = "keylease_leases{role=\"counted\",phase=\"Ready\"} 1";
    metered(&scene, ready).await?;
    let pending = "keylease_leases{role=\"\",phase=\"Pending\"} 1";
    metered(&scene, pending).await?;
    metered(&scene, "keylease_accounts{ready=\"true\"} 1").await?;
    metered(&scene, "keylease_leases_overdue 0").await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    metered(&scene, "keylease_revoke_duration_seconds_count 1").await
}

/// Waits for that line in the metrics: the operator counts what its caches have,
/// which is a moment behind.
async fn metered(scene: &Scene, line: &str) -> Story {
    let metered = wait::until_ok(line, SOON, || async {
        let operator = scene.bed.operator.lock().await;
        let metrics = operator.metrics().await?;
        anyhow::ensure!(metrics.lines().any(|l| l == line), "{metrics}");
        anyhow::Ok(())
    });
    Ok(metered.await?)
}
