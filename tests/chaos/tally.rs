//! What was done, and what AWS was asked.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use keylease_testbed::FakeAws;
use keylease_testbed::aws::Outcome;

/// Counts of one run.
#[derive(Debug, Default)]
pub struct Tally {
    pub kills: AtomicUsize,
    pub apiserver_kills: AtomicUsize,
    pub made: AtomicUsize,
    pub deleted: AtomicUsize,
    calls: AtomicUsize,
    failed: AtomicUsize,
    unanswered: AtomicUsize,
}

/// One more.
pub fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    /// Counts the calls in the journal, and empties it.
    pub fn count_calls(&self, aws: &FakeAws) {
        let journal = aws.journal();
        aws.clear_journal();
        for call in journal {
            count(&self.calls);
            match call.outcome {
                Outcome::Applied => {}
                Outcome::Error(_) => count(&self.failed),
                Outcome::Lost | Outcome::Dropped => count(&self.unanswered),
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} kills of the operator, {} of the API server; {} requests made, {} deleted; {} AWS \
             calls, {} refused, {} unanswered",
            of(&self.kills),
            of(&self.apiserver_kills),
            of(&self.made),
            of(&self.deleted),
            of(&self.calls),
            of(&self.failed),
            of(&self.unanswered)
        )
    }
}
