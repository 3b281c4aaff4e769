//! Renderings of live pages take turns: one at a time, with a rest behind each. However many pages are open and however fast their
//! tasks change, all of them together take at most a third of a core; what suffers is how soon each page is shown again. A page that
//! waits for its turn misses nothing: it is rendered as things are then.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::clock::monotonic_now;

/// The rest behind a rendering, as a multiple of it.
const REST: u32 = 2;
/// No rest is longer: where the thread was kept from running, a rendering looks long and is not.
const LONGEST_REST: Duration = Duration::from_millis(10);
/// A rendering that takes longer waits for something, as a look at a cluster does, and others go on beside it.
const LONGEST: Duration = Duration::from_millis(50);

#[derive(Default)]
pub struct Turns(Arc<Mutex<()>>);

/// Given back with the rest behind it.
pub struct Turn {
    _given: OwnedMutexGuard<()>,
}

impl Turns {
    /// In the order in which they were asked for.
    pub async fn next(&self) -> Turn {
        Turn { _given: Arc::clone(&self.0).lock_owned().await }
    }
}

impl Turn {
    pub async fn take<T>(self, rendering: impl Future<Output = T>) -> T {
        let began = monotonic_now();
        let mut rendering = pin!(rendering);
        let Ok(rendered) = tokio::time::timeout(LONGEST, &mut rendering).await else {
            drop(self);
            return rendering.await;
        };
        let rest = (began.elapsed() * REST).min(LONGEST_REST);
        tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            drop(self);
        });
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn renderings_come_one_behind_the_other_and_a_slow_one_holds_up_none() {
        let turns = Turns::default();
        let first = turns.next().await;
        assert!(futures::poll!(pin!(turns.next())).is_pending(), "one at a time");
        first.take(tokio::time::sleep(Duration::from_millis(4))).await;
        let ended = monotonic_now();
        let second = turns.next().await;
        assert!(ended.elapsed() >= Duration::from_millis(8), "a rest of twice what it took");
        let mut slow = pin!(second.take(tokio::time::sleep(Duration::from_secs(60))));
        tokio::select! {
            () = &mut slow => panic!("it takes a minute"),
            _ = turns.next() => {}
        }
    }
}
