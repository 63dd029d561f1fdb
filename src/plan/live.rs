//! A lease that runs: what comes due, and when.

use jiff::{SignedDuration, Timestamp};

use super::effect::{Amendment, Attachment, Effect};
use super::ending::{self, Ending};
use super::lease::{Term, truncate, whole_second_from};
use super::secret::{SecretFacts, SecretView};
use super::view::{RoleView, SecretHint, View};
use super::{Look, Step, doubt, intent, issue, revocation, status, ttl};
use crate::api::{ConditionType, Credential, Lease, OnExpiry, Phase, Rfc3339, get_condition};

/// Annotation by which a person asks for a new key now.
pub const ROTATE_ANNOTATION: &str = "keylease.dev/rotate-at";
/// Time before the end of a lease that is kept for making and proving the next
/// key, on top of the overlap. New keys take 2–15 s.
const ROTATION_LEAD: SignedDuration = SignedDuration::from_secs(30);

/// Least time between our last write of a Secret and the restoring of one that
/// was edited.
const RESTORE_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// The next step for a running lease.
pub(super) fn next(view: &View, lease: &Lease, credential: &Credential, now: Timestamp) -> Step {
    // Somebody took the finalizer off a request whose user lives: put it back,
    // before an end that may take several attempts.
    if let (Some(intent), false) = (view.intent(), intent::has_finalizer(&view.request)) {
        return Step::Do(Effect::Begin(Box::new(intent)));
    }
    if now >= lease.expires_at.0 {
        let lapsed = view.rotates();
        let ending = if lapsed {
            Ending::Lapsed
        } else {
            Ending::Expired
        };
        return ending::next(view, ending, now);
    }
    if let Some(step) = revocation::by_role(view, lease, now) {
        return step;
    }
    // The taking down had begun, and its cause is gone: the key may be dead by
    // now, so it is finished, and whatever the role allows today follows.
    if view.phase() == Some(Phase::Revoking) {
        return ending::next(view, Ending::Lapsed, now);
    }
    if let Some(previous) = view.previous()
        && (now >= previous.remove_at.0 || rotation_due(view, lease, now))
    {
        let key = Attachment::Key(previous.access_key_id.clone());
        return if view.work.cleared.contains(&key) {
            Step::Do(status::previous_removed(view, now))
        } else {
            ending::when_reachable(view, Effect::Clear(key), now)
        };
    }
    if is_resting(view, now) {
        return Step::Wait(next_due(view, lease));
    }
    match &view.secret {
        SecretView::Unread => return Step::Look(Look::Secret),
        SecretView::Foreign => return Step::TakeBack(issue::conflict(view)),
        SecretView::Absent => return issue::next(view, now),
        SecretView::Ours(_) => {}
    }
    if view.rotating() || rotation_due(view, lease, now) {
        return issue::next(view, now);
    }
    if let Some(step) = doubt::next(view, now) {
        return step;
    }
    if let (Some(step), SecretView::Ours(_)) = (renew(view, lease, now), &view.secret) {
        return step;
    }
    match &view.secret {
        SecretView::Ours(facts) if facts.holds(&credential.access_key_id) => {
            Step::Wait(next_due(view, lease))
        }
        SecretView::Ours(facts) if restored_at(facts).is_some_and(|at| now < at) => {
            let at = restored_at(facts).unwrap_or(now);
            Step::Wait(at.min(next_due(view, lease)))
        }
        _ => issue::next(view, now),
    }
}

/// When a Secret that was edited is written anew: whoever edits it again and
/// again is not given a key each time.
fn restored_at(facts: &SecretFacts) -> Option<Timestamp> {
    let written = facts.written.filter(|_| facts.key.is_none())?;
    written.checked_add(RESTORE_PAUSE).ok()
}

/// Whether the request is served and nothing hints at a change: the one state
/// that is left on the word of the watches, so that an idle lease costs
/// nothing.
pub(super) fn is_resting(view: &View, now: Timestamp) -> bool {
    let Some((lease, credential)) = view.live() else {
        return false;
    };
    let deleting = view.request.metadata.deletion_timestamp.is_some();
    let secret_stands = match &view.hint {
        SecretHint::Holds(key) => key.as_deref() == Some(credential.access_key_id.as_str()),
        SecretHint::Missing | SecretHint::Unsynced => false,
    };
    let work = &view.work;
    let idle = view.in_hand().is_none() && work.failure.is_none() && work.abandon.is_none();
    // In these phases the key is lost, or may be.
    let doubted = matches!(view.phase(), Some(Phase::Issuing | Phase::Revoking));
    let doubtful = work.doubt.is_open() || doubted;
    let renewal =
        renewal_asked(view, lease).is_some() || status::renewal_unreadable(view, now).is_some();
    let asked = renewal || view.is_revoked_by_hint();
    let guarded = credential.user_name.is_none() || intent::has_finalizer(&view.request);
    guarded
        && !deleting
        && secret_stands
        && idle
        && !doubtful
        && !asked
        && !view.rotating()
        && now < next_due(view, lease)
}

/// When something comes due: the end, the rotation, the end of an overlap.
fn next_due(view: &View, lease: &Lease) -> Timestamp {
    let rotation = rotation_at(view, lease);
    let removal = view.previous().map(|p| p.remove_at.0);
    let all = [rotation, removal].into_iter().flatten();
    all.fold(lease.expires_at.0, Timestamp::min)
}

/// When the next key is to be made: early enough that the old one can live on
/// for the overlap and still be gone at the end of its lease, and not before
/// half of it is over.
fn rotation_at(view: &View, lease: &Lease) -> Option<Timestamp> {
    let asked = rotation_asked(view, lease);
    if asked.is_some() {
        return asked;
    }
    let period = period_end(view, lease);
    if view.request.spec.on_expiry != Some(OnExpiry::Rotate) {
        return period;
    }
    let length = lease.expires_at.0.duration_since(lease.issued_at.0);
    let overlap = ttl::overlap(&view.request, length).unwrap_or_default();
    let early = overlap + ROTATION_LEAD.min(length / 10);
    let at = lease.expires_at.0.checked_sub(early.min(length / 2));
    [at.ok(), period].into_iter().flatten().min()
}

/// When the key of a static user has lived for its role's period: as the role
/// was read, else as the cache has it.
fn period_end(view: &View, lease: &Lease) -> Option<Timestamp> {
    let period = match &view.role {
        RoleView::Found(role) => ttl::rotation_period(role),
        _ => view.role_hint.rotation_period,
    };
    let at = lease.issued_at.0.checked_add(period?).ok();
    at.filter(|at| view.has_static_user() && *at < lease.expires_at.0)
}

fn rotation_due(view: &View, lease: &Lease, now: Timestamp) -> bool {
    rotation_at(view, lease).is_some_and(|at| now >= at)
}

/// The time in the annotation, if this lease is older than it.
fn rotation_asked(view: &View, lease: &Lease) -> Option<Timestamp> {
    let annotations = view.request.metadata.annotations.as_ref()?;
    let at = Rfc3339::from(annotations.get(ROTATE_ANNOTATION)?.as_str());
    // The lease that follows begins on a whole second, and not before.
    whole_second_from(at.get().ok()?).filter(|at| *at > lease.issued_at.0)
}

/// The renewal that was asked for and not served yet.
fn renewal_asked(view: &View, lease: &Lease) -> Option<Timestamp> {
    // Times are written in whole seconds: what is asked with more is compared
    // with less.
    let at = truncate(view.request.spec.renew.as_ref()?.at.get().ok()?);
    let served = lease.renewed_for.as_ref().map(|t| truncate(t.0));
    (Some(at) != served).then_some(at)
}

/// Serves a renewal: the new end into the Secret, then into the status.
/// Sessions end when AWS says so and cannot be renewed; that is told once.
fn renew(view: &View, lease: &Lease, now: Timestamp) -> Option<Step> {
    if let Some(report) = status::renewal_unreadable(view, now) {
        return Some(Step::Do(report));
    }
    let asked = renewal_asked(view, lease)?;
    let SecretView::Ours(facts) = &view.secret else {
        return None;
    };
    if view.intent().is_none() {
        return Some(Step::Do(status::renewal_refused(view, asked, now)));
    }
    // One that was edited is restored first: a new end on it would not stick.
    let (_, term) = facts.key.as_ref()?;
    if facts.renewed_for == Some(asked) {
        return Some(Step::Do(status::renewed(view, term, asked, now)));
    }
    let current = lease.expires_at.0.duration_since(lease.issued_at.0);
    let named = view.request.spec.renew.as_ref()?.increment.as_ref();
    let increment = named.and_then(|i| i.get().ok()).unwrap_or(current);
    let wanted = now.checked_add(increment).unwrap_or(Timestamp::MAX);
    let term = Term {
        issued_at: lease.issued_at.0,
        expires_at: truncate(wanted.min(lease.max_expires_at.0)),
        max_expires_at: lease.max_expires_at.0,
    };
    Some(Step::Do(Effect::AmendSecret(Amendment {
        secret: facts.clone(),
        term,
        renewed_for: asked,
    })))
}

/// A request whose lease has ended: let go of it, and delete it in time.
pub(super) fn after_the_end(view: &View, now: Timestamp) -> Step {
    if intent::has_finalizer(&view.request) {
        return Step::Do(Effect::Release);
    }
    let Some(after) = &view.request.spec.ttl_after_expiry else {
        return Step::Rest;
    };
    let status = view.request.status.as_ref();
    let revoked = status.and_then(|s| get_condition(&s.conditions, ConditionType::Revoked));
    let (Ok(after), Some(revoked)) = (after.get(), revoked) else {
        return Step::Rest;
    };
    let at = revoked.last_transition_time.0.checked_add(after);
    match at {
        Ok(at) if now >= at => Step::Do(Effect::DeleteRequest),
        Ok(at) => Step::Wait(at),
        Err(_) => Step::Rest,
    }
}
