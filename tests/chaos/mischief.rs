//! What is done to the operator, and asked of it.

use std::time::{Duration, Instant};

use anyhow::Result;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::harness::{Bed, Namespace};
use crate::tally::{Tally, count};

/// Requests that there are at a time, at most.
const CROWD: usize = 60;

/// Who kills.
pub struct Mischief<'a> {
    pub bed: &'a Bed,
    pub tally: &'a Tally,
    pub end: Instant,
}

/// A pause between these, in milliseconds. Here the pause is the mischief: it
/// draws the moment, and nothing waits for what it brings.
async fn pause(rng: &mut fastrand::Rng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(rng.u64(millis))).await;
}

impl Mischief<'_> {
    /// SIGKILL every few seconds; its successor starts at once or a little
    /// later. When this returns, one runs.
    pub async fn kill_operator(&self, mut rng: fastrand::Rng) -> Result<()> {
        while Instant::now() < self.end {
            pause(&mut rng, 500..8_000).await;
            self.bed.operator.lock().await.kill_hard()?;
            count(&self.tally.kills);
            self.tally.count_calls(&self.bed.aws);
            if rng.bool() {
                pause(&mut rng, 0..2_000).await;
            }
            self.bed.operator.lock().await.start_again()?;
        }
        Ok(())
    }

    /// The API server dies and comes back. When this returns, it serves.
    pub async fn kill_apiserver(&self, mut rng: fastrand::Rng) -> Result<()> {
        while Instant::now() < self.end {
            pause(&mut rng, 6_000..20_000).await;
            self.bed.cluster.stop_apiserver();
            count(&self.tally.apiserver_kills);
            pause(&mut rng, 0..3_000).await;
            self.bed.cluster.start_apiserver().await?;
        }
        Ok(())
    }
}

/// Requests come and go. What the API server does not take is not made.
pub async fn people(
    namespace: &Namespace,
    tally: &Tally,
    end: Instant,
    mut rng: fastrand::Rng,
) -> Result<()> {
    let mut number = 0;
    while Instant::now() < end {
        pause(&mut rng, 20..300).await;
        let Ok(all) = namespace.requests().list(&ListParams::default()).await else {
            continue;
        };
        let names: Vec<_> = all.into_iter().filter_map(|r| r.metadata.name).collect();
        if names.len() < CROWD && rng.u8(..3) != 0 {
            number += 1;
            let made = namespace
                .request(&format!("r{number}"), wish(&mut rng))
                .await;
            made.iter().for_each(|_| count(&tally.made));
        } else if let Some(name) = rng.choice(&names) {
            let params = DeleteParams::default();
            let deleted = namespace.requests().delete(name, &params).await;
            deleted.iter().for_each(|_| count(&tally.deleted));
        }
    }
    Ok(())
}

/// Leases that run, end, and are followed by others.
fn wish(rng: &mut fastrand::Rng) -> Value {
    match rng.u8(..4) {
        0 => json!({"ttl": "5s"}),
        1 => json!({"ttl": "15s"}),
        2 => json!({"ttl": "1m", "onExpiry": "Rotate", "rotation": {"overlap": "10s"}}),
        _ => json!({}),
    }
}
