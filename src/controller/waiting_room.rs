//! Where requests wait before they are worked on.
//!
//! A burst of thousands would otherwise put its finalizers and dry runs before
//! everybody else's first call, fill every slot of the controller, and hold
//! the memory of thousands of half-done reconciliations. So no more is begun
//! than the budget serves in a moment; the rest costs one entry each. Whoever's
//! turn comes is reconciled anew, from what is true by then.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::context::{Concerned, Notices};
use crate::metrics::Metrics;
use keylease_api::AwsCredentialRequest;
use keylease_core::plan::pacing::fair::{Fair, Place};
use keylease_core::plan::pacing::{Class, Priority, Service, Urgency};

/// Whom a request waits with: those that need the same budget for the same.
/// Lines do not wait for each other, so revocations find seats while issuing
/// has taken all of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// The 12-digit id of the AWS account; empty while it is not known.
    pub account: Arc<str>,
    /// The service whose calls make up the work.
    pub service: Service,
    /// What the work is for.
    pub class: Class,
}

/// A request that wants to be worked on.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where it would wait.
    pub line: Line,
    /// Its place in that line.
    pub priority: Priority,
    /// How many of the line may be worked on at a time.
    pub slots: usize,
    /// It goes on at once: its key is in our hands only.
    pub at_once: bool,
}

/// The room.
pub struct WaitingRoom {
    state: Mutex<State>,
    notices: Notices,
    metrics: Metrics,
}

/// A request is being worked on. Its seat is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    room: Weak<WaitingRoom>,
    line: Line,
    namespace: Arc<str>,
}

/// Namespace and name.
type Who = (Arc<str>, String);

#[derive(Default)]
struct State {
    lines: HashMap<Line, Seats>,
    /// Everybody who waits, or was called and has not come yet.
    guests: HashMap<Who, Guest>,
}

enum Guest {
    Waits(Line, Place),
    Called(Line),
}

/// What somebody had who is not on the list any more.
enum Kept {
    /// A place among those who wait.
    Place,
    /// A seat, which is free now.
    Seat,
}

/// One line and its seats.
#[derive(Default)]
struct Seats {
    slots: usize,
    taken: usize,
    /// Seats taken, by namespace; none where it has none.
    by_namespace: HashMap<Arc<str>, usize>,
    waiting: Fair<String>,
}

impl WaitingRoom {
    /// An empty room; whoever is called is called by a notice.
    pub fn new(notices: Notices, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            notices,
            metrics,
        })
    }

    /// A seat, or `None`: then the request waits, and is called.
    pub fn enter(self: &Arc<Self>, request: &AwsCredentialRequest, wish: Wish) -> Option<Seat> {
        let Wish {
            line,
            priority,
            slots,
            at_once,
        } = wish;
        let namespace = priority.namespace.clone();
        let who = (namespace.clone(), request.name_any());
        let mut state = self.state.lock();
        // It may have waited for something else, or with another urgency.
        let before = state.strike(&who);
        let was_called = matches!(&before, Some((l, Kept::Seat)) if *l == line);
        if let Some((other, _)) = before.filter(|(before, _)| *before != line) {
            self.call_next(&mut state, &other, Some(&namespace));
        }
        let seats = state.lines.entry(line.clone()).or_default();
        seats.slots = slots;
        let seated = was_called || at_once || seats.has_room_for(&namespace);
        if seated {
            seats.take(&namespace);
        } else {
            let Priority { urgency, since, .. } = priority;
            let place = seats
                .waiting
                .push(&namespace, urgency, since, who.1.clone());
            state.guests.insert(who, Guest::Waits(line.clone(), place));
        }
        self.call_next(&mut state, &line, None);
        seated.then(|| Seat {
            room: Arc::downgrade(self),
            line,
            namespace,
        })
    }

    /// Whether the seat, given up by a request of that urgency, would go to one
    /// that is nearer to what counts. A seat beyond those that the budget serves,
    /// which is there because a namespace has one at least, goes to nobody: who
    /// gave it up would have it again at once, without end.
    pub fn is_wanted(&self, seat: &Seat, urgency: Urgency) -> bool {
        let state = self.state.lock();
        let Some(seats) = state.lines.get(&seat.line) else {
            return false;
        };
        let others = seats.taken <= seats.slots && seats.waiting.has_before(urgency);
        others || seats.waiting.has_before_in(&seat.namespace, urgency)
    }

    /// The request wants nothing any more.
    pub fn leave(&self, namespace: &str, name: &str) {
        let who = (Arc::from(namespace), name.to_owned());
        let mut state = self.state.lock();
        if let Some((line, _)) = state.strike(&who) {
            self.call_next(&mut state, &line, Some(&who.0));
        }
    }

    fn give_back(&self, line: &Line, namespace: &Arc<str>) {
        let mut state = self.state.lock();
        if let Some(seats) = state.lines.get_mut(line) {
            seats.free(namespace);
        }
        self.call_next(&mut state, line, Some(namespace));
    }

    /// Gives free seats to those who wait. A namespace that has none left goes
    /// before the others: each has one at least.
    fn call_next(&self, state: &mut State, line: &Line, left: Option<&Arc<str>>) {
        let Some(seats) = state.lines.get_mut(line) else {
            return;
        };
        let mut called = Vec::new();
        if let Some(namespace) = left.filter(|ns| !seats.by_namespace.contains_key(*ns)) {
            called.extend(seats.waiting.pop_from(namespace));
        }
        for (namespace, _) in &called {
            seats.take(namespace);
        }
        while seats.taken < seats.slots
            && let Some(next) = seats.waiting.pop()
        {
            seats.take(&next.0);
            called.push(next);
        }
        let length = seats.waiting.len();
        if seats.taken == 0 {
            state.lines.remove(line);
        }
        self.metrics
            .requests_waiting(&line.account, line.service, line.class, length);
        for who in called {
            let (namespace, name) = &who;
            let reference = ObjectRef::new(name).within(namespace);
            self.notices.concerns(Concerned::This(reference));
            state.guests.insert(who, Guest::Called(line.clone()));
        }
    }
}

impl State {
    /// Takes somebody off the list, and gives back what was kept for it.
    fn strike(&mut self, who: &Who) -> Option<(Line, Kept)> {
        let (line, kept) = match self.guests.remove(who)? {
            Guest::Waits(line, place) => {
                let seats = self.lines.get_mut(&line)?;
                seats.waiting.remove(&who.0, &place);
                (line, Kept::Place)
            }
            Guest::Called(line) => {
                self.lines.get_mut(&line)?.free(&who.0);
                (line, Kept::Seat)
            }
        };
        Some((line, kept))
    }
}

impl Seats {
    /// A seat is free and nobody waits for it; or the namespace has none.
    fn has_room_for(&self, namespace: &Arc<str>) -> bool {
        let free = self.taken < self.slots && self.waiting.is_empty();
        free || !self.by_namespace.contains_key(namespace)
    }

    fn take(&mut self, namespace: &Arc<str>) {
        self.taken += 1;
        *self.by_namespace.entry(namespace.clone()).or_default() += 1;
    }

    fn free(&mut self, namespace: &Arc<str>) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(count) = self.by_namespace.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.by_namespace.remove(namespace);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(room) = self.room.upgrade() {
            room.give_back(&self.line, &self.namespace);
        }
    }
}
