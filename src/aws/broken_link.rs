//! A link of the chain of credentials that broke, as an error that SDKs carry
//! through unread.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;

use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::sign_in::SignInStep;

/// Which link broke, and what AWS, or whoever has the credentials, said.
#[derive(Debug)]
pub(super) struct BrokenLink {
    pub step: SignInStep,
    pub cause: Cause,
    pub source: CredentialsError,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// There are no credentials; the text says where they were looked for.
    Missing(String),
    /// They could not be had.
    Fault(Fault),
}

impl BrokenLink {
    /// What it means for a call that wanted to use the credentials: it was not
    /// sent, whatever was answered to the link. A denial among these says
    /// nothing of the call.
    pub fn call_fault(&self) -> Fault {
        Fault {
            class: FaultClass::Unavailable,
            message: format!("not sent, for want of credentials: {self}"),
        }
    }
}

impl fmt::Display for BrokenLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.cause {
            Cause::Missing(text) => text,
            Cause::Fault(fault) => &fault.message,
        };
        write!(f, "{}: {text}", self.step)
    }
}

impl Error for BrokenLink {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// An error and its causes, outermost first.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}

/// The link that broke, if that is what an error comes from: the first of the
/// chain, which the others only pass on.
pub(super) fn broken_link<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a BrokenLink> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<BrokenLink>())
        .last()
}
