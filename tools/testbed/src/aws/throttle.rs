//! A token bucket.

use std::time::Instant;

use super::config::Rate;

/// How much of a [`Rate`] is left.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Tokens that were left, and when. `None`: still full.
    left: Option<(f64, Instant)>,
}

impl Bucket {
    /// Takes one token, if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let tokens = match self.left {
            None => rate.burst,
            Some((left, at)) => {
                let refill = now.saturating_duration_since(at).as_secs_f64() * rate.per_second;
                (left + refill).min(rate.burst)
            }
        };
        let granted = tokens >= 1.0;
        self.left = Some((if granted { tokens - 1.0 } else { tokens }, now));
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate {
            per_second: 2.0,
            burst: 3.0,
        };
        let start = Instant::now();
        let mut bucket = Bucket::default();
        let mut granted = |at: Duration| (0..10).filter(|_| bucket.take(rate, start + at)).count();
        assert_eq!(granted(Duration::ZERO), 3);
        assert_eq!(granted(Duration::from_secs(1)), 2);
        assert_eq!(granted(Duration::from_millis(1250)), 0);
        assert_eq!(granted(Duration::from_millis(1500)), 1);
        assert_eq!(granted(Duration::from_secs(60)), 3);
    }
}
