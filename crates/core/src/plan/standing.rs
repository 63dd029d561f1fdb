//! Whether AWS, or somebody in its console, took a live lease's key or user out
//! of service, and what follows.
//!
//! A security tool or a responder makes a leaked key inactive; AWS itself puts a
//! quarantine policy on its user. Both are a word of people, and a new key would
//! take it back: it is asked for before each successor of a live key, and where
//! the sweep says so. `AwsRole.spec.onDisabledKey` says whether a person has to
//! decide.

use jiff::{SignedDuration, Timestamp};

use super::effect::Effect;
use super::ending::when_reachable;
use super::reasons::{Reason, Verdict};
use super::secret::SecretView;
use super::view::{RoleView, View};
use super::{Look, Step, status};
use keylease_api::{AwsRole, Lease, OnDisabledKey};

/// How AWS's own quarantine policies are called; a number of their version
/// follows.
pub const QUARANTINE: &str = "AWSCompromisedKeyQuarantine";
/// The quarantine policies that there are.
pub const QUARANTINES: [&str; 3] = [
    "AWSCompromisedKeyQuarantine",
    "AWSCompromisedKeyQuarantineV2",
    "AWSCompromisedKeyQuarantineV3",
];
/// How often a lease that is held is looked at, while a new key is due.
const SECOND_LOOK: SignedDuration = SignedDuration::from_mins(10);

/// How the key of a live lease stands in AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Not asked.
    #[default]
    Unread,
    /// Nobody took it out of service.
    Good,
    /// This key has the status `Inactive`.
    KeyInactive(String),
    /// AWS put this policy on the user, because it found the key in public.
    Quarantined(String),
}

impl Standing {
    /// Of the key with this id, from all keys of its user with whether each is
    /// active, and the ARNs of the policies on it.
    pub fn of(key: &str, keys: &[(String, bool)], policies: &[String]) -> Self {
        let quarantine = policies.iter().find(|arn| is_quarantine(arn));
        let inactive = keys.iter().any(|(id, active)| id == key && !active);
        match quarantine {
            Some(arn) => Self::Quarantined(arn.clone()),
            None if inactive => Self::KeyInactive(key.to_owned()),
            None => Self::Good,
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let until = "the lease gets no new key until a person decides: make the key active again, \
                     or delete the request, or set onDisabledKey: Replace in its AwsRole";
        match self {
            Self::Unread | Self::Good => None,
            Self::KeyInactive(id) => Some(Verdict::new(
                Reason::KeyInactive,
                format!("access key {id} was made inactive in AWS, not by the operator; {until}"),
            )),
            Self::Quarantined(arn) => Some(Verdict::new(
                Reason::Quarantined,
                format!(
                    "AWS put {arn} on the IAM user: its key was found in public; {until} (taking \
                     the policy off counts as well)"
                ),
            )),
        }
    }
}

/// Whether this is one of AWS's quarantine policies. One that a customer called
/// so is not.
fn is_quarantine(arn: &str) -> bool {
    arn.split_once(":iam::aws:policy/")
        .is_some_and(|(_, name)| name.starts_with(QUARANTINE))
}

/// What comes before a successor of the live key is made: the question, and
/// where the answer is bad, what the role says. `None`: nothing stands in its
/// way.
pub(super) fn before_a_key(view: &View, lease: &Lease, now: Timestamp) -> Option<Step> {
    view.intent()?;
    // One that was made, or delivered, goes the rest of its way.
    if view.in_hand().is_some() || is_delivered(view) {
        return None;
    }
    if let Some(step) = tell(view, now) {
        return Some(step);
    }
    view.work.standing.verdict()?;
    match &view.role {
        RoleView::Unread => Some(Step::Look(Look::Role)),
        RoleView::Found(role) if replaces(role) => match view.work.standing {
            // Another key of this user would be as crippled: the user goes, and
            // the request is served anew.
            Standing::Quarantined(_) if !view.has_static_user() => {
                Some(Step::Do(status::revoking(view, now)))
            }
            _ => None,
        },
        _ => {
            let again = now.checked_add(SECOND_LOOK).unwrap_or(now);
            Some(Step::Wait(again.min(lease.expires_at.0)))
        }
    }
}

/// Asks how the key stands, and tells what is new. `None`: the status says it,
/// or AWS cannot be asked.
pub(super) fn tell(view: &View, now: Timestamp) -> Option<Step> {
    let effect = match &view.work.standing {
        Standing::Unread => {
            let step = when_reachable(view, Effect::ReadStanding, now);
            return matches!(step, Step::Do(_)).then_some(step);
        }
        Standing::Good => status::reinstated(view, now),
        bad => status::suspended(view, &bad.verdict()?, now),
    };
    effect.map(Step::Do)
}

/// Whether a lease that ends is not to be followed by another: the status says
/// that its key is out of service, and the role does not say that this is no
/// reason. Or what has to be read to know.
pub(super) fn ends_for_good(view: &View) -> Result<bool, Look> {
    match &view.role {
        _ if !status::is_suspended(view) => Ok(false),
        RoleView::Unread => Err(Look::Role),
        RoleView::Found(role) => Ok(!replaces(role)),
        RoleView::Absent | RoleView::Leaving(_) => Ok(true),
    }
}

fn replaces(role: &AwsRole) -> bool {
    role.spec.on_disabled_key == Some(OnDisabledKey::Replace)
}

/// Whether the Secret holds a key that the status does not show yet.
fn is_delivered(view: &View) -> bool {
    let SecretView::Ours(facts) = &view.secret else {
        return false;
    };
    facts.key.is_some() && !view.secret_is_shown()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_leases_own_key_and_awss_own_policies_count() {
        let keys = [("AKIA1".to_owned(), false), ("AKIA2".to_owned(), true)];
        let policy = |arn: &str| [arn.to_owned()];
        let other = policy("arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV3");
        assert_eq!(Standing::of("AKIA2", &keys, &other), Standing::Good);
        let inactive = Standing::KeyInactive("AKIA1".to_owned());
        assert_eq!(Standing::of("AKIA1", &keys, &[]), inactive);
        for name in QUARANTINES
            .into_iter()
            .chain(["AWSCompromisedKeyQuarantineV4"])
        {
            let arn = format!("arn:aws-us-gov:iam::aws:policy/{name}");
            let found = Standing::of("AKIA1", &keys, &policy(&arn));
            assert_eq!(found, Standing::Quarantined(arn), "worse than inactive");
        }
    }
}
