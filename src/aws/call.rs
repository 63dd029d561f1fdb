//! The one gate that every AWS call goes through.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use tokio::time::timeout;
use tracing::Instrument;

use super::budget::{Budget, Budgets};
use super::error::fault;
use crate::metrics::Metrics;
use crate::traces::spans;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::pacing::{Priority, Service};
use keylease_core::time::CALL_TIMEOUT;

/// By how much a call may outlast [`CALL_TIMEOUT`] before the process, and not
/// the call, is taken to have been stopped.
const STOPPED: Duration = Duration::from_secs(1);
/// How long a process that was stopped reads what has arrived meanwhile.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Makes calls: in turn, bounded in time, counted by outcome, errors
/// classified.
#[derive(Clone)]
pub struct Calls {
    metrics: Metrics,
    budgets: Budgets,
    turns: Option<Turns>,
}

/// Whose budget calls wait for, and their place in the line.
#[derive(Clone)]
struct Turns {
    budget: Budget,
    priority: Priority,
}

impl Calls {
    /// Calls that count into these metrics. They wait for nobody: it is not
    /// known yet whose budget they use.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            budgets: Budgets::new(metrics.clone()),
            metrics,
            turns: None,
        }
    }

    /// The same within the budget of that AWS account, for the operator
    /// itself.
    pub fn of_account(&self, account_id: &str) -> Self {
        let turns = Turns {
            budget: self.budgets.of(account_id),
            priority: Priority::own(),
        };
        Self {
            turns: Some(turns),
            ..self.clone()
        }
    }

    /// The same at another place in the line.
    pub fn at(&self, priority: Priority) -> Self {
        let mut calls = self.clone();
        if let Some(turns) = &mut calls.turns {
            turns.priority = priority;
        }
        calls
    }

    /// Where they are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The budget that they use.
    pub(super) fn budget(&self) -> Option<&Budget> {
        self.turns.as_ref().map(|turns| &turns.budget)
    }

    /// Makes one IAM call.
    pub async fn iam<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        self.make(Service::Iam, operation, call).await
    }

    /// Makes one STS call.
    pub async fn sts<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        self.make(Service::Sts, operation, call).await
    }

    async fn make<T, E>(
        &self,
        service: Service,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        // The SDK's futures are large, and whoever awaits them holds them by
        // value; without this, frames of a development build fill the stack.
        let call = Box::pin(call);
        let turn = match &self.turns {
            Some(turns) => {
                let gate = turns.budget.gate(service);
                gate.turn(&turns.priority)
                    .await
                    .map(|sent| Some((gate, sent)))
            }
            None => Ok(None),
        };
        let result = match turn {
            Ok(turn) => {
                let span = spans::call(service.as_str(), operation);
                let answer = answer(call).instrument(span.clone()).await;
                spans::close(span, answer.as_ref().err());
                if let Some((gate, sent)) = turn {
                    gate.answered(sent, answer.as_ref().map(drop).map_err(|f| f.class));
                }
                answer
            }
            Err(unsent) => Err(unsent),
        };
        let outcome = result.as_ref().map_or_else(|f| f.class.as_str(), |_| "ok");
        self.metrics.call(service.as_str(), operation, outcome);
        tracing::debug!(service = service.as_str(), operation, outcome, "AWS call");
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

async fn answer<T, E>(call: impl Future<Output = Result<T, SdkError<E>>>) -> Result<T, Fault>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match in_time(call).await {
        Some(result) => result.map_err(fault),
        None => Err(Fault {
            class: FaultClass::NoAnswer,
            message: format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
        }),
    }
}
