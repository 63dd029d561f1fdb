//! The last thing that happens before a call leaves the process: is it still
//! ours to make? As far as other instances are concerned, and other clusters.

use aws_sdk_iam::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_iam::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iam::error::BoxError;

use super::tenure::Tenure;
use crate::leader::Leadership;

/// Stops calls of an instance that does not lead.
///
/// An interceptor of the SDK and not a check in [`Calls`](super::Calls),
/// because between the two lie the waits for a place in a queue, for
/// credentials and for the signature; a process may be stopped in each.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    leadership: Leadership,
    tenure: Tenure,
}

impl Leading {
    pub(super) fn new(leadership: Leadership) -> Self {
        Self {
            leadership,
            tenure: Tenure::assumed(),
        }
    }

    /// The same for calls of a cluster that has to hold its identity.
    pub(super) fn with(self, tenure: Tenure) -> Self {
        Self { tenure, ..self }
    }
}

impl Intercept for Leading {
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
        self.leadership.check()?;
        self.tenure.check().map_err(BoxError::from)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

    use super::*;
    use crate::aws::Calls;
    use crate::metrics::Metrics;
    use keylease_core::plan::effect::FaultClass;

    /// What becomes of a call to an address where nobody listens.
    async fn class_of_a_call(leadership: Leadership) -> FaultClass {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .credentials_provider(Credentials::new("AKIA", "secret", None, None, "test"))
            .region(Region::from_static("us-east-1"))
            .endpoint_url("http://127.0.0.1:1")
            .retry_config(RetryConfig::disabled())
            .interceptor(Leading::new(leadership))
            .build();
        let iam = aws_sdk_iam::Client::from_conf(config);
        let call = iam.create_access_key().user_name("app").send();
        let calls = Calls::new(Metrics::default());
        match calls.iam("CreateAccessKey", call).await {
            Ok(_) => unreachable!("nobody listens"),
            Err(fault) => fault.class,
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_without_leadership() {
        let sent = class_of_a_call(Leadership::alone()).await;
        assert_eq!(sent, FaultClass::NoAnswer);
        let stopped = class_of_a_call(Leadership::sought()).await;
        assert_eq!(stopped, FaultClass::NotLeading);
    }
}
