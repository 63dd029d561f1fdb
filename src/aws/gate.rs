//! The line in front of one service of one AWS account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::metrics::Metrics;
use crate::plan::effect::{Fault, FaultClass};
use crate::plan::pacing::queue::{Queue, Ticket};
use crate::plan::pacing::rate::{Rate, Sent};
use crate::plan::pacing::{Class, PATIENCE, Priority, Service};

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
