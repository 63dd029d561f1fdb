//! One orphan: looked at once more by itself, then taken down by the same steps
//! as any user whose request vanished.

use jiff::Timestamp;
use kube::Api;

use super::Sweeper;
use crate::audit;
use crate::aws::Session;
use crate::observe::find;
use keylease_api::AwsCredentialRequest;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::sweep::ListedUser;
use keylease_core::plan::sweep::census::Claim;
use keylease_core::plan::sweep::orphan;
use keylease_core::plan::{self, Step};

/// Steps that the removal of one user may take; a user with every quota used up
/// has about 60. One that gets no further is left to the next sweep.
const MAX_STEPS: usize = 200;

/// What came of an orphan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone now.
    Removed,
    /// It was gone already.
    Gone,
    /// Its request is there after all.
    Claimed,
    /// Its tags say that it is not ours, and why.
    NotOurs(String),
}

impl Sweeper {
    /// Removes one user that a sweep found to be an orphan.
    ///
    /// What the lists said is not enough: the user's own tags name the request,
    /// and that very request is asked for directly before the first change.
    ///
    /// # Errors
    /// The fault that it met; the next sweep finds the user again.
    pub async fn remove(&self, user: &ListedUser, session: &Session) -> Result<Removal, Fault> {
        let facts = match session.get_user(&user.name).await {
            // IAM has the name alone: the user went since it was listed.
            Err(fault) if fault.class == FaultClass::Unseen => None,
            answer => answer?,
        };
        let Some(facts) = facts else {
            return Ok(Removal::Gone);
        };
        let stand_in = orphan::stand_in(&user.name, &facts, &session.facts, &self.cluster);
        let request = match stand_in {
            Ok(request) => request,
            Err(why) => return Ok(Removal::NotOurs(why)),
        };
        if self.is_claimed(&request).await? {
            return Ok(Removal::Claimed);
        }
        let whose = request.clone();
        self.take_down(request, session).await?;
        audit::swept(&whose, &session.facts.account_id, &user.name);
        Ok(Removal::Removed)
    }

    /// Whether the request, asked for by name and compared by uid, accounts for
    /// its user.
    async fn is_claimed(&self, request: &AwsCredentialRequest) -> Result<bool, Fault> {
        let name = request.metadata.name.as_deref().unwrap_or_default();
        let namespace = request.namespace_name();
        let api = Api::namespaced(self.hands.client.clone(), namespace);
        let calls = &self.hands.calls;
        let found: Option<AwsCredentialRequest> = find(calls, "get_request", &api, name).await?;
        let same = found.filter(|found| found.metadata.uid == request.metadata.uid);
        Ok(same.is_some_and(|same| Claim::of(&same, &self.cluster).stands()))
    }

    async fn take_down(
        &self,
        request: AwsCredentialRequest,
        session: &Session,
    ) -> Result<(), Fault> {
        let now = Timestamp::now();
        let mut view = orphan::view(request, &session.facts, &self.cluster, now);
        for _ in 0..MAX_STEPS {
            let effect = match plan::next(&view, Timestamp::now()) {
                Step::Do(effect) => effect,
                Step::Rest => return Ok(()),
                Step::Look(_) | Step::TakeBack(_) | Step::Wait(_) => break,
            };
            // No key is ever made here.
            let mut key = None;
            let hands = &self.hands;
            let outcome = hands.perform(&effect, &view, Some(session), &mut key);
            let outcome = outcome.await;
            view.record(&effect, outcome, Timestamp::now())
                .map_err(|stall| stall.0)?;
            if let Some(failure) = &view.work.failure {
                return Err(unfinished(failure.message.clone()));
            }
        }
        Err(unfinished("its removal got no further".to_owned()))
    }
}

fn unfinished(message: String) -> Fault {
    Fault {
        class: FaultClass::Unavailable,
        message,
    }
}
