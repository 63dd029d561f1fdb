//! A key that was proven, in the Secret, and no other on the user.

use jiff::{SignedDuration, Timestamp};

use super::{moved, refuse};
use crate::plan::effect::{Attachment, Effect};
use crate::plan::intent::Intent;
use crate::plan::lease::{Term, truncate};
use crate::plan::reasons::Verdict;
use crate::plan::secret::SecretView;
use crate::plan::stage::Live;
use crate::plan::view::{AccountView, View};
use crate::plan::work::{Held, KeysFact, SETTLE};
use crate::plan::{Look, Step, adopted, status, ttl};
use keylease_api::Workload;

/// The user stands: now a key, proven, in the Secret, and no other.
pub(super) fn deliver(view: &View, intent: &Intent, now: Timestamp) -> Step {
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

/// The next key of a lease is in the Secret, by a rotation that a former process
/// began and the role does not allow any more: tell of it, and give nothing. What
/// the intent says is not believed; the lease is no longer than the one before.
pub(super) fn delivered(view: &View, intent: &Intent, refusal: &Verdict, now: Timestamp) -> Step {
    let Some(Live { lease, .. }) = view.live() else {
        return Step::Rest;
    };
    let length = |end: Timestamp| end.duration_since(lease.issued_at.0).as_secs();
    let intent = Intent {
        ttl_seconds: length(lease.expires_at.0).min(intent.ttl_seconds),
        max_ttl_seconds: length(lease.max_expires_at.0).min(intent.max_ttl_seconds),
        ..intent.clone()
    };
    match &view.account {
        AccountView::Ready(account) if account.account_id == intent.account_id => {
            match deliver(view, &intent, now) {
                // AWS does not hold it after all.
                Step::Do(Effect::CreateKey | Effect::PublishSecret(_)) => {
                    refuse(view, refusal, now)
                }
                step => step,
            }
        }
        AccountView::Ready(account) => refuse(view, &moved(&intent, &account.account_id), now),
        AccountView::NotReady(verdict) | AccountView::OnlyToRevoke(_, verdict) => {
            refuse(view, verdict, now)
        }
        AccountView::Unknown => Step::Look(Look::Role),
    }
}

/// The new key is in the Secret: roll who uses it, take off what the role no
/// longer says, and tell. Without an overlap the old key goes before that.
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
pub(in crate::plan) fn published(view: &View, key_id: &str, then: impl FnOnce() -> Effect) -> Step {
    let changed = view.live().is_some();
    let done = |w: &Workload| view.work.rolls.iter().any(|r| r.workload == *w);
    let mut due = view.request.spec.restart.iter();
    match due.find(|w| changed && !done(w)) {
        Some(workload) => Step::Do(Effect::Restart(workload.clone(), key_id.to_owned())),
        None => Step::Do(then()),
    }
}

/// A lease that lost its Secret keeps its end, and so does one that was given
/// another key by hand; a rotation at its end begins a new one.
fn term(view: &View, intent: &Intent, now: Timestamp) -> Term {
    match view.live() {
        Some(Live { lease, .. }) if !(view.rotating() && view.rotates()) => Term {
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
    if held.was_refused()
        && let Some(report) = status::proving(view, now)
    {
        return Step::Do(report);
    }
    if now < held.next_proof {
        return Step::Wait(held.next_proof);
    }
    Step::Do(Effect::ProveKey)
}
