//! The flags by which clusters with one id are told apart.

use std::path::PathBuf;

use http::Uri;
use jiff::SignedDuration;

use super::sweep::duration;
use crate::act::EpochTraces;
use keylease_core::plan::identity::Timing;

/// How often the marker is looked at.
#[derive(clap::Args)]
pub(super) struct IdentityArgs {
    /// Time from one look at the marker of this cluster's id in AWS to the next:
    /// one GetUser for each AWS account, by which a copy of this cluster is
    /// noticed. A new pod that finds no other and no farewell of the one before
    /// changes nothing in AWS for one and a half times this and 12 seconds.
    #[arg(long, env = "KEYLEASE_IDENTITY_CHECK", value_name = "DURATION", default_value = "30s", value_parser = period)]
    identity_check: SignedDuration,

    /// How long readers of IAM may lag behind its writes. Only a stand-in for AWS
    /// lags less.
    #[arg(long, env = "KEYLEASE_IDENTITY_SETTLE", value_name = "DURATION", default_value = "5s", value_parser = period, hide = true)]
    identity_settle: SignedDuration,

    /// Where a container leaves word for the next one of its pod, which then need
    /// not wait for other clusters. It must not outlive the pod: an emptyDir.
    /// Default: keylease below XDG_RUNTIME_DIR, else in the directory for temporary
    /// files.
    #[arg(long, env = "KEYLEASE_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl IdentityArgs {
    pub(super) fn timing(&self) -> Timing {
        Timing {
            check: self.identity_check,
            settle: self.identity_settle,
        }
    }

    /// The traces that this place keeps of the cluster behind that address.
    pub(super) fn traces(&self, cluster: &Uri) -> EpochTraces {
        let below = || match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir),
            _ => std::env::temp_dir(),
        };
        let dir = self.state_dir.clone();
        let dir = dir.unwrap_or_else(|| below().join("keylease"));
        EpochTraces::new(dir, &cluster.to_string())
    }
}

fn period(text: &str) -> Result<SignedDuration, String> {
    let period = duration(text)?;
    if period.is_zero() {
        return Err("it has to be longer than nothing".to_owned());
    }
    Ok(period)
}
