//! What the status says of a key that is due for a lease in force.

use jiff::Timestamp;

use super::draft::Draft;
use crate::plan::effect::Effect;
use crate::plan::reasons::Reason;
use crate::plan::view::View;
use keylease_api::{ConditionType, Phase, get_condition};

/// What the status tells of a key that cannot be made, or is being made, without
/// the words that [`Draft::no_new_key`] puts before it.
pub(in crate::plan) fn rotation_told(view: &View) -> Option<&str> {
    let status = view.request.status.as_ref()?;
    let told = get_condition(&status.conditions, ConditionType::Rotating)?;
    let message = told.message.strip_prefix("no new key: ");
    Some(message.unwrap_or(&told.message))
}

/// No key is due any more, and the Secret holds the present one. `None` when the
/// status says nothing else.
pub(in crate::plan) fn settled(view: &View, now: Timestamp) -> Option<Effect> {
    rotation_told(view)?;
    let draft = Draft::of(view, Phase::Ready, now).without(ConditionType::Rotating);
    let conditions = &draft.status.conditions;
    let usable = get_condition(conditions, ConditionType::Usable);
    let mut draft = match usable.is_some_and(|c| c.status == "True") {
        true => draft,
        false => draft.set(
            ConditionType::Usable,
            true,
            Reason::Issued,
            "the Secret holds the key",
        ),
    };
    draft.clear_failures();
    Some(draft.report(None))
}
