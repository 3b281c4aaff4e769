//! What a task can refuse: the rules of its state, and nothing of permissions, fields, clusters or stores.

use crate::clock::Timestamp;
use crate::domain::event::{TaskState, Verb};
use crate::domain::ids::{Principal, Revision, SubtaskId, TaskId};
use crate::domain::refusal::{NoUse, Refusal, SkipRefusal};

/// Why a task does not take an input. As a refusal of a request each is the one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskRefusal {
    TaskMoved {
        task: TaskId,
        expected: Revision,
        revision: Revision,
        state: TaskState,
    },
    VerbNotAllowed {
        task: TaskId,
        verb: Verb,
        state: TaskState,
        allowed_in: &'static [TaskState],
    },
    EffectMayStillHappen {
        task: TaskId,
        until: Timestamp,
    },
    SubtaskNotRunning {
        task: TaskId,
        subtask: SubtaskId,
    },
    SubtaskNotFound {
        task: TaskId,
        subtask: SubtaskId,
    },
    SubtaskNotSkippable {
        task: TaskId,
        subtask: SubtaskId,
        name: String,
        why: SkipRefusal,
    },
    RollbackUnfinished {
        task: TaskId,
    },
    NothingToDo {
        task: TaskId,
        verb: Verb,
        why: NoUse,
    },
    ExpireTimePassed {
        expire_time: Timestamp,
        now: Timestamp,
    },
    /// Nobody approves what they asked for themselves.
    OwnTask {
        task: TaskId,
        principal: Principal,
    },
    /// The executor says something of the task that cannot be.
    Contradiction {
        what: String,
    },
}

impl From<TaskRefusal> for Refusal {
    fn from(refusal: TaskRefusal) -> Self {
        match refusal {
            TaskRefusal::TaskMoved { task, expected, revision, state } => {
                Self::TaskMoved { task, expected, revision, state }
            }
            TaskRefusal::VerbNotAllowed { task, verb, state, allowed_in } => {
                Self::VerbNotAllowed { task, verb, state, allowed_in }
            }
            TaskRefusal::EffectMayStillHappen { task, until } => Self::EffectMayStillHappen { task, until },
            TaskRefusal::SubtaskNotRunning { task, subtask } => Self::SubtaskNotRunning { task, subtask },
            TaskRefusal::SubtaskNotFound { task, subtask } => Self::SubtaskNotFound { task, subtask },
            TaskRefusal::SubtaskNotSkippable { task, subtask, name, why } => {
                Self::SubtaskNotSkippable { task, subtask, name, why }
            }
            TaskRefusal::RollbackUnfinished { task } => Self::RollbackUnfinished { task },
            TaskRefusal::NothingToDo { task, verb, why } => Self::NothingToDo { task, verb, why },
            TaskRefusal::ExpireTimePassed { expire_time, now } => Self::ExpireTimePassed { expire_time, now },
            TaskRefusal::OwnTask { task, principal } => Self::OwnTask { task, principal },
            TaskRefusal::Contradiction { what } => Self::Internal { what },
        }
    }
}
