//! What becomes of a burst: how much of what AWS allows is used, how much is
//! throttled, what one request of another namespace waits; and how fast it goes
//! when AWS allows everything.
//!
//! `cargo bench --bench pacing [-- FIRST SECOND]`, with the release binary
//! built before (or named in `KEYLEASE_BIN`) and the tools of `make tools`.
//! FIRST requests are made at 10 IAM calls a second (600: three minutes), SECOND
//! without a limit (2,000).

mod bed;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bed::{Bed, NAMESPACE, OTHER, PATIENCE};
use futures::stream::{self, StreamExt, TryStreamExt};
use keylease_api::{AwsCredentialRequest, Phase};
use keylease_testbed::aws::{Call, KeyDelay, Outcome, Rate};
use keylease_testbed::{FakeConfig, wait};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

/// IAM calls a second that AWS allows, and how many at once.
const ALLOWED: f64 = 10.0;
/// How long a new key is not known: the least that AWS takes.
const KEY_DELAY: Duration = Duration::from_secs(2);
/// IAM calls of one issue.
const CALLS: usize = 3;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, as tests.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    if !std::env::args().any(|arg| arg == "--bench") {
        println!("run this with `cargo bench --bench pacing`");
        return Ok(());
    }
    let mut number = |usual| match args.next() {
        Some(text) => text.parse().with_context(|| format!("{text} is no number")),
        None => Ok(usual),
    };
    let (slow, fast) = (number(600)?, number(2000)?);
    tokio::runtime::Runtime::new()?.block_on(async {
        at_ten_a_second(slow).await?;
        without_a_limit(fast).await
    })
}

async fn at_ten_a_second(requests: usize) -> Result<()> {
    let rate = Rate {
        per_second: ALLOWED,
        burst: ALLOWED,
    };
    let bed = Bed::start(config(Some(rate), KEY_DELAY), false).await?;
    println!(
        "{requests} requests at {ALLOWED} IAM calls a second, 20 ms a call, keys work after 2 s"
    );
    let (idle, loaded) = burst(&bed, requests).await?;

    let mut journal = bed.aws.journal();
    journal.retain(|c| c.service == "iam");
    let (first, last) = (journal.first(), journal.last());
    let (first, last) = first.zip(last).context("no calls")?;
    // From the burst on: the idle request came before.
    let begin = journal.get(CALLS).unwrap_or(first).elapsed;
    let allowed = (last.elapsed - begin).as_secs_f64() * ALLOWED + ALLOWED;
    let used = (applied(&journal) - CALLS) as f64 / allowed;
    let throttled = (journal.len() - applied(&journal)) as f64 / journal.len() as f64;
    println!(
        "  {:.1} % of what is allowed used, {:.2} % of {} calls throttled, {} users",
        used * 100.0,
        throttled * 100.0,
        journal.len(),
        bed.aws.users_under("/keylease/").len(),
    );
    println!("  one request of another namespace: {idle:.2?} when idle, {loaded:.2?} in the burst");
    Ok(())
}

async fn without_a_limit(requests: usize) -> Result<()> {
    let bed = Bed::start(config(None, Duration::ZERO), false).await?;
    println!("{requests} requests without a limit, 20 ms a call, keys work at once");
    let (idle, loaded) = burst(&bed, requests).await?;
    let mut journal = bed.aws.journal();
    journal.retain(|c| c.op == "CreateAccessKey");
    let at = |share: usize| journal.get(journal.len() * share / 100).map(|c| c.elapsed);
    // The middle of it: neither the search for the rate nor the stragglers.
    let (from, to) = at(25).zip(at(75)).context("no keys")?;
    let issues = journal.len() as f64 / 2.0 / (to - from).as_secs_f64();
    println!("  {issues:.0} keys a second");
    println!("  one request of another namespace: {idle:.2?} when idle, {loaded:.2?} in the burst");
    Ok(())
}

/// All requests at once. How long one of another namespace takes before it and
/// in the middle of it.
async fn burst(bed: &Bed, requests: usize) -> Result<(Duration, Duration)> {
    let idle = one(&bed.client, "idle").await?;
    create(&bed.client, requests).await?;
    let half = CALLS * requests / 2;
    until(bed, "half of it", |journal| applied(journal) >= half).await?;
    let loaded = one(&bed.client, "loaded").await?;
    until_ready(bed, requests).await?;
    Ok((idle, loaded))
}

fn config(rate: Option<Rate>, key_delay: Duration) -> FakeConfig {
    FakeConfig {
        latency: Duration::from_millis(20),
        key_delay: KeyDelay::fixed(key_delay),
        max_users: 10_000,
        rate,
        ..FakeConfig::default()
    }
}

fn applied(journal: &[Call]) -> usize {
    let iam = journal.iter().filter(|c| c.service == "iam");
    iam.filter(|c| c.outcome == Outcome::Applied).count()
}

async fn until(bed: &Bed, what: &str, done: impl Fn(&[Call]) -> bool) -> Result<()> {
    wait::until(what, PATIENCE * 20, || async {
        done(&bed.aws.journal()).then_some(())
    })
    .await
}

/// The time of one request of the other namespace.
async fn one(client: &Client, name: &str) -> Result<Duration> {
    let api: Api<AwsCredentialRequest> = Api::namespaced(client.clone(), OTHER);
    let sent = Instant::now();
    api.create(&PostParams::default(), &request(name)?).await?;
    wait::until("one request", PATIENCE * 5, || async {
        let request = api.get(name).await.ok()?;
        (request.status?.phase == Some(Phase::Ready)).then_some(())
    })
    .await?;
    Ok(sent.elapsed())
}

/// A burst.
async fn create(client: &Client, count: usize) -> Result<()> {
    let api: Api<AwsCredentialRequest> = Api::namespaced(client.clone(), NAMESPACE);
    let made = stream::iter(0..count).map(|n| {
        let api = api.clone();
        async move {
            let request = request(&format!("r{n}"))?;
            api.create(&PostParams::default(), &request).await?;
            anyhow::Ok(())
        }
    });
    made.buffer_unordered(32).try_collect().await
}

/// All of the burst, and the two of the other namespace.
async fn until_ready(bed: &Bed, count: usize) -> Result<()> {
    // Lists are not for free: not before the last key is made.
    let all = (count + 2) * CALLS;
    until(bed, "all keys", |journal| applied(journal) >= all).await?;
    let api: Api<AwsCredentialRequest> = Api::namespaced(bed.client.clone(), NAMESPACE);
    wait::until("all to be ready", PATIENCE, || async {
        let all = api.list(&ListParams::default()).await.ok()?;
        let ready = |r: &&AwsCredentialRequest| {
            r.status.as_ref().and_then(|s| s.phase) == Some(Phase::Ready)
        };
        (all.items.iter().filter(ready).count() == count).then_some(())
    })
    .await
}

fn request(name: &str) -> Result<AwsCredentialRequest> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "keylease.dev/v1alpha1",
        "kind": "AwsCredentialRequest",
        "metadata": {"name": name},
        "spec": {"roleRef": {"name": "reader"}},
    }))?)
}
