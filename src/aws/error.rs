//! From the SDK's errors to the few classes that decisions need.

use std::error::Error;

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};

use crate::leader::NotLeading;
use crate::plan::effect::{Fault, FaultClass};

/// Classifies an SDK error. The message is the service's own sentence, or the
/// innermost cause where no service answered.
pub fn fault<E, R>(error: SdkError<E, R>) -> Fault
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let SdkError::ServiceError(service) = &error else {
        if let Some(why) = not_leading(&error) {
            return why.fault();
        }
        return Fault {
            class: unanswered(&error),
            message: innermost(&error),
        };
    };
    let answer = service.err();
    let code = answer.code().unwrap_or("UnknownError");
    Fault {
        class: class(code),
        message: match answer.message() {
            Some(text) => format!("{code}: {text}"),
            None => code.to_owned(),
        },
    }
}

/// A call whose answer did not come. Only one that could not be built certainly
/// had no effect; of a connection that broke nobody knows at which end.
fn unanswered<E, R>(error: &SdkError<E, R>) -> FaultClass {
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
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "OptInRequired" => {
            FaultClass::AccessDenied
        }
        "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "UnrecognizedClientException"
        | "AuthFailure" => FaultClass::BadCredentials,
        "InternalFailure"
        | "ServiceFailure"
        | "ServiceFailureException"
        | "ServiceUnavailable"
        | "InternalError"
        | "EntityTemporarilyUnmodifiable"
        | "EntityTemporarilyUnmodifiableException"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        | "ReportInProgress"
        | "ReportNotPresent"
        | "ReportExpired"
        | "UnknownError" => FaultClass::Unavailable,
        _ => FaultClass::Refused,
    }
}

/// The gate's refusal, if that is what ended the call.
fn not_leading(error: &(dyn Error + 'static)) -> Option<NotLeading> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(why) = error.downcast_ref::<NotLeading>() {
            return Some(*why);
        }
        cause = error.source();
    }
    None
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
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
            ("ServiceUnavailable", FaultClass::Unavailable),
        ] {
            assert_eq!(class(code), expected, "{code}");
        }
    }
}
