//! Counters and durations, under Prometheus's naming rules. Every label has a
//! bounded set of values; names of objects are never labels.

mod sweep;

pub use sweep::{SweepMetrics, Tally};

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the duration histograms, in seconds: from one quick call to
/// a key that takes AWS its longest.
const BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Labels of a call to the outside.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabels {
    /// `iam`, `sts` or `kubernetes`.
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
    /// `ok` or `stalled`.
    pub outcome: &'static str,
}

/// Labels of an announcement.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    /// The reason, from the one vocabulary.
    pub reason: &'static str,
}

/// All metrics of the process.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    calls: Family<CallLabels, Counter>,
    reconciles: Family<ReconcileLabels, Counter>,
    transitions: Family<ReasonLabels, Counter>,
    issue_duration: Histogram,
    /// Those of the sweep.
    pub sweep: SweepMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("keylease");
        let calls = Family::default();
        registry.register(
            "calls",
            "Calls to AWS and to the API server, by operation and outcome",
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
        let issue_duration = Histogram::new(BUCKETS);
        registry.register(
            "issue_duration_seconds",
            "From the creation of a request to its Secret, in seconds; creation is known to the second",
            issue_duration.clone(),
        );
        let sweep = SweepMetrics::register(&mut registry);
        Self {
            registry: Arc::new(registry),
            calls,
            reconciles,
            transitions,
            issue_duration,
            sweep,
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

    /// Notes how long it took from a request to its Secret.
    pub fn issued_after(&self, duration: Duration) {
        self.issue_duration.observe(duration.as_secs_f64());
    }

    /// The text that `/metrics` answers.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# metrics could not be written: {error}\n"),
        }
    }
}
