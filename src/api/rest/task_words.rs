//! The words of OCP for what tasks are and do (docs/ocp-v2.md#words-of-tasks), and the context as Java writes it. OCP
//! knows three states of a task: what ours has beyond them is shown by its operation. Pure.

use crate::domain::event::{SubtaskOperation, TaskOperation, TaskState};
use crate::domain::facts::ShownFact;
use crate::domain::task::Task;

/// No subtask here is one of several that run side by side.
pub const NOT_PARALLEL: i32 = -1;

/// The word of OCP for a state of a task. Success always and only means that what was asked for was reached.
pub const fn status(state: TaskState) -> &'static str {
    match state {
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

/// The context of the contract, made from what the task recorded: the sample's keys in the sample's order.
pub fn context(task: &Task) -> Vec<(ShownFact, String)> {
    let mut shown = task.context();
    ShownFact::CONTRACT.into_iter().filter_map(|fact| Some((fact, shown.remove(&fact)?))).collect()
}

/// The one list of the context, and its key.
pub fn server_ids(task: &Task) -> (&'static str, Vec<String>) {
    ("server_ids", task.spec.servers.iter().map(|server| server.id.to_string()).collect())
}

/// The context as Java writes it.
pub fn context_text(strings: &[(ShownFact, String)], (key, ids): (&str, &[String])) -> String {
    let strings: Vec<String> = strings.iter().map(|(fact, value)| format!("{fact}={value}")).collect();
    let (strings, ids) = (strings.join(", "), ids.join(", "));
    format!("Context(parallelIdx={NOT_PARALLEL}, stringMap={{{strings}}}, listMap={{{key}=[{ids}]}})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_written_as_java_writes_it() {
        let strings = [(ShownFact::ClusterId, "20"), (ShownFact::ZoneName, "zone2"), (ShownFact::ServerId, "3")]
            .map(|(fact, value)| (fact, value.to_owned()));
        let ids = ["3".to_owned(), "4".to_owned()];
        assert_eq!(
            context_text(&strings, ("server_ids", &ids)),
            "Context(parallelIdx=-1, stringMap={cluster_id=20, zone_name=zone2, server_id=3}, \
             listMap={server_ids=[3, 4]})"
        );
        assert_eq!(
            context_text(&[], ("server_ids", &[])),
            "Context(parallelIdx=-1, stringMap={}, listMap={server_ids=[]})"
        );
    }

    #[test]
    fn only_what_was_reached_is_successful() {
        let of = |word: &str| TaskState::ALL.iter().filter(|state| status(**state) == word).count();
        assert_eq!((of("RUNNING"), of("SUCCESSFUL"), of("FAILED")), (2, 1, 5));
        assert_eq!(status(TaskState::Successful), "SUCCESSFUL");
    }
}
