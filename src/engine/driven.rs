//! Which tasks this process drives, and which it is about to take up. The claim of a lock may be sent twice and is recognised as its
//! own by the replica and the next fence: two claims beside each other would both be found to have won. So each task is taken up
//! by one at a time, and not once more from what was seen before.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::ids::{Fence, Revision, TaskId};
use crate::engine::requests::Requests;

#[derive(Default)]
pub(super) struct DrivenTasks(Mutex<State>);

#[derive(Default)]
struct State {
    driven: HashMap<TaskId, Driven>,
    taken_up: HashSet<TaskId>,
}

struct Driven {
    fence: Fence,
    requested: Arc<Requests>,
}

impl DrivenTasks {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single call, so a panic leaves a consistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held until the task is driven. `None`: it is being taken up, or is driven under a later fence than the one that was seen.
    pub fn take_up(self: &Arc<Self>, task: TaskId, seen: Fence) -> Option<TakingUp> {
        let mut state = self.state();
        // What ended a moment ago may still be here, under the fence that was seen.
        let later = state.driven.get(&task).is_some_and(|driven| driven.fence > seen);
        (!later && state.taken_up.insert(task)).then(|| TakingUp { of: Arc::clone(self), task })
    }

    pub fn begin(&self, task: TaskId, fence: Fence, requested: Arc<Requests>) {
        self.state().driven.insert(task, Driven { fence, requested });
    }

    pub fn end(&self, task: TaskId, fence: Fence) {
        let mut state = self.state();
        if state.driven.get(&task).is_some_and(|driven| driven.fence == fence) {
            state.driven.remove(&task);
        }
    }

    /// Notifies whoever drives it here of a request that was committed.
    pub fn committed(&self, task: TaskId, requested: Revision) {
        if let Some(driven) = self.state().driven.get(&task) {
            driven.requested.committed(requested);
        }
    }

    pub fn count(&self) -> usize {
        self.state().driven.len()
    }

    pub fn tasks(&self) -> BTreeSet<TaskId> {
        self.state().driven.keys().copied().collect()
    }
}

/// A task is being taken up, until this is dropped.
pub(super) struct TakingUp {
    of: Arc<DrivenTasks>,
    task: TaskId,
}

impl Drop for TakingUp {
    fn drop(&mut self) {
        self.of.state().taken_up.remove(&self.task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_taken_up_once_from_what_was_seen() {
        let (tasks, task) = (Arc::new(DrivenTasks::default()), TaskId::new(1).unwrap());
        let [before, seen, next] = [1, 2, 3].map(Fence::new);
        // Its executor is about to end.
        tasks.begin(task, seen, Arc::new(Requests::new()));
        let taking_up = tasks.take_up(task, seen);
        assert!(taking_up.is_some() && tasks.take_up(task, seen).is_none());
        tasks.begin(task, next, Arc::new(Requests::new()));
        tasks.end(task, seen);
        drop(taking_up);
        assert!(tasks.take_up(task, seen).is_none() && tasks.take_up(task, before).is_none());
        assert!(tasks.take_up(task, next).is_some(), "it broke down, and is taken up anew");
    }
}
