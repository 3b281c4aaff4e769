//! A cancellation that a person requests while the task runs: the running subtask is asked to end, ends, and the task with it.
//!
//! A cancelled task rests as CANCELLED, so that a person can retry it or give it up. One that changed nothing closes as
//! REFUSED, as at every other end: there is nothing to continue and nothing to look at, so its cluster is freed.

use super::request::Requester;
use super::{StepOutput, TaskRefusal, another_runs, begin, horizon_passed, moved, running, step};
use crate::clock::Timestamp;
use crate::domain::event::{
    Direction, EventKind, Failure, FailureKind, IntentOutcome, Phase, SubtaskOperation, SubtaskState, TaskOperation,
    TaskState, Verb,
};
use crate::domain::ids::SubtaskId;
use crate::domain::task::Task;

/// A person requests it: everything that runs is asked to end; a task that has not begun is closed.
pub(super) fn asked(task: &Task, by: Requester) -> Vec<EventKind> {
    if task.state.phase() == Phase::Pending {
        let words = format!("the task was cancelled by {} before it began; ask again if it is wanted", by.principal);
        let failure = Failure::new(FailureKind::Cancelled, "CANCELLED", words).with("principal", &by.principal);
        return vec![by.asks(Verb::Cancel, None, None), begin::refused(task, TaskOperation::Cancel, failure)];
    }
    let mut events = vec![by.asks(Verb::Cancel, None, None)];
    let runs = task.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Running);
    events.extend(runs.filter_map(|subtask| {
        moved(task, subtask.spec.id, SubtaskState::Canceling, |change| change.operation = SubtaskOperation::Cancel)
    }));
    let (from, to, operation) = (task.state, TaskState::Canceling, TaskOperation::Cancel);
    events.push(EventKind::TaskStateChanged { from, to, operation, error: None });
    events
}

/// A subtask that was asked to end has ended. `looked`: a look that was made when nothing could happen any more found what it
/// tried not done; otherwise what is open stays open.
pub(super) fn ended(
    task: &Task,
    id: SubtaskId,
    looked: bool,
    output: StepOutput,
    waited_for: &str,
    now: Timestamp,
) -> Result<Vec<EventKind>, TaskRefusal> {
    let name = running(task, id)?;
    if task.state != TaskState::Canceling {
        return Err(TaskRefusal::SubtaskNotRunning { task: task.spec.id, subtask: id });
    }
    horizon_passed(task, id, now)?;
    let open = if looked { IntentOutcome::Void } else { IntentOutcome::Unknown };
    let by = asked_by(task);
    let (what, next) = match task.direction {
        Direction::Forward => ("", "retry the task, or ask for another when it is closed"),
        Direction::Back => ("the undo of ", "roll the task back again or give it up"),
    };
    let failure = Failure::new(
        FailureKind::Cancelled,
        "CANCELLED",
        format!("{what}{name} was cancelled by {by} while it waited for {waited_for}; {next}"),
    );
    let failure = failure.with("subtask", &name).with("principal", by).with("waited_for", waited_for);
    Ok(step::fail(task, id, failure, output, open))
}

/// The end of a task whose step `last` succeeded before it could be cancelled; `None` while other subtasks are still ending.
pub(super) fn finished_before_cancel(task: &Task, last: SubtaskId, rests: bool) -> Option<EventKind> {
    if another_runs(task, last) {
        return None;
    }
    let to = if rests { TaskState::Cancelled } else { TaskState::Refused };
    let by = asked_by(task);
    let name = task.subtask(last).map(|subtask| subtask.spec.name.clone()).unwrap_or_default();
    let failure = Failure::new(
        FailureKind::Cancelled,
        "CANCELLED",
        match task.direction {
            Direction::Forward => {
                format!("the task was cancelled by {by}; {name} still succeeded, and nothing behind it was begun")
            }
            Direction::Back => {
                format!("the rollback was cancelled by {by}; {name} was still undone, and nothing before it was begun")
            }
        },
    );
    // The error of a parallel branch says more.
    let failed = task.subtasks.iter().find_map(|subtask| subtask.error.clone().filter(|_| subtask.spec.id != last));
    let error = failed.unwrap_or_else(|| failure.with("subtask", &name).with("principal", by));
    Some(EventKind::TaskStateChanged { from: task.state, to, operation: TaskOperation::Cancel, error: Some(error) })
}

fn asked_by(task: &Task) -> String {
    task.cancelled_by.as_ref().map(ToString::to_string).unwrap_or_default()
}
