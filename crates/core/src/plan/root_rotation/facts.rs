//! What is known, and how outcomes become facts.

use jiff::{SignedDuration, Timestamp};

use super::{Effect, Marker, Outcome, Told, later};
use crate::plan::effect::{Fault, FaultClass};
use crate::plan::reasons::{Reason, Verdict};
use keylease_api::RootKey;

/// How long a list of keys is good for: longer than the longest call (10 s), so
/// that a slow one does not make it old before it was used, and short, because
/// somebody may make a key after it.
const FRESH: SignedDuration = SignedDuration::from_secs(15);
/// How long after a `CreateAccessKey` without an answer a list is believed:
/// IAM's lists lag behind its writes.
const SETTLE: SignedDuration = SignedDuration::from_secs(5);
/// Pause between two proofs of a key.
const PROOF_PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// Pause after the first failure; it doubles up to [`RETRY_CAP`].
const RETRY_BASE: SignedDuration = SignedDuration::from_secs(5);
/// Longest pause after failures: the old key works meanwhile.
const RETRY_CAP: SignedDuration = SignedDuration::from_mins(5);

/// Everything that a decision rests on.
#[derive(Clone, Debug)]
pub struct View {
    /// Age at which the key is replaced; `None`: never.
    pub period: Option<SignedDuration>,
    /// The IAM user that the key belongs to.
    pub user: String,
    /// The id of the key that the operator's session uses.
    pub signed_in: String,
    /// The Secret as it was read directly, or `None` before that.
    pub secret: Option<SecretFacts>,
    /// What this process knows from before.
    pub work: Work,
}

/// The Secret, without what is secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// The id of the key that it holds.
    pub key_id: String,
    /// Its uid.
    pub uid: String,
    /// The version that was read.
    pub resource_version: String,
    /// The rotation under way.
    pub marker: Option<Marker>,
    /// Why its key cannot be replaced.
    pub unfit: Option<Verdict>,
}

/// A key of the operator's own user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    /// The access key id.
    pub id: String,
    /// When AWS made it.
    pub created: Timestamp,
}

/// What this process knows because it did it or saw it. All of it may be lost.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The marker that this process wrote and that stands, as far as it knows.
    pub claim: Option<Marker>,
    /// The new key that is not in the Secret yet.
    pub held: Option<Held>,
    /// The id of the key that was deleted last.
    pub deleted: Option<String>,
    /// When the session was replaced.
    pub swapped: Option<Timestamp>,
    /// The age of the Secret's key.
    pub known: Option<UserKey>,
    /// The attempt failed: clean up, then pause.
    pub abort: bool,
    /// The id of a key that AWS said not to know when it was to be deleted.
    missing: Option<String>,
    /// A key may have been made under the claim that nobody knows of: a
    /// `CreateKey` was not answered, or the process before did not live to tell.
    pub(super) create_in_doubt: bool,
    /// The new key was sent to the Secret, and may be there, or get there yet.
    pub(super) store_in_doubt: bool,
    /// What the account's status says, if this process wrote it.
    pub told: Option<Told>,
    /// When a status may be written, after one that failed.
    pub report_after: Timestamp,
    /// Why the last attempt failed, until one succeeds.
    pub failure: Option<Verdict>,
    /// When to go on.
    pub retry_at: Timestamp,
    pub(super) believe_from: Timestamp,
    failures: u32,
    listed: Option<(Timestamp, Vec<UserKey>)>,
    /// Whether the Secret was read after that list.
    pub(super) confirmed: bool,
}

/// The new key. Its secret is kept apart, out of reach of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The access key id.
    pub id: String,
    /// When AWS handed it out.
    pub since: Timestamp,
    /// Proofs in a row that it passed.
    pub proofs: u32,
    /// When to try it next.
    pub next_proof: Timestamp,
}

impl Work {
    /// The beginning; what the account's status says of the key is believed if
    /// the Secret holds that very key.
    pub fn new(root_key: Option<&RootKey>) -> Self {
        Self {
            known: root_key.map(|key| UserKey {
                id: key.id.clone(),
                created: key.rotated_at.0,
            }),
            ..Self::default()
        }
    }

    /// The user's keys, if they were listed lately.
    pub(super) fn keys(&self, now: Timestamp) -> Option<&[UserKey]> {
        let (at, keys) = self.listed.as_ref()?;
        (now < later(*at, FRESH)).then_some(keys)
    }

    fn fail(&mut self, verdict: Verdict) {
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(verdict);
    }

    fn pause(&mut self, now: Timestamp) {
        let doublings = self.failures.saturating_sub(1).min(8);
        let pause = RETRY_BASE.saturating_mul(1 << doublings).min(RETRY_CAP);
        self.retry_at = later(now, pause);
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.failure = None;
    }
}

impl View {
    /// When the Secret's key is to be replaced, if its age is known.
    pub fn next_rotation(&self) -> Option<Timestamp> {
        let (known, secret) = (self.work.known.as_ref()?, self.secret.as_ref()?);
        let period = self.period?;
        (known.id == secret.key_id).then(|| later(known.created, period))
    }

    /// Whether the Secret's key is old enough.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.next_rotation().is_some_and(|at| now >= at)
    }

    /// Takes note of a direct read of the Secret.
    pub fn saw_secret(&mut self, secret: SecretFacts) {
        // Our write arrived, though its answer did not.
        self.work.held.take_if(|held| held.id == secret.key_id);
        self.work.confirmed = true;
        self.secret = Some(secret);
    }

    /// Takes note that this attempt cannot succeed.
    pub fn give_up(&mut self, verdict: Verdict, now: Timestamp) {
        self.work.fail(verdict);
        self.work.listed = None;
        match self.secret.as_ref().and_then(|s| s.marker.as_ref()) {
            Some(_) => self.work.abort = true,
            None => self.work.pause(now),
        }
    }

    /// Takes note of what came of an effect. Together with
    /// [`View::saw_secret`] and [`View::give_up`] the only place where facts
    /// change.
    pub fn record(&mut self, effect: &Effect, outcome: Result<Outcome, Fault>, now: Timestamp) {
        match outcome {
            Ok(outcome) => self.record_success(effect, outcome, now),
            Err(fault) => self.record_fault(effect, fault, now),
        }
    }

    fn record_success(&mut self, effect: &Effect, outcome: Outcome, now: Timestamp) {
        let work = &mut self.work;
        match (effect, outcome) {
            (Effect::ListKeys, Outcome::Keys(keys)) => self.listed(keys, now),
            (Effect::Claim(marker), Outcome::Secret(secret)) => {
                // Of the keys of another process nothing is known.
                if marker.started != marker.claimed {
                    let before = self.secret.as_ref().and_then(|s| s.marker.as_ref());
                    work.create_in_doubt |= work.claim.as_ref() != before;
                    work.listed = None;
                }
                work.claim = Some(marker.clone());
                // What was sent before names an older version, and is refused.
                work.store_in_doubt = false;
                self.saw_secret(secret);
            }
            (Effect::CreateKey, Outcome::KeyCreated(id)) => {
                work.held = Some(Held {
                    id,
                    since: now,
                    proofs: 0,
                    next_proof: now,
                });
            }
            (Effect::ProveKey, Outcome::Proof(passed)) => prove(work, passed, now),
            (Effect::Store(marker), Outcome::Secret(secret)) => {
                work.claim = Some(marker.clone());
                self.saw_secret(secret);
            }
            (Effect::SignIn, _) => {
                work.swapped = Some(now);
                self.signed_in = match &self.secret {
                    Some(secret) => secret.key_id.clone(),
                    None => String::new(),
                };
            }
            (Effect::DeleteKey(id), _) => deleted(work, id),
            (Effect::Unclaim, Outcome::Secret(secret)) => {
                work.claim = None;
                work.listed = None;
                work.swapped = None;
                work.create_in_doubt = false;
                match std::mem::take(&mut work.abort) {
                    true => work.pause(now),
                    false => work.recovered(),
                }
                self.saw_secret(secret);
            }
            (Effect::Report(told), _) => work.told = Some(told.clone()),
            _ => {}
        }
    }

    fn listed(&mut self, keys: Vec<UserKey>, now: Timestamp) {
        let Some(secret) = &self.secret else { return };
        let Some(own) = keys.iter().find(|key| key.id == secret.key_id) else {
            let verdict = Verdict::new(
                Reason::KeyNotListed,
                format!(
                    "AWS does not list key {} among those of user {}; it is asked again",
                    secret.key_id, self.user
                ),
            );
            self.work.fail(verdict);
            self.work.pause(now);
            return;
        };
        let resting = secret.marker.is_none();
        self.work.known = Some(own.clone());
        self.work.listed = Some((now, keys));
        self.work.confirmed = false;
        if resting && !self.is_due(now) {
            self.work.recovered();
        }
    }

    fn record_fault(&mut self, effect: &Effect, fault: Fault, now: Timestamp) {
        let work = &mut self.work;
        let mut pause = true;
        match (effect, fault.class) {
            (Effect::Report(_), _) => {
                work.report_after = later(now, RETRY_BASE);
                return;
            }
            // It passes or it does not: the deadline decides.
            (Effect::ProveKey, _) => return prove(work, false, now),
            // One server of AWS may not know it yet: the second answer is believed.
            (Effect::DeleteKey(id), FaultClass::NotFound) => {
                if work.missing.take().as_ref() != Some(id) {
                    work.missing = Some(id.clone());
                    work.retry_at = later(now, SETTLE);
                    return;
                }
                if work.held.as_ref().is_some_and(|held| held.id == *id) {
                    work.believe_from = later(now, SETTLE);
                    work.listed = None;
                }
                return deleted(work, id);
            }
            // Whatever is answered: only a write after it tells that it was not, and
            // will not be, applied.
            (Effect::Store(_), class) if class != FaultClass::Stale => {
                work.store_in_doubt = true;
                let over = matches!(class, FaultClass::Refused | FaultClass::AccessDenied);
                // The attempt is over. It is cleaned up at once; the pause follows.
                work.abort |= over;
                pause = !over;
                self.secret = None;
            }
            // Somebody changed the Secret: look, and decide again.
            (Effect::Claim(_) | Effect::Store(_) | Effect::Unclaim, FaultClass::Stale) => {
                self.secret = None;
                return;
            }
            // The attempt is over. Whether there is a new key, a list has to tell.
            (Effect::CreateKey, class) => {
                work.abort = true;
                pause = false;
                if !class.was_not_sent() {
                    work.create_in_doubt |= !made_none(class);
                    work.listed = None;
                    work.believe_from = later(now, SETTLE);
                }
            }
            // It may have been written or not.
            (Effect::Claim(_) | Effect::Unclaim | Effect::Store(_), _) => self.secret = None,
            (Effect::ListKeys | Effect::SignIn | Effect::DeleteKey(_), _) => {}
        }
        work.fail(verdict(effect, &fault));
        if pause {
            work.pause(now);
        }
    }
}

/// Whether such an answer to `CreateAccessKey` is believed to say that there is
/// no new key: denials and quotas are what AWS answers for hours on end, to every
/// attempt, and a key that somebody makes meanwhile is not ours. Of anything else
/// it must be feared that the key was made all the same.
pub(super) fn made_none(class: FaultClass) -> bool {
    matches!(
        class,
        FaultClass::QuotaExceeded
            | FaultClass::AccessDenied
            | FaultClass::Unseen
            | FaultClass::Throttled
    ) || class.was_not_sent()
}

fn prove(work: &mut Work, passed: bool, now: Timestamp) {
    if let Some(held) = &mut work.held {
        held.proofs = if passed { held.proofs + 1 } else { 0 };
        held.next_proof = later(now, PROOF_PAUSE);
    }
}

fn deleted(work: &mut Work, id: &str) {
    work.held.take_if(|held| held.id == id);
    if let Some((_, keys)) = &mut work.listed {
        keys.retain(|key| key.id != id);
    }
    work.deleted = Some(id.to_owned());
}

fn verdict(effect: &Effect, fault: &Fault) -> Verdict {
    let on_secret = matches!(
        effect,
        Effect::Claim(_) | Effect::Store(_) | Effect::Unclaim
    );
    let (reason, hint) = match fault.class {
        _ if on_secret => (Reason::SecretRefused, ""),
        FaultClass::Throttled | FaultClass::Unsent => (Reason::AwsThrottled, ""),
        FaultClass::QuotaExceeded => (Reason::AwsQuotaExceeded, ""),
        FaultClass::AccessDenied | FaultClass::Unseen => (
            Reason::AwsAccessDenied,
            "; allow the operator this call on its own user (keylease iam-policy --root-user-arn \
             prints what it needs)",
        ),
        FaultClass::BadCredentials => (Reason::AwsCredentialsInvalid, ""),
        FaultClass::Refused | FaultClass::NotFound => (Reason::RefusedByAws, ""),
        _ => (Reason::AwsUnavailable, ""),
    };
    let what = match effect {
        Effect::ListKeys => "ListAccessKeys",
        Effect::CreateKey => "CreateAccessKey",
        Effect::DeleteKey(_) => "DeleteAccessKey",
        Effect::ProveKey => "GetCallerIdentity with the new key",
        Effect::SignIn => "signing in with the new key",
        Effect::Claim(_) | Effect::Store(_) | Effect::Unclaim => "writing the account's Secret",
        Effect::Report(_) => "writing the account's status",
    };
    let message = fault.message.trim_end_matches('.');
    Verdict::new(reason, format!("{what}: {message}{hint}"))
}
