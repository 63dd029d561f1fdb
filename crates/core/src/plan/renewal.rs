//! A later end for a lease in force, as its role allows it now.

use jiff::{SignedDuration, Timestamp};

use super::effect::{Amendment, Effect};
use super::lease::{Term, truncate};
use super::reasons::{Reason, Verdict};
use super::secret::SecretView;
use super::stage::Stage;
use super::view::{RoleView, View};
use super::{Look, Step, admission, status, ttl};
use keylease_api::Lease;

/// The renewal that was asked for and not served yet.
pub(super) fn asked(view: &View, lease: &Lease) -> Option<Timestamp> {
    // Times are written in whole seconds: what is asked with more is compared
    // with less.
    let at = truncate(view.request.spec.renew.as_ref()?.at.get().ok()?);
    let served = lease.renewed_for.as_ref().map(|t| truncate(t.0));
    (Some(at) != served).then_some(at)
}

/// Serves a renewal: the new end into the Secret, then into the status. One that
/// cannot be served is told once.
pub(super) fn next(view: &View, lease: &Lease, now: Timestamp) -> Option<Step> {
    if let Some(report) = status::renewal_unreadable(view, now) {
        return Some(Step::Do(report));
    }
    let asked = asked(view, lease)?;
    let SecretView::Ours(facts) = &view.secret else {
        return None;
    };
    let refuse = |why: &str| Some(Step::Do(status::renewal_refused(view, asked, why, now)));
    if view.intent().is_none() {
        return refuse(
            "a session cannot be renewed: AWS ends it by itself; use onExpiry: Rotate, or make a \
             new request",
        );
    }
    // A key that is being replaced is replaced first, and so is one that is lost:
    // a new end on it would not stick.
    let busy = view.in_hand().is_some() || matches!(view.stage(), Stage::Replacing(_));
    if busy || !view.secret_is_shown() {
        return None;
    }
    let (_, written) = facts.key.as_ref()?;
    if facts.renewed_for == Some(asked) {
        return Some(Step::Do(status::renewed(view, written, asked, now)));
    }
    if facts.immutable {
        return refuse(
            "the Secret is immutable, and the new end could not be written into it; delete the \
             Secret, which is then made again with a new key, and renew",
        );
    }
    let maximum = match allowed(view, lease) {
        Ok(maximum) => maximum,
        Err(Halt::Look(look)) => return Some(Step::Look(look)),
        Err(Halt::Refused(verdict)) => return refuse(&verdict.message),
    };
    let current = lease.expires_at.0.duration_since(lease.issued_at.0);
    let named = view.request.spec.renew.as_ref()?.increment.as_ref();
    let increment = named.and_then(|i| i.get().ok()).unwrap_or(current);
    let wanted = now.checked_add(increment).unwrap_or(Timestamp::MAX);
    // Issued by a clock that was ahead, it counts as issued now: the next key is
    // made in time by the length that follows.
    let issued_at = lease.issued_at.0.min(truncate(now));
    let latest = issued_at.checked_add(maximum);
    let latest = latest.unwrap_or(Timestamp::MAX).min(lease.max_expires_at.0);
    let end = lease.expires_at.0;
    if wanted > end && latest <= end {
        return refuse(
            "the lease has reached the longest time that its AwsRole allows since issue; make a \
             new request, or raise ttl.max of the role and let the lease be issued anew",
        );
    }
    let expires_at = truncate(wanted.min(latest.max(end)));
    Some(Step::Do(Effect::AmendSecret(Amendment {
        secret: facts.clone(),
        term: Term {
            issued_at,
            expires_at,
            max_expires_at: latest.max(expires_at),
        },
        renewed_for: asked,
    })))
}

/// What stops a renewal short of being served.
enum Halt {
    Look(Look),
    Refused(Verdict),
}

/// The longest time since issue, as the role has it now, if it lets the
/// request's namespace have its leases at all.
fn allowed(view: &View, lease: &Lease) -> Result<SignedDuration, Halt> {
    let role = match &view.role {
        RoleView::Unread => return Err(Halt::Look(Look::Role)),
        RoleView::Absent | RoleView::Leaving(_) => {
            let name = &view.request.spec.role_ref.name;
            let message = format!("AwsRole {name} is gone, or going");
            return Err(Halt::Refused(Verdict::new(Reason::RoleNotFound, message)));
        }
        RoleView::Found(role) => role,
    };
    match admission::may_use(&view.request, role, &view.namespace) {
        Ok(true) => {}
        Ok(false) => return Err(Halt::Look(Look::Namespace)),
        Err(verdict) => return Err(Halt::Refused(verdict)),
    }
    let ttls = ttl::of_role(role).map_err(Halt::Refused)?;
    let issued_for = lease.max_expires_at.0.duration_since(lease.issued_at.0);
    Ok(ttls.max.min(issued_for))
}
