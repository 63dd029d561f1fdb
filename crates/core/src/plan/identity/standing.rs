//! How an identity stands, and what the accounts that lead to it say.

use jiff::Timestamp;

use super::later;
use super::record::{Stopped, Why};
use super::timing::FORGET;
use super::view::{Stage, View};
use crate::plan::lease::truncate;
use crate::plan::reasons::{Reason, Verdict};
use keylease_api::{AwsAccount, AwsAccountStatus, ConditionType, set_condition, set_stalled};

/// Annotation on an account by which a person lets this cluster go on: its value
/// is the code that the condition tells.
pub const CONFIRM_ANNOTATION: &str = "keylease.dev/take-over";
/// Failures in a row before they are told: a few are an AWS that was slow.
const TELLING: u32 = 3;

/// How an identity stands in this cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is being found out who holds it.
    #[default]
    Verifying,
    /// This cluster holds it.
    Alone,
    /// This cluster holds it, and another with the same id was heard of.
    Asked,
    /// Nothing is changed in AWS until a person decides.
    Stopped(Stopped),
    /// It cannot be found out who holds it; the text says why.
    Unknown(String),
}

/// How it stands.
pub fn standing(view: &View, now: Timestamp) -> Standing {
    let work = &view.work;
    let stopped = view.record().and_then(|record| record.stopped.clone());
    match (&work.stage, stopped, &work.trouble) {
        (Stage::Held, ..) => match work.twin {
            Some(heard) if now < later(heard, FORGET) => Standing::Asked,
            _ => Standing::Alone,
        },
        (Stage::Fresh, Some(stopped), _) if work.then.is_none() => Standing::Stopped(stopped),
        (_, _, Some(why)) if work.failures >= TELLING => Standing::Unknown(why.clone()),
        _ => Standing::Verifying,
    }
}

/// The code that the account's annotation confirms.
pub fn confirmed(account: &AwsAccount) -> Option<String> {
    let annotations = account.metadata.annotations.as_ref()?;
    annotations.get(CONFIRM_ANNOTATION).cloned()
}

impl Standing {
    /// What the condition `Unique` of the account of that name says; `None`
    /// where there is no news yet.
    pub fn verdict(&self, account: &str) -> Option<Verdict> {
        let (reason, message) = match self {
            Self::Verifying => return None,
            Self::Alone => (
                Reason::Alone,
                "no other cluster uses this cluster's id in the AWS account".to_owned(),
            ),
            Self::Asked => (
                Reason::TwinSeen,
                "another operator with this cluster's id asked for its leases: a copy of this \
                 cluster runs. It changes nothing in AWS, and this cluster goes on. Stop the \
                 copy's operator; to let it take over, do what the condition of its own AwsAccount \
                 says"
                    .to_owned(),
            ),
            Self::Stopped(stopped) => (Reason::TwinHolds, told(stopped, account)),
            Self::Unknown(why) => (
                Reason::IdentityUnknown,
                format!(
                    "whether another cluster uses this cluster's id in the AWS account cannot be \
                     found out, so nothing is changed there; it is tried again: {why}"
                ),
            ),
        };
        Some(Verdict::new(reason, message))
    }

    /// Why the account's requests have to wait, if they have to.
    pub fn obstacle(&self, account: &str) -> Option<Verdict> {
        match self {
            Self::Stopped(_) | Self::Unknown(_) => self.verdict(account),
            Self::Verifying | Self::Alone | Self::Asked => None,
        }
    }
}

fn told(stopped: &Stopped, account: &str) -> String {
    let Stopped { code, why, .. } = stopped;
    let found = match why {
        Why::Ahead(epoch) if epoch.is_empty() => {
            "the marker of this cluster's id in AWS is not this cluster's".to_owned()
        }
        Why::Ahead(epoch) => format!(
            "the marker of this cluster's id in AWS (epoch {epoch}) was not written by this cluster"
        ),
        Why::Rival => {
            "another operator with this cluster's id started together with this one".into()
        }
    };
    format!(
        "{found}: a copy of this cluster runs, or this cluster was restored from a backup. Nothing \
         is changed in AWS until a person decides. If this cluster is the one to go on: kubectl \
         annotate --overwrite awsaccount {account} {CONFIRM_ANNOTATION}={code}. The other one stops \
         then. If not, stop this cluster's operator"
    )
}

/// Puts it into the account's status.
pub fn tell(
    status: &mut AwsAccountStatus,
    standing: &Standing,
    account: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let Some(verdict) = standing.verdict(account) else {
        return;
    };
    let mut set = |kind, fine| {
        set_condition(
            &mut status.conditions,
            kind,
            fine,
            verdict.reason.as_str(),
            &verdict.message,
            generation,
            truncate(now),
        );
    };
    set(ConditionType::Unique, *standing == Standing::Alone);
    if standing.obstacle(account).is_some() {
        set(ConditionType::Ready, false);
        let needs_a_person = verdict.reason.needs_a_person();
        set_stalled(&mut status.conditions, needs_a_person, truncate(now));
    }
}
