//! From the SDK's errors to the few classes that decisions need.

use std::error::Error;

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};

use super::broken_link::{broken_link, causes};
use super::tenure::NotHeld;
use crate::leader::NotLeading;
use keylease_api::text::cut;
use keylease_core::plan::effect::{Fault, FaultClass};

/// Classifies an SDK error. The message is the service's own sentence, or the
/// innermost cause where no service answered.
pub fn fault<E>(error: SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fault_of(&error)
}

/// The same of an error that somebody else holds.
pub(super) fn fault_of<E>(error: &SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let SdkError::ServiceError(service) = error else {
        if let Some(why) = refused_by_us::<NotLeading>(error) {
            return why.fault();
        }
        if let Some(why) = refused_by_us::<NotHeld>(error) {
            return why.fault();
        }
        if let Some(link) = broken_link(error) {
            return link.call_fault();
        }
        return Fault {
            class: unanswered(error),
            message: cut(&innermost(error)),
        };
    };
    let answer = service.err();
    let Some(code) = answer.code() else {
        return codeless(service.raw().status().as_u16());
    };
    let class = match (class(code), answer.message()) {
        (FaultClass::AccessDenied, Some(text)) if finds_no_user(text) => FaultClass::Unseen,
        (class, _) => class,
    };
    Fault {
        class,
        message: match answer.message() {
            Some(text) => cut(&format!("{code}: {text}")),
            None => cut(code),
        },
    }
}

/// Whether IAM's sentence of denial names a user without its ARN: `User: ARN is
/// not authorized to perform: iam:ACTION on resource: user NAME because …`. IAM
/// takes the path of a user, and with it the ARN, from the user itself; of one
/// that is not there it has the name alone. Nothing but that very form counts:
/// neither ARNs nor names hold spaces, so nobody's name can feign it.
fn finds_no_user(sentence: &str) -> bool {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let parts = sentence.strip_prefix("User: arn:").and_then(|rest| {
        let (caller, rest) = rest.split_once(" is not authorized to perform: iam:")?;
        let (action, resource) = rest.split_once(" on resource: user ")?;
        let (name, why) = resource.split_once(' ').unwrap_or((resource, ""));
        Some((caller, action, name, why))
    });
    parts.is_some_and(|(caller, action, name, why)| {
        let explained = ["because ", "with an explicit deny"];
        word(caller)
            && action.bytes().all(|b| b.is_ascii_alphanumeric())
            && is_iam_name(name)
            && (why.is_empty() || explained.iter().any(|e| why.starts_with(e)))
    })
}

/// Whether IAM takes this for the name of a user.
fn is_iam_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}

/// An answer that is not AWS's, or not as documented: a proxy's, a stand-in's.
/// Its status is all that can be read of it. One of success, which cannot be
/// read, and one of a gateway do not tell whether the call was applied.
fn codeless(status: u16) -> Fault {
    Fault {
        class: match status {
            401 | 403 => FaultClass::AccessDenied,
            429 => FaultClass::Throttled,
            400..500 => FaultClass::Unavailable,
            _ => FaultClass::NoAnswer,
        },
        message: format!("HTTP status {status} without an error code of AWS"),
    }
}

/// A call whose answer did not come. Only one that could not be built certainly
/// had no effect; of a connection that broke nobody knows at which end.
fn unanswered<E>(error: &SdkError<E>) -> FaultClass {
    match error {
        SdkError::ConstructionFailure(_) => FaultClass::Unavailable,
        _ => FaultClass::NoAnswer,
    }
}

/// AWS's error codes (IAM and STS API references, "Common Errors" and those of
/// each operation) by what they allow to conclude.
fn class(code: &str) -> FaultClass {
    match code {
        "NoSuchEntity" | "NoSuchEntityException" => FaultClass::NotFound,
        "EntityAlreadyExists" | "EntityAlreadyExistsException" => FaultClass::AlreadyExists,
        "DeleteConflict" | "DeleteConflictException" => FaultClass::DeleteConflict,
        "LimitExceeded" | "LimitExceededException" => FaultClass::QuotaExceeded,
        "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown" => FaultClass::Throttled,
        "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "UnauthorizedOperation"
        | "OptInRequired" => FaultClass::AccessDenied,
        "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "UnrecognizedClientException"
        | "AuthFailure"
        | "RequestExpired"
        // A token of a cluster's, or of another provider's, that STS does not take.
        | "InvalidIdentityToken"
        | "InvalidIdentityTokenException"
        | "IDPRejectedClaim"
        | "IDPRejectedClaimException" => FaultClass::BadCredentials,
        // A fault within AWS: the call may have been applied before it.
        "InternalFailure"
        | "InternalError"
        | "ServiceFailure"
        | "ServiceFailureException"
        | "ServiceUnavailable" => FaultClass::NoAnswer,
        "IDPCommunicationError"
        | "IDPCommunicationErrorException"
        | "EntityTemporarilyUnmodifiable"
        | "EntityTemporarilyUnmodifiableException"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        | "ReportInProgress"
        | "ReportNotPresent"
        | "ReportExpired" => FaultClass::Unavailable,
        _ => FaultClass::Refused,
    }
}

/// An answer of success that leaves out what was asked for: it says nothing.
pub(super) fn incomplete(what: &str) -> Fault {
    Fault {
        class: FaultClass::NoAnswer,
        message: format!("the answer held no {what}"),
    }
}

/// The gate's refusal, if that is what ended the call.
fn refused_by_us<T: Error + Copy + 'static>(error: &(dyn Error + 'static)) -> Option<T> {
    causes(error).find_map(|cause| cause.downcast_ref::<T>().copied())
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_fall_into_their_classes() {
        for (code, expected) in [
            ("NoSuchEntity", FaultClass::NotFound),
            ("Throttling", FaultClass::Throttled),
            ("InvalidClientTokenId", FaultClass::BadCredentials),
            ("MalformedPolicyDocument", FaultClass::Refused),
            ("InvalidInput", FaultClass::Refused),
            ("ServiceFailure", FaultClass::NoAnswer),
            ("ConcurrentModification", FaultClass::Unavailable),
        ] {
            assert_eq!(class(code), expected, "{code}");
        }
    }

    #[test]
    fn a_denial_about_a_user_without_a_path_is_one_about_nobody() {
        let denied = |resource: &str| {
            format!(
                "User: arn:aws:iam::123456789012:user/ops/keylease-operator is not authorized to \
                 perform: iam:DeleteUser on resource: {resource}"
            )
        };
        for resource in [
            "user keylease-a-b-c because no identity-based policy allows the iam:DeleteUser action",
            "user keylease-a-b-c with an explicit deny in a service control policy",
            "user keylease-a-b-c",
        ] {
            assert!(finds_no_user(&denied(resource)), "{resource}");
        }
        for resource in [
            "arn:aws:iam::123456789012:user/keylease/c/keylease-a-b-c because no policy",
            "group user x because no identity-based policy allows it",
            "user",
            "user ",
            "user a/b because no",
            "user keylease-a-b-c on resource: user other",
            "user keylease-a-b-c, or another",
        ] {
            assert!(!finds_no_user(&denied(resource)), "{resource}");
        }
        for feigned in [
            "User: on resource: user keylease-a-b-c",
            "User is not authorized to perform this action",
            "x User: arn:a is not authorized to perform: iam:GetUser on resource: user y",
            "User: arn:aws:iam::1:user/a b is not authorized to perform: iam:A on resource: user y",
            "User: arn:a is not authorized to perform: sts:AssumeRole on resource: user y",
        ] {
            assert!(!finds_no_user(feigned), "{feigned}");
        }
    }

    #[test]
    fn an_answer_without_a_code_is_judged_by_its_status() {
        for (status, expected) in [
            (403, FaultClass::AccessDenied),
            (429, FaultClass::Throttled),
            (404, FaultClass::Unavailable),
            (502, FaultClass::NoAnswer),
            (200, FaultClass::NoAnswer),
        ] {
            assert_eq!(codeless(status).class, expected, "{status}");
        }
    }
}
