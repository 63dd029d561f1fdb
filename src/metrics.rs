//! Counters and durations, under Prometheus's naming rules. Every label has a
//! bounded set of values: of names only those that administrators make, roles and
//! AWS accounts. `docs/operations.md` lists them all.

mod first_issue;
mod inventory;
mod sweep;
#[cfg(test)]
mod tests;

pub use first_issue::first_issue;
pub use inventory::{Caches, Inventory};
pub use sweep::{SweepMetrics, Tally};

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use keylease_core::plan::pacing::{Class, Service};

/// Upper bounds of the wait of a call, in seconds.
const WAIT_BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Upper bounds of the time to a Secret and to an end, in seconds. AWS takes 2 to
/// 15 s to accept a key, and what is alerted on (30 s, `KeyleaseSlowIssue`) is one
/// of them: between two bounds Prometheus only guesses.
const LIFE_BUCKETS: [f64; 14] = [
    0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 300.0,
];

/// Labels of a call to the outside.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabels {
    /// `iam`, `sts`, `kubernetes`, `credentials` or `otlp`.
    pub service: &'static str,
    /// The operation, as the service names it.
    pub operation: &'static str,
    /// `ok` or the class of the fault.
    pub outcome: &'static str,
}

/// Labels of a reconciliation.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// The kind of object.
    pub kind: &'static str,
    /// `ok`, `waits` (for its turn), `unsent` (a call had none in time),
    /// `stalled` or `circle`.
    pub outcome: &'static str,
}

/// Labels of an announcement.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    /// The reason, from the one vocabulary.
    pub reason: &'static str,
}

/// Labels of an attempt to roll a workload.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RollLabels {
    /// `rolled`, what holds the workload back, or the class of the fault.
    pub outcome: &'static str,
}

/// Labels of a budget.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BudgetLabels {
    /// The 12-digit id of the AWS account. There are as many as the operator
    /// signs in to.
    pub account: String,
    /// `iam` or `sts`.
    pub service: &'static str,
}

/// Labels of a line.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LineLabels {
    /// The 12-digit id of the AWS account; empty for requests whose account is
    /// not known.
    pub account: String,
    /// `iam` or `sts`.
    pub service: &'static str,
    /// `revoke`, `issue` or `sweep`.
    pub class: &'static str,
}

/// Labels of a wait.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct WaitLabels {
    /// `iam` or `sts`.
    pub service: &'static str,
    /// `revoke`, `issue` or `sweep`.
    pub class: &'static str,
}

/// All metrics of the process.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    calls: Family<CallLabels, Counter>,
    reconciles: Family<ReconcileLabels, Counter>,
    transitions: Family<ReasonLabels, Counter>,
    rolls: Family<RollLabels, Counter>,
    issue_duration: Histogram,
    revoke_duration: Histogram,
    leader: Gauge,
    allowed: Family<BudgetLabels, Gauge<f64, AtomicU64>>,
    calls_waiting: Family<LineLabels, Gauge>,
    requests_waiting: Family<LineLabels, Gauge>,
    call_wait: Family<WaitLabels, Histogram, fn() -> Histogram>,
    /// Those of the sweep.
    pub sweep: SweepMetrics,
    /// What there is.
    pub inventory: Inventory,
}

fn wait_histogram() -> Histogram {
    Histogram::new(WAIT_BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("keylease");
        let calls = Family::default();
        registry.register(
            "calls",
            "Calls to AWS, to the API server and to a collector of traces, by operation and outcome",
            calls.clone(),
        );
        let reconciles = Family::default();
        registry.register(
            "reconciles",
            "Reconciliations, by kind and outcome",
            reconciles.clone(),
        );
        let transitions = Family::default();
        registry.register(
            "request_transitions",
            "Changes of a request's state that were announced, by reason",
            transitions.clone(),
        );
        let rolls = Family::default();
        registry.register(
            "workload_restarts",
            "Attempts to roll a workload for a new key, by outcome",
            rolls.clone(),
        );
        let issue_duration = Histogram::new(LIFE_BUCKETS);
        registry.register(
            "issue_duration_seconds",
            "From the creation of a request to its first Secret, in seconds; creation is known to the second",
            issue_duration.clone(),
        );
        let revoke_duration = Histogram::new(LIFE_BUCKETS);
        registry.register(
            "revoke_duration_seconds",
            "From the end of a lease, or the deletion of its request, to AWS holding nothing of it, in seconds",
            revoke_duration.clone(),
        );
        let leader = Gauge::default();
        registry.register(
            "leader",
            "1 while this instance leads; with leader election off it always does",
            leader.clone(),
        );
        let allowed = Family::default();
        registry.register(
            "aws_calls_per_second",
            "Calls a second that the operator allows itself, by AWS account and service",
            allowed.clone(),
        );
        let calls_waiting = Family::default();
        registry.register(
            "aws_calls_waiting",
            "Calls to AWS that wait for their turn",
            calls_waiting.clone(),
        );
        let requests_waiting = Family::default();
        registry.register(
            "requests_waiting",
            "Requests that wait to be worked on",
            requests_waiting.clone(),
        );
        let call_wait = Family::new_with_constructor(wait_histogram as fn() -> Histogram);
        registry.register(
            "aws_call_wait_seconds",
            "How long calls to AWS waited for their turn, in seconds",
            call_wait.clone(),
        );
        let sweep = SweepMetrics::register(&mut registry);
        let inventory = Inventory::register(&mut registry);
        Self {
            registry: Arc::new(registry),
            calls,
            reconciles,
            transitions,
            rolls,
            issue_duration,
            revoke_duration,
            leader,
            allowed,
            calls_waiting,
            requests_waiting,
            call_wait,
            sweep,
            inventory,
        }
    }
}

impl Metrics {
    /// Counts one call.
    pub fn call(&self, service: &'static str, operation: &'static str, outcome: &'static str) {
        let labels = CallLabels {
            service,
            operation,
            outcome,
        };
        self.calls.get_or_create(&labels).inc();
    }

    /// Counts one reconciliation.
    pub fn reconcile(&self, kind: &'static str, outcome: &'static str) {
        let labels = ReconcileLabels { kind, outcome };
        self.reconciles.get_or_create(&labels).inc();
    }

    /// Counts one announced change of a request.
    pub fn transition(&self, reason: &'static str) {
        self.transitions
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }

    /// Counts one attempt to roll a workload.
    pub fn roll(&self, outcome: &'static str) {
        self.rolls.get_or_create(&RollLabels { outcome }).inc();
    }

    /// Notes how long it took from a request to its Secret.
    pub fn issued_after(&self, duration: Duration) {
        self.issue_duration.observe(duration.as_secs_f64());
    }

    /// Notes how long it took from the end of a lease to AWS holding nothing of
    /// it.
    pub fn revoked_after(&self, duration: Duration) {
        self.revoke_duration.observe(duration.as_secs_f64());
    }

    /// Notes whether this instance leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Shows the rate of a budget.
    pub fn allowed(&self, account: &str, service: Service, per_second: f64) {
        let labels = BudgetLabels {
            account: account.to_owned(),
            service: service.as_str(),
        };
        self.allowed.get_or_create(&labels).set(per_second);
    }

    /// Shows how many calls wait in a line.
    pub fn calls_waiting(&self, account: &str, service: Service, class: Class, length: usize) {
        let gauge = self
            .calls_waiting
            .get_or_create(&line(account, service, class));
        gauge.set(length as i64);
    }

    /// Shows how many requests wait to be worked on.
    pub fn requests_waiting(&self, account: &str, service: Service, class: Class, length: usize) {
        let gauge = self
            .requests_waiting
            .get_or_create(&line(account, service, class));
        gauge.set(length as i64);
    }

    /// Notes how long a call waited for its turn.
    pub fn waited(&self, service: Service, class: Class, duration: Duration) {
        let labels = WaitLabels {
            service: service.as_str(),
            class: class.as_str(),
        };
        let histogram = self.call_wait.get_or_create(&labels);
        histogram.observe(duration.as_secs_f64());
    }

    /// The text that `/metrics` answers.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let written = self
            .inventory
            .fresh(Timestamp::now(), || encode(&mut text, &self.registry));
        match written {
            Ok(()) => text,
            Err(error) => format!("# metrics could not be written: {error}\n"),
        }
    }
}

fn line(account: &str, service: Service, class: Class) -> LineLabels {
    LineLabels {
        account: account.to_owned(),
        service: service.as_str(),
        class: class.as_str(),
    }
}
