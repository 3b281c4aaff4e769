//! Until when effects that were tried may still happen, by the monotonic clock of this process: whoever sets the machine's clock
//! forward brings no horizon nearer. What an earlier process tried has its whole horizon before it once more, because nobody
//! knows what was done to the clock meanwhile. Pure but for the monotonic clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::clock::{Timestamp, monotonic_now};
use crate::domain::attempt::RecordedIntent;

/// By the numbers of the intents.
#[derive(Default)]
pub(super) struct Horizons(Mutex<BTreeMap<i32, Instant>>);

impl Horizons {
    /// A task is taken over that moves, with these.
    pub fn take_over(&self, intents: &[RecordedIntent]) {
        intents.iter().for_each(|intent| _ = self.begin(intent));
    }

    /// The effect is about to be tried. Returns when its horizon passes: behind it, it may not be sent any more.
    pub fn begin(&self, intent: &RecordedIntent) -> Instant {
        let until = monotonic_now() + intent.lasts;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(intent.number, until);
        until
    }

    /// The moment ahead until which one of these can still happen, whatever was found of them.
    pub fn latest<'a>(&self, intents: impl Iterator<Item = &'a RecordedIntent>, wall: Timestamp) -> Option<Timestamp> {
        let (known, at) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), monotonic_now());
        let until = |intent: &RecordedIntent| {
            let left = known.get(&intent.number).map(|until| until.saturating_duration_since(at)).unwrap_or_default();
            intent.intent.horizon.max(wall.plus(left))
        };
        intents.map(until).max().filter(|until| *until > wall)
    }
}
