//! Tasks as OCP writes them, in its two shapes (docs/ocp-v2.md#the-two-shapes-of-a-task). Keys stand in alphabetical
//! order, as in its samples.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::state::RestState;
use crate::api::rest::task_words::{
    self, NOT_PARALLEL, class_name, operation, parallel_index, status, subtask_operation,
};
use crate::clock::Timestamp;
use crate::config::TaskShape;
use crate::domain::event::{Direction, Failure as StepFailure, Phase, Verb};
use crate::domain::task::{Subtask, Task};
use crate::store::StoredTask;

/// Kind of every task here: somebody asked for it.
pub(super) const MANUAL: &str = "MANUAL";
/// No task here is made from a template.
const NO_DEFINITION: i64 = -1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterBody<'a> {
    id: i64,
    name: &'a str,
    ob_cluster_id: i64,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct CreatorBody<'a> {
    id: i64,
    name: &'a str,
}

/// A task as the stop answers it by default: exactly the contract's keys.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LegacyTask<'a> {
    cluster: ClusterBody<'a>,
    context: String,
    creator: CreatorBody<'a>,
    id: i64,
    name: &'a str,
    start_time: String,
    status: &'static str,
    tasks: Vec<LegacySubtask<'a>>,
}

#[derive(Serialize)]
struct LegacySubtask<'a> {
    description: &'a str,
    downstreams: Vec<i64>,
    id: i64,
    name: &'a str,
    operation: &'static str,
    status: &'static str,
    upstreams: Vec<i64>,
}

/// A task as the stop answers it in the shape of OCP 4.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V4Task<'a> {
    cluster_id: i64,
    context: ContextBody,
    creator: &'a str,
    #[serde(flatten)]
    details: TaskDetails<'a>,
}

/// What OCP 4 answers of a task whoever asks for it, and however its cluster and creator are written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskDetails<'a> {
    create_time: String,
    executor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_time: Option<String>,
    id: i64,
    name: &'a str,
    operation: &'static str,
    prohibit_rollback: bool,
    start_time: String,
    status: &'static str,
    subtasks: Vec<SubtaskBody<'a>>,
    task_definition_id: i64,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// WrappedTaskInstance. `allowedVerbs`, `error`, `revision`, `traceId` and `warnings` are ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrappedTask<'a> {
    allowed_verbs: Vec<&'static str>,
    cluster: ClusterBody<'a>,
    context: EitherContext,
    creator: CreatorBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CodedMessage<'a>>,
    revision: i64,
    #[serde(flatten)]
    details: TaskDetails<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    warnings: Vec<CodedMessage<'a>>,
}

/// SubtaskInstance. `canSkip` and `error` are ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubtaskBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    can_skip: Option<bool>,
    class_name: &'static str,
    description: &'a str,
    downstreams: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CodedMessage<'a>>,
    executor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_time: Option<String>,
    id: i64,
    name: &'a str,
    node_type: &'static str,
    operation: &'static str,
    parallel_idx: i32,
    prohibit_rollback: bool,
    prohibit_skip: bool,
    run_time: i32,
    series_id: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    status: &'static str,
    timeout: u64,
    upstreams: Vec<i64>,
}

/// Why a step failed, or what a person should know all the same.
#[derive(Serialize)]
struct CodedMessage<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContextBody {
    list_map: BTreeMap<String, Vec<String>>,
    parallel: bool,
    parallel_idx: i32,
    string_map: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EitherContext {
    Text(String),
    Object(ContextBody),
}

fn context(task: &Task) -> ContextBody {
    ContextBody {
        list_map: task_words::lists(task).into_iter().collect(),
        parallel: false,
        parallel_idx: NOT_PARALLEL,
        string_map: task_words::context(task).into_iter().collect(),
    }
}

fn context_text(task: &Task) -> String {
    task_words::context_text(&task_words::context(task), &task_words::lists(task))
}

pub(super) fn cluster<'a>(task: &'a Task, kind: Option<&'static str>) -> ClusterBody<'a> {
    let cluster = &task.spec.cluster;
    ClusterBody { id: cluster.id.get(), name: &cluster.name, ob_cluster_id: cluster.ob_cluster_id, kind }
}

/// Since OceanBase 4 a whole cluster is never a standby; tenants are.
pub const PRIMARY: &str = "PRIMARY";

pub(super) fn creator<'a>(state: &RestState, task: &'a Task) -> CreatorBody<'a> {
    let creator = &task.spec.creator;
    CreatorBody { id: state.rest.guarded.user_id(creator), name: creator.as_str() }
}

/// Whether a task can never be rolled back: it is closed. One that runs can be once it has failed
/// (docs/ocp-v2.md#task-fields: whether rolling back is forbidden, not whether it is possible now).
fn prohibits_rollback(task: &Task) -> bool {
    task.state.phase() == Phase::Closed
}

/// Likewise whether a subtask can never be skipped; while the task is undone any of them can be, in its turn.
fn prohibits_skip(task: &Task, subtask: &Subtask) -> bool {
    match (task.state.phase(), task.direction) {
        (Phase::Closed, _) => true,
        (Phase::Pending | Phase::Moving | Phase::AtRest, Direction::Forward) => subtask.spec.prohibit_skip,
        (Phase::Pending | Phase::Moving | Phase::AtRest, Direction::Back) => false,
    }
}

/// When it ended: for OCP a failed task has, though ours can be run again.
pub(super) fn finish_time(state: &RestState, task: &Task) -> Option<String> {
    let rests = match task.state.phase() {
        Phase::AtRest => task.resting_since,
        Phase::Pending | Phase::Moving | Phase::Closed => None,
    };
    task.finish_time.or(rests).map(|at| state.format.timestamps.text(at))
}

/// Which process ran the step that began last.
fn executor(task: &Task) -> &str {
    let last = task.subtasks.iter().max_by_key(|subtask| subtask.started_at);
    last.map_or("", |subtask| subtask.executor.as_str())
}

fn step_error(error: Option<&StepFailure>) -> Option<CodedMessage<'_>> {
    error.map(|error| CodedMessage { code: &error.reason, message: &error.message })
}

fn upstreams(subtask: &Subtask) -> Vec<i64> {
    subtask.spec.upstreams.iter().map(|id| id.get()).collect()
}

fn downstreams(task: &Task, subtask: &Subtask) -> Vec<i64> {
    task.spec.graph.downstreams(subtask.spec.id).iter().map(|id| id.get()).collect()
}

/// Ascending by id, as in the contract's sample.
pub(super) fn by_id(task: &Task) -> Vec<&Subtask> {
    let mut subtasks: Vec<&Subtask> = task.subtasks.iter().collect();
    subtasks.sort_by_key(|subtask| subtask.spec.id);
    subtasks
}

/// Which keys a subtask is written with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    OfOcp,
    WithOurs,
}

fn subtask_body<'a>(state: &RestState, task: &Task, subtask: &'a Subtask, keys: Keys) -> SubtaskBody<'a> {
    let text = |at: Timestamp| state.format.timestamps.text(at);
    let order = task.in_execution_order();
    let ours = keys == Keys::WithOurs;
    SubtaskBody {
        can_skip: ours.then(|| task.can_skip(subtask)),
        class_name: class_name(&subtask.spec.name),
        // OCP has both, and writes the same.
        description: &subtask.spec.name,
        downstreams: downstreams(task, subtask),
        error: step_error(subtask.error.as_ref().filter(|_| ours)),
        executor: &subtask.executor,
        finish_time: subtask.finished_at.map(text),
        id: subtask.spec.id.get(),
        name: &subtask.spec.name,
        node_type: "JAVA_TASK",
        operation: subtask_operation(subtask.operation),
        parallel_idx: parallel_index(task, subtask),
        prohibit_rollback: prohibits_rollback(task),
        prohibit_skip: prohibits_skip(task, subtask),
        run_time: subtask.run_time,
        series_id: order.iter().position(|one| one.spec.id == subtask.spec.id).unwrap_or_default(),
        start_time: subtask.started_at.map(text),
        status: subtask.state.as_str(),
        timeout: subtask.spec.timeout.as_secs(),
        upstreams: upstreams(subtask),
    }
}

/// The answer to a stop, in the shape that is configured.
pub fn accepted(state: &RestState, stored: &StoredTask) -> Result<Reply, Failure> {
    match state.rest.config.task_shape {
        TaskShape::Legacy => legacy(state, &stored.task),
        TaskShape::V4 => v4(state, &stored.task),
    }
}

fn legacy(state: &RestState, task: &Task) -> Result<Reply, Failure> {
    let tasks = by_id(task).into_iter().map(|subtask| LegacySubtask {
        // OCP has both, and writes the same.
        description: &subtask.spec.name,
        downstreams: downstreams(task, subtask),
        id: subtask.spec.id.get(),
        name: &subtask.spec.name,
        operation: subtask_operation(subtask.operation),
        status: subtask.state.as_str(),
        upstreams: upstreams(subtask),
    });
    Reply::data(&LegacyTask {
        cluster: cluster(task, None),
        context: context_text(task),
        creator: creator(state, task),
        id: task.spec.id.get(),
        name: &task.spec.graph.operation.name,
        start_time: state.format.timestamps.text(task.create_time),
        status: status(task.state),
        tasks: tasks.collect(),
    })
}

fn v4(state: &RestState, task: &Task) -> Result<Reply, Failure> {
    Reply::data(&V4Task {
        cluster_id: task.spec.cluster.id.get(),
        context: context(task),
        creator: task.spec.creator.as_str(),
        details: details(state, task, Keys::OfOcp),
    })
}

fn details<'a>(state: &RestState, task: &'a Task, keys: Keys) -> TaskDetails<'a> {
    TaskDetails {
        create_time: state.format.timestamps.text(task.create_time),
        executor: executor(task),
        finish_time: finish_time(state, task),
        id: task.spec.id.get(),
        name: &task.spec.graph.operation.name,
        operation: operation(task.operation),
        prohibit_rollback: prohibits_rollback(task),
        start_time: state.format.timestamps.text(task.create_time),
        status: status(task.state),
        subtasks: by_id(task).into_iter().map(|one| subtask_body(state, task, one, keys)).collect(),
        task_definition_id: NO_DEFINITION,
        kind: MANUAL,
    }
}

/// One task on its own.
pub fn wrapped(state: &RestState, stored: &StoredTask) -> Result<Reply, Failure> {
    let task = &stored.task;
    let warnings = task.warnings.iter().map(|warning| CodedMessage { code: &warning.code, message: &warning.text });
    Reply::data(&WrappedTask {
        allowed_verbs: task.allowed_verbs().into_iter().map(Verb::as_str).collect(),
        cluster: cluster(task, Some(PRIMARY)),
        context: match state.rest.config.task_shape {
            TaskShape::Legacy => EitherContext::Text(context_text(task)),
            TaskShape::V4 => EitherContext::Object(context(task)),
        },
        creator: creator(state, task),
        error: step_error(task.error.as_ref()),
        revision: task.revision.get(),
        details: details(state, task, Keys::WithOurs),
        trace_id: task.spec.trace.map(|trace| trace.trace_id().to_string()),
        warnings: warnings.collect(),
    })
}

/// One subtask on its own.
pub fn subtask(state: &RestState, task: &Task, subtask: &Subtask) -> Result<Reply, Failure> {
    Reply::data(&subtask_body(state, task, subtask, Keys::WithOurs))
}
