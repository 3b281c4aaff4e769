//! One holder at a time for each key, in the order in which they came, with a limit on how many may wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub(super) struct KeyedQueue<K: Eq + Hash>(Mutex<HashMap<K, QueueEntry>>);

#[derive(Debug)]
struct QueueEntry {
    one: Arc<Semaphore>,
    /// The holder and those who wait.
    count: usize,
}

/// A turn, held until it is dropped.
#[derive(Debug)]
pub(super) struct QueueGuard<'a, K: Eq + Hash> {
    keyed_queue: &'a KeyedQueue<K>,
    key: K,
    /// `None`: still waiting.
    _permit: Option<OwnedSemaphorePermit>,
}

impl<K: Clone + Eq + Hash> KeyedQueue<K> {
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    /// Waits for a turn. `None`: `most` callers wait or have theirs already.
    pub async fn take(&self, key: K, most: usize) -> Option<QueueGuard<'_, K>> {
        let one = {
            let mut entries = self.lock();
            let turn =
                entries.entry(key.clone()).or_insert_with(|| QueueEntry { one: Arc::new(Semaphore::new(1)), count: 0 });
            if turn.count >= most {
                return None;
            }
            turn.count += 1;
            Arc::clone(&turn.one)
        };
        // Made before the wait, so that a caller that gives up waiting is no longer counted.
        let mut taken = QueueGuard { keyed_queue: self, key, _permit: None };
        taken._permit = one.acquire_owned().await.ok();
        Some(taken)
    }
}

impl<K: Eq + Hash> KeyedQueue<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, QueueEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for QueueGuard<'_, K> {
    fn drop(&mut self) {
        let mut entries = self.keyed_queue.lock();
        if let Some(turn) = entries.get_mut(&self.key) {
            turn.count -= 1;
            if turn.count == 0 {
                entries.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn each_key_has_its_turns_and_its_bound() {
        let keyed_queue = KeyedQueue::new();
        let first = keyed_queue.take("here", 2).await;
        assert!(first.is_some());
        let mut second = Box::pin(keyed_queue.take("here", 2));
        assert!(poll!(&mut second).is_pending());
        assert!(keyed_queue.take("here", 2).await.is_none(), "two are the most");
        assert!(keyed_queue.take("there", 2).await.is_some());
        drop(second);
        let mut third = Box::pin(keyed_queue.take("here", 2));
        assert!(poll!(&mut third).is_pending(), "who gave up waiting does not count");
        drop(first);
        drop(third.await.unwrap());
        assert!(keyed_queue.lock().is_empty());
    }
}
