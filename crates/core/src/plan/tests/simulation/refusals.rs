//! What AWS and the API server refuse for a while: a policy of the organisation,
//! a right that the operator lost, a quota, an admission webhook.

use jiff::{SignedDuration, Timestamp};

use super::sim::Sim;
use crate::plan::effect::{Effect, Fault, FaultClass, Outcome};

/// One kind of call that is refused until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    effect: &'static str,
    class: FaultClass,
    /// It takes effect all the same.
    applied: bool,
    until: Timestamp,
}

/// What is refused in life, and how.
const ALL: [(&str, FaultClass); 26] = [
    ("create_user", FaultClass::AccessDenied),
    ("create_user", FaultClass::QuotaExceeded),
    ("grant", FaultClass::AccessDenied),
    ("grant", FaultClass::Refused),
    ("grant", FaultClass::NotFound),
    ("grant", FaultClass::QuotaExceeded),
    ("create_key", FaultClass::AccessDenied),
    ("create_key", FaultClass::Refused),
    ("create_key", FaultClass::QuotaExceeded),
    ("prove_key", FaultClass::AccessDenied),
    ("issue_session", FaultClass::AccessDenied),
    ("list_keys", FaultClass::AccessDenied),
    ("read_standing", FaultClass::AccessDenied),
    ("check_secret", FaultClass::Refused),
    ("check_secret", FaultClass::AccessDenied),
    ("publish_secret", FaultClass::Refused),
    ("publish_secret", FaultClass::AccessDenied),
    ("amend_secret", FaultClass::AccessDenied),
    ("restart_workload", FaultClass::NotFound),
    ("restart_workload", FaultClass::AccessDenied),
    ("restart_workload", FaultClass::Unavailable),
    // The ways down.
    ("clear", FaultClass::AccessDenied),
    ("delete_user", FaultClass::AccessDenied),
    ("take_inventory", FaultClass::AccessDenied),
    ("inspect_user", FaultClass::AccessDenied),
    ("delete_secret", FaultClass::AccessDenied),
];

/// Something is refused from now on.
pub(super) fn begin(sim: &mut Sim) {
    let (effect, class) = ALL[sim.rng.usize(..ALL.len())];
    let long = sim.rng.u8(..3) == 0;
    let pause = match long {
        true => sim.millis(600_000..=5_400_000),
        false => sim.millis(1_000..=600_000),
    };
    let changes = ["create_user", "grant", "create_key", "clear", "delete_user"];
    let applied = changes.contains(&effect) && sim.rng.u8(..3) == 0;
    let until = sim.now + pause;
    sim.tell(|| format!("{effect} is refused for {pause}: {class:?}, applied: {applied}"));
    sim.weather.refusal = Some(Refusal {
        effect,
        class,
        applied,
        until,
    });
}

impl Refusal {
    /// How this call is refused now, and whether it takes effect all the same.
    pub fn of(self, effect: &Effect, now: Timestamp) -> Option<(FaultClass, bool)> {
        let meets = self.effect == effect.name() && now < self.until;
        meets.then_some((self.class, self.applied))
    }
}

/// The answer to a call that is refused. Of a policy AWS says which.
pub(super) fn refused(effect: &Effect, class: FaultClass) -> Outcome {
    let message = match effect {
        Effect::Grant(permission) if class == FaultClass::NotFound => missing(permission),
        _ => format!("simulated {}", class.as_str()),
    };
    Outcome::Failed(Fault { class, message })
}

/// What AWS says of a policy that there is not.
pub(super) fn missing(permission: &crate::plan::intent::Permission) -> String {
    format!("NoSuchEntity: Policy {permission} does not exist or is not attachable.")
}

/// A share of an hour, for things that last.
pub(super) fn a_while(sim: &mut Sim) -> SignedDuration {
    match sim.rng.u8(..3) {
        0 => sim.millis(60_000..=3_600_000),
        _ => sim.millis(500..=120_000),
    }
}
