//! What becomes a notification, and what it says. Pure: an event and the first event of its task are all that it is made of, so that a
//! repeat says the same but for the times of a hold. Its form is docs/guide/notifications.md's, and grows by new fields only.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::config::NotifiedOf;
use crate::domain::event::{
    EventKind, Failure, FailureKind, StoredEvent, SubtaskOperation, SubtaskState, TaskSpec, TaskState,
};
use crate::domain::graph::{SubtaskRole, TaskTarget};
use crate::domain::ids::{SubtaskId, TaskId};
use crate::store::notifications::RefusedRequest;

/// Whether an event can be one that somebody is told of, as far as it says itself: the spec of its task need not be read otherwise.
pub fn may_be_told(kind: &EventKind) -> bool {
    match kind {
        EventKind::TaskStateChanged { to, .. } => !of_state(*to).is_empty(),
        EventKind::SubtaskStateChanged { to, operation, .. } => begins_forward(*to, *operation),
        EventKind::Created(_)
        | EventKind::IntentRecorded { .. }
        | EventKind::IntentSettled { .. }
        | EventKind::FactsRecorded { .. }
        | EventKind::Overridden(_)
        | EventKind::Adopted { .. }
        | EventKind::VerbRequested { .. }
        | EventKind::Warned { .. }
        | EventKind::Approved { .. }
        | EventKind::ApprovalEnded { .. } => false,
    }
}

/// What a target that asked for any of these is told; the first is what the message is called.
const fn of_state(state: TaskState) -> &'static [NotifiedOf] {
    match state {
        TaskState::Pending | TaskState::Running | TaskState::Canceling => &[],
        TaskState::Refused => &[NotifiedOf::Refused],
        TaskState::Failed => &[NotifiedOf::Failed, NotifiedOf::Resting],
        TaskState::Cancelled => &[NotifiedOf::Resting],
        TaskState::Successful | TaskState::RolledBack | TaskState::GivenUp => &[NotifiedOf::Done],
    }
}

const fn begins_forward(to: SubtaskState, operation: SubtaskOperation) -> bool {
    let begins = match to {
        SubtaskState::Running => true,
        SubtaskState::Pending
        | SubtaskState::Ready
        | SubtaskState::Canceling
        | SubtaskState::Failed
        | SubtaskState::Successful => false,
    };
    begins
        && match operation {
            SubtaskOperation::Execute | SubtaskOperation::Retry => true,
            SubtaskOperation::Rollback
            | SubtaskOperation::Skip
            | SubtaskOperation::RollbackSkip
            | SubtaskOperation::Cancel => false,
        }
}

/// An event that somebody may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Those who asked for any of these are told; the first is what the message is called.
    pub kinds: &'static [NotifiedOf],
    state: TaskState,
    error: Option<&'a Failure>,
    /// The subtask that holds a server.
    pub hold: Option<SubtaskId>,
}

/// `None`: nobody waits for that.
pub fn told<'a>(kind: &'a EventKind, spec: &TaskSpec) -> Option<Told<'a>> {
    match kind {
        EventKind::TaskStateChanged { to, error, .. } => {
            let kinds = of_state(*to);
            (!kinds.is_empty()).then_some(Told { kinds, state: *to, error: error.as_ref(), hold: None })
        }
        EventKind::SubtaskStateChanged { subtask, to, operation, .. } => {
            let known = spec.graph.subtasks.iter().find(|known| known.id == *subtask)?;
            let holds = known.role == SubtaskRole::Hold && spec.hold.is_some() && begins_forward(*to, *operation);
            let kinds = &[NotifiedOf::Held];
            holds.then_some(Told { kinds, state: TaskState::Running, error: None, hold: Some(*subtask) })
        }
        EventKind::Created(_)
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

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// By which whoever gets it twice recognises it.
    pub id: String,
    /// What it is called.
    pub kind: NotifiedOf,
    /// Of which task, for the log; `None`: there was none.
    pub task: Option<TaskId>,
    pub body: Vec<u8>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    time: String,
    /// Of an event: its place in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    /// Absent of a request that was refused before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskBody<'a>>,
    /// Of such a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestBody<'a>>,
    cluster: ClusterBody<'a>,
    servers: Vec<String>,
    /// Why the task was asked for, in the words of whoever asked.
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody<'a>>,
    /// When a held server is brought back by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_until: Option<String>,
    /// When the cluster gives up its replicas, at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    permanent_offline_time: Option<String>,
}

#[derive(Serialize)]
struct TaskBody<'a> {
    id: i64,
    name: &'a str,
    state: &'static str,
    target: String,
    creator: &'a str,
}

#[derive(Serialize)]
struct RequestBody<'a> {
    call: &'static str,
    target: &'a str,
    creator: &'a str,
    trace_id: &'a str,
}

#[derive(Serialize)]
struct ClusterBody<'a> {
    id: i64,
    name: &'a str,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'static str,
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// What is known of a hold beside its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldTimes {
    pub until: Option<Timestamp>,
    pub permanent_offline_at: Option<Timestamp>,
}

/// The message about an event of the store of this id.
pub fn of_event(store_id: &str, event: &StoredEvent, spec: &TaskSpec, told: Told<'_>, times: HoldTimes) -> Message {
    let kind = told.kinds.first().copied().unwrap_or(NotifiedOf::Done);
    let body = Body {
        seq: Some(event.seq.get()),
        error: told.error.map(|error| ErrorBody {
            kind: error.kind.as_str(),
            reason: &error.reason,
            message: &error.message,
        }),
        held_until: times.until.map(|at| at.to_string()),
        permanent_offline_time: times.permanent_offline_at.map(|at| at.to_string()),
        ..body_of(kind, event.event.at, spec, told.state, told.hold)
    };
    Message { id: format!("{store_id}-{}", event.seq), kind, task: Some(spec.id), body: written(&body) }
}

/// The message about a request that was refused before there was a task; `None`: it would not have been one.
pub fn of_request(store_id: &str, refused: &RefusedRequest) -> Option<Message> {
    let kind = NotifiedOf::Refused;
    let body = Body {
        r#type: kind.as_str(),
        time: refused.at.to_string(),
        seq: None,
        task: None,
        request: Some(RequestBody {
            call: refused.call.as_str(),
            target: &refused.target,
            creator: refused.principal.as_str(),
            trace_id: &refused.trace_id,
        }),
        cluster: ClusterBody { id: refused.cluster.get(), name: &refused.cluster_name },
        servers: Vec::new(),
        reason: &refused.reason,
        // What was said to the caller is not kept, but what it is called.
        error: Some(ErrorBody { kind: FailureKind::Refused.as_str(), reason: &refused.refusal, message: "" }),
        held_until: None,
        permanent_offline_time: None,
    };
    let id = format!("{store_id}-request-{}", refused.id);
    refused.call.begins_a_task().then(|| Message { id, kind, task: None, body: written(&body) })
}

/// The reminder that the cluster is about to give up a server that this subtask holds.
pub fn of_reminder(id: &str, now: Timestamp, spec: &TaskSpec, hold: SubtaskId, times: HoldTimes) -> Message {
    let kind = NotifiedOf::NearlyGivenUp;
    let body = Body {
        held_until: times.until.map(|at| at.to_string()),
        permanent_offline_time: times.permanent_offline_at.map(|at| at.to_string()),
        ..body_of(kind, now, spec, TaskState::Running, Some(hold))
    };
    Message { id: id.to_owned(), kind, task: Some(spec.id), body: written(&body) }
}

fn body_of<'a>(
    kind: NotifiedOf,
    at: Timestamp,
    spec: &'a TaskSpec,
    state: TaskState,
    hold: Option<SubtaskId>,
) -> Body<'a> {
    let held = hold.and_then(|hold| spec.graph.subtasks.iter().find(|subtask| subtask.id == hold));
    let servers = spec.servers.iter().filter(|server| match held.map(|subtask| &subtask.target) {
        Some(TaskTarget::Server(id)) => server.id == *id,
        Some(TaskTarget::Zone(zone)) => server.zone == *zone,
        Some(TaskTarget::Cluster) | None => true,
    });
    Body {
        r#type: kind.as_str(),
        time: at.to_string(),
        seq: None,
        task: Some(TaskBody {
            id: spec.id.get(),
            name: &spec.graph.operation.name,
            state: state.as_str(),
            target: spec.describe_target(),
            creator: spec.creator.as_str(),
        }),
        request: None,
        cluster: ClusterBody { id: spec.cluster.id.get(), name: &spec.cluster.name },
        servers: servers.map(|server| server.addr.to_string()).collect(),
        reason: spec.reason.as_str(),
        error: None,
        held_until: None,
        permanent_offline_time: None,
    }
}

fn written(body: &Body<'_>) -> Vec<u8> {
    // Texts and numbers: there is nothing in it that has no JSON.
    serde_json::to_vec(body).unwrap_or_default()
}
