//! When a collector that does not answer is worth a line in the log. The time is
//! an argument.

use std::time::{Duration, Instant};

/// The least time between two complaints.
const PAUSE: Duration = Duration::from_secs(600);

/// What was said last, and what happened since.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// When it was said that exports fail; `None` while they work.
    told: Option<Instant>,
    /// Exports that failed and were not told.
    untold: u64,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// Nothing.
    Nothing,
    /// Exports fail: so many since it was said last.
    Fails(u64),
    /// Exports work again.
    WorksAgain,
}

impl Complaints {
    /// Takes note of one export.
    pub(super) fn hear(&mut self, worked: bool, now: Instant) -> Remark {
        if worked {
            self.untold = 0;
            return match self.told.take() {
                Some(_) => Remark::WorksAgain,
                None => Remark::Nothing,
            };
        }
        self.untold = self.untold.saturating_add(1);
        let due = |told: Instant| now.saturating_duration_since(told) >= PAUSE;
        if !self.told.is_none_or(due) {
            return Remark::Nothing;
        }
        self.told = Some(now);
        Remark::Fails(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_stays_away_is_told_at_once_and_then_seldom() {
        let start = Instant::now();
        let mut complaints = Complaints::default();
        let mut hear = |worked, after| complaints.hear(worked, start + after);
        assert_eq!(hear(true, Duration::ZERO), Remark::Nothing);
        assert_eq!(hear(false, Duration::from_secs(1)), Remark::Fails(1));
        for second in 2..601 {
            assert_eq!(hear(false, Duration::from_secs(second)), Remark::Nothing);
        }
        assert_eq!(hear(false, Duration::from_secs(601)), Remark::Fails(600));
        assert_eq!(hear(true, Duration::from_secs(602)), Remark::WorksAgain);
        assert_eq!(hear(true, Duration::from_secs(603)), Remark::Nothing);
        assert_eq!(hear(false, Duration::from_secs(604)), Remark::Fails(1));
    }
}
