//! What a failure teaches.

use jiff::Timestamp;

use super::Stall;
use super::user::{cleared, removed};
use crate::plan::effect::{Effect, Fault, FaultClass};
use crate::plan::faults;
use crate::plan::secret::SecretView;
use crate::plan::view::{RoleView, Seen, View};
use crate::plan::work::{KeysFact, SecretGate, UserFact, Work};

/// How often a call is made again that AWS throttled. It took no effect, and
/// waits for its turn at a lower rate; only a request that has no luck again
/// and again is worth a word in its status, and a pause.
const THROTTLED_AGAIN: u32 = 3;

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
                cleared(work, attachment, now);
            }
            (Effect::DeleteUser, FaultClass::NotFound) => removed(work),
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
        match faults::judge(effect, &fault) {
            faults::Judgement::Retry(verdict) => work.failure = Some(verdict),
            faults::Judgement::TakeBack(verdict) => work.abandon = Some(verdict),
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
