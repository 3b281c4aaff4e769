//! The words of OCP for what tasks are and do (docs/ocp-v2.md#words-of-tasks), and the context as Java writes it. OCP
//! knows three states of a task: what ours has beyond them is shown by its operation. Pure.

use std::collections::BTreeSet;

use crate::domain::call::Call;
use crate::domain::event::{SubtaskOperation, TaskOperation, TaskState};
use crate::domain::facts::ShownFact;
use crate::domain::graph::TaskTarget;
use crate::domain::ids::ZoneName;
use crate::domain::task::{Subtask, Task};
use crate::operations::definition::Definition;

/// Of what is none of several that run side by side.
pub const NOT_PARALLEL: i32 = -1;

/// Which of the branches of its node a subtask is, from 0: one of several servers, or of a cluster's zones. A task on one server
/// has no branches (docs/ocp-v2.md#parallel-subtasks).
pub fn parallel_index(task: &Task, subtask: &Subtask) -> i32 {
    let place = match (&task.spec.target, &subtask.spec.target) {
        (TaskTarget::Zone(_) | TaskTarget::Cluster, TaskTarget::Server(id)) => {
            task.spec.servers.iter().position(|server| server.id == *id)
        }
        (TaskTarget::Cluster, TaskTarget::Zone(zone)) => zones(task).iter().position(|it| *it == zone),
        (TaskTarget::Server(_), _) | (TaskTarget::Zone(_), TaskTarget::Zone(_)) | (_, TaskTarget::Cluster) => None,
    };
    place.and_then(|place| i32::try_from(place).ok()).unwrap_or(NOT_PARALLEL)
}

/// Of its servers, each once.
fn zones(task: &Task) -> BTreeSet<&ZoneName> {
    task.spec.servers.iter().map(|server| &server.zone).collect()
}

/// The word of OCP for a state of a task. Success always and only means that what was asked for was reached.
pub const fn status(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "PENDING",
        TaskState::Running | TaskState::Canceling => "RUNNING",
        TaskState::Successful => "SUCCESSFUL",
        TaskState::Failed | TaskState::Cancelled | TaskState::RolledBack | TaskState::Refused | TaskState::GivenUp => {
            "FAILED"
        }
    }
}

/// The word of OCP for what a task does; giving up is a kind of cancelling.
pub const fn operation(operation: TaskOperation) -> &'static str {
    match operation {
        TaskOperation::Execute => "EXECUTE",
        TaskOperation::Retry => "RETRY",
        TaskOperation::Rollback => "ROLLBACK",
        TaskOperation::Cancel | TaskOperation::GiveUp => "CANCEL",
    }
}

/// The word of OCP for what is done with a subtask.
pub const fn subtask_operation(operation: SubtaskOperation) -> &'static str {
    match operation {
        SubtaskOperation::Execute => "EXECUTE",
        SubtaskOperation::Retry => "RETRY",
        SubtaskOperation::Rollback => "ROLLBACK",
        SubtaskOperation::Skip | SubtaskOperation::RollbackSkip => "SKIP",
        SubtaskOperation::Cancel => "CANCEL",
    }
}

/// Class names that OCP's samples give to steps of these names; programs may show them (docs/ocp-v2.md#class-names).
pub fn class_name(step: &str) -> &'static str {
    match step {
        "Prepare stop observer" => "com.alipay.ocp.service.task.business.server.PrepareStopObServerTask",
        "Stop server" => "com.alipay.ocp.service.task.business.server.StopObServerTask",
        "Stop observer process" => "com.alipay.ocp.service.task.business.server.StopObServerProcessTask",
        "Prepare restart observer" => "com.alipay.ocp.service.task.business.server.PrepareRestartObServerTask",
        "Start observer process" => "com.alipay.ocp.service.task.business.server.StartObServerProcessTask",
        "Wait observer active" => "com.alipay.ocp.service.task.business.server.WaitObServerActiveTask",
        "Start server" => "com.alipay.ocp.service.task.business.server.StartObServerTask",
        "Update observer status" => "com.alipay.ocp.service.task.business.server.UpdateObServerStatusTask",
        "Update zone status" => "com.alipay.ocp.service.task.business.zone.UpdateObZoneStatusTask",
        "Sync cluster info" => "com.alipay.ocp.service.task.business.cluster.SyncClusterInfoTask",
        "Update OB cluster status" => "com.alipay.ocp.service.task.business.cluster.UpdateObClusterStatusTask",
        // Not published, or without its package.
        _ => "",
    }
}

/// The context of the contract, made from what the task recorded: the sample's keys in the sample's order. The samples of zones and
/// clusters begin with the name of the cluster.
pub fn context(task: &Task) -> Vec<(&'static str, String)> {
    let mut shown = task.context();
    let name = match task.spec.target {
        TaskTarget::Server(_) => None,
        TaskTarget::Zone(_) | TaskTarget::Cluster => Some(("cluster_name", task.spec.cluster.name.clone())),
    };
    let facts = ShownFact::CONTRACT.into_iter().filter_map(|fact| Some((fact.as_str(), shown.remove(&fact)?)));
    name.into_iter().chain(facts).collect()
}

/// The lists of the context, by their keys. The restart of a cluster has one of servers for each zone.
pub fn lists(task: &Task) -> Vec<(String, Vec<String>)> {
    let servers = |zone: Option<&ZoneName>| {
        let of_zone = task.spec.servers.iter().filter(|server| zone.is_none_or(|zone| server.zone == *zone));
        of_zone.map(|server| server.id.to_string()).collect::<Vec<String>>()
    };
    let of_servers = match Definition::of_task(task).map(|definition| definition.call) {
        Some(Call::RestartCluster) => {
            let key = |zone: &ZoneName| format!("{}.{zone}.server_ids", task.spec.cluster.id);
            zones(task).into_iter().map(|zone| (key(zone), servers(Some(zone)))).collect()
        }
        Some(_) | None => vec![("server_ids".to_owned(), servers(None))],
    };
    let of_zones = (task.spec.target == TaskTarget::Cluster)
        .then(|| ("zone_names".to_owned(), zones(task).into_iter().map(ToString::to_string).collect()));
    of_servers.into_iter().chain(of_zones).collect()
}

/// The context as Java writes it.
pub fn context_text(strings: &[(&str, String)], lists: &[(String, Vec<String>)]) -> String {
    let strings: Vec<String> = strings.iter().map(|(fact, value)| format!("{fact}={value}")).collect();
    let lists: Vec<String> = lists.iter().map(|(key, items)| format!("{key}=[{}]", items.join(", "))).collect();
    let (strings, lists) = (strings.join(", "), lists.join(", "));
    format!("Context(parallelIdx={NOT_PARALLEL}, stringMap={{{strings}}}, listMap={{{lists}}})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_written_as_java_writes_it() {
        let strings = [("cluster_id", "20"), ("zone_name", "zone2"), ("server_id", "3")]
            .map(|(fact, value)| (fact, value.to_owned()));
        let ids = |ids: &[&str]| [("server_ids".to_owned(), ids.iter().map(ToString::to_string).collect::<Vec<_>>())];
        assert_eq!(
            context_text(&strings, &ids(&["3", "4"])),
            "Context(parallelIdx=-1, stringMap={cluster_id=20, zone_name=zone2, server_id=3}, \
             listMap={server_ids=[3, 4]})"
        );
        assert_eq!(context_text(&[], &ids(&[])), "Context(parallelIdx=-1, stringMap={}, listMap={server_ids=[]})");
    }

    #[test]
    fn only_what_was_reached_is_successful() {
        let of = |word: &str| TaskState::ALL.iter().filter(|state| status(**state) == word).count();
        assert_eq!((of("RUNNING"), of("SUCCESSFUL"), of("FAILED")), (2, 1, 5));
        assert_eq!(status(TaskState::Successful), "SUCCESSFUL");
    }
}
