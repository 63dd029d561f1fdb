//! How often, and how long, in the protocol of [`super`].

use jiff::SignedDuration;

/// Time from one advance of the epoch to the next. A copy of the cluster that
/// is older than this is told by its record alone, also while nobody answers.
pub(super) const ADVANCE: SignedDuration = SignedDuration::from_mins(5);
/// How long after another cluster was heard of last it counts as gone: three
/// times it has not said that it is there.
pub(super) const FORGET: SignedDuration = SignedDuration::from_mins(15);
/// Longest time between the look that a change of the marker rests on and that
/// change.
const FENCE: SignedDuration = SignedDuration::from_secs(2);

/// The two times that everything else follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often the marker is looked at.
    pub check: SignedDuration,
    /// How long IAM's readers may lag behind its writes.
    pub settle: SignedDuration,
}

impl Timing {
    /// How long one look is good for: whoever cannot look again stops in that
    /// time. Half a pause more than a pause, so that one slow answer is no stop.
    pub fn valid(&self) -> SignedDuration {
        self.check + self.check / 2
    }

    /// Longest time from a look to the change of the marker that rests on it.
    pub(super) fn fence(&self) -> SignedDuration {
        FENCE.min(self.settle)
    }

    /// How long a knock has to stand before nobody else can be at the same
    /// point: another's knock and another's claim would be seen by then.
    pub(super) fn quiet(&self) -> SignedDuration {
        self.settle * 2 + self.fence()
    }

    /// How long a knock has to stand before a holder that looks so rarely has
    /// answered it, or holds no more.
    pub(super) fn unanswered(&self, valid: SignedDuration) -> SignedDuration {
        self.valid().max(valid) + self.quiet()
    }
}
