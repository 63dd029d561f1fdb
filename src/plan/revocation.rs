//! What a role revokes, and the mark in its status that makes it irrevocable.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ending::{self, Ending};
use super::lease::{truncate, whole_second_from};
use super::view::{RoleView, View};
use super::{Look, Step, status};
use crate::api::{AwsRole, Lease, Phase};

/// Credentials of the role that were issued before this time are revoked: the
/// later of what its spec says and of what was marked.
pub fn before(role: &AwsRole) -> Option<Timestamp> {
    wanted(role).max(marked(role))
}

/// The mark that belongs in the role's status now: what its spec revokes, and
/// never earlier than it was. Of a time that lies ahead, it is what is past when
/// the spec is first seen: the rest may be taken back, and a mark that followed
/// the clock would be a write each second.
pub fn mark(role: &AwsRole, now: Timestamp) -> Option<Time> {
    let seen = role.status.as_ref().and_then(|s| s.observed_generation);
    let is_new = seen != role.metadata.generation;
    let past = match wanted(role) {
        Some(ahead) if ahead > now => is_new.then(|| truncate(now)),
        wanted => wanted,
    };
    past.max(marked(role)).map(Time)
}

/// When the mark rises next, if what the spec says lies ahead.
pub fn rises_at(role: &AwsRole, now: Timestamp) -> Option<Timestamp> {
    wanted(role).filter(|t| *t > now)
}

/// What the spec says. Leases are issued on whole seconds: rounded up, it means
/// the same ones.
fn wanted(role: &AwsRole) -> Option<Timestamp> {
    whole_second_from(role.spec.revoke_before.as_ref()?.0)
}

fn marked(role: &AwsRole) -> Option<Timestamp> {
    Some(role.status.as_ref()?.revoked_before.as_ref()?.0)
}

/// Whether the cache says that the lease is revoked.
pub(super) fn is_hinted(view: &View, lease: &Lease) -> bool {
    let hint = &view.role_hint;
    let revoked = hint.revoke_before.is_some_and(|t| lease.issued_at.0 < t);
    hint.leaving || hint.account_leaving || revoked
}

/// The role revokes what was issued before a time, or is going away. The cache
/// only makes us look.
pub(super) fn by_role(view: &View, lease: &Lease, now: Timestamp) -> Option<Step> {
    if view.role_hint.account_leaving {
        return Some(begin(view, Ending::Revoked, now));
    }
    if !is_hinted(view, lease) && !matches!(view.role, RoleView::Found(_)) {
        return None;
    }
    let revoked = match &view.role {
        RoleView::Unread => return Some(Step::Look(Look::Role)),
        RoleView::Absent | RoleView::Leaving(_) => true,
        RoleView::Found(role) => before(role).is_some_and(|t| lease.issued_at.0 < t),
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
    let hinted = view.live().is_some_and(|(lease, _)| is_hinted(view, lease));
    (hinted || is_marked(view)) && !deleting && !is_told(view)
}

fn is_told(view: &View) -> bool {
    view.phase() == Some(Phase::Revoking)
}

/// Of many leases the keys go before the statuses. A static user has one.
fn goes_first(view: &View) -> bool {
    is_marked(view) && !view.has_static_user()
}

/// Whether the role, as it was read, has a mark that this lease falls under.
pub(super) fn is_marked(view: &View) -> bool {
    let RoleView::Found(role) = &view.role else {
        return false;
    };
    let issued = view.live().map(|(lease, _)| lease.issued_at.0);
    issued.is_some_and(|issued| marked(role).is_some_and(|mark| issued < mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AwsRoleStatus;
    use crate::plan::tests::role;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A role of which the status saw the spec or did not.
    fn revoking(spec: Option<&str>, status: Option<&str>, seen: bool) -> AwsRole {
        let mut role = role();
        role.metadata.generation = Some(2);
        role.spec.revoke_before = spec.map(|t| Time(at(t)));
        role.status = Some(AwsRoleStatus {
            revoked_before: status.map(|t| Time(at(t))),
            observed_generation: Some(if seen { 2 } else { 1 }),
            ..AwsRoleStatus::default()
        });
        role
    }

    const NOW: &str = "2026-11-23T10:00:00.7Z";
    const EARLY: &str = "2026-11-23T09:00:00Z";
    const THIS: &str = "2026-11-23T10:00:00Z";
    const NEXT: &str = "2026-11-23T10:00:01Z";

    #[test]
    fn the_mark_follows_the_spec_and_never_falls() {
        for (spec, status, expected) in [
            (None, None, None),
            (Some(EARLY), None, Some(EARLY)),
            (None, Some(EARLY), Some(EARLY)),
            (Some(EARLY), Some(THIS), Some(THIS)),
            (Some(THIS), Some(EARLY), Some(THIS)),
        ] {
            for seen in [true, false] {
                let role = revoking(spec, status, seen);
                let found = mark(&role, at(NOW)).map(|t| t.0);
                assert_eq!(found, expected.map(at), "{spec:?} {status:?}");
                assert_eq!(before(&role), expected.map(at), "{spec:?} {status:?}");
                assert_eq!(rises_at(&role, at(NOW)), None);
            }
        }
    }

    #[test]
    fn a_time_ahead_is_marked_when_it_is_first_seen_and_when_it_has_come() {
        let ahead = Some("2026-11-23T10:00:00.8Z");
        let new = revoking(ahead, Some(EARLY), false);
        assert_eq!(mark(&new, at(NOW)), Some(Time(at(THIS))));
        assert_eq!(before(&new), Some(at(NEXT)));
        let seen = revoking(ahead, Some(THIS), true);
        assert_eq!(mark(&seen, at(NOW)), Some(Time(at(THIS))));
        assert_eq!(rises_at(&seen, at(NOW)), Some(at(NEXT)));
        assert_eq!(mark(&seen, at(NEXT)), Some(Time(at(NEXT))));
        assert_eq!(rises_at(&seen, at(NEXT)), None);
    }
}
