//! Deliberate mistakes. A simulation that does not find them finds nothing.

use std::sync::Arc;

use jiff::Timestamp;

use super::cluster::Cluster;
use crate::plan::Step;
use crate::plan::effect::{Attachment, Effect, Fault, FaultClass, Outcome, Owner};
use crate::plan::ending::{self, Ending};
use crate::plan::intent::Permission;
use crate::plan::live::ROTATE_ANNOTATION;
use crate::plan::observed::Observed;
use crate::plan::stage::Live;
use crate::plan::view::{RoleView, Seen, View};
use crate::plan::work::{KeysFact, UserFact};
use keylease_api::AwsCredentialRequest;

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
    /// Serve nobody while there is a request that cannot be read.
    StopAtUnreadable,
    /// Follow a role's name to wherever a URL leads.
    TakeAnyName,
    /// Take a denial for a question of rights, whoever it speaks of.
    BelieveDenials,
    /// Take everything down when the next key of a lease is refused.
    RefusalEnds,
    /// Rotate when somebody asked for it, and not in time besides.
    WishInstead,
    /// Renew without asking whom the role lets in.
    RenewUnasked,
    /// Wait out a failure that lies ahead.
    AwaitFailure,
    /// Delete a user again at once when AWS says that something is on it.
    DeleteAgain,
    /// Roll the workload, however often, before the status tells of the new key.
    RollFirst,
    /// Believe that a permission stays which an attempt took off.
    ForgetRemoval,
}

impl Flaw {
    pub const ALL: [Self; 16] = [
        Self::CreateAgain,
        Self::LetGo,
        Self::LeadForEver,
        Self::BelieveCache,
        Self::SkipProof,
        Self::ForgetKeys,
        Self::StopAtUnreadable,
        Self::TakeAnyName,
        Self::BelieveDenials,
        Self::RefusalEnds,
        Self::WishInstead,
        Self::RenewUnasked,
        Self::AwaitFailure,
        Self::DeleteAgain,
        Self::RollFirst,
        Self::ForgetRemoval,
    ];

    /// Spoils a view before a reconciliation begins.
    pub fn spoil_start(self, view: &mut View) {
        if self == Self::BelieveCache {
            view.seen = Seen::Direct;
        }
    }

    /// Whether nothing goes on at all.
    pub fn stops(self, cluster: &Cluster) -> bool {
        let mut all = cluster.requests.values().filter_map(|past| past.now());
        self == Self::StopAtUnreadable && all.any(|r| !r.spec.unreadable.is_empty())
    }

    /// Spoils what a decision is to rest on.
    pub fn spoil_view(self, view: &mut View) {
        match (self, &mut view.role) {
            (Self::TakeAnyName, _) => {
                let mut request = AwsCredentialRequest::clone(&view.request);
                let name = &mut request.spec.role_ref.name;
                if let Some(real) = name.strip_suffix('/').map(str::to_owned) {
                    *name = real;
                    view.request = Observed::new(Arc::new(request), &view.cluster);
                }
            }
            (Self::RenewUnasked, RoleView::Found(role)) => {
                let all = crate::plan::tests::role().spec.allowed_namespaces;
                Arc::make_mut(role).spec.allowed_namespaces = all;
            }
            _ => {}
        }
    }

    /// Spoils a decision.
    pub fn spoil_step(self, view: &View, step: Step, now: Timestamp) -> Step {
        let deleting = view.request.metadata.deletion_timestamp.is_some();
        let Some(Live { lease, .. }) = view.live().filter(|_| !deleting && !view.gone) else {
            return step;
        };
        match (self, &step) {
            (Self::RefusalEnds, _) if view.work.abandon.is_some() => {
                ending::next(view, Ending::Abandoned, now)
            }
            (Self::AwaitFailure, _) if now >= lease.expires_at.0 => {
                let status = view.request.status.as_ref();
                let failed = status.and_then(|s| s.last_failure_time.as_ref());
                match failed.filter(|failed| failed.0 > now) {
                    Some(failed) => Step::Wait(failed.0),
                    None => step,
                }
            }
            (Self::WishInstead, Step::Do(Effect::Begin(_))) => {
                let wish = view.request.metadata.annotations.as_ref();
                let wish = wish.and_then(|a| a.get(ROTATE_ANNOTATION)?.parse().ok());
                match wish.filter(|wish: &Timestamp| *wish > now) {
                    Some(wish) => Step::Wait(wish.min(lease.expires_at.0)),
                    None => step,
                }
            }
            _ => step,
        }
    }

    /// Spoils an answer.
    pub fn spoil_outcome(self, mut outcome: Outcome) -> Outcome {
        if let (Self::BelieveDenials, Outcome::Failed(fault)) = (self, &mut outcome)
            && fault.class == FaultClass::Unseen
        {
            fault.class = FaultClass::AccessDenied;
        }
        outcome
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
            (Self::DeleteAgain, Effect::DeleteUser, Some(FaultClass::DeleteConflict), _) => {
                work.user = UserFact::Ours;
                work.inventory = Some(Default::default());
                work.failure = None;
            }
            (Self::RollFirst, Effect::Restart(workload, _), Some(_), _) => {
                work.rolls.retain(|roll| roll.workload != *workload);
                work.roll_tries = 0;
            }
            (Self::ForgetRemoval, Effect::Clear(Attachment::ManagedPolicy(arn)), None, _) => {
                work.granted
                    .insert(Permission::ManagedPolicy(arn.clone()), true);
            }
            (Self::ForgetKeys, Effect::InspectUser, _, Outcome::User(Owner::Ours)) => {
                work.keys = KeysFact::Known(Vec::new());
            }
            _ => {}
        }
    }
}
