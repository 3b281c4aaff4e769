//! What people ask of a task, and how a retry goes on from there.

use super::{DEFAULT_CONSENT, cancel, moved};
use crate::clock::Timestamp;
use crate::domain::event::{
    Effect, EventKind, IntentOutcome, SubtaskOperation, SubtaskState, TaskOperation, TaskState, Verb,
};
use crate::domain::ids::{Principal, Revision, SubtaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::{RecordedIntent, Task};

/// A verb that a person asks for.
pub(super) fn requested(
    task: &Task,
    verb: Verb,
    principal: Principal,
    if_revision: Option<Revision>,
    expire_time: Option<Timestamp>,
    now: Timestamp,
) -> Result<Vec<EventKind>, Refusal> {
    if let Some(expected) = if_revision.filter(|expected| *expected != task.revision) {
        return Err(Refusal::TaskMoved { task: task.spec.id, expected, revision: task.revision, state: task.state });
    }
    if !task.allowed_verbs().contains(&verb) {
        return Err(not_allowed(task, verb));
    }
    match verb {
        Verb::Retry => {
            let expire_time = expire_time.unwrap_or_else(|| now.plus(DEFAULT_CONSENT));
            if expire_time <= now {
                return Err(Refusal::ExpireTimePassed { expire_time, now });
            }
            Ok(vec![
                EventKind::VerbRequested { verb, principal, expire_time: Some(expire_time) },
                EventKind::TaskMoved {
                    from: task.state,
                    to: TaskState::Running,
                    operation: TaskOperation::Retry,
                    error: None,
                },
            ])
        }
        Verb::GiveUp => {
            if let Some(until) = task.horizon(None).filter(|until| *until > now) {
                return Err(Refusal::EffectMayStillHappen { task: task.spec.id, until });
            }
            let mut events = vec![EventKind::VerbRequested { verb, principal, expire_time: None }];
            events.extend(left_behind(task));
            events.push(EventKind::TaskMoved {
                from: task.state,
                to: TaskState::GivenUp,
                operation: TaskOperation::GiveUp,
                error: task.error.clone(),
            });
            Ok(events)
        }
        Verb::Cancel => Ok(cancel::asked(task, principal)),
    }
}

fn not_allowed(task: &Task, verb: Verb) -> Refusal {
    let (id, state, allowed_in) = (task.spec.id, task.state, verb.allowed_in());
    let next = task.in_execution_order().into_iter().find(|subtask| subtask.state != SubtaskState::Successful);
    match next {
        // The state would allow it: what is missing is a subtask that runs.
        Some(next) if allowed_in.contains(&state) => Refusal::SubtaskNotRunning { task: id, subtask: next.spec.id },
        Some(_) | None => Refusal::VerbNotAllowed { task: id, verb, state, allowed_in },
    }
}

/// The facts that a task which is given up leaves as they are.
fn left_behind(task: &Task) -> Vec<EventKind> {
    let warned = |intent: &RecordedIntent, what: &str| EventKind::Warned {
        subtask: intent.subtask,
        code: "EFFECT_STAYS".to_owned(),
        message: format!("{what} at {}: {}", intent.at, intent.intent.description),
    };
    let left = task.intents.iter().filter_map(|intent| match intent.outcome {
        Some(IntentOutcome::Done) => Some(warned(intent, "this was done and stays, it was tried")),
        Some(IntentOutcome::Unknown) | None => Some(warned(intent, "look whether this was done, it was tried")),
        Some(IntentOutcome::Refused | IntentOutcome::Void) => None,
    });
    left.collect()
}

/// Whether a retry was asked for and its first step is still to be found.
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
    let mut events = Vec::new();
    for subtask in order {
        let id = subtask.spec.id;
        let ended = matches!(subtask.state, SubtaskState::Successful | SubtaskState::Failed);
        let waits = subtask.spec.upstreams.iter().any(|upstream| {
            again.contains(upstream) || task.subtask(*upstream).is_ok_and(|up| up.state != SubtaskState::Successful)
        });
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
