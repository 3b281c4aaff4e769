//! Rows of the error table that are about tasks and their subtasks: what is not there, what their state does not allow, and
//! which task is in the way.

use std::time::Duration;

use tonic::Code;

use crate::api::error_table::{About, Base, Retry, Row, ocp, values};
use crate::clock::Timestamp;
use crate::domain::event::{Phase, SubtaskState, TaskState, Verb};
use crate::domain::ids::{ClusterId, Revision, SubtaskId, TaskId};
use crate::domain::refusal::{Holder, Unskippable};

pub(super) fn task_not_found(reason: &'static str, task: TaskId) -> Row {
    Base(reason, Code::NotFound, 404, ocp(4001, "TSK10001")).says(
        "task {task_id} does not exist; see ListTasks",
        "任务 {task_id} 不存在，请查看任务列表",
        values!(task_id: task),
        About::Resource("obsteward.v1.Task", task.to_string()),
    )
}

pub(super) fn subtask_not_found(reason: &'static str, task: TaskId, subtask: SubtaskId) -> Row {
    Base(reason, Code::NotFound, 404, ocp(4001, "TSK10001")).says(
        "subtask {subtask_id} is not in task {task_id}; read the task",
        "任务 {task_id} 中不存在子任务 {subtask_id}，请重新读取任务",
        values!(task_id: task, subtask_id: subtask),
        About::Resource("obsteward.v1.Subtask", subtask.to_string()),
    )
}

/// A lock conflict, naming the holder and what frees the cluster now.
pub(super) fn operation_in_progress(reason: &'static str, cluster: ClusterId, holder: &Holder) -> Row {
    let verbs: Vec<&str> = holder.verbs.iter().map(|verb| rpc(*verb)).collect();
    let moving = match holder.state.phase() {
        Phase::Moving => true,
        Phase::AtRest | Phase::Closed => false,
    };
    let (en, zh) = if verbs.is_empty() {
        (
            "task {task_id} ({task_name} on {server}, by {principal}) is {state} and holds cluster {cluster_id} since {since}; watch it until it ends",
            "集群 {cluster_id} 自 {since} 起被任务 {task_id}（{task_name}，节点 {server}，发起人 {principal}，状态 {state}）占用，上一个运维任务尚未结束，请等待其结束",
        )
    } else {
        (
            "task {task_id} ({task_name} on {server}, by {principal}) is {state} and holds cluster {cluster_id} since {since}; free it with {verbs}",
            "集群 {cluster_id} 自 {since} 起被任务 {task_id}（{task_name}，节点 {server}，发起人 {principal}，状态 {state}）占用，上一个运维任务尚未结束，可通过 {verbs} 释放",
        )
    };
    Base(reason, Code::Aborted, 409, ocp(11020, "OBE11020"))
        .says(
            en,
            zh,
            values!(
                cluster_id: cluster,
                task_id: holder.task,
                task_name: holder.name,
                state: holder.state,
                since: holder.since,
                principal: holder.by,
                server: holder.server,
                verbs: verbs.join(", "),
            ),
            About::Resource("obsteward.v1.Task", holder.task.to_string()),
        )
        .retry(if moving { Retry::After(Duration::from_secs(10)) } else { Retry::Never })
}

/// The rpc of a verb.
const fn rpc(verb: Verb) -> &'static str {
    match verb {
        Verb::Retry => "RetryTask",
        Verb::Rollback => "RollbackTask",
        Verb::SkipSubtask => "SkipSubtask",
        Verb::Cancel => "CancelTask",
        Verb::GiveUp => "GiveUpTask",
    }
}

pub(super) fn task_moved(
    reason: &'static str,
    task: TaskId,
    expected: Revision,
    revision: Revision,
    state: TaskState,
) -> Row {
    Base(reason, Code::Aborted, 409, ocp(1005, "COM10005")).says(
        "task {task_id} is {state} at revision {revision}, the request expects revision {expected_revision}; read the task and decide again",
        "任务 {task_id} 当前状态为 {state}，版本为 {revision}，与请求期望的版本 {expected_revision} 不一致，请重新读取任务",
        values!(task_id: task, expected_revision: expected, revision: revision, state: state),
        About::Condition("TASK_REVISION", format!("tasks/{task}")),
    )
}

pub(super) fn verb_not_allowed(
    reason: &'static str,
    task: TaskId,
    verb: Verb,
    state: TaskState,
    allowed_in: &[TaskState],
) -> Row {
    let allowed: Vec<&str> = allowed_in.iter().map(|state| state.as_str()).collect();
    Base(reason, Code::FailedPrecondition, 409, ocp(4007, "TSK10007")).says(
        "{verb} is not possible for task {task_id}, which is {state}; it is possible in {allowed_states}",
        "任务 {task_id} 在 {state} 状态下不支持 {verb} 操作，仅支持的状态：{allowed_states}",
        values!(task_id: task, verb: verb, state: state, allowed_states: allowed.join(", ")),
        About::Condition("TASK_STATE", format!("tasks/{task}")),
    )
}

pub(super) fn effect_may_still_happen(reason: &'static str, task: TaskId, until: Timestamp) -> Row {
    Base(reason, Code::FailedPrecondition, 409, ocp(4007, "TSK10007"))
        .says(
            "an effect that task {task_id} tried may still happen until {until}; ask again after that",
            "任务 {task_id} 已发起的操作在 {until} 之前仍可能生效，请在此之后重试",
            values!(task_id: task, until: until),
            About::Condition("EFFECT_HORIZON", format!("tasks/{task}")),
        )
        .retry(Retry::At(until))
}

pub(super) fn rollback_unfinished(reason: &'static str, task: TaskId) -> Row {
    Base(reason, Code::FailedPrecondition, 409, ocp(4007, "TSK10007")).says(
        "task {task_id} is half rolled back and cannot be run forward again; go on with RollbackTask, or give it up",
        "任务 {task_id} 的回滚尚未完成，不能重新执行，请继续回滚或放弃任务",
        values!(task_id: task),
        About::Condition("TASK_STATE", format!("tasks/{task}")),
    )
}

pub(super) fn subtask_not_running(reason: &'static str, task: TaskId, subtask: SubtaskId) -> Row {
    Base(reason, Code::FailedPrecondition, 409, ocp(4007, "TSK10007")).says(
        "subtask {subtask_id} of task {task_id} does not run; read the task",
        "任务 {task_id} 的子任务 {subtask_id} 未在运行，请重新读取任务",
        values!(task_id: task, subtask_id: subtask),
        subtask_state(task, subtask),
    )
}

pub(super) fn subtask_not_failed(
    reason: &'static str,
    task: TaskId,
    subtask: SubtaskId,
    name: &str,
    state: SubtaskState,
) -> Row {
    Base(reason, Code::FailedPrecondition, 409, ocp(4007, "TSK10007")).says(
        "subtask {subtask_id} ({name}) of task {task_id} is {state}, only a FAILED one can be run again; read the task",
        "任务 {task_id} 的子任务 {subtask_id}（{name}）当前状态为 {state}，仅失败（FAILED）的子任务可以重新执行，请重新读取任务",
        values!(task_id: task, subtask_id: subtask, name: name, state: state),
        subtask_state(task, subtask),
    )
}

pub(super) fn subtask_not_skippable(
    reason: &'static str,
    task: TaskId,
    subtask: SubtaskId,
    name: &str,
    why: Unskippable,
) -> Row {
    let row = Base(reason, Code::FailedPrecondition, 409, ocp(4010, "TSK10010"));
    let mut values = values!(task_id: task, subtask_id: subtask, name: name);
    let (en, zh) = match why {
        Unskippable::NotFailed(state) => {
            values.push(("state", state.to_string()));
            (
                "subtask {subtask_id} ({name}) of task {task_id} is {state}, only a FAILED one can be skipped; read the task",
                "任务 {task_id} 的子任务 {subtask_id}（{name}）当前状态为 {state}，仅失败（FAILED）的子任务可以跳过，请重新读取任务",
            )
        }
        Unskippable::Checks => (
            "subtask {subtask_id} ({name}) of task {task_id} makes the checks that the others rely on and cannot be skipped; retry the task, roll it back or give it up",
            "任务 {task_id} 的子任务 {subtask_id}（{name}）负责后续步骤所依赖的检查，不允许跳过，请重试、回滚或放弃任务",
        ),
        Unskippable::NotItsTurn => (
            "subtask {subtask_id} ({name}) of task {task_id} is undone only after those behind it, which are not yet; roll the task back",
            "任务 {task_id} 的子任务 {subtask_id}（{name}）之后仍有未回滚的子任务，不允许跳过，请继续回滚任务",
        ),
    };
    row.says(en, zh, values, subtask_state(task, subtask))
}

fn subtask_state(task: TaskId, subtask: SubtaskId) -> About {
    About::Condition("SUBTASK_STATE", format!("tasks/{task}/subtasks/{subtask}"))
}
