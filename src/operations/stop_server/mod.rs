//! `Stop OB server`: the graphs of the contract, and what happens around their steps. One file per step:
//! what it does, why repeating it is safe, its look.

pub mod assess;
mod ways;

pub use prepare::former_and_target;
mod freeze;
mod prepare;
mod process;
mod service;
mod statuses;
mod sync_cluster;
mod wait_stop;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::effect::Permit;
use crate::domain::event::{Failure, TaskState};
use crate::domain::graph::{Graph, OperationName, SubtaskSpec};
use crate::domain::ids::SubtaskId;
use crate::domain::status::StopType;
use crate::domain::task::{RecordedIntent, Task};
use crate::engine::{Operation, Step, StepContext};
use crate::operations::Deps;
use crate::store::Write;

/// Name and version of the operation (contract: `Stop OB server`).
pub fn operation_name() -> OperationName {
    OperationName { name: "Stop OB server".to_owned(), version: 1 }
}

/// A node of a graph: offset of its id, name, timeout in seconds, offset of its upstream.
type Node = (i64, &'static str, u64, Option<i64>);

/// The contract's eight subtasks. Their ids have the order of its sample, which is not the order of execution; timeouts are
/// the published ones (ocp-v2, section 1), and `Wait observer stop`, which has none there, gets its own.
const PROCESS: [Node; 8] = [
    (0, "Wait observer stop", 300, Some(1)),
    (1, "Stop observer process", 1200, Some(3)),
    (2, "Update OB cluster status", 30, Some(4)),
    (3, "Stop server", 300, Some(5)),
    (4, "Sync cluster info", 30, Some(7)),
    (5, "Prepare stop observer", 300, None),
    (6, "Update observer status", 300, Some(0)),
    (7, "Update zone status", 1800, Some(6)),
];

/// The six subtasks of a stop of the service only, as documented for OCP 4.3 (ocp-v2, section 1).
const SERVICE: [Node; 6] = [
    (0, "Prepare stop observer service", 300, None),
    (1, "Stop observer service", 300, Some(0)),
    (2, "Update observer status", 300, Some(1)),
    (3, "Update zone status", 1800, Some(2)),
    (4, "Sync cluster info", 60, Some(3)),
    (5, "Update OB cluster status", 30, Some(4)),
];

/// Number of ids that a graph needs.
pub const fn subtask_count(stop_type: StopType) -> u32 {
    match stop_type {
        StopType::Process => PROCESS.len() as u32,
        StopType::Service => SERVICE.len() as u32,
    }
}

/// The graph, with ids from `first`. `lease_time` is the cluster's as recorded, `leader_wait` how long leaders are waited for
/// while none leaves.
pub fn graph(
    stop_type: StopType,
    first: i64,
    lease_time: Duration,
    leader_wait: Duration,
) -> Result<Graph, crate::domain::ids::InvalidName> {
    let nodes: &[Node] = match stop_type {
        StopType::Process => &PROCESS,
        StopType::Service => &SERVICE,
    };
    let subtasks: Result<Vec<SubtaskSpec>, _> = nodes
        .iter()
        .map(|(offset, name, seconds, upstream)| {
            let timeout = match *name {
                "Wait observer stop" => {
                    Duration::from_secs(*seconds).max(Duration::from_secs(lease_time.as_secs() + 60))
                }
                "Stop server" | "Stop observer service" => leader_wait,
                _ => Duration::from_secs(*seconds),
            };
            Ok(SubtaskSpec {
                id: SubtaskId::new(first + offset)?,
                name: (*name).to_owned(),
                description: (*name).to_owned(),
                timeout,
                upstreams: upstream.map(|offset| SubtaskId::new(first + offset)).transpose()?.into_iter().collect(),
            })
        })
        .collect();
    Ok(Graph { operation: operation_name(), subtasks: subtasks? })
}

/// Keys of the task's context. The first seven are the contract's.
pub mod key {
    /// Id of the cluster here.
    pub const CLUSTER_ID: &str = "cluster_id";
    /// Zone of the server.
    pub const ZONE_NAME: &str = "zone_name";
    /// Id of the server here.
    pub const SERVER_ID: &str = "server_id";
    /// Status of the cluster before; never an in-operation one.
    pub const FORMER_CLUSTER_STATUS: &str = "former_cluster_status";
    /// Status of the zone before; never an in-operation one.
    pub const FORMER_ZONE_STATUS: &str = "former_zone_status";
    /// Status of the cluster afterwards.
    pub const TARGET_CLUSTER_STATUS: &str = "target_cluster_status";
    /// Status of the zone afterwards.
    pub const TARGET_ZONE_STATUS: &str = "target_zone_status";
    /// List: ids of the servers.
    pub const SERVER_IDS: &str = "server_ids";
    /// Status of the server before.
    pub const FORMER_SERVER_STATUS: &str = "former_server_status";
    /// STOP_TIME before, or `not set`.
    pub const STOP_TIME_BEFORE: &str = "stop_time_before";
    /// Process before: its identity, `ABSENT`, or `UNKNOWN`.
    pub const PROCESS_BEFORE: &str = "process_before";
    /// Log streams led from the server before.
    pub const LEADERS_BEFORE: &str = "leaders_before";
    /// `UNKNOWN` when the task goes on although the cluster could not be read.
    pub const CLUSTER_STATE: &str = "cluster_state";
    /// `REFUSED` when the task goes on although the root service refused to set STOP_TIME.
    pub const STOP_TIME: &str = "stop_time";
    /// Process afterwards: `ABSENT` or `UNKNOWN`.
    pub const PROCESS_STATE: &str = "process_state";
}

/// The value of a state that could not be seen.
pub const UNKNOWN: &str = "UNKNOWN";
/// The value of a process that is proven not to be there.
pub const ABSENT: &str = "ABSENT";
/// The value of `stop_time` when the root service refused to set it.
pub const REFUSED: &str = "REFUSED";

/// The operation.
pub struct StopServerOperation {
    deps: Deps,
}

impl StopServerOperation {
    /// Over what its steps reach the world through.
    pub const fn new(deps: Deps) -> Self {
        Self { deps }
    }
}

#[async_trait]
impl Operation for StopServerOperation {
    fn step(&self, name: &str) -> Option<Arc<dyn Step>> {
        let deps = self.deps.clone();
        Some(match name {
            "Prepare stop observer" | "Prepare stop observer service" => Arc::new(prepare::Prepare(deps)),
            "Stop server" | "Stop observer service" => Arc::new(service::StopService(deps)),
            "Stop observer process" => Arc::new(process::StopProcess(deps)),
            "Wait observer stop" => Arc::new(wait_stop::WaitObserverStop(deps)),
            "Update observer status" => Arc::new(statuses::UpdateObserverStatus(deps)),
            "Update zone status" => Arc::new(statuses::UpdateZoneStatus(deps)),
            "Sync cluster info" => Arc::new(sync_cluster::SyncClusterInfo(deps)),
            "Update OB cluster status" => Arc::new(statuses::UpdateClusterStatus),
            _ => return None,
        })
    }

    /// An intent on a session: KILL it and look that it is gone. An intent on a host needs nothing: the agent refuses the
    /// old fence, and runs a token once.
    async fn take_over(
        &self,
        context: &StepContext,
        intent: &RecordedIntent,
        permit: Permit,
    ) -> Result<String, Failure> {
        if intent.intent.connection_id == 0 {
            return Ok(format!("intent {} was on a host, which refuses the old fence", intent.number));
        }
        let target = ways::target(&self.deps, context).await?;
        let (endpoint, connection) = (&intent.intent.endpoint, intent.intent.connection_id);
        let gone = self
            .deps
            .oceanbase
            .kill_session(permit, &target.access, &target.expected(), endpoint, connection)
            .await
            .map_err(|error| super::cluster_failure(&error))?;
        Ok(format!("session {connection} at {endpoint} of intent {} is gone: {gone:?}", intent.number))
    }

    fn closing_writes(&self, task: &Task) -> Vec<Write> {
        match task.state {
            // Refused: as before. Given up: as a fresh reading finds it. Both mean: nothing managed any more.
            TaskState::Refused | TaskState::GivenUp | TaskState::RolledBack => vec![
                Write::ServerStatus { server: task.spec.server.id, status: former_managed(task) },
                Write::ClusterStatus { cluster: task.spec.cluster.id, status: None },
            ],
            TaskState::Running
            | TaskState::Canceling
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Successful => Vec::new(),
        }
    }
}

/// A server that was STOPPED under management stays so after a refusal; everything else is as observed.
fn former_managed(task: &Task) -> Option<crate::domain::status::ServerStatus> {
    use crate::domain::status::ServerStatus;
    let former = task.context.get(key::FORMER_SERVER_STATUS).and_then(|word| word.parse().ok());
    match (task.state, former) {
        (TaskState::GivenUp, _) => None,
        (_, Some(ServerStatus::Stopped)) => Some(ServerStatus::Stopped),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER_WAIT: Duration = Duration::from_secs(300);

    #[test]
    fn the_graph_is_the_contracts() {
        let graph = graph(StopType::Process, 133_815, Duration::from_secs(10), LEADER_WAIT).unwrap();
        let order = graph.execution_order().unwrap();
        let ids: Vec<i64> = order.iter().map(|id| id.get()).collect();
        assert_eq!(ids, [133_820, 133_818, 133_816, 133_815, 133_821, 133_822, 133_819, 133_817]);
        let names: Vec<&str> = order
            .iter()
            .map(|id| graph.subtasks.iter().find(|subtask| subtask.id == *id).unwrap().name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "Prepare stop observer",
                "Stop server",
                "Stop observer process",
                "Wait observer stop",
                "Update observer status",
                "Update zone status",
                "Sync cluster info",
                "Update OB cluster status"
            ]
        );
        let service = super::graph(StopType::Service, 1, Duration::ZERO, LEADER_WAIT).unwrap();
        assert_eq!(service.execution_order().unwrap().len(), 6);
    }

    #[test]
    fn the_wait_outlasts_the_lease() {
        let graph = graph(StopType::Process, 1, Duration::from_secs(300), LEADER_WAIT).unwrap();
        assert_eq!(graph.subtasks[0].timeout, Duration::from_secs(360));
    }
}
