//! From nothing to a Secret with a key that works.

use jiff::{SignedDuration, Timestamp};

use super::admission::{self, Admission};
use super::effect::{Attachment, Effect};
use super::intent::{Intent, Permission};
use super::lease::Term;
use super::reasons::{Reason, Verdict};
use super::secret::{self, SecretView};
use super::view::{AccountView, RoleView, View};
use super::work::{Held, KeysFact, SETTLE, SecretGate, UserFact};
use super::{Look, Step, status};

/// When to look again at what waits for another object, should its watch event
/// be missed.
const SECOND_LOOK: SignedDuration = SignedDuration::from_mins(5);

/// The next step for a request that is to have a credential.
pub(super) fn next(view: &View, now: Timestamp) -> Step {
    match view.intent() {
        None => begin(view, now),
        Some(intent) => build(view, &intent, now),
    }
}

/// Nothing is in AWS. May the request be served, and by which intent?
fn begin(view: &View, now: Timestamp) -> Step {
    let role = match &view.role {
        RoleView::Unread => return Step::Look(Look::Role),
        RoleView::Absent => {
            let name = &view.request.spec.role_ref.name;
            return refuse(
                view,
                &Verdict::new(
                    Reason::RoleNotFound,
                    format!(
                        "there is no AwsRole {name}; create it or name another in a new request"
                    ),
                ),
                now,
            );
        }
        RoleView::Found(role) => role,
    };
    if let Err(verdict) = secret::check_template(&view.request) {
        return refuse(view, &verdict, now);
    }
    let account = match &view.account {
        AccountView::Ready(account) => account,
        AccountView::NotReady(verdict) => return refuse(view, verdict, now),
        AccountView::Unknown => return Step::Look(Look::Role),
    };
    match admission::admit(&view.request, role, &view.namespace, account, &view.cluster) {
        Admission::Granted(intent) => Step::Do(Effect::Begin(intent)),
        Admission::NeedsNamespace => Step::Look(Look::Namespace),
        Admission::Refused(verdict) => refuse(view, &verdict, now),
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
        RoleView::Absent => changed(Reason::RoleNotFound, "was deleted"),
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
    let others = match &work.keys {
        KeysFact::Uncertain(since) => {
            let settled = since.checked_add(SETTLE).unwrap_or(now);
            return if now < settled {
                Step::Wait(settled)
            } else {
                Step::Do(Effect::ListKeys)
            };
        }
        KeysFact::Unlisted => return Step::Do(Effect::ListKeys),
        KeysFact::Known(others) => others,
    };
    // A Secret that holds a key which AWS holds too: it was written before
    // (the answer was lost, or the process died), and the lease is the one
    // that it names. A key in hand beside it is one too many.
    if let SecretView::Ours(facts) = &view.secret
        && let Some((id, term)) = &facts.key
    {
        let in_hand = work.held.as_ref().is_some_and(|h| h.id == *id);
        if in_hand {
            return Step::Do(status::issued(view, intent, id, term, now));
        }
        if others.contains(id) {
            let stray = others.iter().find(|k| *k != id).cloned();
            let stray = stray.or_else(|| work.held.as_ref().map(|h| h.id.clone()));
            return Step::Do(match stray {
                Some(stray) => Effect::Clear(Attachment::Key(stray)),
                None => status::issued(view, intent, id, term, now),
            });
        }
    }
    if let Some(stray) = others.first() {
        return Step::Do(Effect::Clear(Attachment::Key(stray.clone())));
    }
    let Some(held) = &work.held else {
        return Step::Do(Effect::CreateKey);
    };
    if held.proven {
        return Step::Do(Effect::PublishSecret(term(view, intent, now)));
    }
    prove(view, held, now)
}

/// A lease that lost its Secret keeps its end; a new one begins now.
fn term(view: &View, intent: &Intent, now: Timestamp) -> Term {
    match view.live() {
        Some((lease, _)) => Term {
            issued_at: lease.issued_at.0,
            expires_at: lease.expires_at.0,
            max_expires_at: lease.max_expires_at.0,
        },
        None => Term::starting(now, intent),
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
fn refuse(view: &View, verdict: &Verdict, now: Timestamp) -> Step {
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
