//! The latest progress of running subtasks. In memory only: no decision reads it, and a step that continues after a restart
//! reports its progress anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::domain::event::EventKind;
use crate::domain::ids::{SubtaskId, TaskId};
use crate::store::{Commit, Progress};

/// Capacity of the channel: a slow listener misses older progress, which is obsolete by then.
const KEPT_FOR_LISTENERS: usize = 1024;

pub(in crate::store) struct ProgressCache {
    latest: Mutex<HashMap<(TaskId, SubtaskId), Progress>>,
    changes: broadcast::Sender<Progress>,
}

impl ProgressCache {
    pub(in crate::store) fn new() -> Self {
        Self { latest: Mutex::default(), changes: broadcast::Sender::new(KEPT_FOR_LISTENERS) }
    }

    pub(in crate::store) fn note(&self, progress: Progress) {
        self.latest().insert((progress.task, progress.subtask), progress.clone());
        // An error means that nobody listens.
        let _ = self.changes.send(progress);
    }

    /// Only for listeners: another replica keeps it.
    pub(in crate::store) fn tell(&self, progress: Progress) {
        let _ = self.changes.send(progress);
    }

    pub(in crate::store) fn changes(&self) -> broadcast::Receiver<Progress> {
        self.changes.subscribe()
    }

    pub(in crate::store) fn of(&self, task: TaskId, subtask: SubtaskId) -> Option<Progress> {
        self.latest().get(&(task, subtask)).cloned()
    }

    /// A subtask that changed its state has no valid progress any more.
    pub(in crate::store) fn forget_moved(&self, commit: &Commit) {
        let mut latest = self.latest();
        if latest.is_empty() {
            return;
        }
        for event in &commit.events {
            if let EventKind::SubtaskStateChanged { subtask, .. } = &event.kind {
                latest.remove(&(commit.task, *subtask));
            }
        }
    }

    fn latest(&self) -> MutexGuard<'_, HashMap<(TaskId, SubtaskId), Progress>> {
        // Every change is one call, so the map is consistent even after a panic.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
