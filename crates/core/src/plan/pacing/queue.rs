//! Who may make the next call: by class, and within a class fairly.

use super::fair::{Fair, Place};
use super::{Class, Priority};

/// A sweep that waits gets every so many turns, whatever else waits: what it
/// finds are credentials that nobody ends.
const SWEEP_TURN: u32 = 20;

/// What waits, by class.
#[derive(Debug)]
pub struct Queue<T> {
    classes: [Fair<T>; 3],
    /// Turns since a sweep had one, while one waits.
    passed_over: u32,
}

/// Where something waits, to take it out again.
#[derive(Clone, Debug)]
pub struct Ticket {
    priority: Priority,
    place: Place,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            classes: Default::default(),
            passed_over: 0,
        }
    }
}

impl<T> Queue<T> {
    /// How many wait in a class.
    pub fn len(&self, class: Class) -> usize {
        self.classes[class.index()].len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(Fair::is_empty)
    }

    /// Lets something wait.
    pub fn push(&mut self, priority: Priority, item: T) -> Ticket {
        let Priority {
            class,
            namespace,
            urgency,
            since,
        } = &priority;
        let place = self.classes[class.index()].push(namespace, *urgency, *since, item);
        Ticket { priority, place }
    }

    /// Who is next. Issuing never goes before revoking: what is issued while
    /// revocations wait could not be revoked either.
    pub fn pop(&mut self) -> Option<T> {
        let [_, _, sweeps] = &mut self.classes;
        if sweeps.is_empty() {
            self.passed_over = 0;
        } else {
            self.passed_over += 1;
            if self.passed_over >= SWEEP_TURN {
                self.passed_over = 0;
                return sweeps.pop().map(|(_, item)| item);
            }
        }
        let next = self.classes.iter_mut().find_map(Fair::pop);
        next.map(|(_, item)| item)
    }

    /// Takes something out; `None` if it was served before.
    pub fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        let Priority {
            class, namespace, ..
        } = &ticket.priority;
        self.classes[class.index()].remove(namespace, &ticket.place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Urgency;
    use super::*;

    use jiff::Timestamp;

    fn of(class: Class) -> Priority {
        Priority {
            class,
            namespace: "a".into(),
            urgency: Urgency::New,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn revocations_go_first_and_a_sweep_is_not_forgotten() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.push(of(Class::Sweep), Class::Sweep);
            queue.push(of(Class::Issue), Class::Issue);
            queue.push(of(Class::Revoke), Class::Revoke);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        let last = |class| order.iter().rposition(|c| *c == class).unwrap();
        let first = |class| order.iter().position(|c| *c == class).unwrap();
        assert!(last(Class::Revoke) < first(Class::Issue));
        let meanwhile = &order[..last(Class::Revoke)];
        let sweeps = meanwhile.iter().filter(|c| **c == Class::Sweep).count();
        assert_eq!(sweeps, 5);
        assert_eq!(order.len(), 300);
    }

    #[test]
    fn what_gave_up_waiting_is_out() {
        let mut queue = Queue::default();
        let ticket = queue.push(of(Class::Issue), 1);
        queue.push(of(Class::Issue), 2);
        assert_eq!(queue.remove(&ticket), Some(1));
        assert_eq!(queue.pop(), Some(2));
        assert_eq!(queue.remove(&ticket), None);
        assert!(queue.is_empty());
    }
}
