//! Deliberate mistakes. A simulation that does not find them finds nothing.

use crate::plan::effect::{Effect, Fault, FaultClass, Outcome, Owner};
use crate::plan::view::{Seen, View};
use crate::plan::work::{KeysFact, UserFact};

/// What a bad operator would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// After a `CreateAccessKey` without an answer, make another at once
    /// instead of listing first.
    CreateAgain,
    /// Give up a user that could not be removed, and drop the finalizer.
    LetGo,
    /// Send calls without asking whether we still lead, and do not end when we
    /// do not.
    LeadForEver,
    /// Take what the cache says of a request for the truth.
    BelieveCache,
    /// Deliver a key that AWS was not seen to accept.
    SkipProof,
    /// Adopt a user that a former process made as if nothing were on it.
    ForgetKeys,
}

impl Flaw {
    pub const ALL: [Self; 6] = [
        Self::CreateAgain,
        Self::LetGo,
        Self::LeadForEver,
        Self::BelieveCache,
        Self::SkipProof,
        Self::ForgetKeys,
    ];

    /// Spoils a view before a reconciliation begins.
    pub fn spoil_start(self, view: &mut View) {
        if self == Self::BelieveCache {
            view.seen = Seen::Direct;
        }
    }

    /// Spoils what was learned from an outcome.
    pub fn spoil_facts(self, view: &mut View, effect: &Effect, outcome: &Outcome) {
        let work = &mut view.work;
        let failed = match outcome {
            Outcome::Failed(Fault { class, .. }) => Some(*class),
            _ => None,
        };
        match (self, effect, failed, outcome) {
            (Self::CreateAgain, Effect::CreateKey, Some(FaultClass::NoAnswer), _) => {
                work.keys = KeysFact::Known(Vec::new());
            }
            (Self::LetGo, Effect::Clear(_) | Effect::DeleteUser, Some(_), _) => {
                work.user = UserFact::Gone;
                work.held = None;
                work.failure = None;
            }
            (Self::SkipProof, Effect::CreateKey, None, _) => {
                work.held.iter_mut().for_each(|held| held.proven = true);
            }
            (Self::ForgetKeys, Effect::InspectUser, _, Outcome::User(Owner::Ours)) => {
                work.keys = KeysFact::Known(Vec::new());
            }
            _ => {}
        }
    }
}
