//! The only place that reads a clock. Wall time is for people and the store; waiting uses tokio's timers.
#![allow(clippy::disallowed_methods)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Microseconds since the Unix epoch, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Saturating.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, for example `2026-01-02T03:04:05.678Z`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(formatter, "{timestamp:.3}"),
            Err(_) => write!(formatter, "{} us since 1970", self.0),
        }
    }
}

/// Source of wall time; shared and cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// System time plus so many microseconds: lets a test create a gap in a task's history.
    Shifted(Arc<AtomicI64>),
    /// The time at one moment, and the monotonic time that has passed since; plus so many microseconds.
    Steady(Timestamp, tokio::time::Instant, Arc<AtomicI64>),
}

impl Clock {
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Begins with the system time and continues with the monotonic clock: durations that are shown while they grow do not jump
    /// when somebody sets the machine's clock.
    pub fn steady() -> Self {
        Self::steady_from(Self::system().now())
    }

    /// The same, beginning with another time.
    pub fn steady_from(began: Timestamp) -> Self {
        Self(Source::Steady(began, monotonic_now(), Arc::default()))
    }

    /// A clock that a test can move with [`Clock::advance`].
    pub fn shifted() -> Self {
        Self(Source::Shifted(Arc::default()))
    }

    pub fn now(&self) -> Timestamp {
        let system = || Timestamp(jiff::Timestamp::now().as_microsecond());
        let shifted = |at: Timestamp, shift: &AtomicI64| Timestamp(at.0.saturating_add(shift.load(Ordering::SeqCst)));
        match &self.0 {
            Source::System => system(),
            Source::Shifted(shift) => shifted(system(), shift),
            Source::Steady(began, since, shift) => {
                shifted(began.plus(monotonic_now().saturating_duration_since(*since)), shift)
            }
        }
    }

    /// Moves a clock forward; has no effect on the system's.
    pub fn advance(&self, by: Duration) {
        self.jump(i64::try_from(by.as_micros()).unwrap_or(i64::MAX));
    }

    /// Moves a clock by so many microseconds, back too; has no effect on the system's.
    pub fn jump(&self, micros: i64) {
        match &self.0 {
            Source::System => {}
            Source::Shifted(shift) | Source::Steady(_, _, shift) => {
                shift.fetch_add(micros, Ordering::SeqCst);
            }
        }
    }
}

/// Time since the machine was started, the time in which it slept included: leases are counted on it, because the monotonic clock
/// stands still meanwhile, and the wall clock is set by people.
#[derive(Clone, Copy, Debug)]
pub enum BootClock {
    System,
    /// The monotonic clock since a moment; tests can pause it.
    Since(tokio::time::Instant),
}

impl BootClock {
    pub fn now(self) -> Duration {
        match self {
            Self::System => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
                Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
            }
            Self::Since(began) => monotonic_now().saturating_duration_since(began),
        }
    }
}

/// A moment of the process's monotonic clock (tokio's, so that tests can pause it).
pub fn monotonic_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under paused time the machine's clock runs on: the steady clock shows what the monotonic one says.
    #[tokio::test(start_paused = true)]
    async fn a_steady_clock_hears_nothing_of_the_machines() {
        let clock = Clock::steady();
        let began = clock.now();
        tokio::time::advance(Duration::from_secs(7200)).await;
        assert_eq!(clock.now().since(began), Duration::from_secs(7200));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(clock.now().since(began), Duration::from_millis(7_200_001));
    }
}
