//! What the status says of a Secret that others wrote to and that is left so.

use jiff::Timestamp;

use super::draft::{Draft, announce};
use crate::plan::effect::Effect;
use crate::plan::reasons::Reason;
use crate::plan::secret::SecretFacts;
use crate::plan::view::View;
use keylease_api::{ConditionType, get_condition};

/// The longest remark that is compared and written, in characters: conditions
/// are cut as well.
const MAX_REMARK: usize = 500;

impl Draft<'_> {
    /// The condition for this remark; none without one.
    pub(super) fn remark(self, remark: Option<&str>) -> Self {
        let kind = ConditionType::SecretModified;
        match remark {
            Some(remark) => {
                let message = sentence(self.view, remark);
                self.set(kind, true, Reason::SecretModified, &message)
            }
            None => self.without(kind),
        }
    }
}

/// Whether the status says just this of the Secret.
pub(in crate::plan) fn tells_remark(view: &View, remark: Option<&str>) -> bool {
    let status = view.request.status.as_ref();
    let told = status.and_then(|s| get_condition(&s.conditions, ConditionType::SecretModified));
    let wanted = remark.map(|remark| sentence(view, remark));
    told.map(|c| c.message.as_str()) == wanted.as_deref()
}

/// Others wrote to the Secret, or what they wrote is gone: told once. `None`
/// where the status says it already.
pub(in crate::plan) fn secret_remarked(
    view: &View,
    facts: &SecretFacts,
    now: Timestamp,
) -> Option<Effect> {
    let remark = facts.remark.as_deref();
    if tells_remark(view, remark) {
        return None;
    }
    let event = remark.map(|remark| {
        let message = sentence(view, remark);
        announce(Reason::SecretModified, &message, true)
    });
    let draft = Draft::of(view, view.phase()?, now).remark(remark);
    Some(draft.report(event))
}

fn sentence(view: &View, remark: &str) -> String {
    let text = format!("Secret {} {remark}", view.request.secret_name());
    text.chars().take(MAX_REMARK).collect()
}
