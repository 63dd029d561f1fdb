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
pub mod ownership;
pub mod pacing;
pub mod policy;
pub mod reasons;
pub mod record;
mod renewal;
mod retreat;
mod revocation;
pub mod role;
pub mod root_rotation;
pub mod secret;
mod session;
pub mod session_spec;
pub mod sign_in;
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

use crate::api::Phase;
use effect::Effect;
use ending::Ending;
use reasons::Verdict;
use view::{RoleView, Seen, View};

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
    match decide(view, now) {
        // Whatever is waited for: the end of a lease, or of an overlap, is not
        // slept through.
        Step::Wait(until) => {
            let urgent = pacing::urgent_at(view, now);
            Step::Wait(urgent.map_or(until, |urgent| until.min(urgent)))
        }
        step => step,
    }
}

fn decide(view: &View, now: Timestamp) -> Step {
    let request = &view.request;
    let deleting = request.metadata.deletion_timestamp.is_some();
    let finalizer = intent::has_finalizer(request);
    if view.gone {
        return if view.work.in_flight() {
            ending::next(view, Ending::Gone, now)
        } else {
            Step::Rest
        };
    }
    if deleting && !finalizer {
        return Step::Rest;
    }
    // Whatever is under way goes on from what is true, not from the cache.
    let unreadable = unreadable::is_so(view);
    let resting = if unreadable {
        unreadable::is_resting(view, now)
    } else {
        live::is_resting(view, now)
    };
    let look = match view.seen {
        Seen::Direct => false,
        Seen::Stale => true,
        // A session has no finalizer; what is done at its end is no less final.
        Seen::Cached => !resting && (finalizer || view.live().is_some()),
    };
    if look {
        return Step::Look(Look::Request);
    }
    if let Some(failure) = &view.work.failure {
        // What failed may have been a revocation: the role's mark tells.
        if revocation::is_untold(view) && matches!(view.role, RoleView::Unread) {
            return Step::Look(Look::Role);
        }
        return Step::Do(status::attempt_failed(view, failure, now));
    }
    // What failed for a lease in force is the making of its next key: that holds
    // up neither its end nor what else is due.
    let runs = view.live().is_some() && view.phase() != Some(Phase::Revoking) && !deleting;
    if let (false, Some(at)) = (runs, backoff::paused(request, now)) {
        return Step::Wait(at);
    }
    if deleting {
        return ending::next(view, Ending::Deleted, now);
    }
    if view.work.abandon.is_some() && view.live().is_none() {
        return ending::next(view, Ending::Abandoned, now);
    }
    if unreadable {
        return unreadable::next(view, now);
    }
    match (view.phase(), view.live()) {
        (Some(Phase::Expired | Phase::Revoked), _) => live::after_the_end(view, now),
        (_, Some((lease, credential))) => live::next(view, lease, credential, now),
        (_, None) => issue::next(view, now),
    }
}
