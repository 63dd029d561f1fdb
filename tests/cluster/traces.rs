//! Traces, where a platform team wants them: what was done for a lease, in which
//! order and how it went; no secret; and nothing that issuing would wait for.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use keylease_testbed::{Fault, FaultKind, OtlpCollector, SpanView, wait};
use serde_json::json;

use crate::harness::{SOON, Scene, Story};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The SDK's own setting: batches go out when something happened, not seconds
/// later.
const AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

/// A scene whose operator exports to this collector.
async fn scene(name: &str, collector: &OtlpCollector, env: &[(&str, &str)]) -> Result<Scene> {
    let traces = [(ENDPOINT, collector.endpoint()), AT_ONCE];
    let env = [&traces[..], env].concat();
    let scene = Scene::with_env(name, &env).await?;
    scene.role(json!({})).await?;
    Ok(scene)
}

/// All spans, once the trace in which the finalizer was taken off is complete.
async fn story(collector: &OtlpCollector) -> Result<Vec<SpanView>> {
    wait::until_ok("the last trace to arrive", SOON, || async {
        let spans = collector.spans()?;
        let release = spans.iter().find(|s| s.name == "release");
        let release = release.context("nothing was released")?;
        let whole = |s: &SpanView| s.name == "reconcile" && s.trace == release.trace;
        ensure!(spans.iter().any(whole), "the reconciliation goes on");
        Ok(spans)
    })
    .await
}

/// The span that this one is a part of.
fn parent<'a>(spans: &'a [SpanView], of: &SpanView) -> &'a SpanView {
    let found = spans.iter().find(|s| s.id == of.parent);
    let found = found.unwrap_or_else(|| panic!("{} has no parent", of.name));
    assert_eq!(found.trace, of.trace, "{} is in two traces", of.name);
    found
}

/// One lease from request to deletion, with a call that AWS refuses on the way.
/// The trace has the calls that AWS had, in the same order, each in its step.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_told_from_request_to_release() -> Story {
    let collector = OtlpCollector::start()?;
    let named = ("OTEL_SERVICE_NAME", "leases");
    let scene = scene("traced", &collector, &[("KEYLEASE_LOG", "trace"), named]).await?;
    let throttled = Fault::on("AttachUserPolicy", FaultKind::throttling()).times(1);
    scene.bed.aws.add_fault(throttled);
    scene.request("app", json!({})).await?;
    let ready = scene.ready("app").await?;
    let secrets = scene.bed.aws.all_secrets();
    scene.delete("app").await?;
    scene.gone("app").await?;
    let spans = story(&collector).await?;

    // Reconciliations say whose they are, and how they ended.
    let all: Vec<_> = spans.iter().filter(|s| s.parent.is_empty()).collect();
    for span in &all {
        assert_eq!(span.name, "reconcile");
        assert_eq!(span.get("k8s.namespace.name"), "traced");
        assert_eq!(span.get("keylease.request"), "app");
        assert_eq!(
            Some(span.get("keylease.request.uid")),
            ready.metadata.uid.as_deref()
        );
        assert_eq!(span.get("keylease.role"), "traced");
        assert_ne!(span.get("keylease.result"), "");
        let steps = spans.iter().filter(|s| s.parent == span.id).count();
        assert_eq!(span.get("keylease.steps"), steps.to_string());
        assert_eq!(span.resource["service.name"], "leases");
    }
    let of_account = |s: &&&SpanView| s.get("cloud.account.id") == "123456789012";
    let known = all.iter().find(of_account).context("no AWS account")?;
    assert_eq!(known.get("keylease.account"), "default");

    // Calls are parts of steps, steps parts of reconciliations, and there is
    // nothing else: no span of a library, however much is logged.
    let calls: Vec<_> = spans
        .iter()
        .filter(|s| !s.get("rpc.service").is_empty())
        .collect();
    let mut steps = BTreeSet::new();
    for call in &calls {
        let step = parent(&spans, call);
        assert_ne!(step.get("keylease.outcome"), "", "{} is no step", step.name);
        assert_eq!(parent(&spans, step).name, "reconcile");
        steps.insert(&step.id);
    }
    assert_eq!(spans.len(), all.len() + steps.len() + calls.len());
    let to_iam: Vec<_> = calls
        .iter()
        .filter(|s| s.get("rpc.service") == "iam")
        .map(|s| s.name.clone())
        .collect();
    let mut journal = scene.operations("app");
    journal.retain(|op| op != "GetCallerIdentity");
    assert_eq!(to_iam, journal);
    let step_of = |call: &str| {
        let found = calls.iter().find(|s| s.name == call);
        found.map(|s| parent(&spans, s).name.as_str())
    };
    assert_eq!(step_of("CreateUser"), Some("create_user"));
    assert_eq!(step_of("CreateAccessKey"), Some("create_key"));
    assert_eq!(step_of("GetCallerIdentity"), Some("prove_key"));
    assert_eq!(step_of("DeleteUser"), Some("delete_user"));

    // What AWS refused is an error with its class, the rest is not.
    let failed: Vec<_> = calls.iter().filter(|s| s.failed).collect();
    let refused = failed.iter().find(|s| s.name == "AttachUserPolicy");
    let class = refused.map(|s| s.get("keylease.outcome"));
    assert_eq!(class, Some("throttled"), "{failed:?}");
    let issued = spans.iter().find(|s| s.get("keylease.reason") == "Issued");
    assert_eq!(issued.map(|s| s.name.as_str()), Some("report"));

    // No byte of a secret key left the process this way.
    assert!(secrets.len() > 1, "nothing to look for");
    for body in collector.bodies() {
        for secret in &secrets {
            let found = body.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "a secret is in what was exported");
        }
    }
    Ok(())
}

/// A collector behind TLS is checked against the roots that AWS is checked
/// against, and the last spans are exported when the operator stops.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_go_out_at_a_stop_over_tls() -> Story {
    let collector = OtlpCollector::with_tls()?;
    let ca = collector.ca_file().context("no CA")?.display().to_string();
    // Later than the test: only a flush brings them.
    let later = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let scene = scene("flushed", &collector, &[("SSL_CERT_FILE", &ca), later]).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    assert_eq!(collector.spans()?.len(), 0);
    let mut operator = scene.bed.operator.lock().await;
    operator.terminate()?;
    let exit = operator.wait_exit(SOON).await?;
    assert!(exit.success(), "{exit}: {}", operator.log_text());
    let spans = collector.spans()?;
    assert!(spans.iter().any(|s| s.get("keylease.reason") == "Issued"));
    Ok(())
}

/// A collector that takes and never answers holds up neither a lease nor the end
/// of the process. It is told, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_nothing() -> Story {
    let collector = OtlpCollector::silent()?;
    let scene = scene("hung", &collector, &[]).await?;
    scene.request("app", json!({})).await?;
    wait::until("an export to hang", SOON, || async {
        (!collector.bodies().is_empty()).then_some(())
    })
    .await?;
    scene.ready("app").await?;
    scene.expect_one_key("app").await?;
    scene.delete("app").await?;
    scene.gone("app").await?;
    let mut operator = scene.bed.operator.lock().await;
    wait::until("the export to be given up", SOON, || async {
        let metrics = operator.metrics().await.unwrap_or_default();
        let failed = r#"service="otlp",operation="export",outcome="no_answer""#;
        metrics.contains(failed).then_some(())
    })
    .await?;
    operator.terminate()?;
    let exit = operator.wait_exit(SOON).await?;
    let log = operator.log_text();
    assert!(exit.success(), "{exit}: {log}");
    let told = log.matches("the collector does not take traces").count();
    assert_eq!(told, 1, "{log}");
    Ok(())
}

/// Settings of OpenTelemetry alone switch nothing on: without a collector no
/// export is as much as tried.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_is_sent() -> Story {
    let sampled = ("OTEL_TRACES_SAMPLER", "always_on");
    let scene = Scene::with_env("untraced", &[(ENDPOINT, ""), sampled, AT_ONCE]).await?;
    scene.role(json!({})).await?;
    scene.request("app", json!({})).await?;
    scene.ready("app").await?;
    let mut operator = scene.bed.operator.lock().await;
    let metrics = operator.metrics().await?;
    assert!(metrics.contains(r#"service="iam""#), "{metrics}");
    assert!(!metrics.contains(r#"service="otlp""#), "{metrics}");
    operator.terminate()?;
    assert!(operator.wait_exit(SOON).await?.success());
    Ok(())
}
