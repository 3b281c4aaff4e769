//! Tasks and subtasks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::ErrorDoc;
use crate::cli::{times, words};
use crate::proto::v1;

/// A task. Its subtasks stand in the protocol's order, ascending by id.
#[derive(Debug, Serialize)]
pub struct TaskDoc {
    id: i64,
    name: String,
    state: String,
    operation: String,
    cluster: Option<TaskClusterDoc>,
    server: Option<TaskServerDoc>,
    creator: String,
    create_time: Option<String>,
    start_time: Option<String>,
    finish_time: Option<String>,
    expire_time: Option<String>,
    resting_since: Option<String>,
    revision: i64,
    seq: i64,
    /// Absent: nothing is stopped.
    stop_type: Option<String>,
    force: bool,
    freeze_before_stop: bool,
    accepted_risks: Vec<String>,
    overrides: Vec<OverrideDoc>,
    warnings: Vec<String>,
    error: Option<ErrorDoc>,
    allowed_verbs: Vec<String>,
    can_retry: bool,
    can_rollback: bool,
    can_cancel: bool,
    can_give_up: bool,
    context: BTreeMap<String, String>,
    list_context: BTreeMap<String, Vec<String>>,
    subtasks: Vec<SubtaskDoc>,
}

#[derive(Debug, Serialize)]
struct TaskClusterDoc {
    id: i64,
    name: String,
    ob_cluster_id: i64,
}

#[derive(Debug, Serialize)]
struct TaskServerDoc {
    id: i64,
    address: String,
    zone: String,
}

#[derive(Debug, Serialize)]
struct SubtaskDoc {
    id: i64,
    name: String,
    description: String,
    state: String,
    operation: String,
    upstreams: Vec<i64>,
    downstreams: Vec<i64>,
    run_time: i32,
    timeout_seconds: i32,
    start_time: Option<String>,
    finish_time: Option<String>,
    effect: Option<String>,
    error: Option<ErrorDoc>,
    executor: String,
    progress: Option<ProgressDoc>,
    can_skip: bool,
    can_retry: bool,
    can_cancel: bool,
}

/// How far a running subtask is.
#[derive(Debug, Serialize)]
pub struct ProgressDoc {
    task_id: i64,
    subtask_id: i64,
    message: String,
    done: i64,
    total: i64,
    update_time: Option<String>,
    deadline: Option<String>,
}

/// A check that was overridden.
#[derive(Debug, Serialize)]
pub struct OverrideDoc {
    check: String,
    evidence: String,
    overridden_by: String,
    principal: String,
}

/// Lists of a context, sorted by key.
pub fn lists(map: &BTreeMap<String, v1::StringList>) -> BTreeMap<String, Vec<String>> {
    map.iter().map(|(key, list)| (key.clone(), list.values.clone())).collect()
}

/// The word of an effect; absent before the end.
pub fn effect(effect: i32) -> Option<String> {
    (effect != v1::Effect::Unspecified as i32).then(|| words::effect(effect).into_owned())
}

/// The word of a kind of stop; absent for a task that stops nothing.
fn stop_type(task: &v1::Task) -> Option<String> {
    let stops = task.stop_type != v1::StopType::Unspecified as i32;
    stops.then(|| words::stop_type(task.stop_type).into_owned())
}

impl From<&v1::Task> for TaskDoc {
    fn from(task: &v1::Task) -> Self {
        Self {
            id: task.id,
            name: task.name.clone(),
            state: words::task_state(task.state).into_owned(),
            operation: words::task_operation(task.operation).into_owned(),
            cluster: task.cluster.as_ref().map(|cluster| TaskClusterDoc {
                id: cluster.id,
                name: cluster.name.clone(),
                ob_cluster_id: cluster.ob_cluster_id,
            }),
            server: task.server.as_ref().map(|server| TaskServerDoc {
                id: server.id,
                address: server.address.clone(),
                zone: server.zone.clone(),
            }),
            creator: task.creator.clone(),
            create_time: times::rfc3339(task.create_time.as_ref()),
            start_time: times::rfc3339(task.start_time.as_ref()),
            finish_time: times::rfc3339(task.finish_time.as_ref()),
            expire_time: times::rfc3339(task.expire_time.as_ref()),
            resting_since: times::rfc3339(task.resting_since.as_ref()),
            revision: task.revision,
            seq: task.seq,
            stop_type: stop_type(task),
            force: task.force,
            freeze_before_stop: task.freeze_before_stop,
            accepted_risks: task.accepted_risks.iter().map(|risk| words::risk(*risk).into_owned()).collect(),
            overrides: task.overrides.iter().map(OverrideDoc::from).collect(),
            warnings: task.warnings.clone(),
            error: task.error.as_ref().map(ErrorDoc::from_kept),
            allowed_verbs: task.allowed_verbs.iter().map(|verb| words::verb(*verb).into_owned()).collect(),
            can_retry: task.can_retry,
            can_rollback: task.can_rollback,
            can_cancel: task.can_cancel,
            can_give_up: task.can_give_up,
            context: task.context.clone().into_iter().collect(),
            list_context: lists(&task.list_context),
            subtasks: task.subtasks.iter().map(SubtaskDoc::from).collect(),
        }
    }
}

impl From<&v1::Subtask> for SubtaskDoc {
    fn from(subtask: &v1::Subtask) -> Self {
        Self {
            id: subtask.id,
            name: subtask.name.clone(),
            description: subtask.description.clone(),
            state: words::subtask_state(subtask.state).into_owned(),
            operation: words::subtask_operation(subtask.operation).into_owned(),
            upstreams: subtask.upstreams.clone(),
            downstreams: subtask.downstreams.clone(),
            run_time: subtask.run_time,
            timeout_seconds: subtask.timeout_seconds,
            start_time: times::rfc3339(subtask.start_time.as_ref()),
            finish_time: times::rfc3339(subtask.finish_time.as_ref()),
            effect: effect(subtask.effect),
            error: subtask.error.as_ref().map(ErrorDoc::from_kept),
            executor: subtask.executor.clone(),
            progress: subtask.progress.as_ref().map(ProgressDoc::from),
            can_skip: subtask.can_skip,
            can_retry: subtask.can_retry,
            can_cancel: subtask.can_cancel,
        }
    }
}

impl From<&v1::SubtaskProgress> for ProgressDoc {
    fn from(progress: &v1::SubtaskProgress) -> Self {
        Self {
            task_id: progress.task_id,
            subtask_id: progress.subtask_id,
            message: progress.message.clone(),
            done: progress.done,
            total: progress.total,
            update_time: times::rfc3339(progress.update_time.as_ref()),
            deadline: times::rfc3339(progress.deadline.as_ref()),
        }
    }
}

impl From<&v1::Override> for OverrideDoc {
    fn from(item: &v1::Override) -> Self {
        Self {
            check: item.check.clone(),
            evidence: item.evidence.clone(),
            overridden_by: item.overridden_by.clone(),
            principal: item.principal.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::view::tests::task;

    #[test]
    fn a_task_says_what_can_be_asked_of_it_and_what_it_stops() {
        let mut task = task();
        (task.can_rollback, task.subtasks[0].can_skip) = (true, true);
        let document = serde_json::to_value(TaskDoc::from(&task)).unwrap();
        let can = |key: &str| document[key].as_bool().unwrap();
        assert_eq!(["can_retry", "can_rollback", "can_cancel", "can_give_up"].map(can), [false, true, false, false]);
        let can = |key: &str| document["subtasks"][0][key].as_bool().unwrap();
        assert_eq!(["can_skip", "can_retry", "can_cancel"].map(can), [true, false, false]);
        assert_eq!(document["stop_type"], serde_json::Value::Null, "a start stops nothing");
        task.set_stop_type(v1::StopType::Service);
        assert_eq!(serde_json::to_value(TaskDoc::from(&task)).unwrap()["stop_type"], "SERVICE");
    }
}
