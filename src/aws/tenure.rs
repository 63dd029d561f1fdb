//! The right to change an AWS account, as far as other clusters are concerned.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::leader::uptime;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::identity::Standing;

/// Whether this cluster holds its identity in an AWS account (see
/// `plan::identity`), by a clock that cannot be set. Asked immediately before
/// each call.
#[derive(Clone, Debug)]
pub struct Tenure {
    /// Milliseconds on [`uptime`]'s clock; `None` where nobody is asked.
    until: Option<Arc<AtomicU64>>,
    standing: Arc<RwLock<Standing>>,
}

/// It is not known at present that no other cluster works with this identity.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "not sent: AWS has not said for some time that no other cluster works with this cluster's id"
)]
pub struct NotHeld;

impl NotHeld {
    /// The same, as what came of an effect.
    pub fn fault(self) -> Fault {
        Fault {
            class: FaultClass::Unavailable,
            message: self.to_string(),
        }
    }
}

impl Default for Tenure {
    /// Not yet.
    fn default() -> Self {
        Self {
            until: Some(Arc::default()),
            standing: Arc::default(),
        }
    }
}

impl Tenure {
    /// For a process that found out by itself, and is not there for long.
    pub fn assumed() -> Self {
        Self {
            until: None,
            standing: Arc::new(RwLock::new(Standing::Alone)),
        }
    }

    /// Calls may be made for so long. Says whether the standing is news.
    pub fn set(&self, left: Duration, standing: &Standing) -> bool {
        if let Some(cell) = &self.until {
            let until = match left {
                Duration::ZERO => Duration::ZERO,
                left => uptime().saturating_add(left),
            };
            let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            cell.store(millis, Ordering::SeqCst);
        }
        let mut known = self.standing.write();
        let news = *known != *standing;
        known.clone_from(standing);
        news
    }

    /// How the identity stands.
    pub fn standing(&self) -> Standing {
        self.standing.read().clone()
    }

    /// Whether calls may be made now.
    ///
    /// # Errors
    /// [`NotHeld`] when they may not.
    pub fn check(&self) -> Result<(), NotHeld> {
        let until = self.until.as_ref().map(|u| u.load(Ordering::SeqCst));
        match until {
            Some(until) if uptime() >= Duration::from_millis(until) => Err(NotHeld),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_itself_and_when_it_is_told() {
        let tenure = Tenure::default();
        assert!(tenure.check().is_err(), "before it was found out");
        assert!(tenure.set(Duration::from_secs(3600), &Standing::Alone));
        assert!(tenure.check().is_ok());
        assert!(!tenure.set(Duration::ZERO, &Standing::Alone));
        assert!(tenure.check().is_err());
        assert!(Tenure::assumed().check().is_ok());
    }
}
