//! Rollouts: the servers of a cluster are restarted, or held, batch by batch. [`Definition::graph`] repeats the nodes of a
//! batch; behind each stands a health gate.

use crate::domain::call::Call;
use crate::domain::event::{TaskServer, TaskState};
use crate::domain::ids::ZoneName;
use crate::domain::rollout::RolloutAction;
use crate::domain::status::ServerStatus;
use crate::operations::definition::Limit::{Healthy, Held, LeaderWait, Lease, Seconds};
use crate::operations::definition::StepKind::{
    Hold, PrepareRollout, PrepareStop, StartAgentService, StartProcess, StartService, StopProcess, StopService,
    SyncCluster, UpdateCluster, UpdateServerStarted, UpdateServerStopped, WaitClusterHealthy, WaitObserverActive,
    WaitObserverStop,
};
use crate::operations::definition::{Definition, Restored, node};
use crate::operations::restart_server::admits;

/// A batch that is undone, or left, is shown as it is observed; the batches before it are finished.
const RESTORES: &[(TaskState, &[Restored])] = &[
    (TaskState::Refused, &[Restored::ServerAsObserved, Restored::ClusterAsObserved]),
    (TaskState::RolledBack, &[Restored::ServerAsObserved, Restored::ClusterAsObserved]),
    (TaskState::GivenUp, &[Restored::ServerAsObserved, Restored::ZoneAsObserved, Restored::ClusterAsObserved]),
];

pub static RESTART: Definition = Definition {
    call: Call::StartRollout,
    name: "Restart OB servers",
    nodes: &[
        node(0, PrepareRollout, "Prepare rollout", Seconds(300), &[]),
        node(1, PrepareStop, "Prepare restart observer", Seconds(300), &[0]),
        node(2, StopService, "Stop server", LeaderWait, &[1]),
        node(3, StopProcess, "Stop observer process", Seconds(1200), &[2]),
        node(4, StartProcess, "Start observer process", Seconds(1200), &[3]),
        node(5, WaitObserverActive, "Wait observer active", Seconds(1800), &[4]),
        node(6, StartAgentService, "Start ocp agent service", Seconds(1800), &[5]),
        node(7, StartService, "Start server", Seconds(300), &[6]),
        node(8, UpdateServerStarted, "Update observer status", Seconds(300), &[7]),
        node(9, WaitClusterHealthy, "Wait cluster healthy", Healthy, &[8]),
        node(10, SyncCluster, "Sync cluster info", Seconds(30), &[9]),
        node(11, UpdateCluster, "Update OB cluster status", Seconds(30), &[10]),
    ],
    admits,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Restarting),
    restores: RESTORES,
};

pub static HOLD: Definition = Definition {
    call: Call::StartRollout,
    name: "Hold OB servers",
    nodes: &[
        node(0, PrepareRollout, "Prepare rollout", Seconds(300), &[]),
        node(1, PrepareStop, "Prepare stop observer", Seconds(300), &[0]),
        node(2, StopService, "Stop server", LeaderWait, &[1]),
        node(3, StopProcess, "Stop observer process", Seconds(1200), &[2]),
        node(4, WaitObserverStop, "Wait observer stop", Lease(300), &[3]),
        node(5, UpdateServerStopped, "Update observer status", Seconds(300), &[4]),
        node(6, Hold, "Hold observer", Held, &[5]),
        node(7, StartProcess, "Start observer process", Seconds(1200), &[6]),
        node(8, WaitObserverActive, "Wait observer active", Seconds(1800), &[7]),
        node(9, StartAgentService, "Start ocp agent service", Seconds(1800), &[8]),
        node(10, StartService, "Start server", Seconds(300), &[9]),
        node(11, UpdateServerStarted, "Update observer status", Seconds(300), &[10]),
        node(12, WaitClusterHealthy, "Wait cluster healthy", Healthy, &[11]),
        node(13, SyncCluster, "Sync cluster info", Seconds(30), &[12]),
        node(14, UpdateCluster, "Update OB cluster status", Seconds(30), &[13]),
    ],
    admits,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Restarting),
    restores: RESTORES,
};

/// Of what is done with each server.
pub const fn of_action(action: RolloutAction) -> &'static Definition {
    match action {
        RolloutAction::Restart => &RESTART,
        RolloutAction::Hold => &HOLD,
    }
}

/// The servers in the order in which they are taken: zone by zone, the root service's last, so that it moves once; each batch
/// has at most `max_parallel` servers of one zone. `servers`: ascending by id.
pub fn batches(servers: &[TaskServer], root_zone: Option<&ZoneName>, max_parallel: usize) -> Vec<Vec<TaskServer>> {
    let mut zones: Vec<&ZoneName> = servers.iter().map(|server| &server.zone).collect();
    zones.sort_unstable();
    zones.dedup();
    zones.sort_by_key(|zone| root_zone == Some(*zone));
    let of_zone = |zone: &ZoneName| servers.iter().filter(|server| server.zone == *zone).cloned().collect::<Vec<_>>();
    let each = zones.into_iter().map(of_zone);
    each.flat_map(|zone| zone.chunks(max_parallel.max(1)).map(<[TaskServer]>::to_vec).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::graph::SubtaskRole;
    use crate::domain::ids::ServerId;
    use crate::operations::definition::GraphTimes;

    fn servers() -> Vec<TaskServer> {
        let server = |number: i64| TaskServer {
            id: ServerId::new(number).unwrap(),
            addr: format!("10.0.0.{number}:2882").parse().unwrap(),
            ob_server_id: number,
            zone: format!("zone{}", (number - 1) % 3 + 1).parse().unwrap(),
        };
        (1..=6).map(server).collect()
    }

    fn ids(batches: &[Vec<TaskServer>]) -> Vec<Vec<i64>> {
        batches.iter().map(|batch| batch.iter().map(|server| server.id.get()).collect()).collect()
    }

    #[test]
    fn zones_come_one_after_the_other_and_the_root_services_last() {
        let root = "zone1".parse().unwrap();
        assert_eq!(ids(&batches(&servers(), Some(&root), 1)), [[2], [5], [3], [6], [1], [4]]);
        assert_eq!(ids(&batches(&servers(), Some(&root), 2)), [[2, 5], [3, 6], [1, 4]]);
        assert_eq!(ids(&batches(&servers(), None, 9)), [[1, 4], [2, 5], [3, 6]]);
    }

    /// Nothing of a batch begins before the gate of the one before it, and nothing of it passes its own gate unfinished.
    #[test]
    fn each_batch_stands_between_two_gates() {
        let batches = batches(&servers(), None, 2);
        let graph = RESTART.graph(100, &batches, GraphTimes::default()).unwrap();
        let order = graph.execution_order().unwrap();
        assert_eq!(order.len(), 1 + 3 * (2 * 8 + 1) + 2);
        let subtask = |id| graph.subtasks.iter().find(|subtask| subtask.id == id).unwrap();
        let gates: Vec<_> = graph.subtasks.iter().filter(|it| it.role == SubtaskRole::HealthGate).collect();
        assert_eq!(gates.len(), 3);
        for (batch, gate) in gates.iter().enumerate() {
            let before: Vec<&str> = gate.upstreams.iter().map(|id| subtask(*id).name.as_str()).collect();
            assert_eq!(before, ["Update observer status"; 2], "batch {batch}");
            let behind: Vec<&str> = graph.downstreams(gate.id).iter().map(|id| subtask(*id).name.as_str()).collect();
            let next = if batch < 2 { vec!["Prepare restart observer"; 2] } else { vec!["Sync cluster info"] };
            assert_eq!(behind, next, "batch {batch}");
        }
    }
}
