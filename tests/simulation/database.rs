//! The shared database as a service on a network, and each replica's way to it. A call may be lost on its way there, or its
//! answer on the way back: whoever asked knows neither whether it was done nor whether it is still going to be. What the
//! database keeps is the [`crate::disk`], which outlives its restarts. An embedded store has no way and loses nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::life::Dice;

/// How long an answer of the database is waited for; as of the real adapter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// A moment until which something is not there.
#[derive(Default)]
struct Away(Mutex<Option<Instant>>);

impl Away {
    fn for_as_long(&self, time: Duration) {
        let until = monotonic_now() + time;
        let mut away = self.0.lock().unwrap();
        *away = Some(away.map_or(until, |known| known.max(until)));
    }

    fn is_back(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn until(&self) -> Option<Instant> {
        self.0.lock().unwrap().filter(|until| *until > monotonic_now())
    }
}

#[derive(Default)]
pub struct Database {
    down: Away,
    restarts: AtomicU64,
}

impl Database {
    /// Every call that has no answer yet is lost, and it serves again after so long.
    pub fn restart(&self, takes: Duration) {
        self.restarts.fetch_add(1, Ordering::SeqCst);
        self.down.for_as_long(takes);
    }

    pub fn is_well(&self) {
        self.down.is_back();
    }

    fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::SeqCst)
    }
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It did not come there.
    Refused,
    /// It may come there yet, long after it was given up.
    OnItsWay,
    /// It was done.
    AnswerLost,
}

/// The way of one replica.
pub struct Link {
    /// `None`: the store is its own.
    database: Option<Arc<Database>>,
    cut: Away,
    /// So many of the next answers get lost.
    lost_answers: AtomicU32,
    dice: Dice,
}

impl Link {
    pub fn new(database: Option<Arc<Database>>, dice: Dice) -> Arc<Self> {
        Arc::new(Self { database, cut: Away::default(), lost_answers: AtomicU32::new(0), dice })
    }

    pub const fn is_shared(&self) -> bool {
        self.database.is_some()
    }

    /// Nothing comes through for so long.
    pub fn cut(&self, time: Duration) {
        self.cut.for_as_long(time);
    }

    pub fn lose_answers(&self, count: u32) {
        self.lost_answers.store(count, Ordering::SeqCst);
    }

    pub fn is_well(&self) {
        self.cut.is_back();
        self.lose_answers(0);
    }

    /// One try. `Err`: nobody here knows whether it was done.
    pub async fn call<T>(&self, work: impl FnOnce() -> T) -> Result<T, Unanswered> {
        let Some(database) = &self.database else { return Ok(work()) };
        let session = database.restarts();
        self.travels().await;
        if !self.opens().await {
            return Err(Unanswered::OnItsWay);
        }
        if database.down.until().is_some() || database.restarts() != session {
            return Err(Unanswered::Refused);
        }
        let done = work();
        self.travels().await;
        let arrives = self.opens().await && database.restarts() == session && !self.loses_answer();
        if arrives { Ok(done) } else { Err(Unanswered::AnswerLost) }
    }

    /// Waits until something that is on its way comes there, unless the database was restarted meanwhile.
    pub async fn arrives_late(&self) -> bool {
        let Some(database) = &self.database else { return false };
        let session = database.restarts();
        while let Some(until) = self.cut.until() {
            sleep_until(until).await;
        }
        database.restarts() == session
    }

    async fn travels(&self) {
        if self.dice.once_in(6) {
            sleep(Duration::from_millis(1 + self.dice.below(3))).await;
        }
    }

    /// Whether the way is open, or is again before the call is given up.
    async fn opens(&self) -> bool {
        let given_up = monotonic_now() + ANSWER_TIMEOUT;
        while let Some(until) = self.cut.until() {
            sleep_until(until.min(given_up)).await;
            if monotonic_now() >= given_up {
                return self.cut.until().is_none();
            }
        }
        true
    }

    fn loses_answer(&self) -> bool {
        let lost = |left: u32| left.checked_sub(1);
        self.lost_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lost).is_ok()
    }
}
