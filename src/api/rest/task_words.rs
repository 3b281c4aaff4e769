//! The words of OCP for what tasks are and do (docs/ocp-v2.md#words-of-tasks), and the context as Java writes it. OCP
//! knows three states of a task: what ours has beyond them is shown by its operation. Pure.

use std::collections::BTreeMap;

use crate::domain::event::{SubtaskOperation, TaskOperation, TaskState};

/// No subtask here is one of several that run side by side.
pub const NOT_PARALLEL: i32 = -1;
/// Keys of the context in the order of the contract's sample; others follow in their own.
const SAMPLE_ORDER: [&str; 7] = [
    "cluster_id",
    "former_cluster_status",
    "target_zone_status",
    "former_zone_status",
    "zone_name",
    "target_cluster_status",
    "server_id",
];

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

/// The context as Java writes it (contract): the sample's keys in the sample's order, then the others.
pub fn context_text(strings: &BTreeMap<String, String>, lists: &BTreeMap<String, Vec<String>>) -> String {
    let first = SAMPLE_ORDER.iter().filter_map(|key| strings.get_key_value(*key));
    let rest = strings.iter().filter(|(key, _)| !SAMPLE_ORDER.contains(&key.as_str()));
    let strings: Vec<String> = first.chain(rest).map(|(key, value)| format!("{key}={value}")).collect();
    let lists: Vec<String> = lists.iter().map(|(key, values)| format!("{key}=[{}]", values.join(", "))).collect();
    let (strings, lists) = (strings.join(", "), lists.join(", "));
    format!("Context(parallelIdx={NOT_PARALLEL}, stringMap={{{strings}}}, listMap={{{lists}}})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_has_the_samples_keys_in_the_samples_order_and_the_others_behind_them() {
        let strings = [("zeal", "1"), ("server_id", "3"), ("alpha", "2"), ("zone_name", "zone2"), ("cluster_id", "20")];
        let strings = strings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let lists = BTreeMap::from([("server_ids".to_owned(), vec!["3".to_owned(), "4".to_owned()])]);
        assert_eq!(
            context_text(&strings, &lists),
            "Context(parallelIdx=-1, stringMap={cluster_id=20, zone_name=zone2, server_id=3, alpha=2, zeal=1}, \
             listMap={server_ids=[3, 4]})"
        );
        assert_eq!(
            context_text(&BTreeMap::new(), &BTreeMap::new()),
            "Context(parallelIdx=-1, stringMap={}, listMap={})"
        );
    }

    #[test]
    fn only_what_was_reached_is_successful() {
        let of = |word: &str| TaskState::ALL.iter().filter(|state| status(**state) == word).count();
        assert_eq!((of("RUNNING"), of("SUCCESSFUL"), of("FAILED")), (2, 1, 5));
        assert_eq!(status(TaskState::Successful), "SUCCESSFUL");
    }
}
