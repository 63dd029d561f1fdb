//! Leader election with a Lease: the calls and the waiting. What they lead to
//! is decided in `plan::leader`.

mod leadership;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

pub use leadership::{Leadership, NotLeading, now as uptime};

use crate::act::{FIELD_MANAGER, KubeCalls};
use crate::health::Readiness;
use crate::metrics::Metrics;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::leader::{Candidate, LEASE_DURATION, Move, RENEW_DEADLINE, RETRY, Record};

/// Name of the Lease, in the operator's own namespace.
pub const LEASE: &str = "keylease";
/// The part of readiness that stands for the Lease: it can be read.
const LEASE_READ: &str = "leader election Lease";
/// How long one call about the Lease may take: two that hang fit between the
/// last renewal and its deadline.
const CALL_LIMIT: Duration = Duration::from_secs(4);
/// Pauses grow by up to this share, so that instances that were started
/// together do not ask together.
const JITTER: f64 = 0.1;
/// Pause before a renewal that met another version of the Lease is repeated.
const AGAIN: Duration = Duration::from_millis(200);

/// An instance that wants to lead.
pub struct Elector {
    api: Api<Lease>,
    calls: KubeCalls,
    metrics: Metrics,
    leadership: Leadership,
    candidate: Candidate,
    /// The Lease as last read or written: what the next write changes.
    lease: Option<Lease>,
}

/// An instance that leads: the Lease is renewed until it is lost or given up.
pub struct Tenure {
    resigned: CancellationToken,
    keeper: tokio::task::JoinHandle<()>,
}

impl Elector {
    /// A candidate for the Lease of this namespace. Its name in the Lease is
    /// the instance's with a random half, since a name may be used again while
    /// a former process of that name still runs.
    pub fn new(client: Client, namespace: &str, instance: &str, metrics: Metrics) -> Self {
        let identity = format!("{instance}_{:016x}", fastrand::u64(..));
        metrics.leads(false);
        Self {
            api: Api::namespaced(client, namespace),
            calls: KubeCalls::new(metrics.clone()),
            metrics,
            leadership: Leadership::sought(),
            candidate: Candidate::new(identity),
            lease: None,
        }
    }

    /// What is asked before each call.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this instance leads. `false` when told to stop before.
    pub async fn win(&mut self, readiness: &Readiness, stop: &CancellationToken) -> bool {
        readiness.expect(LEASE_READ);
        let mut told = None;
        loop {
            let stood = self.stand().await;
            if stood.is_ok() {
                readiness.reached(LEASE_READ);
            }
            let pause = match stood {
                Ok(None) => return true,
                Ok(Some(pause)) => pause,
                Err(fault) => {
                    let error = fault.message;
                    tracing::warn!(error, "the Lease {LEASE} cannot be used; trying again");
                    RETRY
                }
            };
            let holder = self.candidate.holder().map(str::to_owned);
            if holder != told {
                tracing::info!(holder, "standing by while another instance leads");
                told = holder;
            }
            tokio::select! {
                () = tokio::time::sleep(spread(pause)) => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Looks, and takes the Lease if it is free: `None` when this instance
    /// leads, else when to look again.
    async fn stand(&mut self) -> Result<Option<Duration>, Fault> {
        self.look().await?;
        let now = leadership::now();
        match self.candidate.next(now) {
            Move::Wait(until) => return Ok(Some(until.saturating_sub(now))),
            Move::Create | Move::Take | Move::Renew => {}
            // Only one that leads can step down.
            Move::StepDown => return Ok(Some(RETRY)),
        }
        match self.claim().await {
            Ok(()) => Ok(None),
            Err(fault) if overtaken(fault.class) => Ok(Some(AGAIN)),
            Err(fault) => Err(fault),
        }
    }

    /// Renews the Lease from now on; `lost` is cancelled when that fails.
    pub fn keep(mut self, lost: CancellationToken) -> Tenure {
        tracing::info!(identity = self.candidate.identity(), "this instance leads");
        self.metrics.leads(true);
        let resigned = CancellationToken::new();
        let told = resigned.clone();
        let keeper = tokio::spawn(async move {
            tokio::select! {
                () = self.renew() => {
                    self.leadership.ends();
                    self.metrics.leads(false);
                    lost.cancel();
                }
                () = told.cancelled() => self.resign().await,
            }
        });
        Tenure { resigned, keeper }
    }

    /// Renews until that is no longer possible.
    async fn renew(&mut self) {
        let mut pause = RETRY;
        loop {
            tokio::time::sleep(spread(pause).min(self.left())).await;
            pause = RETRY;
            match self.candidate.next(leadership::now()) {
                Move::Renew | Move::Create => {}
                Move::StepDown | Move::Take | Move::Wait(_) => break,
            }
            match self.claim().await {
                Ok(()) => {}
                Err(fault) if overtaken(fault.class) => {
                    // An answer that was lost, or another that took it.
                    let _ = self.look().await;
                    pause = AGAIN;
                }
                Err(fault) => {
                    let left = self.left();
                    tracing::warn!(error = fault.message, ?left, "the Lease was not renewed");
                }
            }
        }
        let holder = self.candidate.holder();
        let identity = self.candidate.identity();
        tracing::error!(
            identity,
            holder,
            "leadership is lost: the Lease was not renewed for {} s, or another holds it",
            RENEW_DEADLINE.as_secs()
        );
    }

    /// Gives the Lease up, so that another takes it at its next look. If that
    /// fails, it runs out.
    async fn resign(&mut self) {
        self.leadership.ends();
        self.metrics.leads(false);
        let mut given_up = self.give_up().await;
        if matches!(&given_up, Err(fault) if overtaken(fault.class)) {
            // A renewal was under way when we were told.
            given_up = match self.look().await {
                Ok(()) => self.give_up().await,
                Err(fault) => Err(fault),
            };
        }
        match given_up {
            Ok(()) => tracing::info!("the Lease was given up"),
            Err(fault) => tracing::warn!(
                error = fault.message,
                "the Lease was not given up; it runs out"
            ),
        }
    }

    async fn give_up(&mut self) -> Result<(), Fault> {
        if self.candidate.holder() != Some(self.candidate.identity()) {
            return Ok(());
        }
        self.write(None).await.map(drop)
    }

    /// Reads the Lease.
    async fn look(&mut self) -> Result<(), Fault> {
        let call = self.api.get_opt(LEASE);
        let found = self
            .calls
            .make_within(CALL_LIMIT, "get_lease", call)
            .await?;
        self.candidate
            .saw(found.as_ref().map(record), leadership::now());
        self.lease = found;
        Ok(())
    }

    /// Writes our name, on the version that was seen.
    async fn claim(&mut self) -> Result<(), Fault> {
        let sent = leadership::now();
        let identity = self.candidate.identity().to_owned();
        let record = self.write(Some(identity)).await?;
        self.candidate.wrote(record, sent);
        if let Some(until) = self.candidate.leads_until() {
            self.leadership.lasts_until(until);
        }
        Ok(())
    }

    async fn write(&mut self, holder: Option<String>) -> Result<Record, Fault> {
        let limit = match self.candidate.leads_until() {
            Some(_) => CALL_LIMIT.min(self.left().max(AGAIN)),
            None => CALL_LIMIT,
        };
        let lease = held_by(self.lease.as_ref(), holder, Timestamp::now());
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let (api, calls) = (&self.api, &self.calls);
        let written = if self.lease.is_some() {
            let call = api.replace(LEASE, &params, &lease);
            calls.make_within(limit, "update_lease", call).await?
        } else {
            let call = api.create(&params, &lease);
            calls.make_within(limit, "create_lease", call).await?
        };
        let record = record(&written);
        self.lease = Some(written);
        Ok(record)
    }

    /// How long this instance leads if nothing more is heard.
    fn left(&self) -> Duration {
        let until = self.candidate.leads_until().unwrap_or_default();
        until.saturating_sub(leadership::now())
    }
}

impl Tenure {
    /// Gives the Lease up, after everything else has ended.
    pub async fn resign(self) {
        self.resigned.cancel();
        if self.keeper.await.is_err() {
            tracing::error!("the task that keeps the Lease ended by itself");
        }
    }
}

/// Whether somebody changed the Lease since it was seen.
fn overtaken(class: FaultClass) -> bool {
    matches!(
        class,
        FaultClass::Stale | FaultClass::AlreadyExists | FaultClass::NotFound
    )
}

fn spread(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + JITTER * fastrand::f64())
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.filter(|h| !h.is_empty()),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
    }
}

/// The Lease after our write. Its times are for people to read.
fn held_by(before: Option<&Lease>, holder: Option<String>, now: Timestamp) -> Lease {
    let mut lease = before.cloned().unwrap_or_default();
    lease.metadata.name = Some(LEASE.to_owned());
    lease.metadata.managed_fields = None;
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if holder.is_some() && spec.holder_identity != holder {
        spec.acquire_time = Some(MicroTime(now));
        let transitions = spec.lease_transitions.unwrap_or_default();
        spec.lease_transitions = Some(transitions.saturating_add(1));
    }
    spec.holder_identity = holder;
    spec.renew_time = Some(MicroTime(now));
    spec.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_hands_is_counted_and_a_renewal_is_not() {
        let now = Timestamp::UNIX_EPOCH;
        let first = held_by(None, Some("a".to_owned()), now);
        let renewed = held_by(Some(&first), Some("a".to_owned()), now);
        let given_up = held_by(Some(&renewed), None, now);
        let taken = held_by(Some(&given_up), Some("b".to_owned()), now);
        let transitions = |lease: &Lease| lease.spec.as_ref().and_then(|s| s.lease_transitions);
        let all = [&first, &renewed, &given_up, &taken].map(transitions);
        assert_eq!(all, [Some(1), Some(1), Some(1), Some(2)]);
        assert_eq!(record(&given_up).holder, None);
        assert_eq!(record(&taken).duration, LEASE_DURATION);
    }
}
