//! How long from `kubectl apply` to a Secret, what of it is ours and what is
//! AWS's, and what one issue costs in calls.
//!
//! `cargo bench --bench apply_to_secret`, with the release binary built before
//! (or named in `KEYLEASE_BIN`) and the tools of `make tools`. Requests are
//! made one at a time: this measures the way, not the throughput.

mod bed;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bed::{Bed, NAMESPACE, OPERATOR, PATIENCE};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use keylease_api::AwsCredentialRequest;
use keylease_testbed::{ControlPlane, FakeAws, FakeConfig};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

/// Requests in each pass.
const REQUESTS: usize = 200;
fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, as tests.
    if !std::env::args().any(|arg| arg == "--bench") {
        println!("run this with `cargo bench --bench apply_to_secret`");
        return Ok(());
    }
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<()> {
    let bed = Bed::start(FakeConfig::default(), true).await?;
    let Bed {
        aws,
        cluster,
        client,
        ..
    } = &bed;
    let mut appeared = bed::secrets::follow(client.clone()).await?;

    println!("From create call to Secret seen, {REQUESTS} requests one at a time, in ms");
    println!(
        "{:<28}{:>8}{:>8}{:>8}{:>8}",
        "AWS", "p50", "p90", "p99", "max"
    );
    for (latency, title) in [(0, "instant"), (20, "20 ms a call")] {
        aws.set_config(|c| c.latency = Duration::from_millis(latency));
        aws.clear_journal();
        let before = writes(cluster)?;
        let times = pass(client, &mut appeared, &format!("r{latency}")).await?;
        row(title, times);
        costs(aws, before, writes(cluster)?);
    }
    Ok(())
}

/// Makes all requests of a pass; the time of each, in order of length.
async fn pass(
    client: &Client,
    appeared: &mut UnboundedReceiver<(String, Instant)>,
    prefix: &str,
) -> Result<Vec<Duration>> {
    let requests: Api<AwsCredentialRequest> = Api::namespaced(client.clone(), NAMESPACE);
    let mut times = Vec::with_capacity(REQUESTS);
    for n in 0..REQUESTS {
        let name = format!("{prefix}-{n}");
        let request = serde_json::from_value(json!({
            "apiVersion": "keylease.dev/v1alpha1",
            "kind": "AwsCredentialRequest",
            "metadata": {"name": name},
            "spec": {"roleRef": {"name": "reader"}},
        }))?;
        let sent = Instant::now();
        requests.create(&PostParams::default(), &request).await?;
        let seen = tokio::time::timeout(PATIENCE, appeared.next()).await;
        let (secret, at) = seen
            .with_context(|| format!("no Secret for {name}"))?
            .context("the watch ended")?;
        ensure!(secret == name, "Secret {secret} instead of {name}");
        times.push(at.duration_since(sent));
    }
    times.sort();
    Ok(times)
}

/// The operator's writes to Kubernetes so far: real ones, dry runs.
fn writes(cluster: &ControlPlane) -> Result<(usize, usize)> {
    let mut all = cluster.audit_events()?;
    all.retain(|e| {
        let by = e.impersonated_user.as_ref();
        e.is_write() && by.is_some_and(|user| user.username == OPERATOR)
    });
    let dry = all.iter().filter(|e| e.is_dry_run()).count();
    Ok((all.len() - dry, dry))
}

fn row(title: &str, times: Vec<Duration>) {
    let at = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times
            .get(index)
            .map_or(f64::NAN, |t| t.as_secs_f64() * 1000.0)
    };
    let [p50, p90, p99, max] = [50, 90, 99, 100].map(at);
    println!("{title:<28}{p50:>8.1}{p90:>8.1}{p99:>8.1}{max:>8.1}");
}

fn costs(aws: &FakeAws, before: (usize, usize), after: (usize, usize)) {
    let each = |count: usize| count as f64 / REQUESTS as f64;
    let calls: Vec<String> = aws
        .counts()
        .iter()
        .map(|(op, n)| format!("{op} {}", each(*n)))
        .collect();
    println!("  AWS calls each: {}", calls.join(", "));
    let (real, dry) = (each(after.0 - before.0), each(after.1 - before.1));
    println!("  Kubernetes writes each: {real:.1}, event included, and {dry:.1} dry runs");
}
