//! Signing in to an account: what came of it, what becomes of the session there
//! was before, and when to try again.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::effect::{Fault, FaultClass};

/// How often a working sign-in is looked at again. One STS call an hour for
/// each account; what breaks in between shows in the calls themselves.
pub const RECHECK: SignedDuration = SignedDuration::from_hours(1);
/// How soon at the earliest credentials that end are asked for anew.
const SOONEST: SignedDuration = SignedDuration::from_mins(1);
/// First pause after a failed sign-in; it doubles up to [`RETRY_CAP`].
const RETRY_BASE: SignedDuration = SignedDuration::from_secs(1);
/// Longest pause between sign-ins that fail.
const RETRY_CAP: SignedDuration = SignedDuration::from_secs(15);
/// How long a sign-in is believed whatever calls say: a hundred calls that fail
/// together are one reason to look, not a hundred.
const BELIEVED: SignedDuration = SignedDuration::from_secs(5);

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
    /// A step was tried and did not succeed.
    Failed(Failure),
}

/// A step of a sign-in that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub step: SignInStep,
    /// The region whose STS was asked.
    pub region: String,
    /// The answer, or that there was none.
    pub fault: Fault,
}

/// The steps of a sign-in, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInStep {
    /// Getting the credentials that the chain begins with.
    Source,
    /// Assuming a role of `spec.assumeRoles`: its index and ARN.
    Role(usize, String),
    /// Asking STS who the credentials are.
    Identity,
}

impl fmt::Display for SignInStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source credentials"),
            Self::Role(index, arn) => write!(f, "spec.assumeRoles[{index}] ({arn})"),
            Self::Identity => f.write_str("GetCallerIdentity"),
        }
    }
}

/// What is known of the session that an account has, when signing in anew did
/// not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Whether it came from the same settings and the same key.
    pub same: bool,
    /// When its credentials end, if they end by themselves.
    pub expires: Option<Timestamp>,
}

/// What becomes of that session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It serves on, for everything.
    Whole,
    /// Other credentials are wanted, and it is not known yet whether they work:
    /// it takes down what was made with it, and makes nothing.
    ToRevoke,
    /// It is over.
    Ended,
}

/// What becomes of the session before, after a sign-in that did not succeed.
///
/// A session ends by its credentials being refused, by their end, and by other
/// credentials being wanted of which AWS says that they do not work. An outage
/// of STS, and a denial of this one call, say nothing of what IAM takes.
pub fn kept(sign_in: &SignIn, before: Before, now: Timestamp) -> Kept {
    if before.expires.is_some_and(|end| now >= end) {
        return Kept::Ended;
    }
    let Before { same, expires } = before;
    let (answered, of_its_own) = match sign_in {
        // Of another account than expected.
        SignIn::Identity { .. } => return Kept::Ended,
        // Credentials that do not end are read from where they stand: they
        // were taken away.
        SignIn::NoCredentials(_) => (true, expires.is_none()),
        SignIn::Failed(failure) => {
            let class = failure.fault.class;
            let rejected = class == FaultClass::BadCredentials;
            // What fails before the last step speaks of the credentials that
            // ours are made from; those live on to their end.
            let of_its_own = failure.step == SignInStep::Identity || expires.is_none();
            (!class.may_pass(), rejected && of_its_own)
        }
    };
    match (same, answered) {
        _ if of_its_own => Kept::Ended,
        (true, _) => Kept::Whole,
        (false, false) => Kept::ToRevoke,
        (false, true) => Kept::Ended,
    }
}

/// How long a sign-in is good for, if nothing changes. `failures` counts those in
/// a row that did not succeed, this one included. Credentials that end are asked
/// for anew at half of their time, so that an outage finds some left.
pub fn good_for(failures: u32, expires: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    if failures == 0 {
        let left = expires.map(|end| end.duration_since(now) / 2);
        return left.map_or(RECHECK, |half| half.clamp(SOONEST, RECHECK));
    }
    let doublings = failures.saturating_sub(1).min(8);
    RETRY_BASE.saturating_mul(1 << doublings).min(RETRY_CAP)
}

/// How long until the next sign-in: `None` if it is due. A call that failed makes
/// a sign-in due that is good as such, but not at once again.
pub fn left(
    good_for: SignedDuration,
    suspected: bool,
    age: SignedDuration,
) -> Option<SignedDuration> {
    let good_for = if suspected {
        good_for.min(BELIEVED)
    } else {
        good_for
    };
    Some(good_for - age).filter(|left| left.is_positive())
}

/// The region where neither the account nor the environment names one: a region
/// of the partition that these ARNs are of, with an STS that is always there.
pub fn default_region<'a>(arns: impl IntoIterator<Item = &'a str>) -> &'static str {
    let partitions = arns.into_iter().filter_map(|arn| arn.split(':').nth(1));
    let mut known = partitions.filter_map(|partition| {
        Some(match partition {
            "aws" => super::account::DEFAULT_REGION,
            "aws-cn" => "cn-north-1",
            "aws-us-gov" => "us-gov-west-1",
            "aws-eusc" => "eusc-de-east-1",
            "aws-iso" => "us-iso-east-1",
            "aws-iso-b" => "us-isob-east-1",
            "aws-iso-e" => "eu-isoe-west-1",
            "aws-iso-f" => "us-isof-south-1",
            _ => return None,
        })
    });
    known.next().unwrap_or(super::account::DEFAULT_REGION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(step: SignInStep, class: FaultClass) -> SignIn {
        SignIn::Failed(Failure {
            step,
            region: "us-east-1".into(),
            fault: Fault {
                class,
                message: "as AWS says".into(),
            },
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn becomes(sign_in: &SignIn, same: bool, expires: Option<i64>) -> Kept {
        let before = Before {
            same,
            expires: expires.map(at),
        };
        kept(sign_in, before, at(1_000))
    }

    #[test]
    fn an_outage_and_a_denial_of_the_question_end_no_session() {
        for class in [
            FaultClass::NoAnswer,
            FaultClass::Unavailable,
            FaultClass::Throttled,
            FaultClass::Refused,
            FaultClass::AccessDenied,
        ] {
            let asked = failed(SignInStep::Identity, class);
            assert_eq!(becomes(&asked, true, None), Kept::Whole, "{class:?}");
            assert_eq!(becomes(&asked, true, Some(1_001)), Kept::Whole, "{class:?}");
            assert_eq!(becomes(&asked, true, Some(1_000)), Kept::Ended, "{class:?}");
        }
    }

    #[test]
    fn a_refusal_of_its_own_credentials_ends_it() {
        let rejected = failed(SignInStep::Identity, FaultClass::BadCredentials);
        assert_eq!(becomes(&rejected, true, None), Kept::Ended);
        assert_eq!(becomes(&rejected, true, Some(2_000)), Kept::Ended);
        let elsewhere = SignIn::Identity {
            account_id: "999999999999".into(),
            arn: String::new(),
        };
        assert_eq!(becomes(&elsewhere, true, None), Kept::Ended);
    }

    #[test]
    fn what_was_assumed_outlives_what_it_was_assumed_from() {
        let role = SignInStep::Role(0, "arn:aws:iam::111122223333:role/r".into());
        for step in [SignInStep::Source, role] {
            for class in [FaultClass::BadCredentials, FaultClass::AccessDenied] {
                let refused = failed(step.clone(), class);
                assert_eq!(becomes(&refused, true, Some(2_000)), Kept::Whole);
                assert_eq!(becomes(&refused, true, Some(999)), Kept::Ended);
                assert_eq!(becomes(&refused, false, Some(2_000)), Kept::Ended);
            }
        }
        let missing = SignIn::NoCredentials("no token file".into());
        assert_eq!(becomes(&missing, true, Some(2_000)), Kept::Whole);
        assert_eq!(becomes(&missing, true, None), Kept::Ended);
    }

    #[test]
    fn other_credentials_that_are_not_answered_leave_it_to_revoke() {
        let down = failed(SignInStep::Identity, FaultClass::NoAnswer);
        assert_eq!(becomes(&down, false, None), Kept::ToRevoke);
        for class in [
            FaultClass::AccessDenied,
            FaultClass::Refused,
            FaultClass::BadCredentials,
        ] {
            let refused = failed(SignInStep::Identity, class);
            assert_eq!(becomes(&refused, false, None), Kept::Ended, "{class:?}");
        }
    }

    #[test]
    fn recovery_is_looked_for_every_few_seconds() {
        let now = at(1_000);
        assert_eq!(good_for(1, None, now), RETRY_BASE);
        assert_eq!(good_for(u32::MAX, Some(at(5_000)), now), RETRY_CAP);
        assert_eq!(good_for(0, None, now), RECHECK);
    }

    #[test]
    fn credentials_that_end_are_renewed_at_half_of_their_time() {
        let now = at(1_000);
        let half = SignedDuration::from_mins(30);
        assert_eq!(good_for(0, Some(at(4_600)), now), half);
        assert_eq!(good_for(0, Some(at(1_010)), now), SOONEST);
        assert_eq!(good_for(0, Some(at(900)), now), SOONEST);
        assert_eq!(good_for(0, Some(at(90_000)), now), RECHECK);
    }

    #[test]
    fn many_calls_that_fail_are_one_reason_to_look() {
        let secs = SignedDuration::from_secs;
        assert_eq!(left(RECHECK, false, secs(60)), Some(RECHECK - secs(60)));
        assert_eq!(left(RECHECK, true, secs(2)), Some(secs(3)));
        assert_eq!(left(RECHECK, true, secs(5)), None);
        // A pause after failures is not made longer.
        assert_eq!(left(secs(1), true, secs(0)), Some(secs(1)));
        assert_eq!(left(RETRY_CAP, true, secs(5)), None);
    }

    #[test]
    fn the_region_is_one_of_the_partition_that_arns_name() {
        let gov = "arn:aws-us-gov:iam::111122223333:role/r";
        assert_eq!(default_region([gov]), "us-gov-west-1");
        let china = "arn:aws-cn:iam::111122223333:role/r";
        assert_eq!(default_region(["no arn", china, gov]), "cn-north-1");
        let eusc = "arn:aws-eusc:iam::111122223333:role/r";
        assert_eq!(default_region([eusc]), "eusc-de-east-1");
        assert_eq!(default_region([]), "us-east-1");
        assert_eq!(default_region(["arn:aws-new:iam::1:role/r"]), "us-east-1");
    }
}
