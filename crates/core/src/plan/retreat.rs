//! From an attempt at the next key of a lease in force back to the lease as it
//! is. What the attempt added goes; the key that somebody uses, the Secret, the
//! permissions and the user stay: a lease ends by its end, its revocation or its
//! deletion, and by nothing else.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::effect::{Attachment, Effect};
use super::ending::when_reachable;
use super::reasons::Verdict;
use super::secret::SecretView;
use super::view::View;
use super::work::UserFact;
use super::{Look, Step, issue, status};

/// The next step back, for this reason; the last one tells it.
pub(super) fn next(view: &View, verdict: &Verdict, now: Timestamp) -> Step {
    // A session cannot be deleted; the memory of it goes with the attempt.
    if let Some(held) = view.in_hand().filter(|h| h.expires.is_none()) {
        // It may be in the Secret although the last answer was a refusal: a
        // write before that had none.
        match &view.secret {
            SecretView::Unread if held.offered => return Step::Look(Look::Secret),
            SecretView::Ours(facts) if facts.holds(&held.id) => return issue::next(view, now),
            _ => {}
        }
        let key = Effect::Clear(Attachment::Key(held.id.clone()));
        return when_reachable(view, key, now);
    }
    let left = added(view).into_iter().map(|p| Attachment::from(&p));
    let mut left = left.filter(|a| !view.work.cleared.contains(a));
    match left.next() {
        Some(attachment) => when_reachable(view, Effect::Clear(attachment), now),
        None => Step::Do(status::attempt_failed(view, verdict, now)),
    }
}

/// Permissions that the attempt put on the user, or may have, and that the lease
/// in force does not have.
fn added(view: &View) -> BTreeSet<super::intent::Permission> {
    let work = &view.work;
    if work.user == UserFact::Foreign || view.has_static_user() {
        return BTreeSet::new();
    }
    let mut added: BTreeSet<_> = work.granted.keys().cloned().collect();
    // What a former process granted is not known; what it meant to is.
    if let (false, Some(intent)) = (work.began, view.intent()) {
        added.extend(intent.permissions.iter().cloned());
        added.extend(intent.retired.iter().cloned());
    }
    let told = view.permissions_told();
    added.retain(|permission| !told.contains(permission));
    added
}
