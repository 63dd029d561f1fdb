//! A request that cannot be read as a whole: of a newer version, of before a
//! rule, or malformed. Nothing is issued, rotated or renewed for it; what it
//! holds ends by what can be read, at the time at which it would have ended.

use jiff::Timestamp;

use super::effect::Announcement;
use super::ending::{self, Ending};
use super::reasons::Reason;
use super::rules::{Answer, Rule, first, rules};
use super::view::View;
use super::{Step, intent, issue, live, revocation, status};
use keylease_api::{Condition, ConditionType, Lease, Phase, get_condition};

/// Whether something of the request could not be read.
pub(in crate::plan) fn is_so(view: &View) -> bool {
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

/// The rules for such a request, in their order, and why each comes before the
/// next.
const UNREADABLE: &[Rule<Answer>] = rules![
    // An end that was told is not taken back by what somebody writes later.
    let_go,
    // What is half made goes: nobody knows what was wanted.
    remove_half_made,
    // An end may take several attempts: the request has to stay for all of them.
    put_back_finalizer,
    // A session leaves nothing half made but its Secret: without a lease in the
    // status it would have no end.
    remove_untold_session,
    // The lease runs no longer than it would have.
    end_at_expiry,
    // Who may revoke a lease need not be able to read its request.
    revoke_by_role,
    // The key may be dead.
    finish_revocation,
    // The key before the present one goes in time, as always.
    end_overlap,
    // Nothing else is done for it, so it is told.
    tell,
];

/// The next step for such a request.
pub(super) fn next(view: &View, now: Timestamp) -> Step {
    let decided = first(UNREADABLE, |rule| rule(view, now));
    let wait = || match view.lease() {
        Some(lease) => Step::Wait(next_due(view, lease)),
        None => Step::Rest,
    };
    decided.map_or_else(wait, |(_, step)| step)
}

fn let_go(view: &View, now: Timestamp) -> Option<Step> {
    let told = || tell(view, now).unwrap_or_else(|| live::after_the_end(view, now));
    view.stage().is_over().then(told)
}

fn remove_half_made(view: &View, now: Timestamp) -> Option<Step> {
    let half_made = view.lease().is_none() && intent::has_finalizer(&view.request);
    half_made.then(|| ending::next(view, Ending::Abandoned, now))
}

fn put_back_finalizer(view: &View, _: Timestamp) -> Option<Step> {
    view.lease().and_then(|_| ending::guard(view))
}

fn remove_untold_session(view: &View, _: Timestamp) -> Option<Step> {
    let untold = view.lease().is_none() && view.intent().is_none();
    untold.then(|| issue::left_by_session(view))?
}

fn end_at_expiry(view: &View, now: Timestamp) -> Option<Step> {
    let over = now >= view.lease()?.expires_at.0;
    let ending = if view.rotates() {
        Ending::Lapsed
    } else {
        Ending::Expired
    };
    over.then(|| ending::next(view, ending, now))
}

fn revoke_by_role(view: &View, now: Timestamp) -> Option<Step> {
    revocation::by_role(view, view.lease()?, now)
}

fn finish_revocation(view: &View, now: Timestamp) -> Option<Step> {
    let begun = view.lease().is_some() && view.phase() == Some(Phase::Revoking);
    begun.then(|| ending::next(view, Ending::Lapsed, now))
}

/// Whether there is nothing to do now: it is told, and nothing has come due.
pub(super) fn is_resting(view: &View, now: Timestamp) -> bool {
    let deleting = view.request.metadata.deletion_timestamp.is_some();
    let working = view.work.failure.is_some() || view.work.abandon.is_some();
    !deleting && !working && matches!(next(view, now), Step::Wait(_) | Step::Rest)
}

fn end_overlap(view: &View, now: Timestamp) -> Option<Step> {
    view.live()?;
    let previous = view.previous().filter(|p| now >= p.remove_at.0)?;
    Some(ending::remove_previous(view, previous, now))
}

fn next_due(view: &View, lease: &Lease) -> Timestamp {
    let removal = view.live().and(view.previous()).map(|p| p.remove_at.0);
    removal.map_or(lease.expires_at.0, |at| at.min(lease.expires_at.0))
}

fn tell(view: &View, now: Timestamp) -> Option<Step> {
    status::unreadable(view, now).map(Step::Do)
}
