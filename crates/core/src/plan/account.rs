//! Whether an account can be used, and what its status says.

use jiff::Timestamp;

use super::admission::AccountFacts;
use super::effect::FaultClass;
use super::lease::truncate;
use super::reasons::Reason;
use super::sign_in::{Failure, Kept, SignIn, SignInStep};
use keylease_api::forms::Form;
use keylease_api::{
    AwsAccount, AwsAccountSpec, AwsAccountStatus, ConditionType, set_condition, set_stalled,
};

/// Path under which users are made where the account names none.
pub const DEFAULT_PATH: &str = "/keylease/";
/// IAM users of ours in one account, where it names no limit. AWS allows 5,000
/// in all by default.
pub const DEFAULT_MAX_USERS: i32 = 4500;
/// Region where neither the account nor the environment names one.
pub const DEFAULT_REGION: &str = "us-east-1";
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
        SignIn::Failed(failure) => {
            let (reason, advice) = match failure.fault.class {
                FaultClass::BadCredentials => ("CredentialsRejected", rejected(failure)),
                FaultClass::AccessDenied => (
                    "AccessDenied",
                    "allow the operator to sign in like this".to_owned(),
                ),
                FaultClass::Refused => ("SignInRefused", "correct the AwsAccount".to_owned()),
                FaultClass::Unavailable if failure.step == SignInStep::Source => (
                    "Unreachable",
                    "the credentials cannot be had now; it is tried again".to_owned(),
                ),
                _ => (
                    "Unreachable",
                    "AWS does not answer; it is tried again".to_owned(),
                ),
            };
            let Failure { step, fault, .. } = failure;
            let message = format!("{advice}: {step}: {}", fault.message);
            verdict(false, reason, message)
        }
    }
}

/// What to do about credentials that AWS does not take. It says the same of good
/// ones that are asked about in a region that does not know them.
fn rejected(failure: &Failure) -> String {
    let unknown = ["InvalidClientTokenId", "UnrecognizedClient"];
    let advice = "AWS does not accept the credentials; replace them";
    match unknown.iter().any(|c| failure.fault.message.starts_with(c)) {
        true => format!(
            "{advice}, or set spec.region: {} may not be enabled in their account, or be of \
             another partition",
            failure.region
        ),
        false => advice.to_owned(),
    }
}

impl AccountVerdict {
    /// Whether it stays so until a person changes the account, its credentials, or
    /// what AWS lets them do. A Secret that is not there may still come.
    fn needs_a_person(&self) -> bool {
        let word = self.reason;
        let ours = [Reason::Unreadable, Reason::TwinHolds].map(Reason::as_str);
        let of_sign_in = [
            "WrongAccount",
            "CredentialsRejected",
            "AccessDenied",
            "SignInRefused",
        ];
        !self.ready && (ours.contains(&word) || of_sign_in.contains(&word))
    }

    /// The same where the session that there was is kept.
    #[must_use]
    pub fn with(self, kept: Kept, arn: &str, expires: Option<Timestamp>) -> Self {
        let until = expires.map(|end| format!(" until {}", truncate(end)));
        let until = until.unwrap_or_default();
        let message = match kept {
            Kept::Ended => return self,
            Kept::Whole => format!(
                "signed in as {arn}; this session is kept{until}, though signing in anew does not \
                 succeed: {}",
                self.message
            ),
            Kept::ToRevoke => format!(
                "{}; what was issued before is still revoked, as {arn}",
                self.message
            ),
        };
        Self {
            ready: kept == Kept::Whole,
            message,
            ..self
        }
    }
}

/// The judgement on an account that cannot be read as a whole. Whether it is
/// signed in to is another matter: leases in force are still to be ended.
pub fn unreadable(account: &AwsAccount) -> Option<AccountVerdict> {
    let what = account.spec.unreadable.summary()?;
    Some(AccountVerdict {
        ready: false,
        reason: Reason::Unreadable.as_str(),
        message: format!(
            "the account cannot be read ({what}); correct it, or go back to the version of \
             Keylease that wrote it. Nothing is issued in it; leases in force are ended in time \
             as long as the sign-in works"
        ),
    })
}

/// Whether what the operator signs in with can be read. If not, it does not sign
/// in anew: it would do so as somebody else.
pub fn sign_in_is_readable(account: &AwsAccount) -> bool {
    let spec = &account.spec;
    ["region", "credentials", "assumeRoles", "expectedAccountId"]
        .iter()
        .all(|field| !spec.unreadable.touch(&format!("spec.{field}")))
}

/// Writes that judgement into the status, and nothing else.
pub fn tell(
    status: &mut AwsAccountStatus,
    account: &AwsAccount,
    verdict: &AccountVerdict,
    now: Timestamp,
) {
    status.observed_generation = account.metadata.generation;
    let now = truncate(now);
    set_condition(
        &mut status.conditions,
        ConditionType::Ready,
        verdict.ready,
        verdict.reason,
        &verdict.message,
        account.metadata.generation,
        now,
    );
    set_stalled(&mut status.conditions, verdict.needs_a_person(), now);
}

/// The status after a judgement. The id and ARN of a sign-in that worked stay
/// while they are true: as long as its session is kept, and while nothing says
/// that other credentials are wanted.
pub fn status(
    account: &AwsAccount,
    sign_in: &SignIn,
    kept: Kept,
    verdict: &AccountVerdict,
    now: Timestamp,
) -> AwsAccountStatus {
    let mut status = account.status.clone().unwrap_or_default();
    let same_spec = status.observed_generation == account.metadata.generation;
    match sign_in {
        SignIn::Identity { account_id, arn } => {
            status.account_id = Some(account_id.clone());
            status.arn = Some(arn.clone());
        }
        _ if kept != Kept::Ended => {}
        SignIn::Failed(_) if same_spec => {}
        SignIn::NoCredentials(_) if same_spec && is_ambient(account) => {}
        SignIn::Failed(_) | SignIn::NoCredentials(_) => {
            status.account_id = None;
            status.arn = None;
        }
    }
    let unreadable = unreadable(account);
    tell(
        &mut status,
        account,
        unreadable.as_ref().unwrap_or(verdict),
        now,
    );
    status
}

fn is_ambient(account: &AwsAccount) -> bool {
    let credentials = account.spec.credentials.as_ref();
    credentials.is_none_or(|c| c.secret_ref.is_none())
}

/// ARNs of an account's settings that tell its partition, the first best.
pub fn region_hints(spec: &AwsAccountSpec) -> impl Iterator<Item = &str> {
    let roles = spec.assume_roles.iter().map(|role| role.role_arn.as_str());
    let users = spec.iam_users.as_ref();
    let boundary = users.and_then(|u| u.permissions_boundary_arn.as_deref());
    roles.chain(boundary)
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
        unreadable: account.spec.unreadable.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::effect::Fault;
    use keylease_api::get_condition;

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

    fn failed(class: FaultClass, message: &str) -> SignIn {
        SignIn::Failed(Failure {
            step: SignInStep::Identity,
            region: "af-south-1".into(),
            fault: Fault {
                class,
                message: message.into(),
            },
        })
    }

    fn unreachable() -> SignIn {
        failed(FaultClass::NoAnswer, "connection refused")
    }

    /// After a sign-in that worked.
    fn signed_in() -> AwsAccount {
        let mut account = account(None);
        let verdict = judge(&account, &identity());
        let now = Timestamp::from_second(1_000).unwrap();
        account.status = Some(status(&account, &identity(), Kept::Ended, &verdict, now));
        account
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
    fn an_account_is_stalled_where_a_person_has_to_act() {
        let now = Timestamp::from_second(1_000).unwrap();
        let stalled = |account: &AwsAccount, sign_in: &SignIn, kept| {
            let arn = "arn:aws:iam::111122223333:user/root";
            let verdict = judge(account, sign_in).with(kept, arn, None);
            let status = status(account, sign_in, kept, &verdict, now);
            let told = get_condition(&status.conditions, ConditionType::Stalled).cloned();
            told.map(|c| c.reason)
        };
        let rejected = failed(FaultClass::BadCredentials, "InvalidClientTokenId");
        let wrong = account(Some("999999999999"));
        let mended = signed_in();
        let ended = Kept::Ended;
        assert_eq!(
            stalled(&wrong, &identity(), ended).as_deref(),
            Some("WrongAccount")
        );
        let rejected_word = Some("CredentialsRejected");
        assert_eq!(stalled(&mended, &rejected, ended).as_deref(), rejected_word);
        let to_revoke = stalled(&mended, &rejected, Kept::ToRevoke);
        assert_eq!(to_revoke.as_deref(), rejected_word);
        assert_eq!(
            stalled(&mended, &rejected, Kept::Whole),
            None,
            "it is ready"
        );
        assert_eq!(stalled(&mended, &unreachable(), ended), None);
        let missing = SignIn::NoCredentials("there is no Secret".into());
        assert_eq!(stalled(&mended, &missing, ended), None, "it may come");
        let mut was = wrong;
        let verdict = judge(&was, &identity());
        was.status = Some(status(&was, &identity(), ended, &verdict, now));
        was.spec.expected_account_id = None;
        assert_eq!(
            stalled(&was, &identity(), ended),
            None,
            "gone when it moves"
        );
    }

    #[test]
    fn an_outage_keeps_the_identity_and_changes_nothing_twice() {
        let now = Timestamp::from_second(1_000).unwrap();
        let mut account = signed_in();
        let verdict = judge(&account, &unreachable());
        assert_eq!(verdict.reason, "Unreachable");
        let status_1 = status(&account, &unreachable(), Kept::Ended, &verdict, now);
        assert_eq!(status_1.account_id.as_deref(), Some("111122223333"));
        account.status = Some(status_1.clone());
        let later = Timestamp::from_second(2_000).unwrap();
        let status_2 = status(&account, &unreachable(), Kept::Ended, &verdict, later);
        assert_eq!(status_2, status_1);
    }

    #[test]
    fn a_session_that_is_kept_leaves_the_account_ready_and_says_what_is_wrong() {
        let account = signed_in();
        let end = Timestamp::from_second(5_000).unwrap();
        let arn = "arn:aws:iam::111122223333:user/root";
        let verdict = judge(&account, &unreachable());
        let kept = verdict.clone().with(Kept::Whole, arn, Some(end));
        assert!(kept.ready);
        assert_eq!(kept.reason, "Unreachable");
        let told = format!("signed in as {arn}; this session is kept until {end}, though");
        assert!(kept.message.starts_with(&told), "{}", kept.message);
        assert!(kept.message.ends_with("connection refused"));
        let to_revoke = verdict.with(Kept::ToRevoke, arn, None);
        assert!(!to_revoke.ready);
        assert!(to_revoke.message.contains("still revoked"));
    }

    #[test]
    fn the_identity_goes_when_other_credentials_are_wanted() {
        let missing = SignIn::NoCredentials("no token".into());
        let now = Timestamp::from_second(1_000).unwrap();
        let id = |account: &AwsAccount, kept| {
            let verdict = judge(account, &missing);
            status(account, &missing, kept, &verdict, now).account_id
        };
        let mut account = signed_in();
        assert!(
            id(&account, Kept::Ended).is_some(),
            "the file may come back"
        );
        account.metadata.generation = Some(2);
        assert!(id(&account, Kept::Whole).is_some());
        assert_eq!(id(&account, Kept::Ended), None);
    }

    #[test]
    fn a_region_that_does_not_know_the_credentials_is_named() {
        let unknown =
            "InvalidClientTokenId: The security token included in the request is invalid.";
        let verdict = judge(&account(None), &failed(FaultClass::BadCredentials, unknown));
        assert_eq!(verdict.reason, "CredentialsRejected");
        assert!(
            verdict.message.contains("af-south-1"),
            "{}",
            verdict.message
        );
        let wrong = "SignatureDoesNotMatch: The request signature we calculated does not match";
        let verdict = judge(&account(None), &failed(FaultClass::BadCredentials, wrong));
        assert!(
            !verdict.message.contains("af-south-1"),
            "{}",
            verdict.message
        );
    }
}
