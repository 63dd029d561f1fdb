//! Decisions, all of them pure: what was observed and the time go in, one step
//! comes out. No client, no clock and no `async` in here, so a test can walk
//! every path and stop at every point.

pub mod account;
pub mod admission;
pub mod adopted;
pub mod backoff;
mod doubt;
pub mod effect;
mod ending;
mod faults;
pub mod identity;
pub mod intent;
mod issue;
pub mod leader;
pub mod lease;
pub mod live;
pub mod mark;
pub mod naming;
pub mod observed;
pub mod ownership;
pub mod pacing;
pub mod policy;
pub mod reasons;
pub mod record;
mod renewal;
mod request;
mod retreat;
mod revocation;
pub mod role;
pub mod root_rotation;
mod rules;
pub mod secret;
mod session;
pub mod session_spec;
pub mod sign_in;
pub mod stage;
pub mod standing;
mod status;
pub mod sweep;
pub mod ttl;
pub mod unreadable;
pub mod view;
pub mod work;

#[cfg(test)]
pub(crate) mod tests;

use jiff::{SignedDuration, Timestamp};

use effect::Effect;
use reasons::Verdict;
use view::View;

/// The longest time after which a request is looked at again, should it have
/// something to wait for. Timers go by a clock that nobody sets and that stands
/// still while the machine sleeps; ends of leases go by the one on the wall.
pub const LONGEST_SLEEP: SignedDuration = SignedDuration::from_mins(5);

/// What to do next for a request.
///
/// Invariants, whatever the view:
/// - before any AWS effect that creates, the finalizer and the intent are on
///   the request;
/// - `CreateKey` comes only when the user's keys are known and none is left;
/// - `PublishSecret` comes only with a proven key in hand;
/// - `DeleteSecret` and a replacing `PublishSecret` name a Secret whose
///   controller owner is this request, read directly;
/// - `Release` comes only when AWS holds nothing of the request;
/// - nothing is created or destroyed on a view from the cache.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Read something directly, then decide again.
    Look(Look),
    /// Perform one effect, record its outcome, then decide again.
    Do(Effect),
    /// Take back what was made, for this reason: take note of it with
    /// [`View::take_back`] and decide again. Of a lease in force it is what the
    /// attempt at its next key added, and nothing else.
    TakeBack(Verdict),
    /// Nothing to do before that time, unless something changes.
    Wait(Timestamp),
    /// Nothing to do unless something changes.
    Rest,
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The request itself.
    Request,
    /// The role that it names.
    Role,
    /// The request that holds the role's static user.
    Holder,
    /// The labels of its namespace.
    Namespace,
    /// The metadata of its Secret.
    Secret,
}

impl Look {
    /// A short name for traces, beside those of effects.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "look_request",
            Self::Role => "look_role",
            Self::Holder => "look_holder",
            Self::Namespace => "look_namespace",
            Self::Secret => "look_secret",
        }
    }
}

/// Decides on the next step for one request.
pub fn next(view: &View, now: Timestamp) -> Step {
    match request::decide(view, now).1 {
        // Whatever is waited for: the end of a lease, or of an overlap, is not
        // slept through.
        Step::Wait(until) => {
            let urgent = pacing::urgent_at(view, now);
            Step::Wait(urgent.map_or(until, |urgent| until.min(urgent)))
        }
        step => step,
    }
}
