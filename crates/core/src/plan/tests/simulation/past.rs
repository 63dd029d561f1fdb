//! A value and all that it was before, for caches that lag behind.

use jiff::Timestamp;

/// The states of a value, oldest first.
#[derive(Debug)]
pub(super) struct Past<T> {
    states: Vec<(Timestamp, Option<T>)>,
}

impl<T> Default for Past<T> {
    fn default() -> Self {
        Self { states: Vec::new() }
    }
}

impl<T: Clone> Past<T> {
    /// As it is.
    pub fn now(&self) -> Option<&T> {
        self.states.last()?.1.as_ref()
    }

    /// As it was then.
    pub fn at(&self, then: Timestamp) -> Option<&T> {
        let mut newest_first = self.states.iter().rev();
        newest_first.find(|(since, _)| *since <= then)?.1.as_ref()
    }

    /// When it became as it is.
    pub fn since(&self) -> Option<Timestamp> {
        Some(self.states.last()?.0)
    }

    /// It changes.
    pub fn set(&mut self, value: Option<T>, now: Timestamp) {
        self.states.push((now, value));
    }
}
