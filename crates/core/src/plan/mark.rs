//! Up to when a role revokes: what its spec says, and the mark in its status
//! that makes it irrevocable.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::lease::{truncate, whole_second_from};
use keylease_api::{AwsRole, Lease};

/// Credentials of the role that were issued before this time are revoked: the
/// later of what its spec says and of what was marked.
pub fn before(role: &AwsRole) -> Option<Timestamp> {
    wanted(role).max(marked(role))
}

/// The mark that belongs in the role's status now: what its spec revokes, and
/// never earlier than it was. Of a time that lies ahead, it is what is past when
/// the spec is first seen: the rest may be taken back, and a mark that followed
/// the clock would be a write each second.
pub fn of(role: &AwsRole, now: Timestamp) -> Option<Time> {
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
/// the same ones. Text that is no time revokes nothing: the role is not ready
/// then, and says so.
fn wanted(role: &AwsRole) -> Option<Timestamp> {
    whole_second_from(role.spec.revoke_before.as_ref()?.get().ok()?)
}

fn marked(role: &AwsRole) -> Option<Timestamp> {
    Some(role.status.as_ref()?.revoked_before.as_ref()?.0)
}

/// Whether the lease was issued before the mark.
pub fn covers(role: &AwsRole, lease: &Lease) -> bool {
    marked(role).is_some_and(|mark| lease.issued_at.0 < mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::role;
    use keylease_api::{AwsRoleStatus, Rfc3339};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A role of which the status saw the spec or did not.
    fn revoking(spec: Option<&str>, status: Option<&str>, seen: bool) -> AwsRole {
        let mut role = role();
        role.metadata.generation = Some(2);
        role.spec.revoke_before = spec.map(Rfc3339::from);
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
                let found = of(&role, at(NOW)).map(|t| t.0);
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
        assert_eq!(of(&new, at(NOW)), Some(Time(at(THIS))));
        assert_eq!(before(&new), Some(at(NEXT)));
        let seen = revoking(ahead, Some(THIS), true);
        assert_eq!(of(&seen, at(NOW)), Some(Time(at(THIS))));
        assert_eq!(rises_at(&seen, at(NOW)), Some(at(NEXT)));
        assert_eq!(of(&seen, at(NEXT)), Some(Time(at(NEXT))));
        assert_eq!(rises_at(&seen, at(NEXT)), None);
    }
}
