//! How a retry continues: from the first step whose result no longer holds, which the owner finds by looking.

use super::moved;
use crate::domain::event::{Effect, EventKind, SubtaskOperation, SubtaskState, TaskOperation, TaskState};
use crate::domain::ids::SubtaskId;
use crate::domain::task::Task;

/// Whether a retry was requested and its first step is still to be found.
pub fn awaits_retry(task: &Task) -> bool {
    task.state == TaskState::Running
        && task.operation == TaskOperation::Retry
        && !task.subtasks.iter().any(|subtask| {
            matches!(subtask.state, SubtaskState::Ready | SubtaskState::Running | SubtaskState::Canceling)
        })
}

/// Makes the steps of a retry ready, from the first whose result no longer holds.
pub(super) fn retry_from(task: &Task, first: SubtaskId) -> Vec<EventKind> {
    if !awaits_retry(task) {
        return Vec::new();
    }
    let order = task.in_execution_order();
    // Everything behind the first step that ended runs again; a parallel branch that holds stays.
    let mut again: Vec<SubtaskId> = vec![first];
    for subtask in &order {
        if subtask.spec.upstreams.iter().any(|upstream| again.contains(upstream)) && !again.contains(&subtask.spec.id) {
            again.push(subtask.spec.id);
        }
        if subtask.state == SubtaskState::Failed && !again.contains(&subtask.spec.id) {
            again.push(subtask.spec.id);
        }
    }
    again.retain(|id| !task.is_sealed(*id));
    if again.is_empty() {
        return Vec::new();
    }
    let mut events = Vec::new();
    for subtask in order {
        let id = subtask.spec.id;
        let ended = matches!(subtask.state, SubtaskState::Successful | SubtaskState::Failed);
        let waits = subtask
            .spec
            .upstreams
            .iter()
            .any(|upstream| again.contains(upstream) || !task.lets_pass(*upstream, subtask));
        if again.contains(&id) && ended {
            let to = if waits { SubtaskState::Pending } else { SubtaskState::Ready };
            events.extend(moved(task, id, to, |change| {
                change.operation = SubtaskOperation::Retry;
                change.run_time += 1;
                change.effect = Effect::None;
                change.executor = String::new();
            }));
        } else if subtask.state == SubtaskState::Pending && !waits {
            events.extend(moved(task, id, SubtaskState::Ready, |_| {}));
        }
    }
    events
}
