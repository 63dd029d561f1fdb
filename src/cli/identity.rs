//! The flags by which clusters with one id are told apart.

use jiff::SignedDuration;

use super::sweep::duration;
use crate::plan::identity::Timing;

/// How often the marker is looked at.
#[derive(clap::Args)]
pub(super) struct IdentityArgs {
    /// Time from one look at the marker of this cluster's id in AWS to the next:
    /// one GetUser for each AWS account, by which a copy of this cluster is
    /// noticed. After a crash, nothing is changed in AWS for one and a half times
    /// this and 12 seconds.
    #[arg(long, env = "KEYLEASE_IDENTITY_CHECK", value_name = "DURATION", default_value = "10s", value_parser = period)]
    identity_check: SignedDuration,

    /// How long readers of IAM may lag behind its writes. Only a stand-in for AWS
    /// lags less.
    #[arg(long, env = "KEYLEASE_IDENTITY_SETTLE", value_name = "DURATION", default_value = "5s", value_parser = period, hide = true)]
    identity_settle: SignedDuration,
}

impl IdentityArgs {
    pub(super) fn timing(&self) -> Timing {
        Timing {
            check: self.identity_check,
            settle: self.identity_settle,
        }
    }
}

fn period(text: &str) -> Result<SignedDuration, String> {
    let period = duration(text)?;
    if period.is_zero() {
        return Err("it has to be longer than nothing".to_owned());
    }
    Ok(period)
}
