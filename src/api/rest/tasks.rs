//! Tasks: a page of them, one, what its subtasks logged, and what can be asked of it (docs/ocp-v2.md#task-calls).

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::call::{Face, Proven};
use crate::api::rest::inputs::Inputs;
use crate::api::rest::{log_body, task_body, task_page, task_words};
use crate::domain::call::Call;
use crate::domain::event::{SubtaskState, TaskState};
use crate::domain::ids::{ClusterId, Revision, SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::{Subtask, Task};
use crate::service::arguments::{ClusterName, PageOf, SkipSubtask, TaskRequest, TaskSelection};
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
/// How often a cancellation is asked for while its task goes on from step to step.
const MOST_ATTEMPTS: usize = 4;

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

/// A page of tasks.
pub async fn list(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let List { mut selection, cluster_name, mut none, page, number, size } = list_arguments(inputs)?;
    if let Some(name) = cluster_name {
        match face.rest.use_cases.get_cluster(&caller, ClusterName::Name(name)).await {
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
        face.rest.use_cases.tasks_page(&caller, selection, page).await?
    };
    task_page::page(face, &found, number, size)
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

/// One task.
pub async fn get(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let task = task_id(inputs)?;
    let stored = face.rest.use_cases.get_task(&caller, task).await?;
    task_body::wrapped(face, &stored)
}

/// Runs a failed task again.
pub async fn retry(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let asked = face.checked(&caller, Call::RetryTask, task_request(inputs)).await?;
    let stored = face.rest.use_cases.retry_task(&caller, asked).await?;
    task_body::wrapped(face, &stored)
}

/// Undoes what a failed task did.
pub async fn rollback(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let asked = face.checked(&caller, Call::RollbackTask, task_request(inputs)).await?;
    let stored = face.rest.use_cases.rollback_task(&caller, asked).await?;
    task_body::wrapped(face, &stored)
}

/// Ends what a task runs; not of OCP, which cancels subtasks.
pub async fn cancel(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let asked = face.checked(&caller, Call::CancelTask, task_request(inputs)).await?;
    let stored = face.rest.use_cases.cancel_task(&caller, asked).await?;
    task_body::wrapped(face, &stored)
}

/// Closes a task at rest as it is; OCP has it on its pages and not in its API.
pub async fn give_up(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let asked = face.checked(&caller, Call::GiveUpTask, task_request(inputs)).await?;
    let stored = face.rest.use_cases.give_up_task(&caller, asked).await?;
    task_body::wrapped(face, &stored)
}

/// What a subtask logged, over all its executions; from a line on when one is given.
pub async fn log(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, mut inputs, .. } = request;
    let from = inputs.query_text("fromLine").and_then(|text| inputs.position("fromLine", &text));
    let (task, subtask) = subtask_id(inputs)?;
    let lines = face.rest.use_cases.subtask_log(&caller, task, subtask).await?;
    log_body::log(face, &lines, from)
}

/// Runs a failed subtask again: that is the retry of its task.
pub async fn retry_subtask(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let (task, subtask) = face.checked(&caller, Call::RetryTask, subtask_id(inputs)).await?;
    // Under the right to run it again: who has none is not told what there is.
    let stored = face.rest.use_cases.task_for(&caller, Call::RetryTask, task).await?;
    let failed = failed_subtask(&stored.task, subtask).map_err(Failure::from);
    face.checked(&caller, Call::RetryTask, failed).await?;
    // What was looked at is what is run again, or nothing.
    let asked = TaskRequest { task, if_revision: Some(stored.task.revision), expire_time: None };
    let stored = face.rest.use_cases.retry_task(&caller, asked).await?;
    task_body::subtask(face, &stored.task, subtask_of(&stored.task, subtask)?)
}

/// Counts a failed subtask as successful, and goes on behind it.
pub async fn skip_subtask(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let asked = face.checked(&caller, Call::SkipSubtask, skip_request(inputs)).await?;
    face.rest.use_cases.skip_subtask(&caller, asked).await?;
    Ok(Reply::Done)
}

/// Ends a running subtask: that is the cancellation of its task.
pub async fn cancel_subtask(face: &Face, request: Proven) -> Result<Reply, Failure> {
    let Proven { caller, inputs, .. } = request;
    let (task, subtask) = face.checked(&caller, Call::CancelTask, subtask_id(inputs)).await?;
    let mut attempt = 1;
    loop {
        let stored = face.rest.use_cases.task_for(&caller, Call::CancelTask, task).await?;
        let running = running_subtask(&stored.task, subtask).map_err(Failure::from);
        face.checked(&caller, Call::CancelTask, running).await?;
        // What was looked at is what is ended, and no other subtask.
        let asked = TaskRequest { task, if_revision: Some(stored.task.revision), expire_time: None };
        match face.rest.use_cases.cancel_task(&caller, asked).await {
            Ok(_) => return Ok(Reply::Done),
            // It did something meanwhile; whether this subtask still runs is looked at again.
            Err(Refusal::TaskMoved { .. }) if attempt < MOST_ATTEMPTS => attempt += 1,
            Err(refusal) => return Err(refusal.into()),
        }
    }
}

fn failed_subtask(task: &Task, id: SubtaskId) -> Result<(), Refusal> {
    let subtask = subtask_of(task, id)?;
    match subtask.state {
        SubtaskState::Failed => Ok(()),
        SubtaskState::Pending
        | SubtaskState::Ready
        | SubtaskState::Running
        | SubtaskState::Canceling
        | SubtaskState::Successful => {
            let (name, state) = (subtask.spec.name.clone(), subtask.state);
            Err(Refusal::SubtaskNotFailed { task: task.spec.id, subtask: id, name, state })
        }
    }
}

fn running_subtask(task: &Task, id: SubtaskId) -> Result<(), Refusal> {
    match subtask_of(task, id)?.state {
        SubtaskState::Running => Ok(()),
        SubtaskState::Pending
        | SubtaskState::Ready
        | SubtaskState::Canceling
        | SubtaskState::Failed
        | SubtaskState::Successful => Err(Refusal::SubtaskNotRunning { task: task.spec.id, subtask: id }),
    }
}

fn subtask_of(task: &Task, id: SubtaskId) -> Result<&Subtask, Refusal> {
    task.subtask(id).map_err(|_| Refusal::SubtaskNotFound { task: task.spec.id, subtask: id })
}

/// The task of a request's path.
pub fn task_id(mut inputs: Inputs) -> Result<TaskId, Failure> {
    match inputs.path_id("taskInstanceId", TaskId::new) {
        Some(task) => inputs.finish(task),
        None => Err(inputs.failure()),
    }
}

/// A verb on the task of a request's path, with the revision that it is for.
fn task_request(mut inputs: Inputs) -> Result<TaskRequest, Failure> {
    let if_revision = if_revision(&mut inputs);
    task_id(inputs).map(|task| TaskRequest { task, if_revision, expire_time: None })
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
