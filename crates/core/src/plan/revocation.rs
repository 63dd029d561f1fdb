//! A lease that its role, or the going of role or account, ends before its time.

use jiff::Timestamp;

use super::ending::{self, Ending};
use super::view::{RoleView, View};
use super::{Look, Step, mark, status};
use keylease_api::{Lease, Phase};

/// The role revokes what was issued before a time, or is going away. The cache
/// only makes us look.
pub(super) fn by_role(view: &View, lease: &Lease, now: Timestamp) -> Option<Step> {
    if view.role_hint.account_leaving {
        return Some(begin(view, Ending::Revoked, now));
    }
    if !view.is_revoked_by_hint() && !matches!(view.role, RoleView::Found(_)) {
        return None;
    }
    let revoked = match &view.role {
        RoleView::Unread => return Some(Step::Look(Look::Role)),
        RoleView::Absent | RoleView::Leaving(_) => true,
        RoleView::Found(role) => mark::before(role).is_some_and(|t| lease.issued_at.0 < t),
    };
    if !revoked {
        return None;
    }
    let stays = view.rotates() && matches!(view.role, RoleView::Found(_));
    let ending = if stays {
        Ending::Lapsed
    } else {
        Ending::Revoked
    };
    Some(begin(view, ending, now))
}

/// Takes a lease down before its end. That it has begun is known to whoever
/// comes after this process, before the key goes: should its cause be taken
/// back meanwhile, the next one would take the key in the Secret for a live one.
/// The role's mark says so for all of its leases at once; else the status has to
/// say it first. A session is not deleted in AWS, so there is nothing to
/// remember.
pub(super) fn begin(view: &View, ending: Ending, now: Timestamp) -> Step {
    let known = view.intent().is_none() || is_told(view) || goes_first(view);
    if known {
        ending::next(view, ending, now)
    } else {
        Step::Do(status::revoking(view, now))
    }
}

/// The key went first: now the status says so.
pub(super) fn tell(view: &View, ending: &Ending, now: Timestamp) -> Option<Step> {
    let revokes = matches!(ending, Ending::Revoked | Ending::Lapsed);
    let untold = revokes && goes_first(view) && !is_told(view);
    untold.then(|| Step::Do(status::revoking(view, now)))
}

/// Whether the status of a lease that its role revokes does not say so, as far
/// as is known without a look. It orders the work and decides nothing.
pub(super) fn is_untold(view: &View) -> bool {
    let deleting = view.request.metadata.deletion_timestamp.is_some();
    let revoked = view.is_revoked_by_hint() || view.is_marked();
    revoked && !deleting && !is_told(view)
}

fn is_told(view: &View) -> bool {
    view.phase() == Some(Phase::Revoking)
}

/// Of many leases the keys go before the statuses. A static user has one.
fn goes_first(view: &View) -> bool {
    view.is_marked() && !view.has_static_user()
}
