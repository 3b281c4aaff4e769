//! A failed subtask that a person counts as successful, or while the task is undone as undone: the task goes on behind it in the
//! same commit. Nothing is changed on cluster or host, and every step behind it looks for itself.

use super::{rollback, step};
use crate::domain::event::{Course, Effect, EventKind, SubtaskOperation, SubtaskState, TaskOperation, TaskState, Verb};
use crate::domain::ids::{Principal, SubtaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;

/// `id` is one that can be skipped.
pub(super) fn skipped(task: &Task, id: SubtaskId, principal: Principal) -> Result<Vec<EventKind>, Refusal> {
    let of = task.subtask(id).map_err(|_| Refusal::SubtaskNotFound { task: task.spec.id, subtask: id })?;
    let why = of.error.as_ref().map(|failure| failure.message.as_str()).unwrap_or_default();
    let counted = match task.course {
        Course::Forward => "successful",
        Course::Back => "undone",
    };
    let warning = format!("{} counts as {counted} because {principal} said so; it had failed: {why}", of.spec.name);
    let mut events = vec![
        EventKind::VerbRequested { verb: Verb::SkipSubtask, principal, expire_time: None, subtask: Some(id) },
        EventKind::Warned { subtask: id, code: "SUBTASK_SKIPPED".to_owned(), message: warning },
    ];
    // Another failed subtask keeps the task at rest.
    let rests = task.subtasks.iter().any(|other| other.spec.id != id && other.state == SubtaskState::Failed);
    let (operation, end, ended) = match task.course {
        Course::Forward => (SubtaskOperation::Skip, SubtaskState::Successful, TaskState::Successful),
        Course::Back => (SubtaskOperation::RollbackSkip, SubtaskState::Pending, TaskState::RolledBack),
    };
    let goes_on = match task.course {
        Course::Forward => TaskOperation::Retry,
        Course::Back => TaskOperation::Rollback,
    };
    if !rests {
        let (from, to) = (task.state, TaskState::Running);
        events.push(EventKind::TaskMoved { from, to, operation: goes_on, error: None });
    }
    let effect = match task.course {
        Course::Forward => of.effect,
        Course::Back => Effect::None,
    };
    let path = [SubtaskState::Failed, SubtaskState::Ready, SubtaskState::Running, end];
    let (run_time, executor) = (of.run_time, of.executor.clone());
    events.extend(path.windows(2).map(|edge| EventKind::SubtaskMoved {
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
    let next = match task.course {
        Course::Forward => {
            let next = step::ready_behind(task, id);
            events.extend(step::make_ready(task, &next));
            next
        }
        Course::Back => {
            let next = rollback::undoable(task, Some(id));
            events.extend(rollback::make_ready(task, &next));
            next
        }
    };
    if next.is_empty() {
        let from = TaskState::Running;
        events.push(EventKind::TaskMoved { from, to: ended, operation: goes_on, error: None });
    }
    Ok(events)
}
