//! The edge tables of tasks and subtasks: which change of state is legal under which operation.

use crate::domain::event::{SubtaskOperation, SubtaskState, TaskOperation, TaskState};

/// Whether a task may go from one state to another under an operation.
pub const fn task_edge(from: TaskState, to: TaskState, operation: TaskOperation) -> bool {
    use TaskOperation as O;
    use TaskState as S;
    match (from, to) {
        (S::Pending, S::Running) => matches!(operation, O::Execute),
        // It never begins: by a rule, or because somebody cancelled it.
        (S::Pending, S::Refused) => matches!(operation, O::Execute | O::Cancel),
        (S::Running, S::Successful | S::Refused) => matches!(operation, O::Execute | O::Retry),
        (S::Running, S::Failed) => matches!(operation, O::Execute | O::Retry | O::Rollback),
        (S::Running, S::RolledBack) => matches!(operation, O::Rollback),
        (S::Running, S::Canceling) => matches!(operation, O::Cancel),
        // The running step may succeed first: then the cancellation takes effect after it, or the task ends if it was the last.
        (S::Canceling, S::Cancelled | S::Successful | S::RolledBack | S::Refused) => matches!(operation, O::Cancel),
        (S::Failed | S::Cancelled, S::Running) => matches!(operation, O::Retry | O::Rollback),
        (S::Failed | S::Cancelled, S::GivenUp) => matches!(operation, O::GiveUp),
        (
            S::Pending
            | S::Running
            | S::Canceling
            | S::Failed
            | S::Cancelled
            | S::Successful
            | S::RolledBack
            | S::Refused
            | S::GivenUp,
            S::Pending
            | S::Running
            | S::Canceling
            | S::Failed
            | S::Cancelled
            | S::Successful
            | S::RolledBack
            | S::Refused
            | S::GivenUp,
        ) => false,
    }
}

/// Whether a subtask may go from one state to another under an operation.
pub const fn subtask_edge(from: SubtaskState, to: SubtaskState, operation: SubtaskOperation) -> bool {
    use SubtaskOperation as O;
    use SubtaskState as S;
    match (from, to) {
        // Under Rollback: a retry that went back before this subtask made it pending; what it did earlier is undone.
        (S::Pending, S::Ready) => matches!(operation, O::Execute | O::Retry | O::Rollback),
        (S::Ready, S::Running) => {
            matches!(operation, O::Execute | O::Retry | O::Rollback | O::Skip | O::RollbackSkip)
        }
        (S::Running, S::Successful) => matches!(operation, O::Execute | O::Retry | O::Skip),
        (S::Running, S::Failed) => matches!(operation, O::Execute | O::Retry | O::Rollback),
        (S::Running, S::Canceling) => matches!(operation, O::Cancel),
        // Pending: what was asked to end was an undo, and it succeeded first.
        (S::Canceling, S::Failed | S::Successful | S::Pending) => matches!(operation, O::Cancel),
        // Undoing: what ended becomes ready to be undone, runs, and is pending again.
        (S::Running, S::Pending) => matches!(operation, O::Rollback | O::RollbackSkip),
        // It was ready and never ran; under Retry it did something in an earlier execution, which is undone in its turn.
        (S::Ready, S::Pending) => matches!(operation, O::Rollback | O::Retry),
        // A retry makes the first step whose result no longer holds ready, and those behind it wait again.
        (S::Failed, S::Ready) => {
            matches!(operation, O::Retry | O::Rollback | O::Skip | O::RollbackSkip)
        }
        (S::Successful, S::Ready) => matches!(operation, O::Retry | O::Rollback),
        (S::Failed | S::Successful, S::Pending) => matches!(operation, O::Retry),
        (
            S::Pending | S::Ready | S::Running | S::Canceling | S::Failed | S::Successful,
            S::Pending | S::Ready | S::Running | S::Canceling | S::Failed | S::Successful,
        ) => false,
    }
}

/// Whether an edge begins another execution of the subtask: then `run_time` grows by one.
pub const fn begins_again(from: SubtaskState, to: SubtaskState, operation: SubtaskOperation) -> bool {
    matches!(from, SubtaskState::Failed | SubtaskState::Successful)
        && matches!(to, SubtaskState::Ready | SubtaskState::Pending)
        && matches!(operation, SubtaskOperation::Retry)
}
