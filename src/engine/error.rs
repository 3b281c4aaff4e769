//! What the engine itself can fail of, besides what a task refuses.

use thiserror::Error;

use crate::domain::decide::TaskRefusal;
use crate::domain::event::TaskState;
use crate::domain::ids::{Revision, TaskId};
use crate::domain::task::IllegalTransition;
use crate::store::StoreError;

/// The store failed, or the engine contradicts itself.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the engine contradicts itself, please report it: {0}")]
    Broken(#[from] BrokenInvariant),
}

/// A rule of the engine that does not hold: a defect of this program, whatever the store holds.
#[derive(Clone, Debug, Error)]
pub enum BrokenInvariant {
    #[error("a decision on task {task} does not fold: {illegal}")]
    DecisionDoesNotFold { task: TaskId, illegal: IllegalTransition },
    #[error("task {task} refuses what its own executor decided: {refusal:?}")]
    OwnDecisionRefused { task: TaskId, refusal: TaskRefusal },
    #[error("task {task} is {state} and has nothing to run")]
    NothingToRun { task: TaskId, state: TaskState },
    #[error("task {task} is to be retried and every step of it holds")]
    NothingToRetry { task: TaskId },
    #[error("the new task {task} exists already, at revision {at}")]
    TaskExists { task: TaskId, at: Revision },
    #[error("a step of task {task} was refused its cluster's lock, which task {holder} holds")]
    LockOfAnother { task: TaskId, holder: TaskId },
    #[error("a step of task {task} takes a lock, which only its beginning does")]
    StepTakesLock { task: TaskId },
    #[error("a step of task {task} was taken for a repeat of the request of task {of}")]
    StepTakenForRequest { task: TaskId, of: TaskId },
}
