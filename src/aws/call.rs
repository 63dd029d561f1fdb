//! The one gate that every AWS call goes through.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use tokio::time::timeout;

use super::error::fault;
use crate::metrics::Metrics;
use crate::plan::effect::{Fault, FaultClass};

/// How long one call may take. IAM's writes take tens to hundreds of
/// milliseconds; past this the answer counts as lost.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// By how much a call may outlast [`CALL_TIMEOUT`] before the process, and not
/// the call, is taken to have been stopped.
const STOPPED: Duration = Duration::from_secs(1);
/// How long a process that was stopped reads what has arrived meanwhile.
const CATCH_UP: Duration = Duration::from_secs(2);

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
        let result = match in_time(call).await {
            Some(result) => result.map_err(fault),
            None => Err(Fault {
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

/// The call's answer, if it comes in time. A process that was stopped, or whose
/// machine was, wakes with its timers run out and its answers unread; the id of
/// a key may be among them, so they are read before they count as lost.
async fn in_time<T>(call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let begun = Instant::now();
    if let Ok(answer) = timeout(CALL_TIMEOUT, call.as_mut()).await {
        return Some(answer);
    }
    let was_stopped = begun.elapsed() > CALL_TIMEOUT + STOPPED;
    match was_stopped {
        true => timeout(CATCH_UP, call).await.ok(),
        false => None,
    }
}
