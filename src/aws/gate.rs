//! The line in front of one service of one AWS account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::metrics::Metrics;
use keylease_core::plan::effect::{Fault, FaultClass};
use keylease_core::plan::pacing::queue::{Queue, Ticket};
use keylease_core::plan::pacing::rate::{Rate, Sent};
use keylease_core::plan::pacing::{Class, PATIENCE, Priority, Service};

/// Lets calls through one at a time, as `plan::pacing` says.
pub struct Gate {
    account: Arc<str>,
    service: Service,
    metrics: Metrics,
    state: Mutex<State>,
}

struct State {
    rate: Rate,
    queue: Queue<oneshot::Sender<Sent>>,
    /// Whether somebody serves the queue; only while it is not empty.
    served: bool,
}

/// A turn that has to be waited for.
struct Turn {
    ticket: Ticket,
    called: oneshot::Receiver<Sent>,
}

impl Gate {
    /// An open gate.
    pub fn new(account: Arc<str>, service: Service, metrics: Metrics) -> Self {
        let state = State {
            rate: Rate::new(service.first_rate(), Instant::now()),
            queue: Queue::default(),
            served: false,
        };
        Self {
            account,
            service,
            metrics,
            state: Mutex::new(state),
        }
    }

    /// Sets the most calls a second.
    pub fn set_cap(&self, cap: Option<f64>) {
        let mut state = self.state.lock();
        state.rate.set_cap(cap);
        self.show_rate(&state);
    }

    /// The calls a second at present.
    pub fn per_second(&self) -> f64 {
        self.state.lock().rate.per_second()
    }

    /// Waits for the turn of one call.
    ///
    /// # Errors
    /// [`FaultClass::Unsent`] when it did not come within [`PATIENCE`].
    pub async fn turn(self: &Arc<Self>, priority: &Priority) -> Result<Sent, Fault> {
        let asked = Instant::now();
        let turn = match self.ask(priority, asked) {
            Ok(sent) => Ok(sent),
            Err(turn) => self.wait(turn, priority.class).await,
        };
        self.metrics
            .waited(self.service, priority.class, asked.elapsed());
        turn
    }

    /// What the answer to a call teaches.
    pub fn answered(&self, sent: Sent, outcome: Result<(), FaultClass>) {
        let mut state = self.state.lock();
        match outcome {
            Err(FaultClass::Throttled) => state.rate.throttled(sent, Instant::now()),
            // AWS may not have seen it, or is not well.
            Err(FaultClass::NoAnswer | FaultClass::Unavailable) => {}
            _ => state.rate.taken(sent),
        }
        self.show_rate(&state);
    }

    /// At once, if nobody waits and the budget allows; else a place in the line.
    fn ask(self: &Arc<Self>, priority: &Priority, now: Instant) -> Result<Sent, Turn> {
        let mut state = self.state.lock();
        if state.queue.is_empty() && state.rate.take(now).is_ok() {
            return Ok(Sent {
                at: now,
                held_up: false,
            });
        }
        let (call, called) = oneshot::channel();
        let ticket = state.queue.push(priority.clone(), call);
        self.show_length(&state);
        if !state.served {
            state.served = true;
            tokio::spawn(self.clone().serve());
        }
        Err(Turn { ticket, called })
    }

    async fn wait(&self, turn: Turn, class: Class) -> Result<Sent, Fault> {
        let Turn { ticket, mut called } = turn;
        if let Ok(Ok(sent)) = timeout(PATIENCE, &mut called).await {
            return Ok(sent);
        }
        let mut state = self.state.lock();
        if state.queue.remove(&ticket).is_none()
            && let Ok(sent) = called.try_recv()
        {
            return Ok(sent);
        }
        self.show_length(&state);
        Err(Fault {
            class: FaultClass::Unsent,
            message: format!(
                "no turn within {} s: {} {} calls wait, and AWS takes {:.1} a second",
                PATIENCE.as_secs(),
                state.queue.len(class),
                class.as_str(),
                state.rate.per_second(),
            ),
        })
    }

    /// Calls whoever is next, until nobody waits.
    async fn serve(self: Arc<Self>) {
        while let Some(pause) = self.call_those_who_may() {
            tokio::time::sleep(pause).await;
        }
    }

    /// How long until the next one may, if somebody waits.
    fn call_those_who_may(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        let pause = loop {
            if state.queue.is_empty() {
                state.served = false;
                break None;
            }
            let at = Instant::now();
            if let Err(pause) = state.rate.take(at) {
                break Some(pause);
            }
            let held_up = true;
            let sent = state
                .queue
                .pop()
                .map(|call| call.send(Sent { at, held_up }));
            // Whoever was called is not there any more.
            if !matches!(sent, Some(Ok(()))) {
                state.rate.give_back();
            }
        };
        self.show_length(&state);
        pause
    }

    fn show_rate(&self, state: &State) {
        let rate = state.rate.per_second();
        self.metrics.allowed(&self.account, self.service, rate);
    }

    fn show_length(&self, state: &State) {
        for class in Class::ALL {
            let length = state.queue.len(class);
            self.metrics
                .calls_waiting(&self.account, self.service, class, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::stream::FuturesUnordered;
    use jiff::Timestamp;

    use super::*;
    use keylease_core::plan::pacing::Urgency;

    fn gate() -> Arc<Gate> {
        let account = Arc::from("123456789012");
        Arc::new(Gate::new(account, Service::Iam, Metrics::default()))
    }

    fn of(class: Class) -> Priority {
        Priority {
            class,
            namespace: "a".into(),
            urgency: Urgency::New,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn revocations_are_called_first_and_nobody_serves_an_empty_line() {
        let gate = gate();
        // What may go at once is gone.
        while gate.state.lock().rate.take(Instant::now()).is_ok() {}
        let turn = |class: Class| {
            let gate = gate.clone();
            async move {
                gate.turn(&of(class)).await.unwrap();
                class
            }
        };
        let mut turns: FuturesUnordered<_> = [Class::Issue, Class::Issue, Class::Revoke]
            .into_iter()
            .map(turn)
            .collect();
        let mut order = Vec::new();
        while let Some(class) = turns.next().await {
            order.push(class);
        }
        assert_eq!(order, [Class::Revoke, Class::Issue, Class::Issue]);
        let state = gate.state.lock();
        assert!(state.queue.is_empty() && !state.served);
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_is_not_lost() {
        let gate = gate();
        while gate.state.lock().rate.take(Instant::now()).is_ok() {}
        let (revoke, issue) = (of(Class::Revoke), of(Class::Issue));
        let mut left = Box::pin(gate.turn(&revoke));
        assert!(futures::poll!(left.as_mut()).is_pending());
        let stays = gate.turn(&issue);
        drop(left);
        assert!(stays.await.is_ok());
        assert_eq!(gate.state.lock().queue.len(Class::Revoke), 0);
    }
}
