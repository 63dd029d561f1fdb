//! What the status says of workloads that were to be rolled for a new key.

use super::draft::{Draft, announce};
use crate::plan::effect::{FaultClass, HeldBack};
use crate::plan::reasons::Reason;
use crate::plan::work::{Obstacle, Roll};
use keylease_api::Restart;

/// Each workload, in the status; and each that does not roll, as an event of its
/// own: its pods keep a key that ends.
pub(super) fn tell(draft: &mut Draft) {
    let rolls = &draft.view.work.rolls;
    draft.status.restarts = rolls.iter().map(restart).collect();
    let end = draft.status.previous.as_ref().map(|p| p.remove_at.0);
    let until = match end {
        Some(end) => format!("its pods keep the key before until {end}, when it is deleted"),
        None => "the key before is gone or ends with its lease".to_owned(),
    };
    for restart in draft.status.restarts.iter().filter(|r| !r.rolled) {
        let message = format!(
            "{:?} {} does not roll: {}; {until}",
            restart.kind,
            restart.name,
            restart.message.as_deref().unwrap_or_default(),
        );
        let warning = announce(Reason::WorkloadNotRolled, &message, true);
        draft.warnings.push(warning);
    }
}

fn restart(roll: &Roll) -> Restart {
    let (reason, message) = match &roll.obstacle {
        None => ("Rolled", None),
        Some(Obstacle::HeldBack(why)) => held_back(*why),
        Some(Obstacle::Failed(fault)) => {
            let (reason, hint) = match fault.class {
                FaultClass::NotFound => ("NotFound", "; correct spec.restart"),
                FaultClass::AccessDenied => (
                    "Forbidden",
                    "; allow the operator to patch it, or take it out of spec.restart",
                ),
                FaultClass::Refused => ("Refused", ""),
                _ => ("Unavailable", ""),
            };
            let text = fault.message.trim_end_matches('.');
            (reason, Some(format!("{text}{hint}")))
        }
    };
    Restart {
        kind: roll.workload.kind,
        name: roll.workload.name.clone(),
        rolled: roll.obstacle.is_none(),
        reason: reason.to_owned(),
        message,
    }
}

fn held_back(why: HeldBack) -> (&'static str, Option<String>) {
    let (reason, message) = match why {
        HeldBack::Paused => ("Paused", "its rollout is paused; resume it"),
        HeldBack::OnDelete => (
            "OnDelete",
            "its update strategy is OnDelete; delete its pods, or choose RollingUpdate",
        ),
        HeldBack::Partitioned => (
            "Partitioned",
            "its update strategy has a partition, and only pods above it are replaced",
        ),
    };
    (reason, Some(message.to_owned()))
}
