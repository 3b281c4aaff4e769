//! Tasks: a page of them, one, what its subtasks logged, and what can be asked of it (docs/ocp-v2.md#task-calls).

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::inputs::Inputs;
use crate::api::rest::parsed_request::ParsedRequest;
use crate::api::rest::state::RestState;
use crate::api::rest::{log_body, task_body, task_page, task_words};
use crate::domain::event::TaskState;
use crate::domain::ids::{ClusterId, Revision, SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::service::views::PageOf;
use crate::service::{
    CancelSubtask, CancelTask, CompleteHold, GetCluster, GetTask, GiveUpTask, PauseRollout, ResumeRollout,
    RetrySubtask, RetryTask, RollbackTask, SkipSubtask, SubtaskLog, TaskSelection, TasksPage,
};
use crate::store::{Page, TaskOrder};

/// What a page is sorted by. A task starts when it is accepted, as OCP counts it.
const ORDERS: &[(&str, TaskOrder)] = &[
    ("id", TaskOrder::Id),
    ("name", TaskOrder::Name),
    ("status", TaskOrder::State),
    ("startTime", TaskOrder::CreateTime),
    ("createTime", TaskOrder::CreateTime),
    ("finishTime", TaskOrder::FinishTime),
];

/// Kind of a task as OCP sorts them; people ask for every one of ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manual,
    Other,
}

struct List {
    selection: TaskSelection,
    cluster_name: Option<String>,
    /// Something is asked for that no task here has.
    none: bool,
    page: Page<TaskOrder>,
    number: u32,
    size: u32,
}

pub async fn list(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, .. } = request;
    let List { mut selection, cluster_name, mut none, page, number, size } = list_arguments(inputs)?;
    if let Some(name) = cluster_name {
        match state.rest.guarded.call(&caller, GetCluster::Name(name)).await {
            Ok(cluster) => {
                none |= selection.cluster.is_some_and(|id| id != cluster.row.id);
                selection.cluster = Some(cluster.row.id);
            }
            Err(Refusal::ClusterNotFound { .. }) => none = true,
            Err(refusal) => return Err(refusal.into()),
        }
    }
    let found = if none {
        PageOf { items: Vec::new(), total: 0 }
    } else {
        state.call(&caller, Ok(TasksPage { selection, page })).await?
    };
    task_page::page(state, &found, number, size)
}

fn list_arguments(mut inputs: Inputs) -> Result<List, Failure> {
    let name = inputs.query_name("name");
    let states = inputs.query_words("status", "RUNNING, FAILED, SUCCESSFUL", states);
    let kinds = inputs.query_words("type", "MANUAL, SYS_ONECE, SCHEDULED, SYS_SCHEDULED", |word| match word {
        "MANUAL" => Some(Kind::Manual),
        "SYS_ONECE" | "SCHEDULED" | "SYS_SCHEDULED" => Some(Kind::Other),
        _ => None,
    });
    let cluster = inputs.query_id("clusterId", ClusterId::new);
    let spelt = inputs.query_name("clusterName");
    // OCP's own documents spell it so.
    let misspelt = inputs.query_name("cluterName");
    if let (Some(one), Some(other)) = (&spelt, &misspelt)
        && one != other
    {
        inputs.wrong("clusterName", one.as_str().into(), "differs from cluterName, give one of them");
    }
    // Tasks of servers belong to no tenant.
    let of_tenant = inputs.query_name("tenantName").is_some() | inputs.query_name("tenantId").is_some();
    if let Some(host) = inputs.query_name("hostId") {
        inputs.wrong("hostId", host.into(), "is not known here, hosts have no ids: use clusterId");
    }
    let (page, number, size) = inputs.page(ORDERS, (TaskOrder::Id, true));
    let none = of_tenant || (!kinds.is_empty() && !kinds.contains(&Kind::Manual));
    let selection = TaskSelection { cluster, server: None, states: states.concat(), name };
    inputs.finish(List { selection, cluster_name: spelt.or(misspelt), none, page, number, size })
}

/// The states that a word of OCP stands for; the other way round: [`task_words::status`].
fn states(word: &str) -> Option<Vec<TaskState>> {
    let found: Vec<TaskState> =
        TaskState::ALL.iter().copied().filter(|state| task_words::status(*state).eq_ignore_ascii_case(word)).collect();
    (!found.is_empty()).then_some(found)
}

pub async fn get(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, .. } = request;
    let stored = state.call(&caller, task_id(inputs).map(GetTask)).await?;
    task_body::wrapped(state, &stored)
}

/// Runs a failed task again.
pub async fn retry(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, .. } = request;
    let asked = verb(inputs).map(|(task, if_revision)| RetryTask { task, if_revision, expire_time: None });
    let stored = state.call(&caller, asked).await?;
    task_body::wrapped(state, &stored)
}

/// Undoes what a failed task did.
pub async fn rollback(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, .. } = request;
    let asked = verb(inputs).map(|(task, if_revision)| RollbackTask { task, if_revision, expire_time: None });
    let stored = state.call(&caller, asked).await?;
    task_body::wrapped(state, &stored)
}

/// Verbs that are not of OCP's API and have no argument of their own.
macro_rules! of_task {
    ($($(#[$doc:meta])* $call:ident asks $asked:ident;)+) => {$(
        $(#[$doc])*
        pub async fn $call(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
            let ParsedRequest { caller, inputs, .. } = request;
            let asked = verb(inputs).map(|(task, if_revision)| $asked { task, if_revision });
            let stored = state.call(&caller, asked).await?;
            task_body::wrapped(state, &stored)
        }
    )+};
}

of_task! {
    /// Ends what a task runs; OCP cancels subtasks.
    cancel asks CancelTask;
    /// Brings back what a task holds out of service.
    complete_hold asks CompleteHold;
    /// Lets a rollout begin no further batch.
    pause asks PauseRollout;
    /// Goes on with a rollout that is paused.
    resume asks ResumeRollout;
    /// Closes a task at rest as it is; OCP has it on its pages and not in its API.
    give_up asks GiveUpTask;
}

/// What a subtask logged, over all its executions; from a line on when one is given.
pub async fn log(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, mut inputs, .. } = request;
    let from = inputs.query_text("fromLine").and_then(|text| inputs.position("fromLine", &text));
    let asked = subtask_id(inputs).map(|(task, subtask)| SubtaskLog { task, subtask });
    log_body::log(state, &state.call(&caller, asked).await?, from)
}

/// Runs a failed subtask again.
pub async fn retry_subtask(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, .. } = request;
    let asked = subtask_id(inputs).map(|(task, subtask)| RetrySubtask { task, subtask });
    let (stored, subtask) = state.call(&caller, asked).await?;
    let of = |_| Refusal::SubtaskNotFound { task: stored.task.spec.id, subtask };
    task_body::subtask(state, &stored.task, stored.task.subtask(subtask).map_err(of)?)
}

/// Counts a failed subtask as successful, and goes on behind it.
pub async fn skip_subtask(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, .. } = request;
    state.call(&caller, skip_request(inputs)).await?;
    Ok(Reply::Done)
}

pub async fn cancel_subtask(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, .. } = request;
    state.call(&caller, subtask_id(inputs).map(|(task, subtask)| CancelSubtask { task, subtask })).await?;
    Ok(Reply::Done)
}

/// The task of a request's path.
pub fn task_id(mut inputs: Inputs) -> Result<TaskId, Failure> {
    match inputs.path_id("taskInstanceId", TaskId::new) {
        Some(task) => inputs.finish(task),
        None => Err(inputs.failure()),
    }
}

/// A verb on the task of a request's path, with the revision that it is for.
fn verb(mut inputs: Inputs) -> Result<(TaskId, Option<Revision>), Failure> {
    let if_revision = if_revision(&mut inputs);
    task_id(inputs).map(|task| (task, if_revision))
}

fn skip_request(mut inputs: Inputs) -> Result<SkipSubtask, Failure> {
    let if_revision = if_revision(&mut inputs);
    subtask_id(inputs).map(|(task, subtask)| SkipSubtask { task, subtask, if_revision })
}

/// 0 is as good as none, as on the other face.
fn if_revision(inputs: &mut Inputs) -> Option<Revision> {
    let given = inputs.query_text("ifRevision").and_then(|text| inputs.position("ifRevision", &text));
    given.filter(|revision| *revision > 0).map(Revision::new)
}

fn subtask_id(mut inputs: Inputs) -> Result<(TaskId, SubtaskId), Failure> {
    let task = inputs.path_id("taskInstanceId", TaskId::new);
    let subtask = inputs.path_id("subtaskInstanceId", SubtaskId::new);
    match (task, subtask) {
        (Some(task), Some(subtask)) => inputs.finish((task, subtask)),
        (Some(_) | None, _) => Err(inputs.failure()),
    }
}
