//! What the account's status says of the last sweep.

use jiff::Timestamp;

use super::guard::{APPROVAL_ANNOTATION, Guard};
use crate::plan::lease::truncate;
use crate::plan::reasons::{Reason, Verdict};
use keylease_api::{AwsAccountStatus, ConditionType, SweepHalt, set_condition};

/// Whether there was a credential report to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportState {
    /// There was.
    Read,
    /// There was not; the text says why.
    Missing(String),
}

/// What a sweep came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The halt to show, if there is one.
    pub halt: Option<SweepHalt>,
    /// How it stands.
    pub verdict: Verdict,
}

/// What to tell of a sweep that went through. Nothing in it changes from one
/// sweep to the next if nothing else does.
pub fn of_sweep(guard: &Guard, failed: &[String], report: &ReportState, account: &str) -> Told {
    let halt = guard.halt().cloned();
    let verdict = match (guard, failed.first(), report) {
        (Guard::Halted(halt), _, _) => Verdict::new(Reason::SweepHalted, halted(halt, account)),
        (_, Some(first), _) => Verdict::new(
            Reason::SweepIncomplete,
            format!(
                "{} IAM users without a request could not be removed yet, and are tried again: {first}",
                failed.len()
            ),
        ),
        (_, None, ReportState::Missing(why)) => Verdict::new(
            Reason::SweptWithoutReport,
            format!(
                "every IAM user belongs to a request; whether each has just its own key is not \
                 known, for want of the credential report: {why}"
            ),
        ),
        (_, None, ReportState::Read) => {
            Verdict::new(Reason::Swept, "every IAM user belongs to a request")
        }
    };
    // What was removed may have been the whole halt.
    let halt = halt.filter(|_| guard.halts() || !failed.is_empty());
    Told { halt, verdict }
}

fn halted(halt: &SweepHalt, account: &str) -> String {
    let SweepHalt {
        since,
        orphans,
        users,
        proceeds_at,
    } = halt;
    format!(
        "{orphans} of {users} IAM users belong to no request, more than is plausible, so none of \
         them is removed. Look with `keylease sweep --dry-run --account {account}`. If they may \
         go: kubectl annotate --overwrite awsaccount {account} {APPROVAL_ANNOTATION}={}. Without a \
         word from you they go at {}",
        since.0, proceeds_at.0
    )
}

/// What to tell of a sweep that could not be made. A halt stays what it is.
pub fn of_failure(why: &str, status: Option<&AwsAccountStatus>) -> Told {
    Told {
        halt: status.and_then(|s| s.sweep_halt.clone()),
        verdict: Verdict::new(
            Reason::SweepFailed,
            format!("the account could not be swept, and is tried again: {why}"),
        ),
    }
}

/// Puts it into the status.
pub fn tell(status: &mut AwsAccountStatus, told: &Told, generation: Option<i64>, now: Timestamp) {
    status.sweep_halt.clone_from(&told.halt);
    set_condition(
        &mut status.conditions,
        ConditionType::Swept,
        matches!(
            told.verdict.reason,
            Reason::Swept | Reason::SweptWithoutReport
        ),
        told.verdict.reason.as_str(),
        &told.verdict.message,
        generation,
        truncate(now),
    );
}
