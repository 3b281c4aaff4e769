//! Translates events to messages. An event names its subtask by id only; the name is in the task's first event, which never
//! changes: [`TaskFacts`] keeps what is needed of it.

use std::collections::HashMap;

use crate::domain::event::{EventKind, IntentOutcome, StoredEvent, SubtaskState, TaskSpec, TaskState};
use crate::domain::facts::ContextScope;
use crate::domain::ids::{ClusterId, SubtaskId};
use crate::domain::task::Task;
use crate::proto::v1;
use crate::proto::v1::task_event::Kind;
use crate::proto::v1::watch_task_response;
use crate::watch::encode;
use crate::watch::encoded::Encoded;

/// What the messages of a task's events need in addition to the events.
#[derive(Debug)]
pub struct TaskFacts {
    pub cluster: ClusterId,
    scope: ContextScope,
    names: HashMap<SubtaskId, String>,
}

impl TaskFacts {
    pub fn of(spec: &TaskSpec) -> Self {
        let names = spec.graph.subtasks.iter().map(|subtask| (subtask.id, subtask.name.clone()));
        Self { cluster: spec.cluster.id, scope: ContextScope::of(spec), names: names.collect() }
    }
}

/// The state that an event gives its task, if it changes the state.
pub fn state_after(event: &StoredEvent) -> Option<TaskState> {
    match &event.event.kind {
        EventKind::Created(spec) if spec.pending.is_some() => Some(TaskState::Pending),
        EventKind::Created(_) => Some(TaskState::Running),
        EventKind::TaskStateChanged { to, .. } => Some(*to),
        EventKind::SubtaskStateChanged { .. }
        | EventKind::IntentRecorded { .. }
        | EventKind::IntentSettled { .. }
        | EventKind::FactsRecorded { .. }
        | EventKind::Overridden(_)
        | EventKind::Adopted { .. }
        | EventKind::VerbRequested { .. }
        | EventKind::Warned { .. }
        | EventKind::Approved { .. }
        | EventKind::ApprovalEnded { .. } => None,
    }
}

/// Ready to be sent.
pub fn encode_event(stored: &StoredEvent, facts: &TaskFacts) -> Encoded {
    Encoded::of(watch_task_response::Kind::Event(event(stored, facts)))
}

pub fn event(stored: &StoredEvent, facts: &TaskFacts) -> v1::TaskEvent {
    v1::TaskEvent {
        seq: stored.seq.get(),
        task_id: stored.task.get(),
        revision: stored.revision.get(),
        event_time: Some(encode::timestamp(stored.event.at)),
        kind: Some(kind(stored, facts)),
    }
}

fn kind(stored: &StoredEvent, facts: &TaskFacts) -> Kind {
    match &stored.event.kind {
        EventKind::Created(_) => {
            // A creation that does not fold is reported by the store; the position is sent anyway.
            let mut task = Task::begin(&stored.event).ok().map(|task| encode::of_task(&task));
            if let Some(task) = &mut task {
                task.seq = stored.seq.get();
            }
            Kind::Created(v1::TaskCreated { task })
        }
        EventKind::TaskStateChanged { from, to, operation, error } => Kind::TaskTransition(v1::TaskTransition {
            from: encode::task_state(*from).into(),
            to: encode::task_state(*to).into(),
            operation: encode::task_operation(*operation).into(),
            error: error.as_ref().map(encode::failure),
        }),
        EventKind::SubtaskStateChanged { subtask, from, to, operation, run_time, effect, executor, error } => {
            let ended = match to {
                SubtaskState::Successful | SubtaskState::Failed => true,
                SubtaskState::Pending | SubtaskState::Ready | SubtaskState::Running | SubtaskState::Canceling => false,
            };
            Kind::SubtaskTransition(v1::SubtaskTransition {
                subtask_id: subtask.get(),
                name: facts.names.get(subtask).cloned().unwrap_or_default(),
                from: encode::subtask_state(*from).into(),
                to: encode::subtask_state(*to).into(),
                operation: encode::subtask_operation(*operation).into(),
                run_time: *run_time,
                effect: encode::effect_of(*effect, ended).into(),
                executor: executor.clone(),
                error: error.as_ref().map(encode::failure),
            })
        }
        EventKind::IntentRecorded { subtask, number, intent, fence } => Kind::IntentRecorded(v1::IntentRecorded {
            subtask_id: subtask.get(),
            intent: *number,
            description: intent.description.clone(),
            endpoint: intent.endpoint.clone(),
            // 0 means that there was no session.
            connection_id: Some(intent.connection_id).filter(|id| *id != 0),
            horizon: Some(encode::timestamp(intent.horizon)),
            fence: fence.get(),
        }),
        EventKind::IntentSettled { subtask, number, outcome, message } => Kind::IntentSettled(v1::IntentSettled {
            subtask_id: subtask.get(),
            intent: *number,
            outcome: intent_outcome(*outcome).into(),
            message: message.clone(),
        }),
        EventKind::FactsRecorded { subtask, facts: recorded } => Kind::ContextRecorded(v1::ContextRecorded {
            subtask_id: subtask.get(),
            context: encode::context(facts.scope.context(recorded.iter().cloned())),
        }),
        EventKind::Overridden(overridden) => Kind::Override(encode::overridden(overridden)),
        EventKind::Adopted { fence, executor } => {
            Kind::Adopted(v1::TaskAdopted { fence: fence.get(), executor: executor.clone() })
        }
        EventKind::VerbRequested { verb, principal, reason, subtask, .. } => Kind::VerbRequested(v1::VerbRequested {
            verb: encode::verb(*verb).into(),
            principal: principal.to_string(),
            reason: reason.to_string(),
            subtask_id: subtask.map(SubtaskId::get),
        }),
        EventKind::Approved { approval, reason } => {
            Kind::Approved(v1::TaskApproved { approval: Some(encode::approval(approval)), reason: reason.to_string() })
        }
        EventKind::ApprovalEnded { by, why, reason } => Kind::ApprovalEnded(encode::approval_end(by, *why, reason)),
        EventKind::Warned { subtask, code, message } => {
            Kind::Warning(v1::TaskWarning { subtask_id: subtask.get(), code: code.clone(), text: message.clone() })
        }
    }
}

const fn intent_outcome(outcome: IntentOutcome) -> v1::IntentOutcome {
    match outcome {
        IntentOutcome::Done => v1::IntentOutcome::Done,
        IntentOutcome::Refused => v1::IntentOutcome::Refused,
        IntentOutcome::Unknown => v1::IntentOutcome::Unknown,
        IntentOutcome::Void => v1::IntentOutcome::Void,
    }
}
