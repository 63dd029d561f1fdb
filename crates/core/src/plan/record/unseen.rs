//! What a denial teaches that speaks of a user without a path.
//!
//! IAM authorises a call on the user's ARN, and the path in it comes from the
//! user itself. Of one that is not there it knows the name alone, which no
//! policy that is confined to a path allows: it answers "access denied" where
//! it would say "no such user" to somebody with more rights. So this denial is
//! no question of rights, and waiting for rights would never end.

use jiff::Timestamp;

use super::Stall;
use crate::plan::adopted::Adoptee;
use crate::plan::effect::{Effect, Fault, FaultClass, Outcome, Owner};
use crate::plan::faults;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::standing::Standing;
use crate::plan::view::View;
use crate::plan::work::SETTLE;

impl View {
    /// A user that IAM should have heard of by now is gone; before that its
    /// readers lag, and it is asked again.
    pub(super) fn record_unseen(
        &mut self,
        effect: &Effect,
        fault: Fault,
        now: Timestamp,
    ) -> Result<(), Stall> {
        let user = match effect {
            Effect::FindUser(user) => user.clone(),
            _ => self
                .intent()
                .map(|i| i.user_name.clone())
                .unwrap_or_default(),
        };
        // About whom we did not ask it says nothing.
        if !faults::is_about(&fault, &user) {
            let class = FaultClass::AccessDenied;
            return self.record_fault(effect, Fault { class, ..fault }, now);
        }
        if now < self.visible_from(effect) {
            let message = format!("IAM does not know user {user} yet: {}", fault.message);
            if self.gone {
                return Err(Stall(fault));
            }
            self.work.failure = Some(Verdict::new(Reason::AwsUnavailable, message));
            return Ok(());
        }
        match effect {
            Effect::FindUser(_) => {
                self.record_success(effect, Outcome::Adoptee(Adoptee::Missing), now);
            }
            Effect::InspectUser => {
                self.record_success(effect, Outcome::User(Owner::Nobody), now);
            }
            // One that is gone is not out of service; others find that out.
            Effect::ReadStanding => {
                self.record_success(effect, Outcome::Standing(Standing::Good), now);
            }
            Effect::TakeInventory => self.record_success(effect, Outcome::Inventory(None), now),
            Effect::ListKeys => self.record_success(effect, Outcome::Keys(Vec::new()), now),
            _ => {
                let class = FaultClass::NotFound;
                let message = format!("The user with name {user} cannot be found.");
                return self.record_fault(effect, Fault { class, message }, now);
            }
        }
        Ok(())
    }

    /// From when on IAM's readers know the user, if there is one: some time
    /// after it was made, or after a former process may have made it. That of a
    /// lease was made before the lease began, and before this process took the
    /// request up, should a clock that was ahead have dated the lease; a static one
    /// was always there.
    fn visible_from(&self, effect: &Effect) -> Timestamp {
        if matches!(effect, Effect::FindUser(_)) || self.has_static_user() {
            return Timestamp::MIN;
        }
        let since = match (self.work.made, self.live()) {
            (Some(made), _) => made,
            (None, Some(live)) => live.lease.issued_at.0.min(self.work.started),
            (None, None) => self.work.started,
        };
        since.checked_add(SETTLE).unwrap_or(since)
    }
}
