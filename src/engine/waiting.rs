//! How long an execution of a step may wait, and how long its looks may fail. Uses the monotonic clock.

use std::time::Duration;

use crate::clock::{Clock, Timestamp, monotonic_now};
use crate::engine::step::{ProgressReport, TimeoutPolicy};

/// Pause between failed looks: first, longest.
const UNREADABLE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a step waits for before its first look has ended.
const FIRST_LOOK: &str = "its first look";

/// A series of failed looks.
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

    /// Doubles up to the longest, minus up to a quarter at random, so that tasks do not run in lockstep.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (self.pause * 2).min(UNREADABLE_PAUSE.1);
        let jitter = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
        pause - pause / 4 * jitter / 255
    }
}

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

    /// No progress was reported yet.
    pub(super) fn is_silent(&self) -> bool {
        self.what == FIRST_LOOK
    }

    /// For people.
    pub(super) fn waits_for(&self) -> &str {
        &self.what
    }

    /// Restarts the time without progress.
    pub(super) fn restart_progress(&mut self) {
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
