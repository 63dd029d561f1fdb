//! The record of all calls.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

/// One call, as the fake saw it. Secrets are never in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// When it took effect, or failed to.
    pub at: Timestamp,
    /// The same, since the start of the fake.
    pub elapsed: Duration,
    /// `iam` or `sts`.
    pub service: &'static str,
    /// The action, such as `CreateUser`.
    pub op: String,
    /// The IAM user that it was about, if it named one.
    pub user: Option<String>,
    /// The access key that signed it.
    pub caller_key: Option<String>,
    /// The other parameters, without passwords.
    pub params: BTreeMap<String, String>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Applied, and the answer was sent.
    Applied,
    /// Refused with this code, and the answer was sent.
    Error(String),
    /// Applied (or refused), but the answer was thrown away.
    Lost,
    /// Neither applied nor answered.
    Dropped,
}

/// All calls since the start or the last `clear`.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: Vec<Call>,
}

impl Journal {
    pub(super) fn add(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }

    pub(super) fn count(&self, op: &str) -> usize {
        self.calls.iter().filter(|call| call.op == op).count()
    }

    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(call.op.clone()).or_default() += 1;
        }
        counts
    }
}
