//! How many orphans can be believed. What is wrong with a list is rarely wrong
//! by one: a sweep that would remove an implausible share of all users stops,
//! says so, and waits for a person or for the end of its patience.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::lease::truncate;
use keylease_api::{AwsAccount, SweepHalt};

/// Annotation on the `AwsAccount` by which a person lets a halted sweep go on.
/// Its value is `status.sweepHalt.since`: it says yes to this halt and to no
/// later one.
pub const APPROVAL_ANNOTATION: &str = "keylease.dev/sweep-approved";
/// Orphans that are always believed, unless there is no request at all: what a
/// crash or two leave behind.
const ALWAYS: usize = 10;
/// Above that, one in so many listed users is.
const SHARE: usize = 5;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Users that no request accounts for.
    pub orphans: usize,
    /// Users under our path.
    pub users: usize,
    /// Requests in the cluster.
    pub requests: usize,
}

/// Somebody's consent to an implausible number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// To the halt that began then.
    Halt(Timestamp),
    /// To so many orphans, in this one sweep.
    Count(usize),
}

/// Whether the orphans may be removed.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// Their number is plausible.
    Plausible,
    /// It is not; but a person approved, or nobody objected for long enough.
    Overruled(SweepHalt),
    /// It is not: nothing is removed.
    Halted(SweepHalt),
}

impl Guard {
    /// Whether nothing may be removed.
    pub fn halts(&self) -> bool {
        matches!(self, Self::Halted(_))
    }

    /// What the account's status shows as long as the number is implausible.
    pub fn halt(&self) -> Option<&SweepHalt> {
        match self {
            Self::Plausible => None,
            Self::Overruled(halt) | Self::Halted(halt) => Some(halt),
        }
    }
}

impl Approval {
    /// The approval on an account, if it can be read.
    pub fn on(account: &AwsAccount) -> Option<Self> {
        let annotations = account.metadata.annotations.as_ref()?;
        let since = annotations.get(APPROVAL_ANNOTATION)?.parse().ok()?;
        Some(Self::Halt(since))
    }
}

/// Judges a number of orphans.
///
/// A halt lasts as long as the number stays implausible; one that grows by more
/// than is ever believed begins anew, so that neither an approval nor patience
/// with a few covers many.
pub fn judge(
    count: Count,
    before: Option<&SweepHalt>,
    approval: Option<Approval>,
    patience: SignedDuration,
    now: Timestamp,
) -> Guard {
    let Count {
        orphans,
        users,
        requests,
    } = count;
    let allowance = ALWAYS.max(users / SHARE);
    // No request at all is what an empty or broken API server would say.
    let plausible = orphans == 0 || (orphans <= allowance && requests > 0);
    if plausible {
        return Guard::Plausible;
    }
    let grown = |halt: &&SweepHalt| {
        let before = usize::try_from(halt.orphans).unwrap_or(0);
        orphans <= before.saturating_add(allowance)
    };
    let same = before.filter(grown);
    // A time that lies ahead was written by a clock that was wrong.
    let told = same.map_or(now, |halt| halt.since.0);
    let since = truncate(told.min(now));
    let proceeds = since.checked_add(patience).unwrap_or(Timestamp::MAX);
    let halt = SweepHalt {
        since: Time(since),
        orphans: same.map_or_else(|| number(orphans), |halt| halt.orphans),
        users: same.map_or_else(|| number(users), |halt| halt.users),
        proceeds_at: Time(proceeds),
    };
    let approved = match approval {
        Some(Approval::Halt(approved)) => same.is_some() && approved == since,
        Some(Approval::Count(most)) => orphans <= most,
        None => false,
    };
    if approved || (same.is_some() && now >= proceeds) {
        Guard::Overruled(halt)
    } else {
        Guard::Halted(halt)
    }
}

fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
