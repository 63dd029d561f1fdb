//! What the status says of a key that was taken out of service in AWS.

use jiff::Timestamp;

use super::draft::{Draft, announce};
use crate::plan::effect::Effect;
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::view::View;
use keylease_api::{ConditionType, Phase, get_condition};

/// Whether the status says that the key is out of service.
pub(in crate::plan) fn is_suspended(view: &View) -> bool {
    let status = view.request.status.as_ref();
    status.is_some_and(|s| get_condition(&s.conditions, ConditionType::Suspended).is_some())
}

/// Somebody took the key out of service. `None` when the status says so.
pub(in crate::plan) fn suspended(view: &View, verdict: &Verdict, now: Timestamp) -> Option<Effect> {
    let Verdict { reason, message } = verdict;
    let draft = Draft::of(view, view.phase().unwrap_or(Phase::Ready), now)
        .not_ready(*reason, message)
        .set(ConditionType::Suspended, true, *reason, message);
    draft.report_news(announce(*reason, message, true))
}

/// The key is in service again. `None` where nothing else was said.
pub(in crate::plan) fn reinstated(view: &View, now: Timestamp) -> Option<Effect> {
    if !is_suspended(view) {
        return None;
    }
    let reason = Reason::Reinstated;
    let message = "the key is active and its IAM user is in no quarantine any more";
    let draft = Draft::of(view, view.phase().unwrap_or(Phase::Ready), now)
        .without(ConditionType::Suspended)
        .set(ConditionType::Ready, true, reason, message)
        .set(ConditionType::Usable, true, reason, message);
    Some(draft.report(Some(announce(reason, message, false))))
}
