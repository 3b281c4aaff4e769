//! What follows when a process takes a task over.

use super::{MAX_ADOPTIONS_WITHOUT_PROGRESS, TaskRefusal, retry_hint, step};
use crate::domain::event::{
    EventKind, Failure, FailureKind, IntentOutcome, Phase, SubtaskState, TaskOperation, TaskState,
};
use crate::domain::ids::Fence;
use crate::domain::task::Task;

pub(super) fn adopted(task: &Task, fence: Fence, executor: String) -> Result<Vec<EventKind>, TaskRefusal> {
    if matches!(task.state.phase(), Phase::Pending | Phase::Closed) || fence <= task.fence {
        return Err(TaskRefusal::Contradiction {
            what: format!(
                "task {} is {} under fence {}, it cannot be adopted under fence {fence}",
                task.spec.id, task.state, task.fence
            ),
        });
    }
    let mut events = vec![EventKind::Adopted { fence, executor }];
    if task.adoptions + 1 < MAX_ADOPTIONS_WITHOUT_PROGRESS || task.state.phase() != Phase::Moving {
        return Ok(events);
    }
    let failure = Failure::new(
        FailureKind::CrashLoop,
        "CRASH_LOOP",
        format!(
            "the task was taken over {MAX_ADOPTIONS_WITHOUT_PROGRESS} times without getting further; read the service's log, then {} or give it up",
            retry_hint(task)
        ),
    )
    .with("adoptions", MAX_ADOPTIONS_WITHOUT_PROGRESS);
    let running =
        task.subtasks.iter().filter(|subtask| matches!(subtask.state, SubtaskState::Running | SubtaskState::Canceling));
    for subtask in running {
        // The horizon may be in the future: the intents stay open, and giving up waits for them.
        step::fail_subtask(task, subtask.spec.id, &failure, IntentOutcome::Unknown, &[], &mut events);
    }
    let (to, operation) = match task.state {
        TaskState::Canceling => (TaskState::Cancelled, TaskOperation::Cancel),
        TaskState::Pending
        | TaskState::Running
        | TaskState::Failed
        | TaskState::Cancelled
        | TaskState::Successful
        | TaskState::RolledBack
        | TaskState::Refused
        | TaskState::GivenUp => (TaskState::Failed, task.operation),
    };
    events.push(EventKind::TaskStateChanged { from: task.state, to, operation, error: Some(failure) });
    Ok(events)
}
