//! `keylease sweep`, and the flags of the operator's own sweep.

use jiff::SignedDuration;

use crate::api::GoDuration;
use crate::plan::sweep::Limits;
use crate::plan::sweep::schedule::Schedule;

/// When the operator sweeps by itself.
#[derive(clap::Args)]
pub(super) struct SweepArgs {
    /// Time from one sweep of an AWS account to the next, give or take a tenth:
    /// IAM users that no request accounts for are removed, and keys deleted or
    /// added in AWS are noticed. Costs a call for each 1000 users and two for
    /// the credential report. 0 switches it off.
    #[arg(long, env = "KEYLEASE_SWEEP_INTERVAL", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    sweep_interval: SignedDuration,

    #[command(flatten)]
    limits: LimitArgs,
}

/// The bounds of a sweep.
#[derive(clap::Args)]
pub(super) struct LimitArgs {
    /// IAM users younger than this are left alone by a sweep.
    #[arg(long = "sweep-min-age", env = "KEYLEASE_SWEEP_MIN_AGE", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    min_age: SignedDuration,

    /// How long a sweep that finds implausibly many users without a request
    /// (more than 10 and more than a fifth, or any while there is no request at
    /// all) waits for a person before it removes them.
    #[arg(long = "sweep-patience", env = "KEYLEASE_SWEEP_PATIENCE", value_name = "DURATION", default_value = "24h", value_parser = duration)]
    patience: SignedDuration,
}

impl SweepArgs {
    /// The schedule; `None` where the sweep is switched off.
    pub fn schedule(&self) -> Option<Schedule> {
        self.sweep_interval.is_positive().then(|| Schedule {
            interval: self.sweep_interval,
            limits: self.limits.limits(),
        })
    }
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            min_age: self.min_age,
            patience: self.patience,
        }
    }
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = GoDuration::from(text).get().map_err(|e| e.to_string())?;
    if duration.is_negative() {
        return Err("a duration cannot be negative".to_owned());
    }
    Ok(duration)
}
