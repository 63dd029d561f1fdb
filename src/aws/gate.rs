//! The last thing that happens before a call leaves the process: is it still
//! ours to make?

use aws_sdk_iam::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_iam::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iam::error::BoxError;

use crate::leader::Leadership;

/// Stops calls of an instance that does not lead.
///
/// An interceptor of the SDK and not a check in [`Calls`](super::Calls),
/// because between the two lie the waits for a place in a queue, for
/// credentials and for the signature; a process may be stopped in each.
#[derive(Debug)]
pub(super) struct Gate {
    leadership: Leadership,
}

impl Gate {
    pub(super) fn new(leadership: Leadership) -> Self {
        Self { leadership }
    }
}

impl Intercept for Gate {
    fn name(&self) -> &'static str {
        "Leadership"
    }

    /// Runs when the request is signed and only has to be sent.
    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.leadership.check().map_err(BoxError::from)
    }
}
