//! A request that cannot be read as a whole: of a newer version, of before a
//! rule, or malformed. Nothing is issued, rotated or renewed for it; what it
//! holds ends by what can be read, at the time at which it would have ended.

use jiff::Timestamp;

use super::effect::{Announcement, Attachment, Effect};
use super::ending::{self, Ending};
use super::reasons::Reason;
use super::view::View;
use super::{Step, intent, live, revocation, status};
use crate::api::{Condition, ConditionType, Lease, Phase, get_condition};

/// Whether something of the request could not be read.
pub(super) fn is_so(view: &View) -> bool {
    !view.request.spec.unreadable.is_empty()
}

/// The event of a role or an account that its conditions call unreadable since
/// just now.
pub fn news(before: &[Condition], now: &[Condition]) -> Option<Announcement> {
    let ready = get_condition(now, ConditionType::Ready)?;
    let told = get_condition(before, ConditionType::Ready);
    let same = told.is_some_and(|c| c.reason == ready.reason && c.message == ready.message);
    let reason = Reason::Unreadable;
    (ready.reason == reason.as_str() && !same).then(|| Announcement {
        reason,
        message: ready.message.clone(),
        warning: true,
    })
}

/// The next step for such a request.
pub(super) fn next(view: &View, now: Timestamp) -> Step {
    if let Some(Phase::Expired | Phase::Revoked) = view.phase() {
        return tell(view, now).unwrap_or_else(|| live::after_the_end(view, now));
    }
    let guarded = intent::has_finalizer(&view.request);
    let Some(lease) = view.lease() else {
        // Nothing was delivered: nothing half-made is left behind.
        if guarded {
            return ending::next(view, Ending::Abandoned, now);
        }
        return tell(view, now).unwrap_or(Step::Rest);
    };
    if let (Some(intent), false) = (view.intent(), guarded) {
        return Step::Do(Effect::Begin(Box::new(intent)));
    }
    let ending = if view.rotates() {
        Ending::Lapsed
    } else {
        Ending::Expired
    };
    if now >= lease.expires_at.0 {
        return ending::next(view, ending, now);
    }
    if let Some(step) = revocation::by_role(view, lease, now) {
        return step;
    }
    if view.phase() == Some(Phase::Revoking) {
        return ending::next(view, Ending::Lapsed, now);
    }
    if let Some(step) = overlap_over(view, now) {
        return step;
    }
    tell(view, now).unwrap_or_else(|| Step::Wait(next_due(view, lease)))
}

/// Whether there is nothing to do now: it is told, and nothing has come due.
pub(super) fn is_resting(view: &View, now: Timestamp) -> bool {
    let deleting = view.request.metadata.deletion_timestamp.is_some();
    let working = view.work.failure.is_some() || view.work.abandon.is_some();
    !deleting && !working && matches!(next(view, now), Step::Wait(_) | Step::Rest)
}

/// The key before the present one goes in time, as always.
fn overlap_over(view: &View, now: Timestamp) -> Option<Step> {
    view.live()?;
    let previous = view.previous().filter(|p| now >= p.remove_at.0)?;
    let key = Attachment::Key(previous.access_key_id.clone());
    Some(if view.work.cleared.contains(&key) {
        Step::Do(status::previous_removed(view, now))
    } else {
        ending::when_reachable(view, Effect::Clear(key), now)
    })
}

fn next_due(view: &View, lease: &Lease) -> Timestamp {
    let removal = view.live().and(view.previous()).map(|p| p.remove_at.0);
    removal.map_or(lease.expires_at.0, |at| at.min(lease.expires_at.0))
}

fn tell(view: &View, now: Timestamp) -> Option<Step> {
    status::unreadable(view, now).map(Step::Do)
}
