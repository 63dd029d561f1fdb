//! A lease that runs: what comes due, and when.

use jiff::{SignedDuration, Timestamp};

use super::effect::{Attachment, Effect};
use super::ending::{self, Ending};
use super::lease::whole_second_from;
use super::reasons::{Reason, Verdict};
use super::rules::{Rule, first, rules};
use super::secret::{SecretFacts, SecretView};
use super::stage::{Live, Stage};
use super::view::{RoleView, SecretHint, View};
use super::{
    Look, Step, backoff, doubt, intent, issue, renewal, retreat, revocation, standing, status, ttl,
};
use keylease_api::{ConditionType, Credential, Lease, Rfc3339, get_condition};

/// Annotation by which a person asks for a new key now.
pub const ROTATE_ANNOTATION: &str = "keylease.dev/rotate-at";
/// Time before the end of a lease that is kept for making and proving the next
/// key, on top of the overlap: at least this, or a tenth of a short lease. New
/// keys take 2–15 s.
const ROTATION_LEAD: SignedDuration = SignedDuration::from_secs(30);
/// Of a long lease it is this part: whoever is alerted needs time to act.
const RESERVE: i32 = 12;
/// The most of it.
const LONGEST_RESERVE: SignedDuration = SignedDuration::from_hours(6);

/// A lease in force, and what its rules look at.
struct Active<'a> {
    view: &'a View,
    lease: &'a Lease,
    credential: &'a Credential,
    /// The pause after a failure of making the next key, if it lasts.
    paused: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> Active<'a> {
    /// The Secret, where it was read and is ours.
    fn secret(&self) -> Option<&'a SecretFacts> {
        match &self.view.secret {
            SecretView::Ours(facts) => Some(facts),
            SecretView::Unread | SecretView::Absent | SecretView::Foreign => None,
        }
    }

    /// Nothing to do before something comes due.
    fn wait(&self) -> Step {
        Step::Wait(next_due(self.view, self.lease))
    }

    fn follow(&self) -> Step {
        follow(self.view, self.lease, self.now)
    }
}

/// What a rule for a lease in force says; `None` leaves the word to the next.
type ActiveAnswer = fn(&Active<'_>) -> Option<Step>;

/// The rules for a lease in force, in their order, and why each comes before the
/// next.
const ACTIVE: &[Rule<ActiveAnswer>] = rules![
    // An end may take several attempts: the request has to stay for all of them.
    put_back_finalizer,
    // Nothing outlives its end, whatever else is due.
    end_at_expiry,
    // What the role takes back is not renewed or replaced first.
    revoke_by_role,
    // The key may be dead: no other rule may count on it.
    finish_revocation,
    // A key too many is not kept by a failure of something else, and the next one
    // needs its room.
    end_overlap,
    // An attempt that cannot succeed is taken back before another.
    roll_back_attempt,
    // At rest nothing is read: an idle lease costs nothing.
    rest,
    // All that follows compares the Secret with the status.
    read_secret,
    // A dead key is neither renewed nor taken for one at rest.
    finish_mistaken_end,
    // A later end is on the key that a rotation would replace.
    renew,
    // What follows makes keys, which had failed a moment ago.
    pause,
    // A key made for a Secret of somebody else would be one nobody gets.
    refuse_foreign_secret,
    // Without a Secret there is no key to doubt or keep.
    replace_lost_secret,
    // A rotation settles what a doubt would ask.
    rotate,
    // A key that AWS lost is replaced, not shown as one at rest.
    check_drift,
    // The Secret holds the key: say so, and wait.
    settle,
    // The key may be back by itself, with the Secret's next write.
    wait_for_restore,
    // The Secret holds another key than the status.
    restore_secret,
];

/// The next step for a running lease.
pub(super) fn next(view: &View, live: Live<'_>, now: Timestamp) -> Step {
    explained(view, live, now).1
}

/// The same, with the rule that decides.
pub(super) fn explained(view: &View, live: Live<'_>, now: Timestamp) -> (&'static str, Step) {
    let active = Active {
        view,
        lease: live.lease,
        credential: live.credential,
        paused: backoff::paused(&view.request, now),
        now,
    };
    let decided = first(ACTIVE, |rule| rule(&active));
    decided.unwrap_or_else(|| ("", active.wait()))
}

fn put_back_finalizer(active: &Active<'_>) -> Option<Step> {
    ending::guard(active.view)
}

fn revoke_by_role(active: &Active<'_>) -> Option<Step> {
    revocation::by_role(active.view, active.lease, active.now)
}

/// The taking down had begun, and its cause is gone: it is finished, and whatever
/// the role allows today follows.
fn finish_revocation(active: &Active<'_>) -> Option<Step> {
    let begun = matches!(active.view.stage(), Stage::Revoking(_));
    begun.then(|| ending::next(active.view, Ending::Lapsed, active.now))
}

fn roll_back_attempt(active: &Active<'_>) -> Option<Step> {
    let verdict = active.view.work.abandon.as_ref()?;
    let back = || retreat::next(active.view, verdict, active.now);
    Some(active.paused.map_or_else(back, Step::Wait))
}

fn rest(active: &Active<'_>) -> Option<Step> {
    is_resting(active.view, active.now).then(|| active.wait())
}

fn read_secret(active: &Active<'_>) -> Option<Step> {
    (active.view.secret == SecretView::Unread).then_some(Step::Look(Look::Secret))
}

/// The taking down had begun by a clock that was ahead, and was not told yet: the
/// key that the Secret holds is dead. It is finished, and another lease follows.
fn finish_mistaken_end(active: &Active<'_>) -> Option<Step> {
    let key = &active.credential.access_key_id;
    let dead = is_dead(active.view, key) && active.secret()?.holds(key);
    dead.then(|| ending::next(active.view, Ending::Lapsed, active.now))
}

/// Whether this process deleted the key.
fn is_dead(view: &View, key: &str) -> bool {
    let key = Attachment::Key(key.to_owned());
    view.work.cleared.contains(&key)
}

fn renew(active: &Active<'_>) -> Option<Step> {
    renewal::next(active.view, active.lease, active.now)
}

fn pause(active: &Active<'_>) -> Option<Step> {
    active.paused.map(Step::Wait)
}

fn refuse_foreign_secret(active: &Active<'_>) -> Option<Step> {
    let &Active { view, now, .. } = active;
    let foreign = view.secret == SecretView::Foreign;
    foreign.then(|| issue::refuse(view, &issue::conflict(view), now))
}

fn replace_lost_secret(active: &Active<'_>) -> Option<Step> {
    (active.view.secret == SecretView::Absent).then(|| active.follow())
}

fn rotate(active: &Active<'_>) -> Option<Step> {
    let due = rotation_due(active.view, active.lease, active.now);
    (active.view.rotating() || due).then(|| active.follow())
}

fn check_drift(active: &Active<'_>) -> Option<Step> {
    doubt::next(active.view, active.lease, active.now)
}

/// The Secret holds the key, and nothing is due: what the status told of the
/// making of another one is taken back, what others did to the Secret told, and an
/// edit acknowledged.
fn settle(active: &Active<'_>) -> Option<Step> {
    let &Active { view, now, .. } = active;
    let facts = active.secret()?;
    facts
        .holds(&active.credential.access_key_id)
        .then_some(())?;
    let report = match unreadable_wish(view) {
        Some(verdict) => status::refused(view, &verdict, now),
        None => status::settled(view, now),
    };
    let report = report.or_else(|| status::secret_remarked(view, facts, now));
    let report = report.or_else(|| status::acknowledged(view, now));
    Some(report.map_or_else(|| active.wait(), Step::Do))
}

fn wait_for_restore(active: &Active<'_>) -> Option<Step> {
    let at = active.secret()?.restorable_at(active.now)?;
    let due = next_due(active.view, active.lease);
    (active.now < at).then(|| Step::Wait(at.min(due)))
}

fn restore_secret(active: &Active<'_>) -> Option<Step> {
    Some(active.follow())
}

/// What an end that has come asks for. A Secret of ours may have a later one,
/// which was written first: then the lease goes on, and the key that the status
/// shows has had its overlap at that end plus the overlap.
fn end_at_expiry(active: &Active<'_>) -> Option<Step> {
    let &Active {
        view,
        lease,
        credential,
        now,
        ..
    } = active;
    if now < lease.expires_at.0 {
        return None;
    }
    let may_go_on = view.rotating() || renewal::asked(view, lease).is_some();
    if may_go_on && view.secret == SecretView::Unread {
        return Some(Step::Look(Look::Secret));
    }
    if view.end().is_some_and(|end| now < end) {
        let key = &credential.access_key_id;
        let overlap = ttl::overlap(&view.request, length(lease)).unwrap_or_default();
        let over = now.duration_since(lease.expires_at.0) >= overlap;
        let dead = view.secret_is_shown() || is_dead(view, key);
        let paused = ending::paused_since(view, lease.expires_at.0, now).is_some();
        let goes = over && !dead && !paused;
        let clear = || Effect::Clear(Attachment::Key(key.clone()));
        return goes.then(|| ending::when_reachable(view, clear(), now));
    }
    let ending = match standing::ends_for_good(view) {
        _ if !view.rotates() => Ending::Expired,
        Err(look) => return Some(Step::Look(look)),
        Ok(true) => Ending::Expired,
        Ok(false) => Ending::Lapsed,
    };
    Some(ending::next(view, ending, now))
}

/// The key before the present one goes when its overlap is over, or when it
/// makes room for the next. A pause after a failure of something else does not
/// hold it up.
fn end_overlap(active: &Active<'_>) -> Option<Step> {
    let &Active {
        view,
        lease,
        paused,
        now,
        ..
    } = active;
    let previous = view.previous()?;
    let over = now >= previous.remove_at.0;
    if !over && (paused.is_some() || !rotation_due(view, lease, now)) {
        return None;
    }
    Some(ending::remove_previous(view, previous, now))
}

/// Whether a new key is due or being made: in time, because somebody asked, or
/// because the Secret does not hold the present one.
pub(super) fn wants_key(view: &View, now: Timestamp) -> bool {
    let Some(Live { lease, credential }) = view.live() else {
        return false;
    };
    let lost = match &view.secret {
        SecretView::Unread => false,
        SecretView::Absent | SecretView::Foreign => true,
        SecretView::Ours(facts) => !facts.holds(&credential.access_key_id),
    };
    lost || view.rotating()
        || view.work.abandon.is_some()
        || matches!(view.stage(), Stage::Replacing(_))
        || rotation_due(view, lease, now)
}

/// Another key for a lease in force, unless somebody took this one out of
/// service.
pub(super) fn follow(view: &View, lease: &Lease, now: Timestamp) -> Step {
    standing::before_a_key(view, lease, now).unwrap_or_else(|| issue::next(view, now))
}

/// Whether the request is served and nothing hints at a change: the one state
/// that is left on the word of the watches, so that an idle lease costs
/// nothing.
pub(super) fn is_resting(view: &View, now: Timestamp) -> bool {
    let Some(Live { lease, credential }) = view.live() else {
        return false;
    };
    let deleting = view.request.metadata.deletion_timestamp.is_some();
    let secret_stands = match &view.hint {
        SecretHint::Holds(key) => key.as_deref() == Some(credential.access_key_id.as_str()),
        SecretHint::Missing | SecretHint::Unsynced => false,
    } && status::tells_remark(view, view.remark_hint.as_deref());
    let work = &view.work;
    let idle = view.in_hand().is_none() && work.failure.is_none() && work.abandon.is_none();
    // In these stages the key is lost, or may be.
    let doubted = matches!(view.stage(), Stage::Replacing(_) | Stage::Revoking(_));
    let doubtful = work.doubt.is_open() || doubted;
    let renewal =
        renewal::asked(view, lease).is_some() || status::renewal_unreadable(view, now).is_some();
    let asked = renewal || view.is_revoked_by_hint();
    let told = status::rotation_told(view) == unreadable_wish(view).map(|v| v.message).as_deref();
    let guarded = credential.user_name.is_none() || intent::has_finalizer(&view.request);
    guarded
        && !deleting
        && secret_stands
        && idle
        && !doubtful
        && !is_dead(view, &credential.access_key_id)
        && !asked
        && told
        && status::is_acknowledged(view)
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

/// When the next key is to be made: when somebody asked, and in time without.
/// That is early enough that the old key can live on for the overlap and still
/// be gone at the end of its lease, with a reserve in which people can mend what
/// stands in the way of the next; and not before half of the lease is over.
fn rotation_at(view: &View, lease: &Lease) -> Option<Timestamp> {
    let asked = rotation_asked(view, lease);
    let due = [asked, period_end(view, lease), regular(view, lease)];
    due.into_iter().flatten().min()
}

/// When the next key is to be made for a lease that another one follows.
fn regular(view: &View, lease: &Lease) -> Option<Timestamp> {
    view.rotates().then_some(())?;
    let length = length(lease);
    let overlap = ttl::overlap(&view.request, length).unwrap_or_default();
    let reserve = ROTATION_LEAD
        .min(length / 10)
        .max((length / RESERVE).min(LONGEST_RESERVE));
    let early = (overlap + reserve).min(length / 2);
    lease.expires_at.0.checked_sub(early).ok()
}

fn length(lease: &Lease) -> SignedDuration {
    lease.expires_at.0.duration_since(lease.issued_at.0)
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
    let at = Rfc3339::from(wish(view)?);
    // The lease that follows begins on a whole second, and not before.
    whole_second_from(at.get().ok()?).filter(|at| *at > lease.issued_at.0)
}

fn wish(view: &View) -> Option<&str> {
    let annotations = view.request.metadata.annotations.as_ref()?;
    annotations.get(ROTATE_ANNOTATION).map(String::as_str)
}

/// What is said of an annotation that is no time.
fn unreadable_wish(view: &View) -> Option<Verdict> {
    let wish = wish(view)?;
    let error = Rfc3339::from(wish).get().err()?;
    Some(Verdict::new(
        Reason::InvalidRequest,
        format!("the annotation {ROTATE_ANNOTATION}: {error}; correct it, or take it off"),
    ))
}

/// A request whose lease has ended: let go of it, and delete it in time.
pub(super) fn after_the_end(view: &View, now: Timestamp) -> Step {
    if intent::has_finalizer(&view.request) {
        return Step::Do(Effect::Release);
    }
    if let Some(report) = status::acknowledged_at_the_end(view, now) {
        return Step::Do(report);
    }
    // A session that was issued by a cache that did not know of the end.
    if let Some(step) = issue::left_by_session(view) {
        return step;
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
