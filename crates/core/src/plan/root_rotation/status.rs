//! What the account's status says of the rotation.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Effect, SecretFacts, View};
use crate::plan::lease::truncate;
use crate::plan::reasons::{Reason, Verdict};
use keylease_api::{AwsAccountStatus, ConditionType, RootKey, get_condition, set_condition};

/// What to tell: the key, if its age is known, and how it stands with the
/// rotation. Both are absent where none is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The key that the Secret holds.
    pub root_key: Option<RootKey>,
    /// How it stands.
    pub verdict: Option<Verdict>,
}

/// The report that is due, if there is news.
pub(super) fn report(view: &View, secret: &SecretFacts, now: Timestamp) -> Option<Effect> {
    let told = wanted(view, secret)?;
    let news = view.work.told.as_ref() != Some(&told);
    (news && now >= view.work.report_after).then_some(Effect::Report(told))
}

fn wanted(view: &View, secret: &SecretFacts) -> Option<Told> {
    if view.period.is_none() {
        // Once nothing is left to clean up.
        return secret.marker.is_none().then(Told::default);
    }
    let next = view.next_rotation();
    let root_key = next
        .zip(view.work.known.as_ref())
        .map(|(next, known)| RootKey {
            id: known.id.clone(),
            rotated_at: Time(known.created),
            next_rotation: Time(next),
        });
    let problem = secret.unfit.as_ref().or(view.work.failure.as_ref());
    let verdict = match (problem, &root_key) {
        (Some(problem), _) => problem.clone(),
        (None, Some(key)) => Verdict::new(
            Reason::RotationScheduled,
            format!("key {} is replaced at {}", key.id, key.next_rotation.0),
        ),
        // Nothing is known yet.
        (None, None) => return None,
    };
    Some(Told {
        root_key,
        verdict: Some(verdict),
    })
}

/// Puts it into the status.
pub fn tell(status: &mut AwsAccountStatus, told: &Told, generation: Option<i64>, now: Timestamp) {
    let kind = ConditionType::RootRotation;
    status.root_key.clone_from(&told.root_key);
    match &told.verdict {
        Some(verdict) => set_condition(
            &mut status.conditions,
            kind,
            verdict.reason == Reason::RotationScheduled,
            verdict.reason.as_str(),
            &verdict.message,
            generation,
            truncate(now),
        ),
        None => status.conditions.retain(|c| c.type_ != kind.as_str()),
    }
}

/// Whether the status says anything of a rotation.
pub fn shows(status: &AwsAccountStatus) -> bool {
    let told = get_condition(&status.conditions, ConditionType::RootRotation);
    status.root_key.is_some() || told.is_some()
}

/// Why a key cannot be replaced: whose it is, or how the Secret holds it.
pub fn unfit(arn: &str, temporary: bool, immutable: bool) -> Option<Verdict> {
    let why = if temporary {
        "the Secret holds temporary credentials (AWS_SESSION_TOKEN); give it the key of an IAM \
         user, or remove spec.rootRotation"
            .to_owned()
    } else if user_of(arn).is_none() {
        format!("{arn} is not an IAM user; give the Secret the key of one")
    } else if immutable {
        "the Secret is immutable; replace it by one that is not".to_owned()
    } else {
        return None;
    };
    Some(Verdict::new(Reason::NotRotatable, why))
}

/// The name of the IAM user of an ARN: `arn:aws:iam::<account>:user/<path><name>`.
/// `None` for the account's root user, for sessions, and for everybody else.
pub fn user_of(arn: &str) -> Option<&str> {
    let (iam, user) = arn.split_once(":user/")?;
    let name = user.rsplit('/').next().filter(|name| !name.is_empty())?;
    (iam.split(':').nth(2) == Some("iam")).then_some(name)
}
