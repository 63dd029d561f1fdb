//! Outages, errors, throttling, lost answers, slow wires.

use jiff::{SignedDuration, Timestamp};

use super::refusals::Refusal;
use crate::plan::effect::{Effect, Fault, FaultClass, Outcome};
use crate::time::CALL_TIMEOUT;

/// How things are, until they change.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// When AWS serves again.
    pub aws_back: Timestamp,
    /// When STS serves again; IAM may serve meanwhile.
    pub sts_back: Timestamp,
    /// When the API server serves again.
    pub api_back: Timestamp,
    /// Share of calls that fail.
    pub errors: f64,
    /// Share of calls whose answer is lost.
    pub lost: f64,
    /// Share of AWS calls that are throttled, or never get their turn.
    pub throttled: f64,
    /// Share of calls that travel for seconds.
    pub slow: f64,
    /// What is refused.
    pub refusal: Option<Refusal>,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whim {
    Serve,
    LoseAnswer,
    Fail(FaultClass),
    /// Refused, and applied all the same if it is so.
    Refuse(FaultClass, bool),
}

impl Weather {
    /// Nothing is wrong.
    pub fn fair(now: Timestamp) -> Self {
        Self {
            aws_back: now,
            sts_back: now,
            api_back: now,
            errors: 0.0,
            lost: 0.0,
            throttled: 0.0,
            slow: 0.0,
            refusal: None,
        }
    }

    /// The same for one effect.
    pub fn whim_at(&self, effect: &Effect, now: Timestamp, rng: &mut fastrand::Rng) -> Whim {
        let on_sts = matches!(effect, Effect::ProveKey | Effect::IssueSession(_));
        if on_sts && now < self.sts_back {
            return Whim::Fail(FaultClass::Unavailable);
        }
        match self.whim(effect.on_kubernetes(), now, rng) {
            Whim::Serve => {
                let refused = self.refusal.and_then(|refusal| refusal.of(effect, now));
                refused.map_or(Whim::Serve, |(class, applied)| Whim::Refuse(class, applied))
            }
            whim => whim,
        }
    }

    pub fn whim(&self, on_kubernetes: bool, now: Timestamp, rng: &mut fastrand::Rng) -> Whim {
        let back = if on_kubernetes {
            self.api_back
        } else {
            self.aws_back
        };
        let hit = |rng: &mut fastrand::Rng, share: f64| share > 0.0 && rng.f64() < share;
        if now < back || hit(rng, self.errors) {
            let silent = rng.u8(..4) == 0;
            let class = if silent {
                FaultClass::NoAnswer
            } else {
                FaultClass::Unavailable
            };
            return Whim::Fail(class);
        }
        if hit(rng, self.lost) {
            return Whim::LoseAnswer;
        }
        if !on_kubernetes && hit(rng, self.throttled) {
            let unsent = rng.u8(..4) == 0;
            let class = if unsent {
                FaultClass::Unsent
            } else {
                FaultClass::Throttled
            };
            return Whim::Fail(class);
        }
        Whim::Serve
    }

    /// How long a call is under way before it takes effect. With the lag of
    /// IAM's readers (see `people::begin`) it stays below the time after which
    /// their word is believed; what is slower is the sweep's.
    pub fn travel(&self, rng: &mut fastrand::Rng) -> SignedDuration {
        let slow = self.slow > 0.0 && rng.f64() < self.slow;
        SignedDuration::from_millis(if slow {
            rng.i64(100..=3_000)
        } else {
            rng.i64(2..=40)
        })
    }

    /// How long until its answer is there, or is not waited for any longer.
    pub fn answer(&self, outcome: &Outcome, rng: &mut fastrand::Rng) -> SignedDuration {
        let silent = matches!(
            outcome,
            Outcome::Failed(Fault {
                class: FaultClass::NoAnswer,
                ..
            })
        );
        match (silent, rng.bool()) {
            (true, true) => SignedDuration::try_from(CALL_TIMEOUT).unwrap_or_default(),
            _ => SignedDuration::from_millis(rng.i64(2..=40)),
        }
    }
}
