//! Metrics of the sweep. Numbers of users are totals over all accounts: names
//! of accounts are no labels.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the duration of a sweep, in seconds: from an empty account to
/// thousands of orphans.
const BUCKETS: [f64; 8] = [0.1, 0.5, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Labels of a sweep.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    /// The reason of the account's `Swept` condition.
    outcome: &'static str,
}

/// Labels of a doubt.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    /// What spoke against the lease.
    kind: &'static str,
}

/// What the last sweep of an account found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Users of ours.
    pub users: usize,
    /// Those that no request accounts for, and that are left.
    pub orphans: usize,
    /// Whether they are left because they are implausibly many.
    pub halted: bool,
}

/// The sweep's metrics.
#[derive(Clone)]
pub struct SweepMetrics {
    sweeps: Family<OutcomeLabels, Counter>,
    last: Gauge,
    duration: Histogram,
    users: Gauge,
    orphans: Gauge,
    halted: Gauge,
    removed: Counter,
    suspects: Family<KindLabels, Counter>,
}

impl SweepMetrics {
    /// Metrics that this registry shows.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self {
            sweeps: Family::default(),
            last: Gauge::default(),
            duration: Histogram::new(BUCKETS),
            users: Gauge::default(),
            orphans: Gauge::default(),
            halted: Gauge::default(),
            removed: Counter::default(),
            suspects: Family::default(),
        };
        let r = registry;
        r.register(
            "sweeps",
            "Sweeps of accounts, by the reason of the condition Swept that they led to",
            all.sweeps.clone(),
        );
        r.register(
            "sweep_last_timestamp_seconds",
            "When an account was swept last, in seconds since 1970; failed sweeps do not count",
            all.last.clone(),
        );
        r.register(
            "sweep_duration_seconds",
            "How long the sweep of an account took, in seconds",
            all.duration.clone(),
        );
        r.register(
            "sweep_users",
            "IAM users of ours that the last sweeps listed, in all accounts",
            all.users.clone(),
        );
        r.register(
            "sweep_orphans",
            "IAM users without a request that the last sweeps left, in all accounts",
            all.orphans.clone(),
        );
        r.register(
            "sweep_halted_accounts",
            "Accounts whose last sweep found implausibly many users without a request",
            all.halted.clone(),
        );
        r.register(
            "sweep_removed",
            "IAM users without a request that were removed",
            all.removed.clone(),
        );
        r.register(
            "sweep_suspects",
            "Leases that a sweep made look at AWS, by what spoke against them",
            all.suspects.clone(),
        );
        all
    }

    /// A sweep of an account ended so.
    pub fn ended(&self, outcome: &'static str, took: Duration) {
        let labels = OutcomeLabels { outcome };
        self.sweeps.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// A sweep went through.
    pub fn went_through(&self, now: Timestamp) {
        self.last.set(now.as_second());
    }

    /// The last sweeps of all accounts found this.
    pub fn found<'a>(&self, tallies: impl Iterator<Item = &'a Tally>) {
        let (mut users, mut orphans, mut halted) = (0, 0, 0);
        for tally in tallies {
            users += tally.users;
            orphans += tally.orphans;
            halted += usize::from(tally.halted);
        }
        self.users.set(count(users));
        self.orphans.set(count(orphans));
        self.halted.set(count(halted));
    }

    /// A user without a request was removed.
    pub fn removed(&self) {
        self.removed.inc();
    }

    /// A lease was made to look at AWS.
    pub fn suspected(&self, kind: &'static str) {
        self.suspects.get_or_create(&KindLabels { kind }).inc();
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
