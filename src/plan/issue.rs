//! From nothing to a Secret with a key that works.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::admission::{self, Admission, Granted};
use super::effect::{Attachment, Effect};
use super::intent::{Intent, Permission};
use super::lease::{Term, truncate, whole_second_from};
use super::reasons::{Reason, Verdict};
use super::secret::{self, SecretView};
use super::view::{AccountView, RoleView, SecretHint, Seen, View};
use super::work::{Doubt, Held, KeysFact, SETTLE, SecretGate, UserFact};
use super::{Look, Step, adopted, backoff, session, status, ttl};
use crate::api::{ConditionType, get_condition};

/// When to look again at what waits for another object, should its watch event
/// be missed.
const SECOND_LOOK: SignedDuration = SignedDuration::from_mins(5);

/// What stops a request short of being served.
enum Halt {
    /// Something has to be read first.
    Look(Look),
    /// It is served from that time on.
    Until(Timestamp),
    /// It waits for something that may come by itself.
    Waits(Verdict),
    /// It is not to be served as things are.
    Refused(Verdict),
}

/// The next step for a request that is to have a credential, or another one.
pub(super) fn next(view: &View, now: Timestamp) -> Step {
    if let Some(step) = still_blocked(view, now) {
        return step;
    }
    let rotates = view.live().is_some() && !view.rotating() && secret_stands(view);
    let granted = match (view.trusted_intent(), view.intent()) {
        (Some(intent), _) if !rotates => return build(view, &intent, now),
        (_, written) => match (admitted(view, now), written) {
            (Ok(granted), written) => (granted, written),
            (Err(Halt::Look(look)), _) => return Step::Look(look),
            (Err(Halt::Until(moment)), _) => return Step::Wait(moment),
            // Half-made things are not left behind on a refusal; but a live
            // lease runs on to its end.
            (Err(Halt::Refused(verdict)), Some(_)) if view.live().is_none() => {
                return Step::TakeBack(verdict);
            }
            (Err(Halt::Refused(verdict)), None) if view.live().is_none() => {
                return left_by_session(view).unwrap_or_else(|| refuse(view, &verdict, now));
            }
            (Err(Halt::Refused(verdict) | Halt::Waits(verdict)), _) => {
                return refuse(view, &verdict, now);
            }
        },
    };
    match granted {
        (Granted::Session(spec), None) => session::issue(view, &spec, now),
        // The status tells of a session, or of a user that is not this request's:
        // an intent beside it would say nothing, and be written for ever.
        (Granted::User(_), None) if view.live().is_some() => refuse(view, &other_lease(), now),
        (Granted::User(new), None) if new.adopted => adopted::begin(view, new, now),
        (Granted::User(new), None) => Step::Do(Effect::Begin(Box::new(new))),
        // The Secret is there and a new key is due: that is a rotation, and
        // the intent has to say so before there are two keys. One that was
        // begun by a former process goes on if the role still says the same.
        (Granted::User(new), Some(old)) if rotates => rotate(view, &old, new),
        (Granted::User(new), Some(old)) if view.live().is_some() => {
            if old.gives_the_same(&new) {
                build(view, &old, now)
            } else {
                rotate(view, &old, new)
            }
        }
        (Granted::User(new), Some(old)) if old.adopted && new.adopted => {
            match adopted::located(view, new, now) {
                Ok(new) if old.makes_the_same(&new) => build(view, &old, now),
                Ok(_) => changed(),
                Err(step) => step,
            }
        }
        (Granted::User(new), Some(old)) if old.makes_the_same(&new) => build(view, &old, now),
        (_, Some(_)) => changed(),
    }
}

/// A session that was delivered, and never told of: its request is refused now,
/// and what has no intent takes nothing back. The watch knows of the Secret.
fn left_by_session(view: &View) -> Option<Step> {
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
    if view.work.doubt == Doubt::KeyLost {
        return false;
    }
    let shown = view.live().map(|(_, c)| c.access_key_id.as_str());
    matches!(&view.secret, SecretView::Ours(facts) if shown.is_some_and(|id| facts.holds(id)))
}

/// The intent of a rotation: the same user with what the role says today. What
/// it no longer says stays on the user until the new key is in the Secret.
fn rotate(view: &View, old: &Intent, new: Intent) -> Step {
    let was = view.permissions_on_user().into_iter();
    let retired: BTreeSet<_> = was.filter(|p| !new.permissions.contains(p)).collect();
    // A key whose Secret is lost serves nobody: it goes, instead of living on.
    let live = view.live().filter(|_| secret_stands(view));
    let replaces = live.map(|(_, c)| c.access_key_id.clone());
    Step::Do(Effect::Begin(Box::new(Intent {
        attempt: old.attempt.saturating_add(1),
        // The user is what it is: made once, in one account, on one path.
        account: old.account.clone(),
        account_id: old.account_id.clone(),
        path: old.path.clone(),
        retired: retired.into_iter().collect(),
        replaces,
        ..new
    })))
}

/// May the request be served, and with what?
fn admitted(view: &View, now: Timestamp) -> Result<Granted, Halt> {
    let role = match &view.role {
        RoleView::Unread => return Err(Halt::Look(Look::Role)),
        RoleView::Absent | RoleView::Leaving(_) => {
            let name = &view.request.spec.role_ref.name;
            let message =
                format!("there is no AwsRole {name}; create it or name another in a new request");
            return Err(Halt::Refused(Verdict::new(Reason::RoleNotFound, message)));
        }
        RoleView::Found(role) => role,
    };
    // What is issued before that moment would be revoked at once.
    let before = role.spec.revoke_before.as_ref().map(|t| t.0);
    if let Some(moment) = before.and_then(whole_second_from).filter(|t| now < *t) {
        return Err(Halt::Until(moment));
    }
    if let Some(older) = &view.role_hint.rival {
        return Err(Halt::Refused(adopted::rivalry(role, older)));
    }
    secret::check_template(&view.request).map_err(Halt::Refused)?;
    let account = match &view.account {
        AccountView::Ready(account) => account,
        AccountView::NotReady(verdict) => return Err(Halt::Waits(verdict.clone())),
        AccountView::Unknown => return Err(Halt::Look(Look::Role)),
    };
    let admission = admission::admit(
        &view.request,
        role,
        &view.namespace,
        account,
        &view.cluster,
        &view.usage,
    );
    match admission {
        Admission::Granted(granted) => Ok(*granted),
        Admission::NeedsNamespace => Err(Halt::Look(Look::Namespace)),
        Admission::Refused(verdict) => Err(Halt::Refused(verdict)),
    }
}

/// An intent stands: make what it says, one effect at a time.
fn build(view: &View, intent: &Intent, now: Timestamp) -> Step {
    let work = &view.work;
    match &view.account {
        AccountView::Ready(account) if account.account_id == intent.account_id => {}
        AccountView::Ready(account) => {
            return refuse(view, &moved(intent, &account.account_id), now);
        }
        AccountView::NotReady(verdict) => return refuse(view, verdict, now),
        AccountView::Unknown => return Step::Look(Look::Role),
    }
    // The Secret first: whatever stands in its way is found before anything
    // irreversible.
    if view.secret == SecretView::Foreign {
        return Step::TakeBack(conflict(view));
    }
    match work.secret {
        SecretGate::MustLook => return Step::Look(Look::Secret),
        SecretGate::Unchecked => return Step::Do(Effect::CheckSecret),
        SecretGate::Clear => {}
    }
    if intent.adopted {
        return key(view, intent, now);
    }
    if let Some(step) = role(view, intent) {
        return step;
    }
    match work.user {
        UserFact::Unknown | UserFact::Gone => return Step::Do(Effect::CreateUser),
        UserFact::Taken => return Step::Do(Effect::InspectUser),
        UserFact::Foreign => {
            return Step::TakeBack(Verdict::new(
                Reason::UserConflict,
                "an IAM user of our name is not ours",
            ));
        }
        UserFact::Ours => {}
    }
    let missing = intent
        .permissions
        .iter()
        .find(|p| work.granted.get(*p) != Some(&true));
    if let Some(permission) = missing {
        return Step::Do(Effect::Grant(permission.clone()));
    }
    key(view, intent, now)
}

/// The role is needed for the user's tags and inline policy, and only for them.
fn role(view: &View, intent: &Intent) -> Option<Step> {
    let inline = intent.permissions.contains(&Permission::InlinePolicy);
    let granted = view.work.granted.get(&Permission::InlinePolicy) == Some(&true);
    if view.work.user == UserFact::Ours && (granted || !inline) {
        return None;
    }
    let changed = |reason, what: &str| {
        let message = format!("the AwsRole {what} while the credential was being made");
        Some(Step::TakeBack(Verdict::new(reason, message)))
    };
    match &view.role {
        RoleView::Unread => Some(Step::Look(Look::Role)),
        RoleView::Absent | RoleView::Leaving(_) => changed(Reason::RoleNotFound, "was deleted"),
        RoleView::Found(role) => {
            let user = role.spec.iam_user.as_ref();
            let document = user.and_then(|u| u.policy_document.as_ref());
            if inline && document.is_none() {
                return changed(Reason::RoleInvalid, "lost its policyDocument");
            }
            None
        }
    }
}

/// The user stands: now a key, proven, in the Secret, and no other.
fn key(view: &View, intent: &Intent, now: Timestamp) -> Step {
    let work = &view.work;
    let foreign = match intent
        .adopted
        .then(|| adopted::foreign_keys(view, intent, now))
    {
        None => Vec::new(),
        Some(Ok(foreign)) => foreign,
        Some(Err(step)) => return step,
    };
    let others = match &work.keys {
        KeysFact::Uncertain(since) => {
            let settled = since.checked_add(SETTLE).unwrap_or(now);
            return if now < settled {
                Step::Wait(settled)
            } else {
                Step::Do(Effect::ListKeys)
            };
        }
        // Of a user that was there before nothing else tells when a former
        // process asked for a key.
        KeysFact::Unlisted if intent.adopted => return adopted::list(view, now),
        KeysFact::Unlisted => return Step::Do(Effect::ListKeys),
        KeysFact::Known(others) => others,
    };
    // In a rotation the key that is replaced works on, and the Secret holds it
    // until the new one is written.
    let replaced = view.rotating().then(|| intent.replaces.clone()).flatten();
    let keeps = |id: &String| replaced.as_ref() == Some(id) || foreign.contains(id);
    // A Secret that holds another key which AWS holds too: it was written
    // before (the answer was lost, or the process died), and the lease is the
    // one that it names. A key in hand beside it is one too many.
    if let SecretView::Ours(facts) = &view.secret
        && let Some((id, term)) = &facts.key
        && !keeps(id)
    {
        let in_hand = view.in_hand().is_some_and(|h| h.id == *id);
        if in_hand || others.contains(id) {
            let stray = others.iter().find(|k| *k != id && !keeps(k)).cloned();
            let held = view.in_hand().map(|h| h.id.clone());
            return match stray.or_else(|| held.filter(|h| h != id)) {
                Some(stray) => Step::Do(Effect::Clear(Attachment::Key(stray))),
                None => finish(view, intent, id, term, now),
            };
        }
    }
    if let Some(stray) = others.iter().find(|k| !keeps(k)) {
        return Step::Do(Effect::Clear(Attachment::Key(stray.clone())));
    }
    let Some(held) = view.in_hand() else {
        if let Some(step) = adopted::crowded(view, intent, others, &foreign, now) {
            return step;
        }
        return Step::Do(Effect::CreateKey);
    };
    if held.proven {
        return Step::Do(Effect::PublishSecret(term(view, intent, now)));
    }
    prove(view, held, now)
}

/// The new key is in the Secret: roll who uses it, take off what the role no
/// longer says, and tell.
fn finish(view: &View, intent: &Intent, id: &str, term: &Term, now: Timestamp) -> Step {
    let all = view.permissions_on_user();
    let retired = all.iter().filter(|p| !intent.permissions.contains(p));
    let mut retired = retired
        .map(Attachment::from)
        .filter(|a| !view.work.cleared.contains(a));
    let overlap = SignedDuration::from_secs(intent.ttl_seconds);
    let overlap = ttl::overlap(&view.request, overlap).unwrap_or_default();
    published(view, id, || match (&intent.replaces, retired.next()) {
        (_, Some(attachment)) => Effect::Clear(attachment),
        (Some(old), None)
            if view.rotating()
                && overlap.is_zero()
                && !view.work.cleared.contains(&Attachment::Key(old.clone())) =>
        {
            Effect::Clear(Attachment::Key(old.clone()))
        }
        (_, None) => status::issued(
            view,
            intent,
            id,
            &believable(term, intent, now),
            overlap,
            now,
        ),
    })
}

/// The lease as the Secret's annotations tell it, cut to what the intent allows:
/// whoever may edit Secrets may edit those.
fn believable(term: &Term, intent: &Intent, now: Timestamp) -> Term {
    let latest = Term::starting(now, intent);
    Term {
        issued_at: term.issued_at.min(latest.issued_at),
        expires_at: term.expires_at.min(latest.expires_at),
        max_expires_at: term.max_expires_at.min(latest.max_expires_at),
    }
}

/// The Secret holds a new key. Workloads are rolled first, if the key follows
/// another: a status that tells of the new key means that they were.
pub(super) fn published(view: &View, key_id: &str, then: impl FnOnce() -> Effect) -> Step {
    let changed = view.live().is_some();
    let restarted = &view.work.restarted;
    let mut due = view.request.spec.restart.iter();
    match due.find(|w| changed && !restarted.contains(w)) {
        Some(workload) => Step::Do(Effect::Restart(workload.clone(), key_id.to_owned())),
        None => Step::Do(then()),
    }
}

/// A lease that lost its Secret keeps its end, and so does one that was given
/// another key by hand; a rotation at its end begins a new one.
fn term(view: &View, intent: &Intent, now: Timestamp) -> Term {
    match view.live() {
        Some((lease, _)) if !(view.rotating() && view.rotates()) => Term {
            issued_at: if view.rotating() {
                truncate(now)
            } else {
                lease.issued_at.0
            },
            expires_at: lease.expires_at.0,
            max_expires_at: lease.max_expires_at.0,
        },
        _ => Term::starting(now, intent),
    }
}

fn prove(view: &View, held: &Held, now: Timestamp) -> Step {
    if held.overdue(now) {
        return Step::Do(Effect::Clear(Attachment::Key(held.id.clone())));
    }
    if held.tries > 0
        && let Some(report) = status::proving(view, now)
    {
        return Step::Do(report);
    }
    if now < held.next_proof {
        return Step::Wait(held.next_proof);
    }
    Step::Do(Effect::ProveKey)
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

/// The verdict on an account that now signs in somewhere else.
pub(super) fn moved(intent: &Intent, account_id: &str) -> Verdict {
    Verdict::new(
        Reason::AccountNotReady,
        format!(
            "AwsAccount {} now signs in to account {account_id}, but this request's user is in {}; \
             restore its credentials so that the user can be reached",
            intent.account, intent.account_id
        ),
    )
}
