//! What tests use one after the other, because it is dear to start: at most so
//! many at a time, in the order in which they asked.

use std::ops::{Deref, DerefMut};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Things that are handed from test to test, also across their runtimes.
#[derive(Debug)]
pub struct Pool<T> {
    turns: Semaphore,
    free: Mutex<Vec<T>>,
}

/// One's turn to use one of the pool's things, if one is there already.
#[derive(Debug)]
pub struct Turn<T: 'static> {
    pool: &'static Pool<T>,
    _permit: SemaphorePermit<'static>,
}

/// A thing of the pool in use. Dropping it gives it back, unless a test failed with
/// it: whoever is next starts another.
#[derive(Debug)]
pub struct Lent<T: 'static> {
    // Always there but in `drop`.
    thing: Option<T>,
    turn: Turn<T>,
}

impl<T> Pool<T> {
    /// An empty pool that lets so many be used at a time.
    #[must_use]
    pub const fn of(at_a_time: usize) -> Self {
        Self {
            turns: Semaphore::const_new(at_a_time),
            free: parking_lot::const_mutex(Vec::new()),
        }
    }

    /// Waits for one's turn. Those who wait get it in the order in which they came.
    ///
    /// # Errors
    /// Never: the pool is not closed.
    pub async fn turn(&'static self) -> Result<Turn<T>> {
        let permit = self.turns.acquire().await.context("closed")?;
        Ok(Turn {
            pool: self,
            _permit: permit,
        })
    }
}

impl<T> Turn<T> {
    /// Something that somebody gave back, preferably one that fits.
    pub fn used(&self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let mut free = self.pool.free.lock();
        let fitting = free.iter().position(fits);
        let any = fitting.or_else(|| free.len().checked_sub(1))?;
        Some(free.swap_remove(any))
    }

    /// Uses this one now, and gives it to the pool later.
    pub fn with(self, thing: T) -> Lent<T> {
        Lent {
            thing: Some(thing),
            turn: self,
        }
    }
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.thing {
            Some(thing) => thing,
            None => unreachable!("taken out in `drop` alone"),
        }
    }
}

impl<T> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.thing {
            Some(thing) => thing,
            None => unreachable!("taken out in `drop` alone"),
        }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        let thing = self.thing.take();
        if !std::thread::panicking() {
            self.turn.pool.free.lock().extend(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thing_goes_from_one_to_the_next() -> Result<()> {
        static POOL: Pool<&str> = Pool::of(2);
        let turn = POOL.turn().await?;
        assert_eq!(turn.used(|_| true), None);
        let (one, two) = (turn.with("one"), POOL.turn().await?.with("two"));
        // Both turns are taken.
        let third = tokio::spawn(POOL.turn());
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(two);
        let third = third.await??;
        drop(one);
        assert_eq!(third.used(|name| *name == "one"), Some("one"));
        assert_eq!(third.used(|name| *name == "one"), Some("two"), "any");
        Ok(())
    }

    #[tokio::test]
    async fn what_a_failed_test_had_goes_to_nobody() -> Result<()> {
        static POOL: Pool<&str> = Pool::of(1);
        let spoilt = POOL.turn().await?.with("spoilt");
        let failed = std::thread::spawn(move || {
            let _spoilt = spoilt;
            panic!("a test fails");
        });
        assert!(failed.join().is_err());
        assert_eq!(POOL.turn().await?.used(|_| true), None);
        Ok(())
    }
}
