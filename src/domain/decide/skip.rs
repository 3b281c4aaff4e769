//! A failed subtask that a person marks as successful, or as undone while the task is undone: the task continues behind it in
//! the same commit. Nothing is changed on cluster or host, and every step behind it looks for itself.

use super::request::Requester;
use super::{TaskRefusal, rollback, settle, step};
use crate::domain::event::{
    Direction, Effect, EventKind, IntentOutcome, SubtaskOperation, SubtaskState, TaskOperation, TaskState, Verb,
};
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};

/// `id` is a subtask that can be skipped.
pub(super) fn skipped(task: &Task, id: SubtaskId, by: Requester) -> Result<Vec<EventKind>, TaskRefusal> {
    let of = task.subtask(id).map_err(|_| TaskRefusal::SubtaskNotFound { task: task.spec.id, subtask: id })?;
    let why = of.error.as_ref().map(|failure| failure.message.as_str()).unwrap_or_default();
    let counted = match task.direction {
        Direction::Forward => "successful",
        Direction::Back => "undone",
    };
    let warning =
        format!("{} counts as {counted} because {} said so; it had failed: {why}", of.spec.name, by.principal);
    let mut events = vec![
        by.asks(Verb::SkipSubtask, None, Some(id)),
        EventKind::Warned { subtask: id, code: "SUBTASK_SKIPPED".to_owned(), message: warning },
    ];
    events.extend(settle(task, id, IntentOutcome::Unknown, &[]));
    // Another one that failed keeps the task at rest; while it is undone: one whose undo did.
    let keeps = |other: &Subtask| match task.direction {
        Direction::Forward => {
            other.state == SubtaskState::Failed && !task.is_sealed(other.spec.id) && !task.is_passed_over(other)
        }
        Direction::Back => other.state == SubtaskState::Failed && task.can_skip(other),
    };
    let rests = task.subtasks.iter().any(|other| other.spec.id != id && keeps(other));
    let (operation, end, effect) = match task.direction {
        Direction::Forward => (SubtaskOperation::Skip, SubtaskState::Successful, of.effect),
        Direction::Back => (SubtaskOperation::RollbackSkip, SubtaskState::Pending, Effect::None),
    };
    let (goes_on, ended) = match task.direction {
        Direction::Forward => (TaskOperation::Retry, TaskState::Successful),
        Direction::Back => (TaskOperation::Rollback, TaskState::RolledBack),
    };
    if !rests {
        let (from, to) = (task.state, TaskState::Running);
        events.push(EventKind::TaskStateChanged { from, to, operation: goes_on, error: None });
    }
    let path = [SubtaskState::Failed, SubtaskState::Ready, SubtaskState::Running, end];
    let (run_time, executor) = (of.run_time, of.executor.clone());
    events.extend(path.windows(2).map(|edge| EventKind::SubtaskStateChanged {
        subtask: id,
        from: edge[0],
        to: edge[1],
        operation,
        run_time,
        effect,
        executor: executor.clone(),
        error: None,
    }));
    if rests {
        return Ok(events);
    }
    let others = || task.subtasks.iter().filter(|other| other.spec.id != id);
    let over = match task.direction {
        Direction::Forward => {
            // Behind the skip its server may no longer be one that is passed over. What does not fold is refused at the commit.
            let Some(after) = step::behind(task, &events) else { return Ok(events) };
            events.extend(step::make_ready(&after, &step::waiting(&after, None)));
            others().all(|other| other.state == SubtaskState::Successful)
        }
        Direction::Back => {
            events.extend(rollback::make_ready(task, &rollback::undoable(task, Some(id))));
            others().all(|other| task.is_undone(other))
        }
    };
    if over {
        let from = TaskState::Running;
        events.push(EventKind::TaskStateChanged { from, to: ended, operation: goes_on, error: None });
    }
    Ok(events)
}
