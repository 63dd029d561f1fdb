//! What an outcome teaches: the only place where facts change. Pure, like the
//! decisions that they lead to.

mod fault;
mod success;
mod unseen;
mod user;

use std::sync::Arc;

use jiff::Timestamp;

use super::effect::{Effect, Fault, FaultClass, Outcome};
use super::intent::has_finalizer;
use super::reasons::Verdict;
use super::secret::SecretView;
use super::stage::Stage;
use super::view::{Seen, View};
use super::work::{SecretGate, UserFact, Work};
use keylease_api::AwsCredentialRequest;

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
        let lost = self.secret != SecretView::Unread && !self.secret_is_shown();
        let at_rest = matches!(self.stage(), Stage::Active(_));
        let under_way = has_finalizer(&self.request) && (!at_rest || lost);
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
            Outcome::Failed(fault) if fault.class == FaultClass::Unseen => {
                self.record_unseen(effect, fault, now)
            }
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
        match found {
            Some(found) => self.observe(Arc::new(found)),
            None => {
                self.seen = Seen::Direct;
                self.gone = true;
            }
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
}
