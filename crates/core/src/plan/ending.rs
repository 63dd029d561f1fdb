//! From a credential to nothing: the access key first, then the Secret, then
//! what is on the user, then the user. It never gives up.

use jiff::{SignedDuration, Timestamp};

use super::effect::{Attachment, Effect};
use super::intent::{self, Intent};
use super::issue::moved;
use super::reasons::{Reason, Verdict};
use super::secret::SecretView;
use super::view::{AccountView, View};
use super::work::{KeysFact, SETTLE, UserFact};
use super::{Look, Step, adopted, backoff, revocation, status};
use keylease_api::PreviousKey;

/// Why everything is taken down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The lease ran out.
    Expired,
    /// The role revoked it.
    Revoked,
    /// The lease ran out or was revoked, and another is to follow.
    Lapsed,
    /// The request is being deleted.
    Deleted,
    /// The request's object vanished although our finalizer was on it.
    Gone,
    /// It cannot be served; nothing half-made is left behind.
    Abandoned,
}

/// When to look again at an account that is not ready, should its watch event
/// be missed.
const SECOND_LOOK: SignedDuration = SignedDuration::from_secs(30);

/// The next step for a request that is to have nothing in AWS.
pub(super) fn next(view: &View, ending: Ending, now: Timestamp) -> Step {
    let Some(intent) = view.intent() else {
        return finish(view, ending, now);
    };
    if untouched(view) {
        return finish(view, ending, now);
    }
    if let Err(verdict) = reachable(view, intent) {
        return blocked(view, &verdict, now);
    }
    if intent.adopted {
        return adopted::end(view, intent, ending, now);
    }
    if view.work.user == UserFact::Gone && view.work.held.is_none() {
        return finish(view, ending, now);
    }
    let Some(present) = present(view) else {
        // What the status shows is deleted without waiting for a look at the rest.
        let mut shown = view.shown_keys().map(|id| Attachment::Key(id.to_owned()));
        let left = shown.find(|key| !view.work.cleared.contains(key));
        if let (UserFact::Ours, Some(key)) = (view.work.user, left) {
            return Step::Do(Effect::Clear(key));
        }
        return match view.work.user {
            UserFact::Unknown => inspect(view, now),
            UserFact::Taken => Step::Do(Effect::InspectUser),
            UserFact::Ours => take_inventory(view, now),
            UserFact::Foreign | UserFact::Gone => finish(view, ending, now),
        };
    };
    let mut left = present
        .into_iter()
        .filter(|a| !view.work.cleared.contains(a));
    let first = left.next();
    if let Some(key @ Attachment::Key(_)) = first {
        return Step::Do(Effect::Clear(key));
    }
    if let Some(step) = revocation::tell(view, &ending, now) {
        return step;
    }
    if let Some(step) = secret(view, &ending) {
        return step;
    }
    match first {
        Some(attachment) => Step::Do(Effect::Clear(attachment)),
        None => Step::Do(Effect::DeleteUser),
    }
}

/// Whether the account in which the user was made can be reached.
fn reachable(view: &View, intent: &Intent) -> Result<(), Verdict> {
    match &view.account {
        AccountView::Ready(account) | AccountView::OnlyToRevoke(account, _)
            if account.account_id == intent.account_id =>
        {
            Ok(())
        }
        AccountView::Ready(account) => Err(moved(intent, &account.account_id)),
        AccountView::OnlyToRevoke(_, verdict) => Err(verdict.clone()),
        AccountView::NotReady(verdict) => Err(verdict.clone()),
        AccountView::Unknown => Err(Verdict::new(
            Reason::AccountNotReady,
            "the account was not looked at yet",
        )),
    }
}

/// Somebody took the finalizer off a request whose user lives: it is put back.
pub(super) fn guard(view: &View) -> Option<Step> {
    let intent = view.intent()?;
    let guarded = intent::has_finalizer(&view.request);
    (!guarded).then(|| Step::Do(Effect::Begin(Box::new(intent.clone()))))
}

/// The key before the present one goes: its overlap is over, or the next key
/// needs its room. A failure from before that does not pause it.
pub(super) fn remove_previous(view: &View, previous: &PreviousKey, now: Timestamp) -> Step {
    let key = Attachment::Key(previous.access_key_id.clone());
    if view.work.cleared.contains(&key) {
        return Step::Do(status::previous_removed(view, now));
    }
    match paused_since(view, previous.remove_at.0, now) {
        Some(at) => Step::Wait(at),
        None => when_reachable(view, Effect::Clear(key), now),
    }
}

/// Until when there is a pause, if something failed since then.
pub(super) fn paused_since(view: &View, then: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let status = view.request.status.as_ref();
    let failed = status.and_then(|s| s.last_failure_time.as_ref());
    failed.filter(|failed| failed.0 >= then)?;
    backoff::paused(&view.request, now)
}

/// An effect on a user that lives on: as soon as its account can be reached.
pub(super) fn when_reachable(view: &View, effect: Effect, now: Timestamp) -> Step {
    let reachable = view.intent().is_some_and(|i| reachable(view, i).is_ok());
    if reachable {
        Step::Do(effect)
    } else {
        Step::Wait(now.checked_add(SECOND_LOOK).unwrap_or(now))
    }
}

/// A user whose making had no answer, or that a former process may have asked
/// for a moment ago, is looked for only when IAM's readers have settled: a
/// "no such user" that comes too early would leave it behind.
fn inspect(view: &View, now: Timestamp) -> Step {
    let settled = view.work.started.checked_add(SETTLE).unwrap_or(now);
    if now < settled {
        Step::Wait(settled)
    } else {
        Step::Do(Effect::InspectUser)
    }
}

/// A user that was made a moment ago, with a key whose making had no answer, is
/// looked at when IAM's readers have settled: to one that lags there is neither
/// key nor user, and both would be left behind.
fn take_inventory(view: &View, now: Timestamp) -> Step {
    let since = match view.work.keys {
        KeysFact::Uncertain(since) => since,
        KeysFact::Unlisted | KeysFact::Known(_) => return Step::Do(Effect::TakeInventory),
    };
    let settled = since.checked_add(SETTLE).unwrap_or(now);
    if now < settled {
        Step::Wait(settled)
    } else {
        Step::Do(Effect::TakeInventory)
    }
}

/// Whether AWS was never asked to make anything: this process wrote the intent
/// and got no further.
fn untouched(view: &View) -> bool {
    view.work.began && view.work.user == UserFact::Gone && view.live().is_none()
}

/// Everything that is known to be on the user, keys first. `None` where it is
/// not known and has to be looked at.
fn present(view: &View) -> Option<Vec<Attachment>> {
    let work = &view.work;
    let mut all: Vec<Attachment> = match (&work.inventory, view.live()) {
        (Some(found), _) => found.clone(),
        (None, _) if work.knows_all() => work.granted.keys().map(Attachment::from).collect(),
        // Served in peace, then looked at by nobody: what the intent says.
        (None, Some(_)) if work.user == UserFact::Unknown => {
            let permissions = view.permissions_on_user();
            permissions.iter().map(Attachment::from).collect()
        }
        (None, _) => return None,
    };
    all.extend(work.held.iter().map(|h| Attachment::Key(h.id.clone())));
    if let KeysFact::Known(keys) = &work.keys {
        all.extend(keys.iter().cloned().map(Attachment::Key));
    }
    if work.inventory.is_none() {
        all.extend(view.shown_keys().map(|key| Attachment::Key(key.to_owned())));
    }
    all.sort();
    all.dedup();
    Some(all)
}

/// The Secret goes as soon as its key is dead.
pub(super) fn secret(view: &View, ending: &Ending) -> Option<Step> {
    if *ending == Ending::Gone {
        return None; // Its owner is gone: the garbage collector has it.
    }
    match &view.secret {
        SecretView::Unread => Some(Step::Look(Look::Secret)),
        SecretView::Ours(facts) => Some(Step::Do(Effect::DeleteSecret(facts.clone()))),
        SecretView::Absent | SecretView::Foreign => None,
    }
}

/// AWS holds nothing any more: say so, and let go.
pub(super) fn finish(view: &View, ending: Ending, now: Timestamp) -> Step {
    if let Some(step) = secret(view, &ending) {
        return step;
    }
    let finalizer = intent::has_finalizer(&view.request);
    match ending {
        Ending::Gone => Step::Rest,
        Ending::Deleted => Step::Do(Effect::Release),
        Ending::Expired => Step::Do(status::expired(view, now)),
        Ending::Revoked => Step::Do(status::revoked(view, now)),
        Ending::Lapsed => Step::Do(status::lapsed(view, now)),
        Ending::Abandoned if finalizer => Step::Do(Effect::Release),
        Ending::Abandoned => match &view.work.abandon {
            Some(verdict) => Step::Do(status::abandoned(view, verdict, now)),
            None => Step::Rest,
        },
    }
}

/// The account cannot be reached: say so, and wait for it.
fn blocked(view: &View, verdict: &Verdict, now: Timestamp) -> Step {
    let verdict = Verdict::new(
        verdict.reason,
        format!("waiting to revoke: {}", verdict.message),
    );
    match status::revocation_blocked(view, &verdict, now) {
        Some(report) if !view.gone => Step::Do(report),
        _ => Step::Wait(now.checked_add(SECOND_LOOK).unwrap_or(now)),
    }
}
