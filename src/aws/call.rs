//! The one gate that every AWS call goes through.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use tokio::time::timeout;

use super::error::fault;
use crate::metrics::Metrics;
use crate::plan::effect::{Fault, FaultClass};

/// How long one call may take. IAM's writes take tens to hundreds of
/// milliseconds; past this the answer counts as lost.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes calls: bounded in time, counted by outcome, errors classified.
#[derive(Clone)]
pub struct Calls {
    metrics: Metrics,
}

impl Calls {
    /// Calls that count into these metrics.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }

    /// Makes one IAM call.
    pub async fn iam<T, E, R>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        self.make("iam", operation, call).await
    }

    /// Makes one STS call.
    pub async fn sts<T, E, R>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        self.make("sts", operation, call).await
    }

    async fn make<T, E, R>(
        &self,
        service: &'static str,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let result = match timeout(CALL_TIMEOUT, call).await {
            Ok(result) => result.map_err(fault),
            Err(_) => Err(Fault {
                class: FaultClass::NoAnswer,
                message: format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
            }),
        };
        let outcome = result.as_ref().map_or_else(|f| f.class.as_str(), |_| "ok");
        self.metrics.call(service, operation, outcome);
        tracing::debug!(service, operation, outcome, "AWS call");
        result
    }
}
