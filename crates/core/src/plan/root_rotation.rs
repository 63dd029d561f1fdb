//! Replacing the operator's own access key: a new key is made, proven, stored
//! and signed in with, and only then the old one is deleted.
//!
//! The state lives in three places, and any of them may be lost but the first:
//! the Secret (the key, and a [`Marker`] while a rotation is under way), AWS
//! (the user's keys) and this process ([`Work`]). A rotation goes
//!
//! ```text
//! ListKeys → Claim → CreateKey → ProveKey… → Store → SignIn → DeleteKey(old) → Unclaim
//! ```
//!
//! **The claim is a fence.** Every write of the Secret names the version that
//! was read. A process that finds the claim of another first claims anew, which
//! makes whatever the other still has in flight fail; only then does it delete
//! what the other may have left. So two operators, or a write that arrives
//! late, cannot store a key that was deleted.

mod facts;
mod marker;
mod status;
#[cfg(test)]
mod tests;

pub use facts::{Held, SecretFacts, UserKey, View, Work};
pub use marker::{ANNOTATION, Marker};
pub use status::{Told, shows, tell, unfit, user_of};

use jiff::{SignedDuration, Timestamp};

use super::reasons::{Reason, Verdict};

/// How long a claim of another process is respected: longer than any call of
/// its (10 s) and than IAM's lists lag behind (seconds).
const TAKEOVER: SignedDuration = SignedDuration::from_secs(30);
/// How long after the old key's session was replaced the old key stays: calls
/// that began with it end within their timeout of 10 s.
const DRAIN: SignedDuration = SignedDuration::from_secs(15);
/// Proofs in a row that a new key has to pass. One server's yes is not yet
/// every server's.
const PROOFS: u32 = 4;
/// How long a new key may take to be accepted. Typical are 2–15 s.
const PROOF_DEADLINE: SignedDuration = SignedDuration::from_secs(120);

/// One change to the world, or one list that precedes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// List the keys of the operator's own user.
    ListKeys,
    /// Write this marker on the Secret, in the version that was read.
    Claim(Marker),
    /// Make a key. Never retried by the SDK.
    CreateKey,
    /// Ask STS who the new key is.
    ProveKey,
    /// Write the new key and this marker into the Secret, in the version that
    /// was read.
    Store(Marker),
    /// Replace the session by one of the key that the Secret holds.
    SignIn,
    /// Delete a key of the operator's own user. One that is gone is success.
    DeleteKey(String),
    /// Take the marker off the Secret, in the version that was read.
    Unclaim,
    /// Put this into the account's status.
    Report(Told),
}

impl Effect {
    /// A short name for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ListKeys => "list_keys",
            Self::Claim(_) => "claim",
            Self::CreateKey => "create_key",
            Self::ProveKey => "prove_key",
            Self::Store(_) => "store",
            Self::SignIn => "sign_in",
            Self::DeleteKey(_) => "delete_key",
            Self::Unclaim => "unclaim",
            Self::Report(_) => "report",
        }
    }
}

/// What came of an effect that did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The user's keys, all of them.
    Keys(Vec<UserKey>),
    /// The Secret after the write.
    Secret(SecretFacts),
    /// A key exists, and its secret is in our hands.
    KeyCreated(String),
    /// Whether AWS knows the new key as our user's.
    Proof(bool),
}

/// What to do next for the operator's own key.
///
/// Invariants, whatever the view:
/// - `CreateKey` comes only under a claim of this process on the Secret as it
///   was just read, with no key known but the Secret's;
/// - `Store` comes only with a proven key in hand;
/// - `DeleteKey` never names the key that the Secret was read to hold;
/// - the key before comes to be deleted only when the Secret holds the new one,
///   and the operator's session uses that;
/// - a key that this process does not know to be its own is deleted only under
///   a claim, only if a `CreateKey` of that claim may have made one that nobody
///   knows of, and only if it was made in the claim's window.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Read the Secret.
    Look,
    /// Perform one effect, record its outcome, then decide again.
    Do(Effect),
    /// This attempt cannot succeed: take note of it with [`View::give_up`] and
    /// decide again.
    GiveUp(Verdict),
    /// Nothing to do before that time, unless something changes.
    Wait(Timestamp),
    /// Nothing to do unless something changes.
    Rest,
}

/// Decides on the next step.
pub fn next(view: &View, now: Timestamp) -> Step {
    let work = &view.work;
    let Some(secret) = &view.secret else {
        return match work.retry_at {
            at if now < at => Step::Wait(at),
            _ => Step::Look,
        };
    };
    if let Some(report) = status::report(view, secret, now) {
        return Step::Do(report);
    }
    if now < work.retry_at {
        return Step::Wait(work.retry_at);
    }
    if view.signed_in != secret.key_id {
        return Step::Do(Effect::SignIn);
    }
    let Some(marker) = &secret.marker else {
        return unclaimed(view, secret, now);
    };
    let claimed = work.claim.as_ref() == Some(marker);
    // Another process, or a person, took the Secret over: what is in hand will
    // never get there.
    if let Some(held) = &work.held
        && !(claimed && secret.key_id == marker.old)
    {
        return delete(&held.id);
    }
    if marker.new.as_ref() == Some(&secret.key_id) {
        return stored(view, secret, marker, now);
    }
    if secret.key_id != marker.old {
        return Step::Do(Effect::Unclaim);
    }
    if !claimed {
        return match later(marker.claimed, TAKEOVER) {
            free if now < free => Step::Wait(free),
            _ => Step::Do(Effect::Claim(marker.taken_over(now))),
        };
    }
    match &work.held {
        Some(held) => in_hand(view, marker, held, now),
        None => nothing_in_hand(view, secret, marker, now),
    }
}

/// No rotation is under way.
fn unclaimed(view: &View, secret: &SecretFacts, now: Timestamp) -> Step {
    if let Some(held) = &view.work.held {
        return delete(&held.id);
    }
    if view.period.is_none() || secret.unfit.is_some() {
        return Step::Rest;
    }
    if let Some(at) = view.next_rotation()
        && now < at
    {
        return Step::Wait(at);
    }
    let Some(keys) = view.work.keys(now) else {
        return Step::Do(Effect::ListKeys);
    };
    match keys.iter().find(|key| key.id != secret.key_id) {
        Some(other) => Step::GiveUp(foreign(view, other)),
        None => Step::Do(Effect::Claim(Marker::begun(now, &secret.key_id))),
    }
}

/// Ours is the claim, and there is a new key.
fn in_hand(view: &View, marker: &Marker, held: &Held, now: Timestamp) -> Step {
    if view.work.abort || !view.is_due(now) {
        // A claim comes first: after it the new key cannot get into the Secret.
        return match view.work.store_in_doubt {
            true => Step::Do(Effect::Claim(marker.taken_over(now))),
            false => delete(&held.id),
        };
    }
    if held.proofs >= PROOFS {
        return Step::Do(Effect::Store(marker.with_new(&held.id)));
    }
    if now.duration_since(held.since) > PROOF_DEADLINE {
        return Step::GiveUp(Verdict::new(
            Reason::KeyNotProven,
            format!(
                "AWS did not accept the new key {} within {} s; it is deleted, and another is made \
                 later",
                held.id,
                PROOF_DEADLINE.as_secs()
            ),
        ));
    }
    if now < held.next_proof {
        return Step::Wait(held.next_proof);
    }
    Step::Do(Effect::ProveKey)
}

/// Ours is the claim, and no key of ours is known. If a key may have been made
/// that nobody knows of, what was made in the claim's window is that key: left
/// over from a process that died, or from a lost answer.
fn nothing_in_hand(view: &View, secret: &SecretFacts, marker: &Marker, now: Timestamp) -> Step {
    let work = &view.work;
    if now < work.believe_from {
        return Step::Wait(work.believe_from);
    }
    let Some(keys) = work.keys(now) else {
        return Step::Do(Effect::ListKeys);
    };
    let abort = work.abort || !view.is_due(now);
    for key in keys.iter().filter(|key| key.id != secret.key_id) {
        if work.create_in_doubt && marker.covers(key) {
            // A key on a list that is older than our claim is nobody's any
            // more; were the claim lost since, it might be another's new one.
            return match work.confirmed {
                true => delete(&key.id),
                false => Step::Look,
            };
        }
        if !abort {
            return Step::GiveUp(foreign(view, key));
        }
    }
    if abort {
        return Step::Do(Effect::Unclaim);
    }
    if !marker.is_open(now) {
        return Step::Do(Effect::Claim(Marker::begun(now, &secret.key_id)));
    }
    Step::Do(Effect::CreateKey)
}

/// The Secret holds the new key.
fn stored(view: &View, secret: &SecretFacts, marker: &Marker, now: Timestamp) -> Step {
    if let Some(swapped) = view.work.swapped
        && now < later(swapped, DRAIN)
    {
        return Step::Wait(later(swapped, DRAIN));
    }
    let deleted = view.work.deleted.as_ref() == Some(&marker.old);
    if deleted || marker.old == secret.key_id {
        return Step::Do(Effect::Unclaim);
    }
    delete(&marker.old)
}

fn delete(id: &str) -> Step {
    Step::Do(Effect::DeleteKey(id.to_owned()))
}

fn foreign(view: &View, key: &UserKey) -> Verdict {
    let (user, id) = (&view.user, &key.id);
    Verdict::new(
        Reason::ForeignKey,
        format!(
            "user {user} has another access key, {id}, which this operator did not make, and AWS \
             allows two; if nothing uses it, delete it (aws iam delete-access-key --user-name \
             {user} --access-key-id {id})"
        ),
    )
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}
