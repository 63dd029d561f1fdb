//! Requests by the thousand, and when each was seen in which phase.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use keylease_api::{AwsCredentialRequest, Phase};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::bed::NAMESPACE;

/// Calls to the API server at a time: more make it no faster.
const AT_ONCE: usize = 32;
/// Nothing that is measured takes longer without progress.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Follows all requests.
pub struct Requests {
    api: Api<AwsCredentialRequest>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    states: Mutex<HashMap<String, State>>,
    news: Notify,
}

#[derive(Clone)]
struct State {
    phase: Option<Phase>,
    since: Instant,
    renewed: Option<Timestamp>,
}

impl Requests {
    /// Starts to watch.
    pub async fn follow(client: Client) -> Result<Self> {
        let api: Api<AwsCredentialRequest> = Api::namespaced(client, NAMESPACE);
        let seen = Arc::new(Seen::default());
        let mut events = watcher::watcher(api.clone(), watcher::Config::default()).boxed();
        let writer = seen.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Ok(Event::Apply(request) | Event::InitApply(request)) = event {
                    writer.note(&request);
                }
            }
        });
        Ok(Self { api, seen })
    }

    /// Makes them as fast as it goes.
    pub async fn create(&self, names: &[String], role: &str, spec: Value) -> Result<()> {
        let all = stream::iter(names).map(|name| self.create_one(name, role, spec.clone()));
        all.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Makes so many a second; when each was sent.
    pub async fn create_at(&self, names: &[String], role: &str, rate: u32) -> Result<Vec<Instant>> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut sent = Vec::with_capacity(names.len());
        let mut calls = Vec::with_capacity(names.len());
        for name in names {
            ticks.tick().await;
            sent.push(Instant::now());
            let api = self.api.clone();
            let request = request(name, role, json!({}))?;
            calls.push(tokio::spawn(async move {
                api.create(&PostParams::default(), &request).await
            }));
        }
        for call in calls {
            call.await??;
        }
        Ok(sent)
    }

    async fn create_one(&self, name: &str, role: &str, spec: Value) -> Result<()> {
        let request = request(name, role, spec)?;
        self.api.create(&PostParams::default(), &request).await?;
        Ok(())
    }

    /// Asks for another length of life, from that time on.
    pub async fn renew(&self, names: &[String], at: Timestamp, increment: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"renew": {"at": at, "increment": increment}}}));
        let all = stream::iter(names).map(async |name| {
            self.api
                .patch(name, &PatchParams::default(), &patch)
                .await?;
            anyhow::Ok(())
        });
        all.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Waits until all are in that phase; when each was.
    pub async fn until(&self, names: &[String], phase: Phase) -> Result<Vec<Instant>> {
        self.all(names, |state| {
            (state.phase == Some(phase)).then_some(state.since)
        })
        .await
    }

    /// Waits until all are renewed; when each ends.
    pub async fn renewed(&self, names: &[String]) -> Result<HashMap<String, Timestamp>> {
        let ends = self.all(names, |state| state.renewed).await?;
        Ok(names.iter().cloned().zip(ends).collect())
    }

    /// Waits until something is known of all of them.
    async fn all<T>(&self, names: &[String], what: impl Fn(&State) -> Option<T>) -> Result<Vec<T>> {
        loop {
            let news = self.seen.news.notified();
            let found: Vec<_> = {
                let states = self.seen.states.lock();
                names
                    .iter()
                    .filter_map(|name| what(states.get(name)?))
                    .collect()
            };
            if found.len() == names.len() {
                return Ok(found);
            }
            if tokio::time::timeout(STANDSTILL, news).await.is_err() {
                bail!("{} of {}, and nothing moves", found.len(), names.len());
            }
            // Thousands of news come in bursts.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Seen {
    fn note(&self, request: &AwsCredentialRequest) {
        let status = request.status.as_ref();
        let phase = status.and_then(|s| s.phase);
        let lease = status.and_then(|s| s.lease.as_ref());
        let renewed = lease.filter(|l| l.renewals > 0).map(|l| l.expires_at.0);
        let mut states = self.states.lock();
        let state = states.entry(request.name_any()).or_insert_with(|| State {
            phase: None,
            since: Instant::now(),
            renewed: None,
        });
        if state.phase != phase {
            (state.phase, state.since) = (phase, Instant::now());
        }
        state.renewed = renewed;
        drop(states);
        self.news.notify_waiters();
    }
}

fn request(name: &str, role: &str, spec: Value) -> Result<AwsCredentialRequest> {
    let mut spec = spec;
    spec["roleRef"] = json!({"name": role});
    serde_json::from_value(json!({
        "apiVersion": "keylease.dev/v1alpha1",
        "kind": "AwsCredentialRequest",
        "metadata": {"name": name},
        "spec": spec,
    }))
    .context("no request")
}

/// In milliseconds; of times in order of length.
pub fn percentile(times: &[Duration], percent: usize) -> f64 {
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times
        .get(index)
        .map_or(f64::NAN, |t| t.as_secs_f64() * 1000.0)
}
