//! Many leases: how fast they are issued, what they cost at rest, how fast a
//! restart is, how long one more request takes, how fast a role is revoked and
//! how late an expiry is.
//!
//! `cargo bench --bench scale [-- LIVE]`, with the release binary built before
//! (or named in `KEYLEASE_BIN`) and the tools of `make tools`. LIVE leases are
//! made (10,000: ten minutes). AWS takes 20 ms a call and has no limit. Control
//! plane, AWS and operator share the machine, so the processor time of the
//! operator says more than the clock.

mod bed;
#[path = "scale/process.rs"]
mod process;
#[path = "scale/requests.rs"]
mod requests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bed::{Bed, PATIENCE};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use keylease_api::{AwsRole, Phase};
use keylease_testbed::FakeConfig;
use kube::Api;
use kube::api::{Patch, PatchParams};
use process::Usage;
use requests::{Requests, percentile};
use serde_json::json;

/// One call to AWS.
const LATENCY: Duration = Duration::from_millis(20);
/// How long after a restart its calls are counted.
const SETTLED: Duration = Duration::from_secs(10);
/// How long the idle operator is watched.
const IDLE: Duration = Duration::from_secs(60);
/// Requests a second of the steady stream, and how many.
const STREAM: (u32, usize) = (50, 500);
/// Requests before that.
const WARM_UP: usize = 300;
/// Leases of the role that is revoked.
const REVOKED: usize = 1000;
/// Leases that end together.
const ENDING: usize = 200;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, as tests.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    if !std::env::args().any(|arg| arg == "--bench") {
        println!("run this with `cargo bench --bench scale`");
        return Ok(());
    }
    let live = args.next().map_or(Ok(10_000), |text| text.parse());
    let live = live.context("LIVE is a number")?;
    tokio::runtime::Runtime::new()?.block_on(run(live))
}

async fn run(live: usize) -> Result<()> {
    let config = FakeConfig {
        latency: LATENCY,
        max_users: live + 5000,
        ..FakeConfig::default()
    };
    let mut bed = Bed::start(config, false).await?;
    for name in ["revoked", "ending"] {
        bed.role(name).await?;
    }
    let requests = Requests::follow(bed.client.clone()).await?;
    println!(
        "{:.1} MiB without a lease",
        Usage::of(bed.operator.pid())?.resident
    );
    issue(&bed, &requests, live).await?;
    rest(&bed).await?;
    restart(&mut bed).await?;
    rest(&bed).await?;
    stream(&bed, &requests).await?;
    revoke(&bed, &requests).await?;
    expire(&bed, &requests).await
}

/// LIVE requests at once.
async fn issue(bed: &Bed, requests: &Requests, live: usize) -> Result<()> {
    let before = processor_times(bed)?;
    let names: Vec<_> = (0..live).map(|n| format!("live-{n}")).collect();
    let began = Instant::now();
    requests.create(&names, "reader", json!({})).await?;
    let created = began.elapsed();
    requests.until(&names, Phase::Ready).await?;
    let took = began.elapsed().as_secs_f64();
    println!(
        "{live} issued in {took:.1} s ({:.0} a second; creating the requests took {:.1} s), {:.1} MiB at the most",
        live as f64 / took,
        created.as_secs_f64(),
        Usage::of(bed.operator.pid())?.peak,
    );
    println!("  processor for each, in ms:");
    for ((who, after), (_, before)) in processor_times(bed)?.iter().zip(&before) {
        println!(
            "    {who:<30}{:6.2}",
            1000.0 * (after - before) / live as f64
        );
    }
    let keys: Vec<_> = bed
        .aws
        .journal()
        .into_iter()
        .filter(|c| c.op == "CreateAccessKey")
        .collect();
    let at = |share: usize| keys.get(keys.len() * share / 100).map(|c| c.elapsed);
    let (from, to) = at(25).zip(at(75)).context("no keys")?;
    println!(
        "  {:.0} keys a second in the middle of it",
        keys.len() as f64 / 2.0 / (to - from).as_secs_f64()
    );
    Ok(())
}

/// What everybody used so far, in seconds of a processor.
fn processor_times(bed: &Bed) -> Result<Vec<(&'static str, f64)>> {
    let own = [
        ("the operator", bed.operator.pid()),
        ("this benchmark, with its AWS", std::process::id()),
    ];
    let all = own.into_iter().chain(bed.cluster.pids());
    all.map(|(who, pid)| Ok((who, Usage::of(pid)?.processor)))
        .collect()
}

/// What the leases cost while nothing happens.
async fn rest(bed: &Bed) -> Result<()> {
    bed.aws.clear_journal();
    let before = Usage::of(bed.operator.pid())?;
    let began = Instant::now();
    // What is measured is a rate over this time.
    tokio::time::sleep(IDLE).await;
    let after = Usage::of(bed.operator.pid())?;
    println!(
        "at rest: {:.1} MiB, {:.2} % of a core, {} AWS calls in {:.0} s",
        after.resident,
        100.0 * (after.processor - before.processor) / began.elapsed().as_secs_f64(),
        bed.aws.journal().len(),
        began.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// Killed and started again.
async fn restart(bed: &mut Bed) -> Result<()> {
    bed.operator.kill_hard()?;
    bed.operator.start_again()?;
    let began = Instant::now();
    bed.operator.wait_ready(PATIENCE).await?;
    println!(
        "ready {:.2} s after a restart",
        began.elapsed().as_secs_f64()
    );
    // Whoever was looked at and found at rest has cost nothing.
    tokio::time::sleep(SETTLED).await;
    let metrics = bed.operator.metrics().await?;
    for line in metrics
        .lines()
        .filter(|l| l.starts_with("keylease_calls_total{"))
    {
        println!("  {line}");
    }
    Ok(())
}

/// A steady stream: from the create call to the watches that show the Secret,
/// and the request as Ready.
async fn stream(bed: &Bed, requests: &Requests) -> Result<()> {
    let (rate, count) = STREAM;
    // After a restart the operator finds out anew what AWS takes.
    let warm: Vec<_> = (0..WARM_UP).map(|n| format!("warm-{n}")).collect();
    requests.create(&warm, "reader", json!({})).await?;
    requests.until(&warm, Phase::Ready).await?;
    let secrets = bed::secrets::follow(bed.client.clone()).await?;
    let before = Usage::of(bed.operator.pid())?;
    let names: Vec<_> = (0..count).map(|n| format!("stream-{n}")).collect();
    let sent = requests.create_at(&names, "reader", rate).await?;
    let ready = requests.until(&names, Phase::Ready).await?;
    // A Secret has the name of its request.
    let seen: HashMap<_, _> = secrets.take(count).collect().await;
    let seen: Option<Vec<_>> = names.iter().map(|name| seen.get(name).copied()).collect();
    let secret = times(&sent, &seen.context("a Secret of something else")?);
    let ready = times(&sent, &ready);
    let after = Usage::of(bed.operator.pid())?;
    println!(
        "at {rate} requests a second: Secret p50 {:.0} ms, p99 {:.0} ms, of it {:.0} ms for four calls to AWS; \
         Ready p50 {:.0} ms, p99 {:.0} ms; {:.2} ms of processor each",
        percentile(&secret, 50),
        percentile(&secret, 99),
        4.0 * LATENCY.as_secs_f64() * 1000.0,
        percentile(&ready, 50),
        percentile(&ready, 99),
        1000.0 * (after.processor - before.processor) / count as f64,
    );
    Ok(())
}

/// From the one to the other, in order of length.
fn times(sent: &[Instant], seen: &[Instant]) -> Vec<Duration> {
    let pairs = sent.iter().zip(seen);
    let mut times: Vec<_> = pairs.map(|(s, r)| r.duration_since(*s)).collect();
    times.sort();
    times
}

/// All leases of a role, with one field.
async fn revoke(bed: &Bed, requests: &Requests) -> Result<()> {
    let names: Vec<_> = (0..REVOKED).map(|n| format!("revoked-{n}")).collect();
    requests.create(&names, "revoked", json!({})).await?;
    requests.until(&names, Phase::Ready).await?;
    bed.aws.clear_journal();
    let before = Usage::of(bed.operator.pid())?;
    let roles: Api<AwsRole> = Api::all(bed.client.clone());
    let mark = Timestamp::now() + SignedDuration::from_secs(1);
    let patch = json!({"spec": {"revokeBefore": mark.to_string()}});
    let sent = Timestamp::now();
    roles
        .patch("revoked", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    requests.until(&names, Phase::Revoked).await?;
    let after = Usage::of(bed.operator.pid())?;
    let journal = bed.aws.journal();
    let last = |op: &str| {
        let calls = journal.iter().filter(|c| c.op == op);
        calls
            .map(|c| c.at.duration_since(sent).as_secs_f64())
            .fold(0.0, f64::max)
    };
    println!(
        "{REVOKED} leases of a role revoked: the last key deleted after {:.2} s, the last user after {:.2} s, {} AWS calls; \
         {:.2} ms of processor each",
        last("DeleteAccessKey"),
        last("DeleteUser"),
        journal.len(),
        1000.0 * (after.processor - before.processor) / REVOKED as f64,
    );
    Ok(())
}

/// Leases that end together, among all the others.
async fn expire(bed: &Bed, requests: &Requests) -> Result<()> {
    let names: Vec<_> = (0..ENDING).map(|n| format!("ending-{n}")).collect();
    requests
        .create(&names, "ending", json!({"ttl": "2h"}))
        .await?;
    requests.until(&names, Phase::Ready).await?;
    // A renewal to a shorter life: all end within the seconds that it takes.
    requests.renew(&names, Timestamp::now(), "20s").await?;
    let ends = requests.renewed(&names).await?;
    bed.aws.clear_journal();
    requests.until(&names, Phase::Expired).await?;
    let journal = bed.aws.journal();
    let end_of = |user: &str| {
        let mut found = ends
            .iter()
            .filter(|(name, _)| user.contains(&format!("-{name}-")));
        found.next().map(|(_, end)| *end)
    };
    let deleted = journal.iter().filter(|c| c.op == "DeleteAccessKey");
    let mut late: Vec<_> = deleted
        .filter_map(|c| Duration::try_from(c.at.duration_since(end_of(c.user.as_deref()?)?)).ok())
        .collect();
    late.sort();
    println!(
        "{} leases that end together: DeleteAccessKey p50 {:.0} ms, p99 {:.0} ms after the end",
        late.len(),
        percentile(&late, 50),
        percentile(&late, 99),
    );
    Ok(())
}
