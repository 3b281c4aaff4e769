//! What watchers share: a bounded ring buffer of encoded events, the latest progress, and the channels that wake them. Nothing
//! here waits or reads a store.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::event::{SubtaskState, TaskState};
use crate::domain::ids::{ClusterId, Revision, Seq, SubtaskId, TaskId};
use crate::store::Progress;
use crate::watch::encoded::Encoded;

/// Events that a ring keeps: those of a burst, so that not every watcher reads the log behind it. A stop task has about sixty.
pub(super) const RING_LENGTH: usize = 8192;
/// Ended subtasks that are remembered: progress is late by seconds at most, and fewer end in them.
const ENDED_KEPT: usize = 8192;

/// An encoded event.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub seq: Seq,
    pub revision: Revision,
    pub task: TaskId,
    pub cluster: ClusterId,
    /// `Some` when the event changes the state.
    pub state: Option<TaskState>,
    pub encoded: Encoded,
}

/// The last events of a task or of all tasks: every one above `floor` that concerns the ring is in it.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    floor: Seq,
    head: Seq,
}

impl Ring {
    const fn new(floor: Seq) -> Self {
        Self { entries: VecDeque::new(), floor, head: floor }
    }

    pub fn push(&mut self, entry: Entry) {
        if self.entries.len() >= RING_LENGTH
            && let Some(oldest) = self.entries.pop_front()
        {
            self.floor = oldest.seq;
        }
        self.head = entry.seq;
        self.entries.push_back(entry);
    }

    /// Events up to `seq` are in the log only.
    pub fn skip_to(&mut self, seq: Seq) {
        self.entries.clear();
        self.floor = self.floor.max(seq);
        self.head = self.head.max(seq);
    }

    pub const fn head(&self) -> Seq {
        self.head
    }

    /// Everything above `after`; `Err`: the watcher is behind the ring and must read the log up to this floor.
    pub fn after(&self, after: Seq) -> Result<(Vec<Entry>, Seq), Seq> {
        if after < self.floor {
            return Err(self.floor);
        }
        let first = self.entries.partition_point(|entry| entry.seq <= after);
        Ok((self.entries.range(first..).cloned().collect(), self.head))
    }
}

/// The latest progress of running subtasks. Versions count changes, so that each watcher takes what is new to it.
#[derive(Debug, Default)]
pub(super) struct LatestProgress {
    version: u64,
    entries: BTreeMap<(TaskId, SubtaskId), (u64, ClusterId, Encoded)>,
    /// Subtasks that ended lately. Progress comes on its own way, and may come behind the end.
    ended: HashSet<(TaskId, SubtaskId)>,
}

impl LatestProgress {
    pub fn put(&mut self, task: TaskId, subtask: SubtaskId, cluster: ClusterId, encoded: Encoded) {
        if self.ended.contains(&(task, subtask)) {
            return;
        }
        self.version += 1;
        self.entries.insert((task, subtask), (self.version, cluster, encoded));
    }

    /// A subtask came to this state: one that ended has no progress any more.
    pub fn changed(&mut self, task: TaskId, subtask: SubtaskId, to: SubtaskState) {
        match to {
            SubtaskState::Ready | SubtaskState::Running | SubtaskState::Canceling => {
                self.ended.remove(&(task, subtask));
            }
            SubtaskState::Pending | SubtaskState::Failed | SubtaskState::Successful => {
                self.entries.remove(&(task, subtask));
                if self.ended.len() >= ENDED_KEPT {
                    self.ended.clear();
                }
                self.ended.insert((task, subtask));
            }
        }
    }

    /// What is newer than version `seen` of tasks that are `wanted`, and the new version.
    pub fn after(&self, seen: u64, wanted: impl Fn(TaskId, ClusterId) -> bool) -> (Vec<Encoded>, u64) {
        let newer = self.entries.iter().filter(|(_, (version, _, _))| *version > seen);
        let newer = newer.filter(|((task, _), (_, cluster, _))| wanted(*task, *cluster));
        (newer.map(|(_, (_, _, encoded))| encoded.clone()).collect(), self.version)
    }

    pub const fn version(&self) -> u64 {
        self.version
    }
}

/// A snapshot encoded for one watcher and reused while the task does not change.
#[derive(Debug)]
pub(super) struct SharedSnapshot {
    pub seq: Seq,
    pub progress: Vec<Progress>,
    pub encoded: Encoded,
}

/// What the watchers of one task, or of all tasks, share.
#[derive(Debug)]
pub(super) struct Channel {
    ring: Mutex<Ring>,
    progress: Mutex<LatestProgress>,
    snapshot: Mutex<Option<SharedSnapshot>>,
    /// Notifies of new events in the ring.
    pub notify: watch::Sender<()>,
    /// Notifies of new progress; separate, so that it wakes only watchers that asked for progress.
    pub progress_notify: watch::Sender<()>,
}

impl Channel {
    pub fn new(floor: Seq) -> Self {
        Self {
            ring: Mutex::new(Ring::new(floor)),
            progress: Mutex::default(),
            snapshot: Mutex::default(),
            notify: watch::Sender::new(()),
            progress_notify: watch::Sender::new(()),
        }
    }

    pub fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    pub fn progress(&self) -> MutexGuard<'_, LatestProgress> {
        lock(&self.progress)
    }

    pub fn snapshot(&self) -> MutexGuard<'_, Option<SharedSnapshot>> {
        lock(&self.snapshot)
    }
}

/// Also after a panic: what these locks protect is consistent between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;
    use crate::proto::v1::watch_task_response::Kind;

    fn entry(seq: i64) -> Entry {
        Entry {
            seq: Seq::new(seq),
            revision: Revision::new(seq),
            task: TaskId::new(1).unwrap(),
            cluster: ClusterId::new(1).unwrap(),
            state: None,
            encoded: Encoded::of(Kind::Bookmark(v1::Bookmark { seq, ..Default::default() })),
        }
    }

    #[test]
    fn who_is_behind_the_ring_is_told_from_where_the_log_must_be_read() {
        let mut ring = Ring::new(Seq::new(10));
        assert_eq!(ring.after(Seq::new(9)).unwrap_err(), Seq::new(10));
        let last = 10 + i64::try_from(RING_LENGTH).unwrap() + 5;
        (11..=last).for_each(|seq| ring.push(entry(seq)));
        assert_eq!(ring.after(Seq::new(14)).unwrap_err(), Seq::new(15));
        let (all, head) = ring.after(Seq::new(15)).unwrap();
        assert_eq!((all.len(), all[0].seq, head), (RING_LENGTH, Seq::new(16), Seq::new(last)));
        assert!(ring.after(Seq::new(last)).unwrap().0.is_empty());
        ring.skip_to(Seq::new(last + 9));
        assert_eq!(ring.after(Seq::new(last)).unwrap_err(), Seq::new(last + 9));
    }

    #[test]
    fn progress_is_the_latest_only() {
        let (task, subtask, cluster) =
            (TaskId::new(1).unwrap(), SubtaskId::new(2).unwrap(), ClusterId::new(3).unwrap());
        let mut latest = LatestProgress::default();
        latest.put(task, subtask, cluster, entry(1).encoded);
        latest.put(task, subtask, cluster, entry(2).encoded);
        let (news, seen) = latest.after(0, |_, _| true);
        assert_eq!(news, vec![entry(2).encoded]);
        assert!(latest.after(seen, |_, _| true).0.is_empty());
        assert!(latest.after(0, |_, of| of != cluster).0.is_empty());
        latest.changed(task, subtask, SubtaskState::Canceling);
        assert_eq!(latest.after(0, |_, _| true).0.len(), 1);
        latest.changed(task, subtask, SubtaskState::Failed);
        assert!(latest.after(0, |_, _| true).0.is_empty());
        latest.put(task, subtask, cluster, entry(3).encoded);
        assert!(latest.after(0, |_, _| true).0.is_empty(), "what was said before its end came late, and is shown");
        latest.changed(task, subtask, SubtaskState::Ready);
        latest.put(task, subtask, cluster, entry(4).encoded);
        assert_eq!(latest.after(seen, |_, _| true).0, vec![entry(4).encoded]);
    }
}
