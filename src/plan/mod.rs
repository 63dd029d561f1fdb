//! Decisions, all of them pure: what was observed and the time go in, one step
//! comes out. No client, no clock and no `async` in here, so a test can walk
//! every path and stop at every point.

pub mod account;
pub mod admission;
pub mod backoff;
pub mod effect;
mod ending;
mod faults;
pub mod intent;
mod issue;
pub mod lease;
pub mod naming;
pub mod ownership;
mod policy;
pub mod reasons;
pub mod role;
pub mod secret;
mod status;
pub mod view;
pub mod work;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::api::Phase;
use effect::Effect;
use ending::Ending;
use reasons::Verdict;
use secret::SecretView;
use view::{SecretHint, Seen, View};

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
    /// [`View::take_back`] and decide again.
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
    /// The labels of its namespace.
    Namespace,
    /// The metadata of its Secret.
    Secret,
}

/// Decides on the next step for one request.
pub fn next(view: &View, now: Timestamp) -> Step {
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
    let resting = is_resting(view, now);
    let look = match view.seen {
        Seen::Direct => false,
        Seen::Stale => true,
        Seen::Cached => finalizer && !resting,
    };
    if look {
        return Step::Look(Look::Request);
    }
    if let Some(failure) = &view.work.failure {
        return Step::Do(status::attempt_failed(view, failure, now));
    }
    if let Some(at) = backoff::retry_at(request)
        && now < at
    {
        return Step::Wait(at);
    }
    if deleting {
        return ending::next(view, Ending::Deleted, now);
    }
    if view.work.abandon.is_some() {
        return ending::next(view, Ending::Abandoned, now);
    }
    if view.phase() == Some(Phase::Expired) {
        return if finalizer {
            Step::Do(Effect::Release)
        } else {
            Step::Rest
        };
    }
    match view.live() {
        Some((lease, _)) if now >= lease.expires_at.0 => ending::next(view, Ending::Expired, now),
        Some((lease, credential)) => {
            if resting {
                return Step::Wait(lease.expires_at.0);
            }
            match &view.secret {
                SecretView::Unread => Step::Look(Look::Secret),
                SecretView::Ours(facts) if facts.holds(&credential.access_key_id) => {
                    Step::Wait(lease.expires_at.0)
                }
                SecretView::Foreign => Step::TakeBack(issue::conflict(view)),
                _ => issue::next(view, now),
            }
        }
        None => issue::next(view, now),
    }
}

/// Whether the request is served and nothing hints at a change: the one state
/// that is left on the word of the watches, so that an idle lease costs
/// nothing.
fn is_resting(view: &View, now: Timestamp) -> bool {
    let Some((lease, credential)) = view.live() else {
        return false;
    };
    let deleting = view.request.metadata.deletion_timestamp.is_some();
    let secret_stands = match &view.hint {
        SecretHint::Holds(key) => key.as_deref() == Some(credential.access_key_id.as_str()),
        SecretHint::Missing | SecretHint::Unsynced => false,
    };
    let work = &view.work;
    let idle = work.held.is_none() && work.failure.is_none() && work.abandon.is_none();
    !deleting && secret_stands && idle && now < lease.expires_at.0
}
