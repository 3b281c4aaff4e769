//! The tasks of OCP's samples, as the service would have them.

use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::call::Call;
use obsteward::domain::decide::Input;
use obsteward::domain::event::{TaskServer, TaskSpec};
use obsteward::domain::facts::{ClusterFact, Fact, ZoneFact};
use obsteward::domain::graph::TaskTarget;
use obsteward::domain::ids::{Principal, ServerId, ZoneName};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::{ClusterStatus, StopType, ZoneStatus};
use obsteward::operations::definition::{Definition, GraphTimes, StepKind};
use obsteward::store::{Store, StoredTask};

use super::Fixture;
use crate::support::stored_tasks::{cluster, cluster_id, task_id};

/// The task of the contract's sample.
pub const SAMPLE_TASK: i64 = 111_102;
/// The first of its subtasks.
pub const SAMPLE_SUBTASK: i64 = 133_815;

/// Ids of the documented sample of an operation: of its task, and of the first of its subtasks.
fn sample_ids(operation: &Definition) -> (i64, i64) {
    match operation.call {
        Call::StopServer => (SAMPLE_TASK, SAMPLE_SUBTASK),
        Call::StartServer => (111_125, 133_851),
        Call::RestartServer => (89_027_028, 89_030_472),
        // Not in OCP.
        _ => (111_000, 111_001),
    }
}

/// What the sample's task was accepted with.
fn sample_spec(operation: &Definition) -> TaskSpec {
    let second = Duration::from_secs(1);
    let (task, first) = sample_ids(operation);
    let stops = operation.stops_service();
    let stop_type = if operation.has(StepKind::StopProcess) { StopType::Process } else { StopType::Service };
    let zone: ZoneName = "zone2".parse().unwrap();
    let addr = "10.0.0.3:2882".parse().unwrap();
    let server = TaskServer { id: ServerId::new(3).unwrap(), addr, ob_server_id: 3, zone: zone.clone() };
    TaskSpec {
        id: task_id(task),
        cluster: cluster(cluster_id(20)),
        target: match operation.admits_zone {
            _ if operation.is_on_cluster() => TaskTarget::Cluster,
            Some(_) => TaskTarget::Zone(zone.clone()),
            None => TaskTarget::Server(server.id),
        },
        servers: vec![server.clone()],
        creator: Principal::new("admin"),
        reason: Reason::default(),
        expire_time: Timestamp::from_micros(7_200_000_000),
        force: false,
        accepted_risks: Vec::new(),
        stop_type: stops.then_some(stop_type),
        freeze_before_stop: false,
        hold: None,
        rollout: None,
        drain: std::time::Duration::ZERO,
        pending: None,
        graph: operation
            .graph(
                first,
                &[vec![server]],
                GraphTimes { lease: second * 10, leader_wait: second * 300, ..GraphTimes::default() },
            )
            .unwrap(),
        facts: vec![
            Fact::Cluster(ClusterFact::FormerStatus(ClusterStatus::Running)),
            Fact::Cluster(ClusterFact::TargetStatus(ClusterStatus::Running)),
            Fact::Zone(zone.clone(), ZoneFact::FormerStatus(ZoneStatus::Running)),
            Fact::Zone(zone, ZoneFact::TargetStatus(ZoneStatus::Running)),
        ],
        trace: None,
    }
}

impl Fixture {
    /// The sample's task as it is just after its acceptance. It holds its cluster: an equal request is answered with it.
    pub async fn accept(&self, operation: &Definition) -> StoredTask {
        let task = task_id(sample_ids(operation).0);
        if self.store.task(task).await.unwrap().is_none() {
            self.store.accept(sample_spec(operation));
            self.store.decide(task, Input::Dispatch { executor: "ocp-1:4711".to_owned() });
        }
        self.store.task(task).await.unwrap().unwrap()
    }
}
