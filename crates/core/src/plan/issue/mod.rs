//! From nothing to a Secret with a key that works.

mod admitted;
mod build;
mod key;

pub(super) use build::moved;
pub(super) use key::published;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::admission::Granted;
use super::effect::Effect;
use super::intent::{Intent, has_finalizer};
use super::reasons::{Reason, Verdict};
use super::secret::SecretView;
use super::view::{SecretHint, Seen, View};
use super::work::Doubt;
use super::{Look, Step, adopted, backoff, session, status};
use admitted::{Halt, admitted};
use build::build;
use keylease_api::{ConditionType, get_condition};

/// When to look again at what waits for another object, should its watch event
/// be missed.
const SECOND_LOOK: SignedDuration = SignedDuration::from_mins(5);

/// The next step for a request that is to have a credential, or another one.
pub(super) fn next(view: &View, now: Timestamp) -> Step {
    if let Some(step) = still_blocked(view, now) {
        return step;
    }
    let rotates = view.live().is_some() && !view.rotating() && secret_stands(view);
    if let (Some(intent), false) = (view.trusted_intent(), rotates) {
        return build(view, intent, now);
    }
    let granted = match admitted(view, now) {
        Ok(granted) => granted,
        Err(Halt::Look(look)) => return Step::Look(look),
        Err(Halt::Until(moment)) => return Step::Wait(moment),
        Err(Halt::Waits(verdict)) => return refuse(view, &verdict, now),
        Err(Halt::Refused(verdict)) => return refused(view, verdict, now),
    };
    match view.live() {
        None => first_key(view, granted, now),
        Some(_) => next_key(view, granted, rotates, now),
    }
}

/// The request is not to have what it asks for.
fn refused(view: &View, verdict: Verdict, now: Timestamp) -> Step {
    let live = view.live().is_some();
    match view.intent() {
        // The next key was delivered before the role was changed: that is what the
        // lease goes on with.
        Some(old) if succeeded(view) => key::delivered(view, old, &verdict, now),
        // A live lease runs on to its end.
        _ if live => refuse(view, &verdict, now),
        // Half-made things are not left behind.
        Some(_) => Step::TakeBack(verdict),
        // Our finalizer with nothing behind it was put there by somebody: it goes,
        // else a request that is not served counts as one that is.
        None if has_finalizer(&view.request) && !view.work.in_flight() => Step::TakeBack(verdict),
        None => left_by_session(view).unwrap_or_else(|| refuse(view, &verdict, now)),
    }
}

/// From nothing: no lease is in force.
fn first_key(view: &View, granted: Granted, now: Timestamp) -> Step {
    match (granted, view.intent()) {
        // An account that is deleted between intent and hold would take with it what
        // the user could be revoked with.
        (Granted::User(new), None) if !view.account_held => {
            Step::Do(Effect::HoldAccount(new.account.clone()))
        }
        (Granted::Session(spec), None) => session::issue(view, &spec, now),
        (Granted::User(new), None) if new.adopted => adopted::begin(view, new, now),
        (Granted::User(new), None) => begin(view, new, now),
        // An intent that a former process wrote goes on if the role still says the
        // same.
        (Granted::User(new), Some(old)) if old.adopted && new.adopted => {
            match adopted::located(view, new, now) {
                Ok(new) if old.makes_the_same(&new) => build(view, old, now),
                Ok(_) => changed(),
                Err(step) => step,
            }
        }
        (Granted::User(new), Some(old)) if old.makes_the_same(&new) => build(view, old, now),
        (_, Some(_)) => changed(),
    }
}

/// From here on a refusal counts as a failed attempt.
pub(super) fn begin(view: &View, intent: Intent, now: Timestamp) -> Step {
    let moves = status::moves_again(view, now);
    Step::Do(moves.unwrap_or_else(|| Effect::Begin(Box::new(intent))))
}

/// Another key or session for a lease in force. It goes on as what it is; the
/// next lease is as the role says.
fn next_key(view: &View, granted: Granted, rotates: bool, now: Timestamp) -> Step {
    match (granted, view.intent()) {
        (Granted::Session(spec), None) => session::issue(view, &spec, now),
        (Granted::User(new), Some(old)) if old.adopted == new.adopted => {
            // The Secret is there and a new key is due: that is a rotation, and the
            // intent has to say so before there are two keys. One that was begun by
            // a former process goes on if the role still says the same.
            if rotates || !old.gives_the_same(&new) {
                rotate(view, old, new)
            } else {
                build(view, old, now)
            }
        }
        // A lease of another type; or the status tells of a session, or of a user
        // that is not this request's, and an intent beside it would say nothing.
        (Granted::Session(_) | Granted::User(_), _) => refuse(view, &other_lease(), now),
    }
}

/// A session that was delivered, and never told of: its request is refused,
/// unreadable or over, and what has no intent takes nothing back. The watch knows
/// of the Secret.
pub(super) fn left_by_session(view: &View) -> Option<Step> {
    match (&view.hint, &view.secret) {
        (SecretHint::Holds(_), SecretView::Unread) => Some(Step::Look(Look::Secret)),
        // The cache may not show yet that another process told of it.
        (_, SecretView::Ours(_)) if view.seen != Seen::Direct => Some(Step::Look(Look::Request)),
        (_, SecretView::Ours(facts)) => Some(Step::Do(Effect::DeleteSecret(facts.clone()))),
        _ => None,
    }
}

/// A request that another's Secret has stopped looks at that first: as long as
/// it is in the way, a retry costs this one read, and no write.
fn still_blocked(view: &View, now: Timestamp) -> Option<Step> {
    let status = view.request.status.as_ref()?;
    let ready = get_condition(&status.conditions, ConditionType::Ready)?;
    let begun = view.intent().is_some() || view.live().is_some();
    if begun || ready.reason != Reason::SecretConflict.as_str() {
        return None;
    }
    match view.secret {
        SecretView::Unread => Some(Step::Look(Look::Secret)),
        SecretView::Absent | SecretView::Ours(_) => None,
        SecretView::Foreign => {
            let pause = backoff::as_long_again(&view.request, now);
            let wait = Step::Wait(now.checked_add(pause).unwrap_or(now));
            Some(status::refused(view, &conflict(view), now).map_or(wait, Step::Do))
        }
    }
}

fn other_lease() -> Verdict {
    Verdict::new(
        Reason::RoleInvalid,
        "the lease in force is of another credential type than the AwsRole's, or of another \
         cluster; it runs to its end, and the next one is made as the role says",
    )
}

fn changed() -> Step {
    Step::TakeBack(Verdict::new(
        Reason::RoleInvalid,
        "the AwsRole or the request's intent was changed while the credential was being made; it \
         is made anew",
    ))
}

/// Whether the Secret holds the key that the status shows, and AWS is not known
/// to have lost it.
pub(super) fn secret_stands(view: &View) -> bool {
    view.work.doubt != Doubt::KeyLost && view.secret_is_shown()
}

/// Whether the Secret holds the key that follows the one in the status, by a
/// rotation that is under way.
fn succeeded(view: &View) -> bool {
    let holds = matches!(&view.secret, SecretView::Ours(facts) if facts.key.is_some());
    view.rotating() && holds && !view.secret_is_shown()
}

/// The intent of a rotation: the same user with what the role says today. What
/// it no longer says stays on the user until the new key is in the Secret.
fn rotate(view: &View, old: &Intent, new: Intent) -> Step {
    let was = view.permissions_on_user().into_iter();
    let retired: BTreeSet<_> = was.filter(|p| !new.permissions.contains(p)).collect();
    // A key whose Secret is lost serves nobody: it goes, instead of living on. One
    // whose successor is in the Secret already has its overlap before it.
    let live = view
        .live()
        .filter(|_| secret_stands(view) || succeeded(view));
    let replaces = live.map(|live| live.credential.access_key_id.clone());
    Step::Do(Effect::Begin(Box::new(Intent {
        attempt: old.attempt.saturating_add(1),
        // The user is what it is: made once, in one account, on one path.
        account: if new.account_id == old.account_id {
            new.account.clone()
        } else {
            old.account.clone()
        },
        account_id: old.account_id.clone(),
        path: old.path.clone(),
        user_name: old.user_name.clone(),
        retired: retired.into_iter().collect(),
        replaces,
        ..new
    })))
}

/// Says why the request has to wait, once, and waits.
pub(super) fn refuse(view: &View, verdict: &Verdict, now: Timestamp) -> Step {
    match status::refused(view, verdict, now) {
        Some(report) => Step::Do(report),
        None => Step::Wait(now.checked_add(SECOND_LOOK).unwrap_or(now)),
    }
}

/// The verdict on a Secret that is not ours.
pub(super) fn conflict(view: &View) -> Verdict {
    Verdict::new(
        Reason::SecretConflict,
        format!(
            "Secret {} exists and does not belong to this request; it is left alone. Delete it, \
             or make a request with another spec.secret.name",
            view.request.secret_name()
        ),
    )
}
