//! The right to change things, and until when it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use keylease_core::plan::effect::{Fault, FaultClass};

/// Whether this process leads, by a clock that cannot be set. It is asked
/// immediately before each call that matters, and answers without waiting: one
/// that was stopped for a minute asks before it goes on, and is told no.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// Milliseconds on [`now`]'s clock; `None` where nobody is asked.
    until: Option<Arc<AtomicU64>>,
}

/// This process does not lead, or does not any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not sent: this instance does not lead")]
pub struct NotLeading;

impl NotLeading {
    /// The same, as what came of an effect.
    pub fn fault(self) -> Fault {
        Fault {
            class: FaultClass::NotLeading,
            message: self.to_string(),
        }
    }
}

impl Leadership {
    /// For the only process there is: it always leads.
    pub fn alone() -> Self {
        Self { until: None }
    }

    /// Not yet.
    pub(crate) fn sought() -> Self {
        Self {
            until: Some(Arc::default()),
        }
    }

    pub(super) fn lasts_until(&self, until: Duration) {
        if let Some(cell) = &self.until {
            let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            cell.store(millis, Ordering::SeqCst);
        }
    }

    pub(super) fn ends(&self) {
        self.lasts_until(Duration::ZERO);
    }

    /// Whether it leads now.
    ///
    /// # Errors
    /// [`NotLeading`] when it does not.
    pub fn check(&self) -> Result<(), NotLeading> {
        let until = self.until.as_ref().map(|u| u.load(Ordering::SeqCst));
        match until {
            Some(until) if now() >= Duration::from_millis(until) => Err(NotLeading),
            _ => Ok(()),
        }
    }
}

/// Time since the machine was started. On Linux that includes the time for
/// which it was suspended, which [`std::time::Instant`] leaves out.
pub fn now() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    // Neither is ever negative.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_itself() {
        let leadership = Leadership::sought();
        assert!(leadership.check().is_err(), "before it was won");
        leadership.lasts_until(now() + Duration::from_secs(3600));
        assert!(leadership.check().is_ok());
        leadership.lasts_until(now());
        assert!(leadership.check().is_err(), "after its end");
        assert!(Leadership::alone().check().is_ok());
    }
}
