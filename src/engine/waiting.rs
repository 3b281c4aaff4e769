//! How long an execution of a step may wait, and how long its looks may fail. Pure: the moments are those of the monotonic
//! clock that the caller read.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::engine::pace::Pace;
use crate::engine::step::{ProgressReport, TimeoutPolicy};

/// Pause between looks that could not be made: from, to.
const UNREADABLE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A wait that has just begun is looked at sooner, so that what takes a moment does not take a whole pause: after this, and an
/// eighth of the time that it has lasted.
const YOUNG_PAUSE: Duration = Duration::from_millis(20);

/// What is waited for before anything was seen.
const FIRST_LOOK: &str = "its first look";

/// A series of looks that could not be made.
#[derive(Debug)]
pub(super) struct UnreadableSince {
    since: Instant,
    pause: Duration,
}

impl UnreadableSince {
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, pause: UNREADABLE_PAUSE.0 }
    }

    pub(super) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Doubles up to the longest; `jitter` takes up to a quarter off, so that tasks do not march in step.
    pub(super) fn next_pause(&mut self, jitter: u8) -> Duration {
        let pause = self.pause;
        self.pause = (self.pause * 2).min(UNREADABLE_PAUSE.1);
        pause - pause / 4 * u32::from(jitter) / 255
    }
}

/// Bounds the wait of one execution.
#[derive(Debug)]
pub(super) struct Waiting {
    timeout_policy: TimeoutPolicy,
    timeout: Duration,
    began: Instant,
    /// The end of the last effect, or the beginning.
    acted: Instant,
    moved: Instant,
    done: Option<(i64, i64)>,
    what: String,
    pace: Pace,
}

impl Waiting {
    /// `wall`: the same moment on the machine's clock, for people.
    pub(super) fn new(timeout_policy: TimeoutPolicy, timeout: Duration, now: Instant, wall: Timestamp) -> Self {
        let (what, pace) = (FIRST_LOOK.to_owned(), Pace::begin(now, wall));
        Self { timeout_policy, timeout, began: now, acted: now, moved: now, done: None, what, pace }
    }

    /// As if the execution began now.
    pub(super) fn restart(&mut self, now: Instant, wall: Timestamp) {
        *self = Self::new(self.timeout_policy, self.timeout, now, wall);
    }

    /// Nothing was said yet of what is waited for.
    pub(super) fn is_silent(&self) -> bool {
        self.what == FIRST_LOOK
    }

    /// What is waited for, in words.
    pub(super) fn waits_for(&self) -> &str {
        &self.what
    }

    /// Something was tried: the time without progress counts from now.
    pub(super) fn restart_progress(&mut self, now: Instant, wall: Timestamp) {
        (self.acted, self.moved) = (now, now);
        self.pace.move_on(now, wall);
    }

    pub(super) const fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn for_what(&mut self, what: &str) {
        what.clone_into(&mut self.what);
    }

    pub(super) fn progressed(&mut self, progress: &ProgressReport, now: Instant, wall: Timestamp) {
        self.pace.seen(progress, now, wall);
        let done = Some((progress.done, progress.total));
        if self.done != done {
            self.done = done;
            self.moved = now;
        }
        self.for_what(&progress.message);
    }

    /// Until the next look, of a step that otherwise looks this often.
    pub(super) fn pause(&self, again_in: Duration, now: Instant) -> Duration {
        again_in.min(YOUNG_PAUSE + now.saturating_duration_since(self.acted) / 8)
    }

    pub(super) fn end(&self) -> Instant {
        match self.timeout_policy {
            TimeoutPolicy::Total => self.began + self.timeout,
            TimeoutPolicy::WithoutProgress { at_most } => (self.moved + self.timeout).min(self.began + at_most),
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.end()
    }
}
