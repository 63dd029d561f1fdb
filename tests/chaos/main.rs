//! The binary that is shipped, under kill -9, against a real API server that
//! is killed too and an AWS that fails, loses answers, throttles and is slow,
//! while requests come, expire, rotate and are deleted. When it is over, AWS
//! holds one user for each live request, and on each user the key that the
//! Secret holds.
//!
//! `make test` runs it for 20 seconds; `make chaos MINUTES=60 SEED=7` for as
//! long as asked for, with the release binary.

// Clippy knows test functions, and not that everything here serves them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../cluster/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the other tests' harness has more"
)]
mod harness;
mod mischief;
mod tally;
mod verdict;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::{Bed, Namespace, SOON, Settings, Story};
use keylease_testbed::aws::{KeyDelay, Rate};
use keylease_testbed::{FakeConfig, Fault, FaultKind, wait};
use mischief::{Mischief, people};
use serde_json::json;
use tally::Tally;

/// Length of a run where none is asked for.
const USUAL: Duration = Duration::from_secs(20);
/// How long everything may take to come to rest. A call of an old process may
/// be under way for 10 s, and a pause of the operator lasts up to 75 s.
const REST: Duration = Duration::from_secs(300);

/// A number from the environment.
fn asked(name: &str) -> Result<Option<u64>> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty());
    let number = text.map(|text| text.parse().with_context(|| format!("{name}={text}")));
    number.transpose()
}

/// An AWS with everything that the real one does on a bad day.
fn bad_day() -> FakeConfig {
    FakeConfig {
        latency: Duration::from_millis(20),
        key_delay: KeyDelay::flapping(Duration::from_millis(200), Duration::from_secs(3), 3),
        key_tail: Duration::from_secs(2),
        read_lag: Duration::from_millis(500),
        auth_lag: Duration::from_millis(300),
        key_read_lag: Duration::from_millis(500),
        non_atomic_key_limit: true,
        rate: Some(Rate {
            per_second: 60.0,
            burst: 30.0,
        }),
        ..FakeConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_users_and_keys_are_those_of_live_requests() -> Story {
    let length = asked("CHAOS_MINUTES")?.map_or(USUAL, |m| Duration::from_secs(60 * m));
    let seed = asked("CHAOS_SEED")?.unwrap_or(1);
    let settings = Settings {
        aws: bad_day(),
        ..Settings::default()
    };
    let bed = Bed::start(settings).await?;
    let namespace = Namespace::create(bed.client().await?, "chaos").await?;
    namespace.role(json!({})).await?;
    let failing = [FaultKind::service_failure(), FaultKind::LostReply];
    for kind in failing {
        bed.aws.add_fault(Fault::any(kind).probability(0.1));
    }

    let tally = Tally::default();
    let end = Instant::now() + length;
    let mischief = Mischief {
        bed: &bed,
        tally: &tally,
        end,
    };
    tokio::try_join!(
        mischief.kill_operator(fastrand::Rng::with_seed(seed)),
        mischief.kill_apiserver(fastrand::Rng::with_seed(seed ^ 1)),
        people(&namespace, &tally, end, fastrand::Rng::with_seed(seed ^ 2)),
    )?;

    bed.aws.clear_faults();
    bed.aws.set_config(|config| config.rate = None);
    bed.operator.lock().await.wait_ready(SOON).await?;
    let healed = Instant::now();
    let found = wait::until_ok("everything to come to rest", REST, || {
        verdict::at_rest(&bed, &namespace)
    })
    .await?;
    let text = bed.operator.lock().await.log_text();
    let leaked = bed.aws.all_secrets().into_iter().find(|s| text.contains(s));
    assert!(leaked.is_none(), "O5: a secret is in the log");
    tally.count_calls(&bed.aws);
    println!(
        "chaos: {} s with seed {seed}: {tally}; at rest {:.0} s after it was over: {found}",
        length.as_secs(),
        healed.elapsed().as_secs_f64()
    );
    Ok(())
}
