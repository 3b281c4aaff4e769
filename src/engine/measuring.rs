//! What a commit says about how tasks go, for metrics: told once it is written, by the replica that wrote it.

use crate::domain::event::{Phase, SubtaskState};
use crate::domain::task::{Subtask, Task};
use crate::telemetry::metrics::TaskMetrics;

/// `before`: `None`: the task is new.
pub(super) fn measure(metrics: &TaskMetrics, before: Option<&Task>, after: &Task) {
    let name = after.spec.graph.operation.name.as_str();
    if before.is_none_or(|before| before.state != after.state) {
        metrics.moved(name, after.state.as_str());
        if after.state.phase() == Phase::Closed
            && let Some(closed) = after.finish_time
        {
            metrics.closed(name, after.state.as_str(), closed.since(after.create_time));
        }
    }
    let Some(before) = before else { return };
    for (was, is) in before.subtasks.iter().zip(&after.subtasks) {
        if let Some(outcome) = ended(was, is)
            && let (Some(began), Some(ended)) = (is.started_at, is.finished_at)
        {
            metrics.executed(&is.spec.kind, is.operation.as_str(), outcome, ended.since(began));
        }
    }
}

/// How an execution has ended; `None`: none has.
const fn ended(was: &Subtask, is: &Subtask) -> Option<&'static str> {
    match (was.state, is.state) {
        (SubtaskState::Running | SubtaskState::Canceling, SubtaskState::Successful | SubtaskState::Failed) => {
            Some(is.state.as_str())
        }
        // Undone, it is as if it had not run.
        (SubtaskState::Running | SubtaskState::Canceling, SubtaskState::Pending | SubtaskState::Ready) => {
            Some("UNDONE")
        }
        (SubtaskState::Running | SubtaskState::Canceling, SubtaskState::Running | SubtaskState::Canceling)
        | (SubtaskState::Pending | SubtaskState::Ready | SubtaskState::Successful | SubtaskState::Failed, _) => None,
    }
}
