//! Undoing a task: its subtasks in reverse order, each once everything behind it is undone. Every subtask that ran goes back,
//! also one that changed nothing; only its step knows whether there is anything to take back.

use super::{Learned, another_runs, cancel, dispatch, learn, moved, settle};
use crate::domain::event::{
    Effect, EventKind, IntentOutcome, SubtaskOperation, SubtaskState, TaskOperation, TaskState,
};
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};

/// A rollback begins, or goes on where it failed.
pub(super) fn begun(task: &Task) -> Vec<EventKind> {
    let operation = TaskOperation::Rollback;
    let mut events = vec![EventKind::TaskMoved { from: task.state, to: TaskState::Running, operation, error: None }];
    let never_ran = task.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Ready);
    events.extend(never_ran.filter_map(|subtask| back_to_pending(task, subtask.spec.id, SubtaskOperation::Rollback)));
    let first = undoable(task, None);
    events.extend(make_ready(task, &first));
    if first.is_empty() {
        let (from, to) = (TaskState::Running, TaskState::RolledBack);
        events.push(EventKind::TaskMoved { from, to, operation, error: None });
    }
    events
}

/// What a subtask did is undone, or there was nothing to undo.
pub(super) fn undone(task: &Task, id: SubtaskId, learned: Learned, executor: &str) -> Vec<EventKind> {
    let mut events = learn(id, learned);
    let acted = task.attempts(id).any(|intent| intent.may_stand());
    events.extend(settle(task, id, IntentOutcome::Done, "found done by looking"));
    // What was tried on the way forward and never resolved: it stood if it had to be undone.
    let (outcome, message) = if acted {
        (IntentOutcome::Done, "found done when it was undone")
    } else {
        (IntentOutcome::Void, "found not done by looking, and it no longer can be")
    };
    let open = task.effects(id).filter(|intent| intent.is_unresolved());
    events.extend(open.map(|intent| {
        let (number, message) = (intent.number, message.to_owned());
        EventKind::IntentSettled { subtask: id, number, outcome, message }
    }));
    let canceling = task.state == TaskState::Canceling;
    let operation = task.subtask(id).map_or(SubtaskOperation::Rollback, |subtask| subtask.operation);
    events.extend(back_to_pending(task, id, operation));
    let all_undone =
        task.subtasks.iter().all(|subtask| subtask.spec.id == id || subtask.state == SubtaskState::Pending);
    if all_undone {
        let operation = if canceling { TaskOperation::Cancel } else { TaskOperation::Rollback };
        events.push(EventKind::TaskMoved { from: task.state, to: TaskState::RolledBack, operation, error: None });
        return events;
    }
    if canceling {
        events.extend(cancel::outrun(task, id, true));
        return events;
    }
    // Whatever had failed on the way forward was made ready first: these are the ones that could not be undone.
    if let Some(failed) = task.subtasks.iter().find(|subtask| subtask.state == SubtaskState::Failed) {
        // A parallel branch could not be undone: nothing new begins, and the last to end takes the task with it.
        if !another_runs(task, id) {
            let (from, to, operation) = (task.state, TaskState::Failed, TaskOperation::Rollback);
            events.push(EventKind::TaskMoved { from, to, operation, error: failed.error.clone() });
        }
        return events;
    }
    let next = undoable(task, Some(id));
    events.extend(make_ready(task, &next));
    events.extend(dispatch(task, &next, executor));
    events
}

/// Ended subtasks behind which everything is pending, `just` included.
pub(super) fn undoable(task: &Task, just: Option<SubtaskId>) -> Vec<SubtaskId> {
    let pending = |id: SubtaskId| {
        let waits = |subtask: &Subtask| matches!(subtask.state, SubtaskState::Pending | SubtaskState::Ready);
        just == Some(id) || task.subtask(id).is_ok_and(|subtask| waits(subtask) && !is_being_undone(subtask))
    };
    let ended = task.subtasks.iter().filter(|subtask| match subtask.state {
        SubtaskState::Successful | SubtaskState::Failed => true,
        SubtaskState::Pending | SubtaskState::Ready | SubtaskState::Running | SubtaskState::Canceling => false,
    });
    ended
        .filter(|subtask| just != Some(subtask.spec.id))
        .filter(|subtask| task.spec.graph.downstreams(subtask.spec.id).into_iter().all(pending))
        .map(|subtask| subtask.spec.id)
        .collect()
}

/// READY for what is to be undone.
pub(super) fn make_ready(task: &Task, next: &[SubtaskId]) -> Vec<EventKind> {
    let ready = next.iter().filter_map(|subtask| {
        moved(task, *subtask, SubtaskState::Ready, |change| {
            change.operation = SubtaskOperation::Rollback;
            change.executor = String::new();
        })
    });
    ready.collect()
}

/// PENDING again, as if it had not run.
fn back_to_pending(task: &Task, id: SubtaskId, operation: SubtaskOperation) -> Option<EventKind> {
    moved(task, id, SubtaskState::Pending, |change| {
        change.operation = operation;
        change.effect = Effect::None;
    })
}

fn is_being_undone(subtask: &Subtask) -> bool {
    subtask.state == SubtaskState::Ready && subtask.operation == SubtaskOperation::Rollback
}
