//! What an outcome teaches: the only place where facts change. Pure, like the
//! decisions that they lead to.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::effect::{Attachment, Effect, Fault, FaultClass, Outcome, Owner};
use super::intent::has_finalizer;
use super::reasons::{Reason, Verdict};
use super::secret::SecretView;
use super::view::{RoleView, Seen, View};
use super::work::{Held, KeysFact, SecretGate, UserFact, Work};
use super::{adopted, doubt, faults};
use crate::api::{AwsCredentialRequest, Phase};

/// First pause between two proofs of a key; it grows by half to
/// [`MAX_PROOF_PAUSE`].
const FIRST_PROOF_PAUSE: SignedDuration = SignedDuration::from_millis(100);
/// Longest pause between two proofs. New keys take 2–15 s.
const MAX_PROOF_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// How often a call is made again that AWS throttled. It took no effect, and
/// waits for its turn at a lower rate; only a request that has no luck again
/// and again is worth a word in its status, and a pause.
const THROTTLED_AGAIN: u32 = 3;

/// The API server cannot serve now, a call did not get its turn, or nobody is
/// left to tell of a failure: there is nothing to decide, start over later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall(pub Fault);

impl View {
    /// Whether a later reconciliation needs the facts: those of a lease at rest
    /// are not worth the memory, and everything under way is, if only for the
    /// time at which it was taken up.
    pub fn worth_keeping(&self) -> bool {
        let work = &self.work;
        let shown = self.live().map(|(_, c)| c.access_key_id.as_str());
        let lost = match (&self.secret, shown) {
            (SecretView::Ours(facts), Some(shown)) => !facts.holds(shown),
            (SecretView::Absent | SecretView::Foreign, Some(_)) => true,
            (SecretView::Unread, _) | (_, None) => false,
        };
        let unfinished = shown.is_none() || self.rotating() || lost;
        let under_way = has_finalizer(&self.request) && unfinished;
        let touched = !work.cleared.is_empty() || work.user != UserFact::Unknown;
        let troubled = work.stalls > 0
            || work.failure.is_some()
            || work.abandon.is_some()
            || work.doubt.is_open();
        !self.gone && (under_way || touched || troubled || self.in_hand().is_some())
            || self.gone && work.in_flight()
    }

    /// Takes note of what came of an effect. Together with
    /// [`View::saw_secret`] and [`View::take_back`] the only place where facts
    /// change.
    ///
    /// # Errors
    /// [`Stall`] when the API server did not serve the write, when a call to AWS
    /// was never made, or when AWS did not serve one for a request that is gone:
    /// the same step is to be tried again later.
    pub fn record(
        &mut self,
        effect: &Effect,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<(), Stall> {
        match outcome {
            Outcome::Failed(fault) => self.record_fault(effect, fault, now),
            outcome => {
                self.record_success(effect, outcome, now);
                Ok(())
            }
        }
    }

    /// Takes note of a direct read of the request; `None` when it is gone. A
    /// status that shows the key in hand was written although its answer was
    /// lost: the work is done, and its facts are spent.
    pub fn saw_request(&mut self, found: Option<AwsCredentialRequest>) {
        self.seen = Seen::Direct;
        match found {
            Some(found) => self.request = Arc::new(found),
            None => self.gone = true,
        }
        if self.work.held.is_some() && self.in_hand().is_none() {
            self.work = Work::new(self.work.started);
        }
    }

    /// Takes note of a direct read of the Secret.
    pub fn saw_secret(&mut self, secret: SecretView) {
        self.work.secret = match (&secret, self.work.secret) {
            (SecretView::Absent, SecretGate::MustLook) => SecretGate::Unchecked,
            (SecretView::Ours(_), SecretGate::MustLook) => SecretGate::Clear,
            (_, gate) => gate,
        };
        self.secret = secret;
    }

    /// Takes note of the decision to take everything back.
    pub fn take_back(&mut self, verdict: Verdict) {
        self.work.abandon.get_or_insert(verdict);
    }

    fn record_success(&mut self, effect: &Effect, outcome: Outcome, now: Timestamp) {
        self.record_offer(effect, None);
        if effect.on_kubernetes() || self.gone {
            self.work.stalls = 0;
        } else {
            self.work.throttled = 0;
        }
        let settled = match &outcome {
            Outcome::Inventory(found) if doubt::looks(self) => {
                Some(doubt::settle(self, found.as_deref(), now))
            }
            _ => None,
        };
        let told = self.permissions_told();
        let rested = adopted::rests(self) == Some(true);
        let was_live = self.live().is_some();
        if let Outcome::Request(request) = &outcome {
            self.request = request.clone();
            self.seen = Seen::Direct;
        }
        let intent_stands = self.intent().is_some();
        let rotation = self.rotating();
        let vetted = self.intent();
        let is_static = vetted.as_ref().is_some_and(|i| i.adopted);
        let work = &mut self.work;
        match (effect, outcome) {
            (Effect::Claim(_) | Effect::Unclaim, Outcome::Role(role)) => {
                self.role = RoleView::of(Some(role));
            }
            (Effect::ReadGroup(group), Outcome::Group(policies)) => {
                work.groups.insert(group.clone(), policies);
            }
            (Effect::FindUser(_), Outcome::Adoptee(found)) => work.adoptee = found,
            // A rotation begins on a user that rested since it was made: what
            // is on it is what the status tells, and no key is unknown. The
            // intent before also names what it took off again.
            (Effect::Begin(_), _) if rotation => {
                *work = Work {
                    began: true,
                    vetted,
                    secret: work.secret,
                    user: UserFact::Ours,
                    keys: KeysFact::Known(Vec::new()),
                    ..Work::new(now)
                };
                work.granted = told.into_iter().map(|p| (p, true)).collect();
            }
            // A live user, and an intent that is put back or corrected: nothing
            // is known of the user but that it is there.
            (Effect::Begin(_), _) if was_live => {
                *work = Work {
                    vetted,
                    secret: work.secret,
                    doubt: std::mem::take(&mut work.doubt),
                    ..Work::new(now)
                };
            }
            (Effect::Begin(_), _) => {
                work.began = true;
                work.vetted = vetted;
                work.secret = SecretGate::Unchecked;
                work.user = if is_static {
                    UserFact::Ours
                } else {
                    UserFact::Gone
                };
            }
            (Effect::CheckSecret, _) => work.secret = SecretGate::Clear,
            (Effect::PublishSecret(_), Outcome::Secret(facts)) => {
                self.secret = SecretView::Ours(facts);
            }
            (Effect::AmendSecret(_), Outcome::Secret(facts)) => {
                self.secret = SecretView::Ours(facts);
            }
            (Effect::Restart(workload, _), _) => work.restarted.push(workload.clone()),
            // The Secret goes after the keys: with that of a static user at
            // rest there is none left, and nothing would tell so any more.
            (Effect::DeleteSecret(_), _) => {
                self.secret = SecretView::Absent;
                if is_static && rested {
                    work.keys = KeysFact::Known(Vec::new());
                }
            }
            (Effect::DeleteRequest, _) => self.gone = true,
            (Effect::Report(report), _) => {
                work.failure = None;
                // Others may change their keys during the pause that follows.
                let known = matches!(work.keys, KeysFact::Known(_));
                if is_static && known && work.held.is_none() && report.status.failures.is_some() {
                    work.keys = KeysFact::Unlisted;
                }
                // The lease ended and another is to follow: from the beginning,
                // and admitted anew.
                if was_live && report.status.lease.is_none() {
                    *work = Work {
                        user: UserFact::Gone,
                        keys: KeysFact::Known(Vec::new()),
                        ..Work::new(now)
                    };
                }
                if !intent_stands {
                    work.abandon = None;
                }
                // A failed attempt to follow a live lease goes on from what it
                // has: the key in hand is as good as before.
                let served = report.status.phase == Some(Phase::Ready);
                if served && report.status.failures.is_none() {
                    *work = Work::new(now);
                }
            }
            // A request that was taken back tells why now that it is clean.
            (Effect::Release, _) => {
                *work = Work {
                    failure: work.abandon.take(),
                    ..Work::new(now)
                };
            }

            (Effect::CreateUser, _) => {
                work.began = true;
                work.user = UserFact::Ours;
                work.keys = KeysFact::Known(Vec::new());
                work.granted.clear();
                work.cleared.clear();
                work.inventory = None;
                work.held = None;
            }
            (Effect::InspectUser, Outcome::User(owner)) => self.record_owner(owner, now),
            (Effect::Grant(permission), _) => {
                work.granted.insert(permission.clone(), true);
            }
            (Effect::ListKeys, Outcome::Keys(mut keys)) => {
                keys.retain(|k| work.held.as_ref().is_none_or(|h| h.id != *k));
                work.keys = KeysFact::Known(keys);
                work.listed = true;
            }
            (Effect::CreateKey, Outcome::KeyCreated(id)) => {
                work.held = Some(Held {
                    id,
                    since: now,
                    expires: None,
                    proven: false,
                    offered: false,
                    tries: 0,
                    next_proof: now,
                });
            }
            // A session works from the moment at which STS hands it out.
            (Effect::IssueSession(_), Outcome::SessionIssued(id, expires)) => {
                work.held = Some(Held {
                    id,
                    since: now,
                    expires: Some(expires),
                    proven: true,
                    offered: false,
                    tries: 0,
                    next_proof: now,
                });
            }
            (Effect::ProveKey, Outcome::Proof(proven)) => record_proof(work, proven, now),
            (Effect::TakeInventory, Outcome::Inventory(found)) => {
                work.cleared.clear();
                match (found, settled) {
                    (_, Some(doubt)) => work.doubt = doubt,
                    (Some(found), None) => work.inventory = Some(found),
                    (None, None) => work.user = UserFact::Gone,
                }
            }
            (Effect::Clear(attachment), _) => record_cleared(work, attachment, now),
            (Effect::DeleteUser, _) => record_gone(work),
            _ => {}
        }
    }

    fn record_owner(&mut self, owner: Owner, now: Timestamp) {
        let work = &mut self.work;
        match (&owner, work.user) {
            // CreateUser says that it exists, GetUser that it does not: IAM's
            // readers lag, or somebody deleted it in between. Neither may be
            // believed yet; it is asked anew.
            (Owner::Nobody, UserFact::Taken) => {
                work.user = UserFact::Unknown;
                work.granted.clear();
                work.started = now;
                work.failure = Some(Verdict::new(
                    Reason::AwsUnavailable,
                    "IAM contradicts itself about the user: CreateUser or DeleteUser finds it, \
                     GetUser does not yet",
                ));
            }
            (Owner::Nobody, _) => work.user = UserFact::Gone,
            (Owner::Ours | Owner::Altered(_), _) => {
                if let Owner::Altered(why) = owner {
                    work.abandon.get_or_insert(Verdict::new(
                        Reason::UserConflict,
                        format!("our IAM user was changed ({why}); it is removed"),
                    ));
                }
                work.user = UserFact::Ours;
                // A former process may have made a key a moment ago, also for
                // a live lease: that had lost its Secret.
                work.keys = KeysFact::Uncertain(work.started);
            }
            (Owner::Foreign(why), _) => {
                work.user = UserFact::Foreign;
                work.abandon.get_or_insert(Verdict::new(
                    Reason::UserConflict,
                    format!(
                        "an IAM user of our name exists and is not ours ({why}); it is left alone"
                    ),
                ));
            }
        }
    }

    /// A key that was sent to the API server counts as delivered, unless the
    /// answer leaves no doubt.
    fn record_offer(&mut self, effect: &Effect, failed: Option<FaultClass>) {
        let refused = matches!(
            failed,
            Some(
                FaultClass::Stale
                    | FaultClass::AlreadyExists
                    | FaultClass::Throttled
                    | FaultClass::NotLeading
            )
        );
        if let (Effect::PublishSecret(_), false, Some(held)) =
            (effect, refused, &mut self.work.held)
        {
            held.offered = true;
        }
    }

    fn record_fault(&mut self, effect: &Effect, fault: Fault, now: Timestamp) -> Result<(), Stall> {
        self.record_offer(effect, Some(fault.class));
        let work = &mut self.work;
        match (effect, fault.class) {
            // Nobody's fault: no failure is counted, no pause taken.
            (_, FaultClass::Unsent) => return Err(Stall(fault)),
            (effect, FaultClass::Throttled)
                if !effect.on_kubernetes() && work.throttled < THROTTLED_AGAIN =>
            {
                work.throttled += 1;
            }
            // The object changed under us: look again, decide again.
            (
                Effect::Begin(_) | Effect::Release | Effect::Report(_),
                FaultClass::Stale | FaultClass::NotFound,
            ) => {
                self.seen = Seen::Stale;
            }
            (
                Effect::CheckSecret | Effect::PublishSecret(_),
                FaultClass::Stale | FaultClass::AlreadyExists,
            ) => {
                work.secret = SecretGate::MustLook;
                self.secret = SecretView::Unread;
            }
            (
                Effect::DeleteSecret(_) | Effect::AmendSecret(_),
                FaultClass::Stale | FaultClass::NotFound,
            ) => {
                self.secret = SecretView::Unread;
            }
            (Effect::DeleteRequest, FaultClass::Stale | FaultClass::NotFound) => {
                self.seen = Seen::Stale;
            }
            (Effect::Claim(_) | Effect::Unclaim, FaultClass::Stale | FaultClass::NotFound) => {
                self.role = RoleView::Unread;
            }
            // A workload that is not there, or that we may not roll, must not
            // hold up the lease; the log tells.
            (Effect::Restart(workload, _), class) if !class.may_pass() => {
                work.restarted.push(workload.clone());
            }
            (Effect::CreateUser, FaultClass::AlreadyExists) => {
                work.began = false;
                work.user = UserFact::Taken;
            }
            (Effect::Clear(attachment), FaultClass::NotFound) => {
                record_cleared(work, attachment, now);
            }
            (Effect::DeleteUser, FaultClass::NotFound) => record_gone(work),
            (Effect::DeleteUser, FaultClass::DeleteConflict) => {
                work.inventory = None;
                work.user = UserFact::Taken;
            }
            _ => return self.record_failure(effect, fault, now),
        }
        Ok(())
    }

    /// A failure that people get to see, or at least the log.
    fn record_failure(
        &mut self,
        effect: &Effect,
        fault: Fault,
        now: Timestamp,
    ) -> Result<(), Stall> {
        let work = &mut self.work;
        match (effect, fault.class) {
            // Without an answer the Secret may be there: look, and see.
            (Effect::PublishSecret(_), FaultClass::NoAnswer) => {
                work.secret = SecretGate::MustLook;
                self.secret = SecretView::Unread;
            }
            (Effect::CreateUser, FaultClass::NoAnswer) => {
                work.began = false;
                work.user = UserFact::Unknown;
                work.started = now;
            }
            (Effect::Grant(permission), FaultClass::NoAnswer) => {
                work.granted.insert(permission.clone(), false);
            }
            (Effect::CreateKey, FaultClass::NoAnswer) => work.keys = KeysFact::Uncertain(now),
            // Somebody else made keys: find them and remove them.
            (Effect::CreateKey, FaultClass::QuotaExceeded) => work.keys = KeysFact::Unlisted,
            // Somebody deleted the user, and what was on it is gone too.
            (Effect::CreateKey | Effect::ListKeys, FaultClass::NotFound) => {
                work.user = UserFact::Unknown;
                work.granted.clear();
            }
            _ => {}
        }
        // What is gone has no status to count its failures in.
        let uncounted = effect.on_kubernetes() || self.gone;
        if uncounted && !faults::is_secret_refusal(effect, fault.class) {
            work.stalls = work.stalls.saturating_add(1);
            return Err(Stall(fault));
        }
        match faults::judge(effect, &fault) {
            faults::Judgement::Retry(verdict) => work.failure = Some(verdict),
            faults::Judgement::TakeBack(verdict) => work.abandon = Some(verdict),
        }
        Ok(())
    }
}

fn record_proof(work: &mut Work, proven: bool, now: Timestamp) {
    let Some(held) = &mut work.held else { return };
    held.tries += 1;
    held.proven = proven;
    let mut pause = FIRST_PROOF_PAUSE;
    for _ in 1..held.tries.min(20) {
        pause = (pause * 3 / 2).min(MAX_PROOF_PAUSE);
    }
    held.next_proof = now.checked_add(pause).unwrap_or(now);
}

fn record_cleared(work: &mut Work, attachment: &Attachment, now: Timestamp) {
    if let Attachment::Key(id) = attachment {
        if let Some(held) = work.held.take_if(|h| h.id == *id)
            && held.overdue(now)
        {
            work.failure = Some(Verdict::new(
                Reason::KeyNotProven,
                format!("AWS did not accept the new key {id} in time; it was deleted"),
            ));
        }
        if let KeysFact::Known(keys) = &mut work.keys {
            keys.retain(|k| k != id);
        }
    }
    work.cleared.insert(attachment.clone());
}

/// What was on the user went with it: another of its name has nothing.
fn record_gone(work: &mut Work) {
    work.user = UserFact::Gone;
    work.granted.clear();
    work.cleared.clear();
    work.inventory = None;
    work.held = None;
    work.keys = KeysFact::Known(Vec::new());
}
