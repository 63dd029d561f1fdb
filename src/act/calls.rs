//! The one gate that every call to the API server goes through.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::Instrument;

use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::traces::spans;
use keylease_core::plan::effect::{Fault, FaultClass};

/// How long one call may take before its answer counts as lost.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How many calls are under way at a time. Each has a connection of its own
/// (kube speaks HTTP/1.1), which is memory here and there; and more at a time
/// are not answered sooner (docs/decisions/0026-memory.md).
const AT_A_TIME: usize = 32;

/// Makes calls: bounded in number and time, counted by outcome, errors
/// classified; and none once this instance does not lead.
#[derive(Clone)]
pub struct KubeCalls {
    metrics: Metrics,
    leadership: Leadership,
    turns: Arc<Semaphore>,
}

impl KubeCalls {
    /// Calls that count into these metrics.
    ///
    /// They are made whoever leads: for what a standby has to know.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            leadership: Leadership::alone(),
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// The same, made only while this instance leads.
    pub fn while_leading(self, leadership: Leadership) -> Self {
        Self { leadership, ..self }
    }

    /// Makes one call.
    ///
    /// # Errors
    /// The classified fault.
    pub async fn make<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Fault> {
        self.make_within(CALL_TIMEOUT, operation, call).await
    }

    /// Makes one call that may take that long.
    ///
    /// # Errors
    /// The classified fault.
    pub async fn make_within<T>(
        &self,
        limit: Duration,
        operation: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Fault> {
        // It is never closed, and an error would only mean no limit.
        let _turn = self.turns.acquire().await.ok();
        let result = match self.leadership.check() {
            Ok(()) => {
                let span = spans::call("kubernetes", operation);
                let answer = answer(limit, call).instrument(span.clone()).await;
                spans::close(span, answer.as_ref().err());
                answer
            }
            Err(not_leading) => Err(not_leading.fault()),
        };
        let outcome = result.as_ref().map_or_else(|f| f.class.as_str(), |_| "ok");
        self.metrics.call("kubernetes", operation, outcome);
        tracing::debug!(operation, outcome, "Kubernetes call");
        result
    }
}

async fn answer<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Fault> {
    match timeout(limit, call).await {
        Ok(result) => result.map_err(fault),
        Err(_) => Err(Fault {
            class: FaultClass::NoAnswer,
            message: format!("no answer within {limit:?}"),
        }),
    }
}

fn fault(error: kube::Error) -> Fault {
    match error {
        kube::Error::Api(status) => Fault {
            class: class(status.code, &status.reason),
            message: status.message,
        },
        other => Fault {
            class: FaultClass::NoAnswer,
            message: other.to_string(),
        },
    }
}

fn class(code: u16, reason: &str) -> FaultClass {
    match (code, reason) {
        (409, "AlreadyExists") => FaultClass::AlreadyExists,
        (409, _) => FaultClass::Stale,
        (404 | 410, _) => FaultClass::NotFound,
        (401, _) => FaultClass::BadCredentials,
        (403, _) => FaultClass::AccessDenied,
        (429, _) => FaultClass::Throttled,
        (504, _) => FaultClass::NoAnswer,
        (400 | 405 | 406 | 413 | 415 | 422, _) => FaultClass::Refused,
        _ => FaultClass::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_fall_into_their_classes() {
        assert_eq!(class(409, "AlreadyExists"), FaultClass::AlreadyExists);
        assert_eq!(class(409, "Conflict"), FaultClass::Stale);
        assert_eq!(class(403, "Forbidden"), FaultClass::AccessDenied);
        assert_eq!(class(500, "InternalError"), FaultClass::Unavailable);
        assert_eq!(class(503, ""), FaultClass::Unavailable);
        assert_eq!(class(504, "Timeout"), FaultClass::NoAnswer);
        assert_eq!(class(422, "Invalid"), FaultClass::Refused);
    }
}
