//! Where passwords are computed: two at a time, beside the threads that answer calls, in memory that is reused, and
//! freed when it has not been needed for a while. Allocated for each computation, 19 MiB apiece would stay in the
//! allocator's many arenas. Only so many unknown callers may wait; a caller that has logged in from there before does
//! not queue behind them. Knows neither users nor hashes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::Block;
use tokio::sync::Semaphore;

/// Each takes 19 MiB and a core for some 20 ms; more at a time would only slow each other and the calls.
pub(super) const CONCURRENT_HASHES: usize = 2;
/// Unknown callers that may wait for a seat: the last of them waits for some 2.5 s.
pub(super) const MAX_WAITING: usize = 256;
/// Memory that was not used for this long is freed.
const KEPT: Duration = Duration::from_secs(1);

/// KiB of what OWASP's parameters need, and of what is kept between two computations.
pub(super) const BLOCKS: usize = argon2::Params::DEFAULT_M_COST as usize;

/// Which queue a computation waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerClass {
    /// Any caller.
    Unknown,
    /// A caller that has logged in from there before, or is authenticated already.
    Known,
}

/// Why nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotComputed {
    Overloaded,
    /// It panicked, or the process ends.
    Broken,
}

/// How busy the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashLoad {
    /// What is computed now, of two.
    pub computing: usize,
    /// Unknown callers that wait, or whose password is computed.
    pub unknown: usize,
}

#[derive(Debug)]
pub(super) struct Pool {
    seats: Semaphore,
    /// Unknown callers that wait for a seat: no more than there are seats, so that a known caller waits for one
    /// computation at most.
    strangers: Semaphore,
    places: Semaphore,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    idle: Vec<Vec<Block>>,
    /// Counts returned memory, to see whether any was returned since.
    uses: u64,
    /// Whether a task is there to free what is idle.
    watched: bool,
}

impl Pool {
    pub fn new() -> Arc<Self> {
        let (seats, strangers) = (Semaphore::new(CONCURRENT_HASHES), Semaphore::new(CONCURRENT_HASHES));
        Arc::new(Self { seats, strangers, places: Semaphore::new(MAX_WAITING), memory: Mutex::default() })
    }

    /// Computes in turn. The seat is held until the work is over, even when its caller is gone.
    pub async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        standing: CallerClass,
        work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, NotComputed> {
        let _before = match standing {
            CallerClass::Known => None,
            CallerClass::Unknown => {
                let place = self.places.try_acquire().map_err(|_| NotComputed::Overloaded)?;
                let turn = self.strangers.acquire().await.map_err(|_| NotComputed::Broken)?;
                Some((place, turn))
            }
        };
        // The semaphores are never closed.
        let seat = self.seats.acquire().await.map_err(|_| NotComputed::Broken)?;
        seat.forget();
        let seat = HashSlot { pool: Arc::clone(self), blocks: self.lock().idle.pop().unwrap_or_default() };
        let working = tokio::task::spawn_blocking(move || {
            let mut seat = seat;
            work(&mut seat.blocks)
        });
        let done = working.await.map_err(|_| NotComputed::Broken);
        self.look_after();
        done
    }

    pub fn load(&self) -> HashLoad {
        let places = MAX_WAITING.saturating_sub(self.places.available_permits());
        HashLoad { computing: CONCURRENT_HASHES.saturating_sub(self.seats.available_permits()), unknown: places }
    }

    /// Frees memory that has been idle for too long.
    fn look_after(self: &Arc<Self>) {
        let mut seen = {
            let mut memory = self.lock();
            if std::mem::replace(&mut memory.watched, true) {
                return;
            }
            memory.uses
        };
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEPT).await;
                let mut memory = pool.lock();
                if memory.uses == seen {
                    memory.watched = false;
                    // Freed after the lock is released.
                    let _idle = std::mem::take(&mut memory.idle);
                    return;
                }
                seen = memory.uses;
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to compute, with the memory for it.
struct HashSlot {
    pool: Arc<Pool>,
    blocks: Vec<Block>,
}

impl Drop for HashSlot {
    fn drop(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        let mut memory = self.pool.lock();
        memory.uses += 1;
        // Larger memory, which a costlier hash needed, is not kept.
        if blocks.len() <= BLOCKS {
            memory.idle.push(blocks);
        }
        drop(memory);
        self.pool.seats.add_permits(1);
    }
}

#[cfg(test)]
impl Pool {
    /// Takes every seat, for a test that looks at who waits.
    pub async fn take_all(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.seats.acquire_many(CONCURRENT_HASHES as u32).await.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    /// As a password needs it.
    fn fill(blocks: &mut Vec<Block>) {
        blocks.resize(BLOCKS, Block::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_computations_need_the_memory_of_two_and_give_it_back() {
        let (pool, made, working, most) = (Pool::new(), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let counts = Arc::new((made, working, most));
        let one = || {
            let counts = Arc::clone(&counts);
            pool.compute(CallerClass::Known, move |blocks| {
                let (made, working, most) = &*counts;
                most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if blocks.is_empty() {
                    made.fetch_add(1, Ordering::SeqCst);
                    fill(blocks);
                }
                working.fetch_sub(1, Ordering::SeqCst);
            })
        };
        assert!(join_all((0..1000).map(|_| one())).await.iter().all(Result::is_ok));
        let (made, _, most) = &*counts;
        assert!(made.load(Ordering::SeqCst) <= CONCURRENT_HASHES && most.load(Ordering::SeqCst) <= CONCURRENT_HASHES);
        assert!(!pool.lock().idle.is_empty(), "it is kept for who comes next");
        tokio::time::sleep(3 * KEPT).await;
        assert!(pool.lock().idle.is_empty(), "and not for ever");
        one().await.unwrap();
        assert!(!pool.lock().idle.is_empty());
        tokio::time::sleep(3 * KEPT).await;
        assert!(pool.lock().idle.is_empty(), "nor the second time");
    }

    #[tokio::test]
    async fn what_a_costly_hash_needed_is_not_kept() {
        let pool = Pool::new();
        pool.compute(CallerClass::Known, |blocks| blocks.resize(BLOCKS + 1, Block::new())).await.unwrap();
        assert_eq!(pool.lock().idle.len(), 0);
        let panicked = pool.compute(CallerClass::Known, |_| -> () { panic!("as it must not") }).await;
        assert_eq!(panicked, Err(NotComputed::Broken));
        assert_eq!(pool.seats.available_permits(), CONCURRENT_HASHES, "its seat is free again");
    }

    #[tokio::test]
    async fn too_many_strangers_are_refused_and_who_is_known_does_not_queue_behind_them() {
        let pool = Pool::new();
        let seats = pool.take_all().await;
        // An unknown caller's computation, which runs until it is told to end.
        let (go_on, told) = std::sync::mpsc::channel::<()>();
        let told = Arc::new(Mutex::new(told));
        let strangers = std::iter::repeat_with(|| {
            let (pool, told) = (Arc::clone(&pool), Arc::clone(&told));
            let work = move |_: &mut Vec<Block>| told.lock().unwrap().recv().unwrap();
            tokio::spawn(async move { pool.compute(CallerClass::Unknown, work).await })
        });
        let strangers: Vec<_> = strangers.take(MAX_WAITING).collect();
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = pool.compute(CallerClass::Unknown, |_| ()).await;
        assert_eq!(refused, Err(NotComputed::Overloaded), "without waiting");
        let mut known = std::pin::pin!(pool.compute(CallerClass::Known, |_| ()));
        assert!(futures::poll!(&mut known).is_pending());
        drop(seats);
        // The first seat that is free is given to the known caller, although 255 unknown ones wait.
        go_on.send(()).unwrap();
        let known = tokio::time::timeout(Duration::from_secs(30), known).await;
        assert_eq!(known, Ok(Ok(())), "a stranger took it");
        assert!(strangers.iter().filter(|stranger| stranger.is_finished()).count() <= 1);
        for _ in 1..MAX_WAITING {
            go_on.send(()).unwrap();
        }
        for stranger in strangers {
            assert!(stranger.await.unwrap().is_ok());
        }
        assert_eq!(pool.places.available_permits(), MAX_WAITING);
    }
}
