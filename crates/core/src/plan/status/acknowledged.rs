//! What the status says of an edit that changes nothing now.

use jiff::Timestamp;

use super::draft::Draft;
use crate::plan::effect::Effect;
use crate::plan::reasons::Reason;
use crate::plan::view::View;
use keylease_api::{ConditionType, Phase, get_condition};

/// Whether the status speaks of the spec as it is. Whoever waits for an edit goes
/// by it, also where that counts for the next key only, or for nothing any more.
pub(in crate::plan) fn is_acknowledged(view: &View) -> bool {
    let status = view.request.status.as_ref();
    status.and_then(|s| s.observed_generation) == view.request.metadata.generation
}

/// The spec was edited, and what the status says stays true. `None` where it
/// speaks of that spec already.
pub(in crate::plan) fn acknowledged(view: &View, now: Timestamp) -> Option<Effect> {
    Draft::keeping_phase(view, now).report_quietly()
}

/// The same after an end that was asked for: there is nothing that could be ready,
/// as the status of a version before this one says.
pub(in crate::plan) fn acknowledged_at_the_end(view: &View, now: Timestamp) -> Option<Effect> {
    let draft = Draft::keeping_phase(view, now);
    draft.without(ConditionType::Ready).report_quietly()
}

/// What stood in the way of a first key, without AWS having been asked, does not
/// any more. Told only to take back that a person has to act; what else there is
/// to tell comes with the key. AWS's own refusals stay told while it is asked
/// again.
pub(in crate::plan) fn moves_again(view: &View, now: Timestamp) -> Option<Effect> {
    let status = view.request.status.as_ref()?;
    get_condition(&status.conditions, ConditionType::Stalled)?;
    if status.failure_count() > 0 {
        return None;
    }
    let draft = Draft::of(view, Phase::Issuing, now);
    let draft = draft.not_ready(Reason::Issuing, "a credential is being made");
    Some(draft.report(None))
}
