//! How long an execution of a step may wait, and how long its looks may fail. Counts on the monotonic clock.

use std::time::Duration;

use crate::clock::{Clock, Timestamp, monotonic_now};
use crate::engine::step::{ProgressReport, TimeoutPolicy};

/// Pause between looks that could not be made: from, to.
const UNREADABLE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is waited for before anything was seen.
const FIRST_LOOK: &str = "its first look";

/// A series of looks that could not be made.
pub(super) struct Unreadable {
    since: tokio::time::Instant,
    pause: Duration,
}

impl Unreadable {
    pub(super) fn begin() -> Self {
        Self { since: monotonic_now(), pause: UNREADABLE_PAUSE.0 }
    }

    pub(super) fn lasted(&self) -> Duration {
        monotonic_now().duration_since(self.since)
    }

    /// Doubles up to the longest, with up to a quarter taken off so that tasks do not march in step.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (self.pause * 2).min(UNREADABLE_PAUSE.1);
        let jitter = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
        pause - pause / 4 * jitter / 255
    }
}

/// Bounds the wait of one execution.
pub(super) struct Waiting {
    timeout_policy: TimeoutPolicy,
    timeout: Duration,
    began: tokio::time::Instant,
    moved: tokio::time::Instant,
    done: Option<(i64, i64)>,
    what: String,
}

impl Waiting {
    pub(super) fn new(timeout_policy: TimeoutPolicy, timeout: Duration) -> Self {
        let now = monotonic_now();
        Self { timeout_policy, timeout, began: now, moved: now, done: None, what: FIRST_LOOK.to_owned() }
    }

    /// Nothing was said yet of what is waited for.
    pub(super) fn is_silent(&self) -> bool {
        self.what == FIRST_LOOK
    }

    /// What is waited for, in words.
    pub(super) fn waits_for(&self) -> &str {
        &self.what
    }

    /// The time without progress counts from now.
    pub(super) fn begins_anew(&mut self) {
        self.moved = monotonic_now();
    }

    pub(super) fn for_what(&mut self, what: &str) {
        what.clone_into(&mut self.what);
    }

    pub(super) fn progressed(&mut self, progress: &ProgressReport) {
        let done = Some((progress.done, progress.total));
        if self.done != done {
            self.done = done;
            self.moved = monotonic_now();
        }
        self.for_what(&progress.message);
    }

    pub(super) fn end(&self) -> tokio::time::Instant {
        match self.timeout_policy {
            TimeoutPolicy::Total => self.began + self.timeout,
            TimeoutPolicy::WithoutProgress { at_most } => (self.moved + self.timeout).min(self.began + at_most),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        monotonic_now() >= self.end()
    }

    pub(super) fn deadline(&self, clock: &Clock) -> Timestamp {
        clock.now().plus(self.end().saturating_duration_since(monotonic_now()))
    }
}
