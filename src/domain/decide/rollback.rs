//! Undoing a task: its subtasks in reverse order, each once everything behind it is undone. Every subtask that ran is undone,
//! also one that changed nothing; only its step knows whether there is anything to take back. So is one that a retry reset
//! after it had done something.

use super::{StepOutput, another_runs, cancel, dispatch, found, moved, output_events, settle, told};
use crate::domain::event::{
    Effect, EventKind, IntentOutcome, SubtaskOperation, SubtaskState, TaskOperation, TaskState,
};
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};

/// A rollback begins, or continues where it failed.
pub(super) fn begun(task: &Task) -> Vec<EventKind> {
    let operation = TaskOperation::Rollback;
    let mut events =
        vec![EventKind::TaskStateChanged { from: task.state, to: TaskState::Running, operation, error: None }];
    let ready = || task.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Ready);
    // Made ready on the way forward and never run.
    events.extend(ready().filter(|subtask| !is_being_undone(subtask)).filter_map(|subtask| {
        let undone = task.is_undone(subtask);
        back_to_pending(task, subtask.spec.id, if undone { SubtaskOperation::Rollback } else { subtask.operation })
    }));
    let first = undoable(task, None);
    events.extend(make_ready(task, &first));
    if first.is_empty() && !ready().any(is_being_undone) {
        let (from, to) = (TaskState::Running, TaskState::RolledBack);
        events.push(EventKind::TaskStateChanged { from, to, operation, error: None });
    }
    events
}

/// What a subtask did is undone, or there was nothing to undo.
pub(super) fn undone(task: &Task, id: SubtaskId, output: StepOutput, executor: &str) -> Vec<EventKind> {
    let told = told(&output);
    let mut events = output_events(task, id, output);
    let acted = task.attempts(id).any(|intent| intent.may_have_happened());
    events.extend(settle(task, id, IntentOutcome::Done, &told));
    // What was tried on the way forward and never resolved counts as done if it had to be undone. If not, whatever it did may
    // have been undone by somebody else.
    let (outcome, message) = if acted {
        (IntentOutcome::Done, "found done when it was undone")
    } else {
        (IntentOutcome::Unknown, found(IntentOutcome::Unknown))
    };
    let open = task.effects(id).filter(|intent| intent.is_unresolved() && !told.contains(&intent.number));
    events.extend(open.map(|intent| {
        let (number, message) = (intent.number, message.to_owned());
        EventKind::IntentSettled { subtask: id, number, outcome, message }
    }));
    let canceling = task.state == TaskState::Canceling;
    let operation = task.subtask(id).map_or(SubtaskOperation::Rollback, |subtask| subtask.operation);
    events.extend(back_to_pending(task, id, operation));
    if task.subtasks.iter().all(|subtask| subtask.spec.id == id || task.is_undone(subtask)) {
        let operation = if canceling { TaskOperation::Cancel } else { TaskOperation::Rollback };
        events.push(EventKind::TaskStateChanged {
            from: task.state,
            to: TaskState::RolledBack,
            operation,
            error: None,
        });
        return events;
    }
    if canceling {
        events.extend(cancel::finished_before_cancel(task, id, true));
        return events;
    }
    // What failed on the way forward waits for its turn under the operation that it failed in.
    let failed =
        |subtask: &&Subtask| subtask.state == SubtaskState::Failed && subtask.operation == SubtaskOperation::Rollback;
    if let Some(failed) = task.subtasks.iter().find(failed) {
        // A parallel branch could not be undone: nothing new begins, and the last to end takes the task with it.
        if !another_runs(task, id) {
            let (from, to, operation) = (task.state, TaskState::Failed, TaskOperation::Rollback);
            events.push(EventKind::TaskStateChanged { from, to, operation, error: failed.error.clone() });
        }
        return events;
    }
    let next = undoable(task, Some(id));
    events.extend(make_ready(task, &next));
    events.extend(dispatch(task, &next, executor));
    events
}

/// Subtasks that are to be undone and behind which everything is, `just` included.
pub(super) fn undoable(task: &Task, just: Option<SubtaskId>) -> Vec<SubtaskId> {
    let waits = |subtask: &&Subtask| match subtask.state {
        SubtaskState::Successful | SubtaskState::Failed | SubtaskState::Pending => true,
        SubtaskState::Ready => !is_being_undone(subtask),
        SubtaskState::Running | SubtaskState::Canceling => false,
    };
    let ids = task.subtasks.iter().filter(waits).filter(|subtask| !task.is_undone(subtask)).map(|it| it.spec.id);
    ids.filter(|id| just != Some(*id) && task.undone_behind(*id, just)).collect()
}

/// READY for what is to be undone.
pub(super) fn make_ready(task: &Task, next: &[SubtaskId]) -> Vec<EventKind> {
    let ready = next.iter().filter_map(|id| task.subtask(*id).ok()).map(|subtask| EventKind::SubtaskStateChanged {
        subtask: subtask.spec.id,
        // One that was ready on the way forward is pending by now.
        from: if subtask.state == SubtaskState::Ready { SubtaskState::Pending } else { subtask.state },
        to: SubtaskState::Ready,
        operation: SubtaskOperation::Rollback,
        run_time: subtask.run_time,
        effect: subtask.effect,
        executor: String::new(),
        error: None,
    });
    ready.collect()
}

/// Back to PENDING, as if it had not run.
fn back_to_pending(task: &Task, id: SubtaskId, operation: SubtaskOperation) -> Option<EventKind> {
    moved(task, id, SubtaskState::Pending, |change| {
        change.operation = operation;
        change.effect = Effect::None;
    })
}

fn is_being_undone(subtask: &Subtask) -> bool {
    subtask.state == SubtaskState::Ready && subtask.operation == SubtaskOperation::Rollback
}
