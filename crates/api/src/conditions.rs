//! Conditions in the standard shape, with the transition time kept honest.

use jiff::Timestamp;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::text::one_line;

/// The condition types in use. `Ready` is on every kind; the others tell how
/// far a credential has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// The object does what it is there for. Absent from a request whose lease
    /// ended as asked.
    Ready,
    /// `Ready` is false until a person changes something. Only there while it is
    /// so.
    Stalled,
    /// AWS holds a credential for this request.
    Issued,
    /// The credential was proven to work and the Secret holds it.
    Usable,
    /// AWS no longer holds a credential for this request.
    Revoked,
    /// Another key is due: true while it is being made, false where it cannot be,
    /// and the lease in force runs on to its end. Absent while none is due.
    Rotating,
    /// Others wrote to the Secret, and what they wrote is left so. Only there
    /// while it is so.
    SecretModified,
    /// The credential was taken out of service in AWS, not by the operator. Only
    /// there while it is so.
    Suspended,
    /// The operator's own access key is replaced on time.
    RootRotation,
    /// Every IAM user of ours in the account belongs to a request.
    Swept,
    /// No other cluster uses this cluster's id in the AWS account.
    Unique,
}

impl ConditionType {
    /// The name in `status.conditions[].type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Stalled => "Stalled",
            Self::Issued => "Issued",
            Self::Usable => "Usable",
            Self::Revoked => "Revoked",
            Self::Rotating => "Rotating",
            Self::SecretModified => "SecretModified",
            Self::Suspended => "Suspended",
            Self::RootRotation => "RootRotation",
            Self::Swept => "Swept",
            Self::Unique => "Unique",
        }
    }
}

/// Longest condition message that is written, in characters. The API server
/// takes 32,768 bytes; a message is for a person, and AWS may answer at length.
const MAX_MESSAGE: usize = 1024;

/// Sets one condition. `lastTransitionTime` moves only when the status does,
/// so writing the same thing twice leaves the object as it is.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: ConditionType,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let status = if status { "True" } else { "False" };
    let message: String = one_line(message).chars().take(MAX_MESSAGE).collect();
    let found = conditions.iter_mut().find(|c| c.type_ == kind.as_str());
    match found {
        Some(old) => {
            if old.status != status {
                old.last_transition_time = Time(now);
            }
            old.status = status.to_owned();
            old.reason = reason.to_owned();
            old.message = message;
            old.observed_generation = generation;
        }
        None => conditions.push(Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: generation,
            last_transition_time: Time(now),
        }),
    }
}

/// Sets or takes away `Stalled` for what `Ready` says just now: it is there, with
/// the same words, beside a `Ready` that is false until a person acts.
pub fn set_stalled(conditions: &mut Vec<Condition>, needs_a_person: bool, now: Timestamp) {
    let kind = ConditionType::Stalled;
    let ready = get_condition(conditions, ConditionType::Ready);
    let told = ready.filter(|c| needs_a_person && c.status == "False");
    match told.cloned() {
        Some(ready) => set_condition(
            conditions,
            kind,
            true,
            &ready.reason,
            &ready.message,
            ready.observed_generation,
            now,
        ),
        None => conditions.retain(|c| c.type_ != kind.as_str()),
    }
}

/// The condition of that type, if it was ever set.
pub fn get_condition(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let mut all = Vec::new();
        set_condition(
            &mut all,
            ConditionType::Ready,
            false,
            "A",
            "",
            Some(1),
            at(1),
        );
        set_condition(
            &mut all,
            ConditionType::Ready,
            false,
            "B",
            "",
            Some(1),
            at(2),
        );
        assert_eq!(all[0].last_transition_time, Time(at(1)));
        assert_eq!(all[0].reason, "B");
        set_condition(
            &mut all,
            ConditionType::Ready,
            true,
            "C",
            "",
            Some(1),
            at(3),
        );
        assert_eq!(all[0].last_transition_time, Time(at(3)));
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn stalled_is_there_only_beside_a_ready_that_is_false_until_a_person_acts() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let ready = ConditionType::Ready;
        let stalled = |all: &[Condition]| {
            let found = get_condition(all, ConditionType::Stalled)?;
            assert_eq!(found.status, "True");
            Some((found.reason.clone(), found.last_transition_time.0))
        };
        let mut all = Vec::new();
        set_stalled(&mut all, true, at(0));
        assert!(all.is_empty(), "without Ready there is nothing to say");
        set_condition(&mut all, ready, false, "A", "", Some(1), at(1));
        set_stalled(&mut all, true, at(1));
        assert_eq!(stalled(&all), Some(("A".to_owned(), at(1))));
        set_condition(&mut all, ready, false, "B", "", Some(1), at(2));
        set_stalled(&mut all, true, at(2));
        assert_eq!(stalled(&all), Some(("B".to_owned(), at(1))));
        let before = all.clone();
        set_stalled(&mut all, true, at(3));
        assert_eq!(all, before, "said twice, it is the same");
        set_stalled(&mut all, false, at(4));
        assert_eq!(stalled(&all), None);
        set_condition(&mut all, ready, true, "C", "", Some(1), at(5));
        set_stalled(&mut all, true, at(5));
        assert_eq!(stalled(&all), None);
    }
}
