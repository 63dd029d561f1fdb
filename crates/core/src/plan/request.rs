//! The order in which a request is looked at: the first rule with an answer
//! decides.

use jiff::Timestamp;

use super::ending::{self, Ending};
use super::rules::{Answer, Rule, first, rules};
use super::stage::Stage;
use super::view::{RoleView, Seen, View};
use super::{Look, Step, backoff, issue, live, revocation, status, unreadable};

/// The rules for every request, in their order, and why each comes before the
/// next.
const REQUEST: &[Rule<Answer>] = rules![
    // Without its object nothing can be read or written any more.
    vanished,
    // Whoever took our finalizer off a deleted request wants it to go.
    released,
    // Whatever is under way goes on from what is true, not from the cache.
    read_request,
    // An attempt that failed is counted before the next one, or no pause grows.
    count_failure,
    // A pause holds up everything but a lease in force, which has an end to meet.
    pause,
    // Deletion is the last word on a request, readable or not.
    take_down_deleted,
    // What is half made is removed before it is made otherwise.
    take_back,
    // Half a wish is not a wish: nothing is made of it below.
    end_unreadable,
    // A lease that ended for good is not made again.
    let_go,
    // What a lease in force asks for; its successor is made there.
    serve_lease,
    // Nothing stands in the way of a first key.
    issue_first,
];

/// The rule that decides, and its step.
pub(super) fn decide(view: &View, now: Timestamp) -> (&'static str, Step) {
    first(REQUEST, |rule| rule(view, now)).unwrap_or(("", Step::Rest))
}

fn vanished(view: &View, now: Timestamp) -> Option<Step> {
    view.gone.then(|| match view.work.in_flight() {
        true => ending::next(view, Ending::Gone, now),
        false => Step::Rest,
    })
}

fn released(view: &View, _: Timestamp) -> Option<Step> {
    matches!(view.stage(), Stage::Released).then_some(Step::Rest)
}

fn read_request(view: &View, now: Timestamp) -> Option<Step> {
    let resting = || match unreadable::is_so(view) {
        true => unreadable::is_resting(view, now),
        false => live::is_resting(view, now),
    };
    let read = match view.seen {
        Seen::Direct => false,
        Seen::Stale => true,
        Seen::Cached => view.stage().holds() && !resting(),
    };
    read.then_some(Step::Look(Look::Request))
}

fn count_failure(view: &View, now: Timestamp) -> Option<Step> {
    let failure = view.work.failure.as_ref()?;
    // What failed may have been a revocation: the role's mark tells.
    if revocation::is_untold(view) && matches!(view.role, RoleView::Unread) {
        return Some(Step::Look(Look::Role));
    }
    Some(Step::Do(status::attempt_failed(view, failure, now)))
}

/// What failed for a lease in force is the making of its next key: that holds up
/// neither its end nor what else is due.
fn pause(view: &View, now: Timestamp) -> Option<Step> {
    if view.stage().is_in_force() {
        return None;
    }
    backoff::paused(&view.request, now).map(Step::Wait)
}

fn take_down_deleted(view: &View, now: Timestamp) -> Option<Step> {
    let deleted = matches!(view.stage(), Stage::Deleting(_));
    deleted.then(|| ending::next(view, Ending::Deleted, now))
}

fn take_back(view: &View, now: Timestamp) -> Option<Step> {
    let undelivered = view.work.abandon.is_some() && view.live().is_none();
    undelivered.then(|| ending::next(view, Ending::Abandoned, now))
}

fn end_unreadable(view: &View, now: Timestamp) -> Option<Step> {
    unreadable::is_so(view).then(|| unreadable::next(view, now))
}

fn let_go(view: &View, now: Timestamp) -> Option<Step> {
    let over = view.stage().is_over();
    over.then(|| live::after_the_end(view, now))
}

fn serve_lease(view: &View, now: Timestamp) -> Option<Step> {
    Some(live::next(view, view.live()?, now))
}

fn issue_first(view: &View, now: Timestamp) -> Option<Step> {
    Some(issue::next(view, now))
}
