//! When a wait last moved, how fast it goes, and so how long the rest may take. Pure: the moments are those that the caller read.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::domain::blocker::Blockers;
use crate::engine::step::ProgressReport;

/// A wait that has stood still for longer than this, and for longer than it had moved before, has no rate any more.
const STANDS_STILL: Duration = Duration::from_secs(10);

/// Where a wait stands. What its message says besides (the rest of a time) moves by itself and does not count.
#[derive(Debug, PartialEq, Eq)]
enum Position {
    Counted {
        done: i64,
        total: i64,
    },
    /// What cannot be counted moves when something else holds it.
    HeldBy(Blockers),
}

impl Position {
    fn of(progress: &ProgressReport) -> Self {
        match (progress.done, progress.total) {
            (_, ..=0) => Self::HeldBy(progress.blockers.clone()),
            (done, total) => Self::Counted { done, total },
        }
    }
}

/// The beginning of a count.
#[derive(Clone, Copy, Debug)]
struct FirstCount {
    at: Instant,
    done: i64,
    total: i64,
}

#[derive(Debug)]
pub(super) struct Pace {
    position: Option<Position>,
    moved: (Instant, Timestamp),
    first: Option<FirstCount>,
}

impl Pace {
    pub(super) const fn begin(at: Instant, wall: Timestamp) -> Self {
        Self { position: None, moved: (at, wall), first: None }
    }

    /// Something was done: what follows counts from here.
    pub(super) fn move_on(&mut self, at: Instant, wall: Timestamp) {
        self.moved = (at, wall);
    }

    pub(super) fn seen(&mut self, progress: &ProgressReport, at: Instant, wall: Timestamp) {
        let position = Position::of(progress);
        if self.position.as_ref() == Some(&position) {
            return;
        }
        self.moved = (at, wall);
        self.first = match (position, self.first) {
            (Position::Counted { done, total }, Some(first)) if first.total == total && first.done <= done => {
                Some(first)
            }
            (Position::Counted { done, total }, _) => Some(FirstCount { at, done, total }),
            (Position::HeldBy(_), _) => None,
        };
        self.position = Some(Position::of(progress));
    }

    /// When it last moved.
    pub(super) const fn moved_at(&self) -> Timestamp {
        self.moved.1
    }

    /// For how long it has not moved.
    pub(super) fn unmoved(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.moved.0)
    }

    /// What the rest would take at the rate since the first count; `None`: no rate is known.
    pub(super) fn remaining(&self, at: Instant) -> Option<Duration> {
        let (Some(Position::Counted { done, total }), Some(first)) = (&self.position, self.first) else { return None };
        let moved = u32::try_from(done - first.done).ok().filter(|moved| *moved > 0)?;
        let left = u32::try_from(total - done).ok()?;
        let moving = self.moved.0.saturating_duration_since(first.at);
        if moving.is_zero() || self.unmoved(at) > moving.max(STANDS_STILL) {
            return None;
        }
        let rest = (at.saturating_duration_since(first.at) / moved).saturating_mul(left);
        // A guess needs no parts of a second.
        Some(Duration::from_secs(rest.as_millis().div_ceil(1000).try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic_now;
    use crate::domain::blocker::Blocker;

    struct Walk {
        began: Instant,
        pace: Pace,
    }

    impl Walk {
        fn begin() -> Self {
            let began = monotonic_now();
            Self { began, pace: Pace::begin(began, Timestamp::from_micros(0)) }
        }

        fn seen(&mut self, second: u64, progress: &ProgressReport) -> (i64, Option<u64>) {
            let after = Duration::from_secs(second);
            let (at, wall) = (self.began + after, Timestamp::from_micros(0).plus(after));
            self.pace.seen(progress, at, wall);
            let moved = self.pace.moved_at().as_micros() / 1_000_000;
            (moved, self.pace.remaining(at).map(|rest| rest.as_secs()))
        }

        fn counted(&mut self, second: u64, done: i64, total: i64) -> (i64, Option<u64>) {
            self.seen(second, &ProgressReport::counted(format!("at {second} s"), done, total))
        }
    }

    #[test]
    fn the_rest_is_estimated_once_something_has_moved() {
        let mut walk = Walk::begin();
        assert_eq!(walk.counted(5, 10, 40), (5, None));
        assert_eq!(walk.counted(7, 10, 40), (5, None), "nothing has moved");
        assert_eq!(walk.counted(15, 20, 40), (15, Some(20)));
        assert_eq!(walk.counted(20, 20, 40), (15, Some(30)), "it slows down");
        assert_eq!(walk.counted(26, 20, 40), (15, None), "it stands still for longer than it moved");
        assert_eq!(walk.counted(27, 40, 40), (27, Some(0)));
        // Back, or of another whole: the count begins anew.
        assert_eq!(walk.counted(28, 5, 40), (28, None));
        assert_eq!(walk.counted(30, 7, 40), (30, Some(33)));
        assert_eq!(walk.counted(31, 8, 41), (31, None));
        // Never more than an estimate can be.
        assert_eq!(walk.counted(32, i64::MIN, i64::MAX).1, None);
    }

    #[test]
    fn what_is_not_counted_moves_when_something_else_holds_it() {
        let addr = "10.0.0.2:2882".parse().unwrap();
        let held = |second: u64, why: &str| {
            ProgressReport::uncounted(format!("{second} s left")).held_by(Blocker::server(addr, why))
        };
        let mut walk = Walk::begin();
        assert_eq!(walk.seen(1, &held(9, "is ACTIVE")), (1, None));
        assert_eq!(walk.seen(4, &held(6, "is ACTIVE")), (1, None), "its words move by themselves");
        assert_eq!(walk.seen(5, &held(5, "has its RPC port open")), (5, None));
        assert_eq!(walk.seen(6, &ProgressReport::uncounted("it")), (6, None));
        assert_eq!(walk.seen(9, &ProgressReport::uncounted("something else")), (6, None));
        let at = walk.began + Duration::from_secs(11);
        walk.pace.move_on(at, Timestamp::from_micros(11_000_000));
        assert_eq!((walk.pace.unmoved(at), walk.pace.moved_at().as_micros()), (Duration::ZERO, 11_000_000));
    }
}
