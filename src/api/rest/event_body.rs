//! What a watch sends, as JSON. Keys stand in alphabetical order. States and operations are ours, not OCP's: whoever watches
//! wants to know what happened.

use std::collections::BTreeMap;

use serde::Serialize;
use tonic_types::RpcStatusExt;

use crate::api::rest::moments::Moments;
use crate::clock::Timestamp;
use crate::proto::v1;
use crate::proto::v1::task_event::Kind as EventKind;
use crate::proto::v1::watch_task_response::Kind;

/// A message, ready to be sent.
pub struct Written {
    /// Name of the event.
    pub name: &'static str,
    /// One line of JSON.
    pub data: String,
    /// Where the stream stands after it; progress has no place of its own.
    pub revision: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskBody {
    allowed_verbs: Vec<&'static str>,
    cluster_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_time: Option<String>,
    id: i64,
    name: String,
    operation: &'static str,
    revision: i64,
    server_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    state: &'static str,
    subtasks: Vec<SubtaskBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubtaskBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
    id: i64,
    name: String,
    operation: &'static str,
    run_time: i32,
    state: &'static str,
    upstreams: Vec<i64>,
}

#[derive(Serialize)]
struct ErrorBody {
    code: String,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkBody {
    revision: i64,
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressBody {
    deadline: Option<String>,
    done: i64,
    message: String,
    subtask_id: i64,
    task_id: i64,
    total: i64,
    update_time: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventBody {
    event_time: Option<String>,
    revision: i64,
    task_id: i64,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum What {
    Created {
        task: Option<Box<TaskBody>>,
    },
    TaskTransition {
        error: Option<ErrorBody>,
        from: &'static str,
        operation: &'static str,
        to: &'static str,
    },
    SubtaskTransition {
        effect: &'static str,
        error: Option<ErrorBody>,
        executor: String,
        from: &'static str,
        name: String,
        operation: &'static str,
        run_time: i32,
        subtask_id: i64,
        to: &'static str,
    },
    IntentRecorded {
        connection_id: i64,
        description: String,
        endpoint: String,
        horizon: Option<String>,
        intent: i32,
        subtask_id: i64,
    },
    IntentSettled {
        intent: i32,
        message: String,
        outcome: &'static str,
        subtask_id: i64,
    },
    ContextRecorded {
        context: BTreeMap<String, String>,
        list_context: BTreeMap<String, Vec<String>>,
        subtask_id: i64,
    },
    Override {
        check: String,
        evidence: String,
        overridden_by: String,
        principal: String,
    },
    Adopted {
        executor: String,
        fence: i64,
    },
    VerbRequested {
        principal: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        subtask_id: Option<i64>,
        verb: &'static str,
    },
    Warning {
        code: String,
        message: String,
        subtask_id: i64,
    },
    /// Of a kind that this version does not know; its place counts all the same.
    Unknown {},
}

/// A message of a watch.
pub fn written(moments: &Moments, kind: &Kind) -> Written {
    match kind {
        Kind::Snapshot(task) => of("snapshot", &task_body(moments, task), Some(task.revision)),
        Kind::Bookmark(bookmark) => {
            let state = task_state(bookmark.state());
            of("bookmark", &BookmarkBody { revision: bookmark.revision, state }, Some(bookmark.revision))
        }
        Kind::Progress(progress) => {
            let body = ProgressBody {
                deadline: moment(moments, progress.deadline.as_ref()),
                done: progress.done,
                message: progress.message.clone(),
                subtask_id: progress.subtask_id,
                task_id: progress.task_id,
                total: progress.total,
                update_time: moment(moments, progress.update_time.as_ref()),
            };
            of("progress", &body, None)
        }
        Kind::Event(event) => {
            let (name, what) = what(moments, event.kind.as_ref());
            let event_time = moment(moments, event.event_time.as_ref());
            let body = EventBody { event_time, revision: event.revision, task_id: event.task_id, what };
            of(name, &body, Some(event.revision))
        }
    }
}

fn of(name: &'static str, body: &impl Serialize, revision: Option<i64>) -> Written {
    // Strings, numbers and their maps and lists: nothing in it can fail to be written.
    Written { name, data: serde_json::to_string(body).unwrap_or_default(), revision }
}

fn what(moments: &Moments, kind: Option<&EventKind>) -> (&'static str, What) {
    match kind {
        None => ("unknown", What::Unknown {}),
        Some(EventKind::Created(created)) => {
            ("created", What::Created { task: created.task.as_ref().map(|task| Box::new(task_body(moments, task))) })
        }
        Some(EventKind::TaskTransition(moved)) => (
            "taskTransition",
            What::TaskTransition {
                error: moved.error.as_ref().map(error),
                from: task_state(moved.from()),
                operation: task_operation(moved.operation()),
                to: task_state(moved.to()),
            },
        ),
        Some(EventKind::SubtaskTransition(moved)) => (
            "subtaskTransition",
            What::SubtaskTransition {
                effect: short(moved.effect().as_str_name(), "EFFECT_"),
                error: moved.error.as_ref().map(error),
                executor: moved.executor.clone(),
                from: subtask_state(moved.from()),
                name: moved.name.clone(),
                operation: subtask_operation(moved.operation()),
                run_time: moved.run_time,
                subtask_id: moved.subtask_id,
                to: subtask_state(moved.to()),
            },
        ),
        Some(EventKind::IntentRecorded(intent)) => (
            "intentRecorded",
            What::IntentRecorded {
                connection_id: intent.connection_id,
                description: intent.description.clone(),
                endpoint: intent.endpoint.clone(),
                horizon: moment(moments, intent.horizon.as_ref()),
                intent: intent.intent,
                subtask_id: intent.subtask_id,
            },
        ),
        Some(EventKind::IntentSettled(settled)) => (
            "intentSettled",
            What::IntentSettled {
                intent: settled.intent,
                message: settled.message.clone(),
                outcome: short(settled.outcome().as_str_name(), "INTENT_OUTCOME_"),
                subtask_id: settled.subtask_id,
            },
        ),
        Some(EventKind::ContextRecorded(recorded)) => {
            let lists = recorded.list_context.iter().map(|(key, list)| (key.clone(), list.values.clone()));
            let what = What::ContextRecorded {
                context: recorded.context.clone().into_iter().collect(),
                list_context: lists.collect(),
                subtask_id: recorded.subtask_id,
            };
            ("contextRecorded", what)
        }
        Some(EventKind::Override(overridden)) => (
            "override",
            What::Override {
                check: overridden.check.clone(),
                evidence: overridden.evidence.clone(),
                overridden_by: overridden.overridden_by.clone(),
                principal: overridden.principal.clone(),
            },
        ),
        Some(EventKind::Adopted(adopted)) => {
            ("adopted", What::Adopted { executor: adopted.executor.clone(), fence: adopted.fence })
        }
        Some(EventKind::VerbRequested(asked)) => {
            let subtask_id = Some(asked.subtask_id).filter(|id| *id != 0);
            let (principal, verb) = (asked.principal.clone(), verb(asked.verb()));
            ("verbRequested", What::VerbRequested { principal, subtask_id, verb })
        }
        Some(EventKind::Warning(warning)) => (
            "warning",
            What::Warning {
                code: warning.code.clone(),
                message: warning.message.clone(),
                subtask_id: warning.subtask_id,
            },
        ),
    }
}

fn task_body(moments: &Moments, task: &v1::Task) -> TaskBody {
    TaskBody {
        allowed_verbs: task.allowed_verbs().map(verb).collect(),
        cluster_id: task.cluster.as_ref().map(|cluster| cluster.id).unwrap_or_default(),
        error: task.error.as_ref().map(error),
        finish_time: moment(moments, task.finish_time.as_ref()),
        id: task.id,
        name: task.name.clone(),
        operation: task_operation(task.operation()),
        revision: task.revision,
        server_id: task.server.as_ref().map(|server| server.id).unwrap_or_default(),
        start_time: moment(moments, task.start_time.as_ref()),
        state: task_state(task.state()),
        subtasks: task.subtasks.iter().map(subtask_body).collect(),
    }
}

fn subtask_body(subtask: &v1::Subtask) -> SubtaskBody {
    SubtaskBody {
        error: subtask.error.as_ref().map(error),
        id: subtask.id,
        name: subtask.name.clone(),
        operation: subtask_operation(subtask.operation()),
        run_time: subtask.run_time,
        state: subtask_state(subtask.state()),
        upstreams: subtask.upstreams.clone(),
    }
}

/// The reason of a failed step as its code.
fn error(status: &tonic_types::Status) -> ErrorBody {
    let code = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    ErrorBody { code, message: status.message.clone() }
}

fn moment(moments: &Moments, at: Option<&prost_types::Timestamp>) -> Option<String> {
    let prost_types::Timestamp { seconds, nanos } = at?;
    let micros = seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1000))?;
    Some(moments.text(Timestamp::from_micros(micros)))
}

fn task_state(state: v1::TaskState) -> &'static str {
    short(state.as_str_name(), "TASK_STATE_")
}

fn task_operation(operation: v1::TaskOperation) -> &'static str {
    short(operation.as_str_name(), "TASK_OPERATION_")
}

fn subtask_state(state: v1::SubtaskState) -> &'static str {
    short(state.as_str_name(), "SUBTASK_STATE_")
}

fn subtask_operation(operation: v1::SubtaskOperation) -> &'static str {
    short(operation.as_str_name(), "SUBTASK_OPERATION_")
}

fn verb(verb: v1::TaskVerb) -> &'static str {
    short(verb.as_str_name(), "TASK_VERB_")
}

/// The word behind the prefix that protobuf wants.
fn short(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}
