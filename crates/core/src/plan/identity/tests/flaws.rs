//! Deliberate mistakes. A world that does not find them finds nothing.

use jiff::{SignedDuration, Timestamp};

use crate::plan::identity::{Effect, Step, Then, View};

/// What a bad operator would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Ask nobody: whoever runs acts.
    AskNobody,
    /// Take a strange epoch for the cluster's own, instead of stopping.
    AdoptStrangers,
    /// Claim as soon as a knock is written.
    KnockAndEnter,
    /// Take no notice of a knock.
    HearNothing,
    /// Go on for as long as the marker cannot be looked at.
    TrustOldLooks,
}

impl Flaw {
    pub const ALL: [Self; 5] = [
        Self::AskNobody,
        Self::AdoptStrangers,
        Self::KnockAndEnter,
        Self::HearNothing,
        Self::TrustOldLooks,
    ];

    /// Spoils what a decision rests on.
    pub fn spoil_view(self, view: &mut View) {
        let marker = view.work.seen.as_ref().and_then(|seen| seen.marker.clone());
        match self {
            Self::AdoptStrangers if view.work.stop.take().is_some() => {
                let epoch = marker.and_then(|marker| marker.epoch);
                if let (Some(Some(record)), Some(epoch)) = (&mut view.record, epoch) {
                    record.epochs.push(epoch);
                }
            }
            Self::HearNothing => view.work.answered = marker.and_then(|marker| marker.knock),
            Self::TrustOldLooks if view.work.valid_until > Timestamp::MIN => {
                view.work.valid_until = Timestamp::MAX;
            }
            _ => {}
        }
    }

    /// Spoils a decision.
    pub fn spoil_step(self, step: Step) -> Step {
        match (self, step) {
            (Self::KnockAndEnter, Step::Do(Effect::Write(record, Some(Then::Knock { .. })))) => {
                let wait = SignedDuration::ZERO;
                Step::Do(Effect::Write(record, Some(Then::Knock { wait })))
            }
            (_, step) => step,
        }
    }
}
