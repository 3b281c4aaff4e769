//! How often a replica asks what has not answered yet: a burst of accepted tasks, or a network that is gone, must not take the
//! processor from tasks that are under way and from requests. Whoever was answered asks as often as it likes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::monotonic_now;

/// First looks of tasks: so many a second, and so many at once.
const FIRST: (u32, u32) = (500, 200);
/// Looks behind one that could not be made: 500 silent clusters are looked at every two seconds, more of them less often.
const AGAIN: (u32, u32) = (250, 200);

/// Shared by all tasks of a replica.
pub(super) struct LookRate {
    pub first: TokenBucket,
    pub again: TokenBucket,
}

impl LookRate {
    pub fn new() -> Self {
        Self { first: TokenBucket::new(FIRST.0, FIRST.1), again: TokenBucket::new(AGAIN.0, AGAIN.1) }
    }
}

/// In the order in which they ask.
pub(super) struct TokenBucket {
    /// A token comes so often.
    every: Duration,
    /// How long a full bucket takes to fill.
    filled_in: Duration,
    /// When it is full again.
    full_at: Mutex<Option<Instant>>,
}

impl TokenBucket {
    fn new(per_second: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1) / per_second;
        Self { every, filled_in: every * burst, full_at: Mutex::default() }
    }

    /// Returns when there is a token, and takes it. Whoever does not wait for the end leaves it unused.
    pub async fn take(&self) {
        if let Some(at) = self.take_at(monotonic_now()) {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Takes a token, and says when there is one; `None`: at once.
    pub fn take_at(&self, now: Instant) -> Option<Instant> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full_at.map_or(now, |at| at.max(now)) + self.every;
        *full_at = Some(next);
        let early = next.saturating_duration_since(now).checked_sub(self.filled_in)?;
        (!early.is_zero()).then(|| now + early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_what_follows_at_its_rate() {
        let (bucket, now) = (TokenBucket::new(1000, 200), monotonic_now());
        let millis = |count: u32| Duration::from_millis(u64::from(count));
        assert!((0..200).all(|_| bucket.take_at(now).is_none()));
        assert_eq!([1, 2, 3].map(millis).map(|after| now + after), [(); 3].map(|()| bucket.take_at(now).unwrap()));
        // Three are owed: 53 ms fill fifty.
        let later = now + millis(53);
        assert!((0..50).all(|_| bucket.take_at(later).is_none()));
        assert_eq!(bucket.take_at(later), Some(later + millis(1)));
        // It holds no more than a burst, however long nobody came.
        let much_later = now + Duration::from_secs(3600);
        assert_eq!((0..300).filter(|_| bucket.take_at(much_later).is_none()).count(), 200);
    }
}
