//! Reads that many want at once, made once: a role that is revoked is looked at
//! by each of its leases, all in the same moment.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Reads by name. One is shared only by those who asked before it began, so it
/// tells each of them what was true after it asked, as a read of its own would.
pub struct Shared<T> {
    queues: Mutex<HashMap<String, Arc<Queue<T>>>>,
}

/// What is read under one name.
struct Queue<T> {
    /// One read at a time; who comes meanwhile gathers for the next.
    reading: tokio::sync::Mutex<()>,
    /// The read that has not begun.
    next: Mutex<Arc<OnceCell<T>>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            reading: tokio::sync::Mutex::default(),
            next: Mutex::default(),
        }
    }
}

impl<T: Clone> Shared<T> {
    /// What a read of that name says that begins after this call. `read` is
    /// made if nobody else makes it; if whoever does is dropped, another does.
    pub async fn read(&self, name: &str, read: impl Future<Output = T>) -> T {
        let queue = {
            let mut queues = self.queues.lock();
            queues.entry(name.to_owned()).or_default().clone()
        };
        let round = queue.next.lock().clone();
        let made = round.get_or_init(|| async {
            let _alone = queue.reading.lock().await;
            queue.begin(&round);
            read.await
        });
        let answer = made.await.clone();
        drop(queue);
        // Names are the tenants' to choose: none stays that nobody asks for.
        self.queues.lock().retain(|_, q| Arc::strong_count(q) > 1);
        answer
    }
}

impl<T> Queue<T> {
    /// From here on people ask for the next one.
    fn begin(&self, round: &Arc<OnceCell<T>>) {
        let mut next = self.next.lock();
        if Arc::ptr_eq(&next, round) {
            *next = Arc::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::{join_all, select};
    use futures::{FutureExt, poll};
    use tokio::sync::Notify;

    use super::*;

    /// Something to read that changes, slowly.
    #[derive(Default)]
    struct World {
        value: AtomicU32,
        reads: AtomicU32,
        answer: Notify,
    }

    impl World {
        async fn read(&self) -> u32 {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let value = self.value.load(Ordering::Relaxed);
            self.answer.notified().await;
            value
        }
    }

    #[tokio::test]
    async fn who_asks_during_a_read_is_told_what_came_after() {
        let (world, shared) = (World::default(), Shared::default());
        let mut first = std::pin::pin!(shared.read("role", world.read()));
        assert!(poll!(&mut first).is_pending());
        world.value.store(1, Ordering::Relaxed);
        let later = (0..100).map(|_| shared.read("role", world.read()));
        let mut later = std::pin::pin!(join_all(later));
        assert!(poll!(&mut later).is_pending());
        world.answer.notify_one();
        assert_eq!(first.await, 0);
        assert!(poll!(&mut later).is_pending());
        world.answer.notify_one();
        assert_eq!(later.await, [1; 100]);
        assert_eq!(world.reads.load(Ordering::Relaxed), 2);
        assert!(shared.queues.lock().is_empty());
    }

    #[tokio::test]
    async fn a_reader_that_is_dropped_is_replaced() {
        let (world, shared) = (World::default(), Shared::default());
        let mut dropped = Box::pin(shared.read("role", world.read()));
        assert!(poll!(&mut dropped).is_pending());
        let next: Vec<_> = (0..3)
            .map(|_| shared.read("role", world.read()).boxed_local())
            .collect();
        let mut next = Box::pin(join_all(next));
        assert!(poll!(&mut next).is_pending());
        drop(dropped);
        assert!(poll!(&mut next).is_pending());
        world.answer.notify_one();
        assert_eq!(next.await, [0; 3]);
        assert_eq!(world.reads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn other_names_do_not_wait() {
        let (world, shared) = (World::default(), Shared::default());
        let slow = Box::pin(shared.read("slow", world.read()));
        let other = Box::pin(shared.read("other", async { 7 }));
        let first = select(slow, other).await;
        assert_eq!(first.factor_first().0, 7);
    }
}
