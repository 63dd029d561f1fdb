//! Whether an account can be used, and what its status says.

use jiff::{SignedDuration, Timestamp};

use super::admission::AccountFacts;
use super::effect::{Fault, FaultClass};
use super::lease::truncate;
use crate::api::forms::Form;
use crate::api::{AwsAccount, AwsAccountStatus, ConditionType, set_condition};

/// Path under which users are made where the account names none.
pub const DEFAULT_PATH: &str = "/keylease/";
/// IAM users of ours in one account, where it names no limit. AWS allows 5,000
/// in all by default.
pub const DEFAULT_MAX_USERS: i32 = 4500;
/// Region where neither the account nor the environment names one.
pub const DEFAULT_REGION: &str = "us-east-1";
/// How often a working sign-in is looked at again. One STS call an hour for
/// each account; what breaks in between shows in the calls themselves.
pub const RECHECK: SignedDuration = SignedDuration::from_hours(1);
/// First pause after a failed sign-in; it doubles up to [`RETRY_CAP`].
const RETRY_BASE: SignedDuration = SignedDuration::from_secs(1);
/// Longest pause between sign-ins that fail.
const RETRY_CAP: SignedDuration = SignedDuration::from_secs(15);

/// What came of signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// STS answered.
    Identity {
        /// The 12-digit account id.
        account_id: String,
        /// Who we are.
        arn: String,
    },
    /// There is nothing to sign in with; the text says what is missing.
    NoCredentials(String),
    /// STS was asked and did not accept or did not answer.
    Failed(Fault),
}

/// The judgement on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountVerdict {
    /// Whether requests can be served.
    pub ready: bool,
    /// One word.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Judges what came of signing in.
pub fn judge(account: &AwsAccount, sign_in: &SignIn) -> AccountVerdict {
    let verdict = |ready, reason, message| AccountVerdict {
        ready,
        reason,
        message,
    };
    match sign_in {
        SignIn::Identity { account_id, arn } => match &account.spec.expected_account_id {
            Some(expected) if expected != account_id => verdict(
                false,
                "WrongAccount",
                format!(
                    "the credentials belong to account {account_id} ({arn}), and \
                     spec.expectedAccountId is {expected}; correct one of the two"
                ),
            ),
            _ => verdict(true, "SignedIn", format!("signed in as {arn}")),
        },
        SignIn::NoCredentials(what) => verdict(false, "NoCredentials", what.clone()),
        SignIn::Failed(fault) => {
            let (reason, advice) = match fault.class {
                FaultClass::BadCredentials => (
                    "CredentialsRejected",
                    "AWS does not accept the credentials; replace them",
                ),
                FaultClass::AccessDenied => {
                    ("AccessDenied", "allow the operator to sign in like this")
                }
                FaultClass::Refused => ("SignInRefused", "correct the AwsAccount"),
                _ => ("Unreachable", "AWS does not answer; it is tried again"),
            };
            verdict(false, reason, format!("{advice}: {}", fault.message))
        }
    }
}

/// The status after a judgement. The id and ARN of a sign-in that worked are
/// kept while AWS is out of reach: they are still who we are.
pub fn status(
    account: &AwsAccount,
    sign_in: &SignIn,
    verdict: &AccountVerdict,
    now: Timestamp,
) -> AwsAccountStatus {
    let mut status = account.status.clone().unwrap_or_default();
    match sign_in {
        SignIn::Identity { account_id, arn } => {
            status.account_id = Some(account_id.clone());
            status.arn = Some(arn.clone());
        }
        SignIn::NoCredentials(_) => {
            status.account_id = None;
            status.arn = None;
        }
        SignIn::Failed(_) => {}
    }
    status.observed_generation = account.metadata.generation;
    set_condition(
        &mut status.conditions,
        ConditionType::Ready,
        verdict.ready,
        verdict.reason,
        &verdict.message,
        account.metadata.generation,
        truncate(now),
    );
    status
}

/// When to sign in again. `failures` counts those in a row, this one included.
pub fn next_check(verdict: &AccountVerdict, failures: u32) -> SignedDuration {
    if verdict.ready {
        return RECHECK;
    }
    let doublings = failures.saturating_sub(1).min(8);
    RETRY_BASE.saturating_mul(1 << doublings).min(RETRY_CAP)
}

/// What decisions on requests need to know of an account that is signed in.
pub fn facts(account: &AwsAccount, account_id: &str, arn: &str, region: &str) -> AccountFacts {
    let users = account.spec.iam_users.clone().unwrap_or_default();
    let limits = account.spec.limits.clone().unwrap_or_default();
    AccountFacts {
        name: account.metadata.name.clone().unwrap_or_default(),
        account_id: account_id.to_owned(),
        arn: arn.to_owned(),
        partition: arn
            .split(':')
            .nth(1)
            .filter(|p| Form::Partition.fits(p))
            .unwrap_or("aws")
            .to_owned(),
        region: region.to_owned(),
        path: users.path.unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        boundary: users.permissions_boundary_arn,
        allow_role_boundary: users.allow_role_boundary.unwrap_or(false),
        tags: users.tags.into_iter().map(|(k, v)| (k, v.0)).collect(),
        max_users: usize::try_from(limits.max_users.unwrap_or(DEFAULT_MAX_USERS)).unwrap_or(0),
        requests_per_second: limits
            .requests_per_second
            .and_then(|n| u32::try_from(n).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AwsAccountSpec;

    fn account(expected: Option<&str>) -> AwsAccount {
        AwsAccount::new(
            "default",
            AwsAccountSpec {
                expected_account_id: expected.map(str::to_owned),
                ..AwsAccountSpec::default()
            },
        )
    }

    fn identity() -> SignIn {
        SignIn::Identity {
            account_id: "111122223333".into(),
            arn: "arn:aws:iam::111122223333:user/root".into(),
        }
    }

    fn unreachable() -> SignIn {
        SignIn::Failed(Fault {
            class: FaultClass::NoAnswer,
            message: "connection refused".into(),
        })
    }

    #[test]
    fn another_account_is_refused_by_name() {
        let verdict = judge(&account(Some("999999999999")), &identity());
        assert!(!verdict.ready);
        assert_eq!(verdict.reason, "WrongAccount");
        assert!(verdict.message.contains("111122223333"));
        assert!(judge(&account(Some("111122223333")), &identity()).ready);
        assert!(judge(&account(None), &identity()).ready);
    }

    #[test]
    fn an_outage_keeps_the_identity_and_changes_nothing_twice() {
        let now = Timestamp::from_second(1_000).unwrap();
        let mut account = account(None);
        let verdict = judge(&account, &identity());
        account.status = Some(status(&account, &identity(), &verdict, now));
        let verdict = judge(&account, &unreachable());
        assert_eq!(verdict.reason, "Unreachable");
        let status_1 = status(&account, &unreachable(), &verdict, now);
        assert_eq!(status_1.account_id.as_deref(), Some("111122223333"));
        account.status = Some(status_1.clone());
        let later = Timestamp::from_second(2_000).unwrap();
        assert_eq!(status(&account, &unreachable(), &verdict, later), status_1);
    }

    #[test]
    fn recovery_is_looked_for_every_few_seconds() {
        let down = judge(&account(None), &unreachable());
        assert_eq!(next_check(&down, 1), RETRY_BASE);
        assert_eq!(next_check(&down, u32::MAX), RETRY_CAP);
        assert_eq!(next_check(&judge(&account(None), &identity()), 0), RECHECK);
    }
}
