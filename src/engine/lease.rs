//! The lease of this replica: until when it may act at all, counted from before each renewal was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{BootClock, monotonic_now};
use crate::domain::effect::Lease;
use crate::engine::failpoints::Failpoints;
use crate::store::replicas::LEASE;

/// No effect begins when so little is left.
const MARGIN: Duration = Duration::from_secs(2);
/// Pause between looks at a lease that has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Of a replica that is the only one.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct ReplicaLease {
    clock: BootClock,
    failpoints: Arc<Failpoints>,
    /// Milliseconds since boot.
    until: AtomicU64,
    /// Counts beginnings and ends: each lease is of one replica, and whoever was buried comes back as another. What is taken up between
    /// an end and the next beginning is of none: its lock may be claimed in the name of the replica that was buried.
    number: AtomicU64,
    lost: AtomicU64,
}

/// The lease as it was when a task was taken up. It never goes on in the lease of the replica that this one comes back as: others
/// may claim the task by then, and who holds its lock may have been asked before.
#[derive(Debug)]
pub struct TaskLease {
    lease: Arc<ReplicaLease>,
    number: u64,
}

impl ReplicaLease {
    /// One that has not begun.
    pub(super) const fn new(clock: BootClock, failpoints: Arc<Failpoints>) -> Self {
        Self { clock, failpoints, until: AtomicU64::new(0), number: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(super) fn never_ends(&self) {
        self.until.store(NEVER, Ordering::SeqCst);
    }

    /// Of another replica, which joined by what was sent then.
    pub(super) fn begins(&self, sent: Duration) {
        self.number.fetch_add(1, Ordering::SeqCst);
        self.renewed(sent);
    }

    /// It was renewed by what was sent then.
    pub(super) fn renewed(&self, sent: Duration) {
        self.until.store(millis(sent + LEASE), Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
        self.number.fetch_add(1, Ordering::SeqCst);
        self.lost.fetch_add(1, Ordering::SeqCst);
    }

    /// `None`: it never ends.
    pub(super) fn left(&self) -> Option<Duration> {
        let until = self.until.load(Ordering::SeqCst);
        (until != NEVER).then(|| Duration::from_millis(until).saturating_sub(self.clock.now()))
    }

    /// How many have ended.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }

    /// For a task that is taken up; to be asked for before its lock is acquired or claimed.
    pub(super) fn of_task(self: &Arc<Self>) -> TaskLease {
        TaskLease { lease: Arc::clone(self), number: self.number.load(Ordering::SeqCst) }
    }

    /// Whether an effect may begin.
    pub(super) fn is_held(&self) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        until == NEVER || millis(self.clock.now() + MARGIN) < until
    }

    /// Waits until an effect may begin.
    pub(super) async fn wait(&self) {
        while !self.is_held() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

impl TaskLease {
    /// Whether the replica was buried since.
    pub(super) fn has_ended(&self) -> bool {
        self.lease.number.load(Ordering::SeqCst) != self.number
    }

    /// Whether an effect may begin.
    pub(super) fn is_held(&self) -> bool {
        self.lease.is_held() && !self.has_ended()
    }

    /// Waits until an effect may begin, or none ever may.
    pub(super) async fn wait(&self) {
        while !self.has_ended() && !self.lease.is_held() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// What a permit is asked for directly before its effect is sent.
#[derive(Debug)]
pub(super) struct EffectLease {
    pub(super) of_task: Arc<TaskLease>,
    /// When the horizon of the effect passes; `None`: it has none, what it ends is told by a look.
    pub(super) horizon: Option<Instant>,
}

impl Lease for EffectLease {
    fn goes_on_for(&self, takes: Duration) -> bool {
        let goes_on = self.of_task.is_held() && self.horizon.is_none_or(|horizon| monotonic_now() + takes <= horizon);
        self.of_task.lease.failpoints.at_last_check();
        goes_on
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_before_its_renewal_was_sent() {
        let lease = ReplicaLease::new(BootClock::Since(monotonic_now()), Arc::default());
        assert!(!lease.is_held());
        let sent = lease.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        lease.renewed(sent);
        tokio::time::advance(LEASE - MARGIN - Duration::from_millis(3001)).await;
        assert!(lease.is_held());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!lease.is_held());
        lease.never_ends();
        tokio::time::advance(Duration::from_secs(1 << 40)).await;
        assert!(lease.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_of_a_task_does_not_go_on_in_the_next_one() {
        let lease = Arc::new(ReplicaLease::new(BootClock::Since(monotonic_now()), Arc::default()));
        lease.renewed(lease.now());
        let before = lease.of_task();
        assert!(before.is_held());
        lease.end();
        assert!(!before.is_held() && before.has_ended());
        let between = lease.of_task();
        lease.begins(lease.now());
        assert!(between.has_ended(), "its lock may be claimed as the replica that was buried");
        let of = |of_task: TaskLease, horizon| EffectLease { of_task: Arc::new(of_task), horizon };
        before.wait().await;
        assert!(!of(before, None).goes_on_for(Duration::ZERO) && of(lease.of_task(), None).goes_on_for(Duration::ZERO));
        let soon = of(lease.of_task(), Some(monotonic_now() + Duration::from_secs(2)));
        assert!(soon.goes_on_for(Duration::from_secs(2)) && !soon.goes_on_for(Duration::from_secs(3)));
    }
}
