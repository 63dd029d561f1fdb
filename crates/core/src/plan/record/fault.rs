//! What a failure teaches.

use jiff::Timestamp;

use super::Stall;
use super::user::{cleared, removed};
use crate::plan::effect::{Effect, Fault, FaultClass};
use crate::plan::faults;
use crate::plan::secret::SecretView;
use crate::plan::view::{RoleView, Seen, View};
use crate::plan::work::{KeysFact, Obstacle, Roll, SecretGate, UserFact, Work};

/// How often a roll is tried that the API server does not serve, a second or two
/// apart: then the new lease is told of without it.
const ROLL_TRIES: u32 = 4;
/// How often a call is made again that AWS throttled. It took no effect, and
/// waits for its turn at a lower rate; only a request that has no luck again
/// and again is worth a word in its status, and a pause.
const THROTTLED_AGAIN: u32 = 3;

/// How often a workload is tried to be rolled: once, if the API server did not
/// serve the roll of another so often already.
fn patience(rolls: &[Roll]) -> u32 {
    let unserved = |roll: &Roll| match &roll.obstacle {
        Some(Obstacle::Failed(fault)) => fault.class.may_pass(),
        _ => false,
    };
    if rolls.iter().any(unserved) {
        1
    } else {
        ROLL_TRIES
    }
}

impl View {
    pub(super) fn record_fault(
        &mut self,
        effect: &Effect,
        fault: Fault,
        now: Timestamp,
    ) -> Result<(), Stall> {
        self.record_offer(effect, Some(fault.class));
        let work = &mut self.work;
        match (effect, fault.class) {
            // Nobody's fault: no failure is counted, no pause taken.
            (_, FaultClass::Unsent) => return Err(Stall(fault)),
            (effect, FaultClass::Throttled)
                if !effect.on_kubernetes() && work.throttled < THROTTLED_AGAIN =>
            {
                work.throttled += 1;
                feared(work, effect, now);
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
            // A workload that is not there, that we may not roll, or that a webhook
            // keeps from us, must not hold up the lease; the status tells.
            (Effect::Restart(workload, _), class) if class != FaultClass::NotLeading => {
                work.roll_tries += 1;
                if class.may_pass() && work.roll_tries < patience(&work.rolls) {
                    return self.record_failure(effect, fault, now);
                }
                work.roll_tries = 0;
                work.stalls = 0;
                work.rolls.push(Roll {
                    workload: workload.clone(),
                    obstacle: Some(Obstacle::Failed(fault)),
                });
            }
            (Effect::CreateUser, FaultClass::AlreadyExists) => {
                work.began = false;
                work.user = UserFact::Taken;
            }
            (Effect::Clear(attachment), FaultClass::NotFound) => {
                cleared(work, attachment, now);
            }
            (Effect::DeleteUser, FaultClass::NotFound) => removed(work),
            // Something is on it that we do not know of: look.
            (Effect::DeleteUser, FaultClass::DeleteConflict) if work.inventory.is_none() => {
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
        let live = self.live().is_some();
        let work = &mut self.work;
        match (effect, fault.class) {
            // Without an answer the Secret may be there: look, and see.
            (Effect::PublishSecret(_), FaultClass::NoAnswer) => {
                work.secret = SecretGate::MustLook;
                self.secret = SecretView::Unread;
            }
            // The next attempt asks first, before there is another key.
            (Effect::PublishSecret(_), class) if faults::is_secret_refusal(effect, class) => {
                work.secret = SecretGate::Unchecked;
                self.secret = SecretView::Unread;
            }
            // All that was found is gone, and AWS says that there is more: its
            // readers lag, and are asked again when they have settled.
            (Effect::DeleteUser, FaultClass::DeleteConflict) => {
                work.inventory = None;
                work.user = UserFact::Taken;
                work.started = now;
            }
            // Somebody else made keys: find them and remove them.
            (Effect::CreateKey, FaultClass::QuotaExceeded) => work.keys = KeysFact::Unlisted,
            _ if faults::misses_user(effect, &fault) => {
                work.user = UserFact::Unknown;
                work.granted.clear();
            }
            (effect, class) if !class.was_not_sent() => feared(work, effect, now),
            _ => {}
        }
        // What is gone has no status to count its failures in.
        let uncounted = effect.on_kubernetes() || self.gone;
        if uncounted && !faults::is_secret_refusal(effect, fault.class) {
            work.stalls = work.stalls.saturating_add(1);
            return Err(Stall(fault));
        }
        // No room for a key, on a user whose keys were listed: it will fail again.
        let full = matches!(effect, Effect::CreateKey)
            && fault.class == FaultClass::QuotaExceeded
            && live
            && work.listed;
        match faults::judge(effect, &fault) {
            faults::Judgement::Retry(verdict) if !full => work.failure = Some(verdict),
            faults::Judgement::Retry(verdict) | faults::Judgement::TakeBack(verdict) => {
                work.abandon = Some(verdict);
            }
        }
        Ok(())
    }
}

/// AWS may have made what it says that it did not: a lost answer may have been
/// a yes, and a refusal may have come after the deed. What this process knew of
/// the user by its own doing it has to look at from now on.
fn feared(work: &mut Work, effect: &Effect, now: Timestamp) {
    match effect {
        Effect::CreateUser => {
            work.began = false;
            work.user = UserFact::Unknown;
            work.started = now;
        }
        Effect::Grant(permission) => {
            work.granted.insert(permission.clone(), false);
        }
        Effect::CreateKey => work.keys = KeysFact::Uncertain(now),
        _ => {}
    }
}
