//! From the SDK's errors to the few classes that decisions need.

use std::error::Error;

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};

use super::broken_link::{broken_link, causes};
use crate::leader::NotLeading;
use crate::plan::effect::{Fault, FaultClass};
use crate::text::cut;

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
        if let Some(why) = not_leading(error) {
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
    Fault {
        class: class(code),
        message: match answer.message() {
            Some(text) => cut(&format!("{code}: {text}")),
            None => cut(code),
        },
    }
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
fn not_leading(error: &(dyn Error + 'static)) -> Option<NotLeading> {
    causes(error).find_map(|cause| cause.downcast_ref::<NotLeading>().copied())
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
