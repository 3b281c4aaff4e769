//! The graphs of the operations, as OCP documents them (docs/ocp-v2.md#task-graphs): names, edges and order of ids are
//! those of its samples, and timeouts the published ones (docs/ocp-v2.md#timeouts-of-steps).

use std::time::Duration;

use crate::domain::admission::Request;
use crate::domain::graph::{Graph, OperationName, SubtaskSpec};
use crate::domain::ids::{InvalidName, ServerId, SubtaskId};

pub fn operation_name(request: Request) -> OperationName {
    let name = match request {
        Request::StopProcess | Request::StopService => "Stop OB server",
        Request::Start => "Start OB server",
        Request::Restart => "Restart OB server",
    };
    OperationName { name: name.to_owned(), version: 1 }
}

/// A node of a graph: offset of its id, name, timeout in seconds, offset of its upstream.
type Node = (i64, &'static str, u64, Option<i64>);

/// The contract's eight subtasks. Their ids have the order of its sample, which is not the order of execution.
/// `Wait observer stop` has no published timeout and gets its own.
const STOP_PROCESS: &[Node] = &[
    (0, "Wait observer stop", 300, Some(1)),
    (1, "Stop observer process", 1200, Some(3)),
    (2, "Update OB cluster status", 30, Some(4)),
    (3, "Stop server", 300, Some(5)),
    (4, "Sync cluster info", 30, Some(7)),
    (5, "Prepare stop observer", 300, None),
    (6, "Update observer status", 300, Some(0)),
    (7, "Update zone status", 1800, Some(6)),
];

/// The six subtasks of a stop of the service only, as documented for OCP 4.3.
const STOP_SERVICE: &[Node] = &[
    (0, "Prepare stop observer service", 300, None),
    (1, "Stop observer service", 300, Some(0)),
    (2, "Update observer status", 300, Some(1)),
    (3, "Update zone status", 1800, Some(2)),
    (4, "Sync cluster info", 60, Some(3)),
    (5, "Update OB cluster status", 30, Some(4)),
];

/// The nine subtasks of a start; ids in the order of the documented sample.
const START: &[Node] = &[
    (0, "Start observer process", 1200, Some(7)),
    (1, "Update observer status", 300, Some(3)),
    (2, "Update zone status", 1800, Some(1)),
    (3, "Start server", 300, Some(5)),
    (4, "Wait observer active", 1800, Some(0)),
    (5, "Start ocp agent service", 1800, Some(4)),
    (6, "Update OB cluster status", 30, Some(8)),
    (7, "Prepare start observer", 300, None),
    (8, "Sync cluster info", 30, Some(2)),
];

/// The eleven subtasks of a restart; ids in the order of the documented sample.
const RESTART: &[Node] = &[
    (0, "Start ocp agent service", 1800, Some(8)),
    (1, "Update observer status", 300, Some(10)),
    (2, "Update OB cluster status", 30, Some(7)),
    (3, "Prepare restart observer", 300, None),
    (4, "Stop observer process", 1200, Some(9)),
    (5, "Update zone status", 1800, Some(1)),
    (6, "Start observer process", 1200, Some(4)),
    (7, "Sync cluster info", 30, Some(5)),
    (8, "Wait observer active", 1800, Some(6)),
    (9, "Stop server", 300, Some(3)),
    (10, "Start server", 300, Some(0)),
];

const fn nodes(request: Request) -> &'static [Node] {
    match request {
        Request::StopProcess => STOP_PROCESS,
        Request::StopService => STOP_SERVICE,
        Request::Start => START,
        Request::Restart => RESTART,
    }
}

/// Number of ids that a graph needs.
pub const fn subtask_count(request: Request) -> u32 {
    nodes(request).len() as u32
}

/// The graph for a server, with ids from `first`. `lease_time` is the cluster's as recorded, `leader_wait` how long leaders are waited for
/// while none leaves.
pub fn graph(
    request: Request,
    first: i64,
    server: ServerId,
    lease_time: Duration,
    leader_wait: Duration,
) -> Result<Graph, InvalidName> {
    let subtasks: Result<Vec<SubtaskSpec>, _> = nodes(request)
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
                server: match *name {
                    "Update zone status" | "Sync cluster info" | "Update OB cluster status" => None,
                    _ => Some(server),
                },
                timeout,
                upstreams: upstream.map(|offset| SubtaskId::new(first + offset)).transpose()?.into_iter().collect(),
                // What it checks and records is what the others rely on.
                prohibit_skip: upstream.is_none(),
            })
        })
        .collect();
    Ok(Graph { operation: operation_name(request), subtasks: subtasks? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER_WAIT: Duration = Duration::from_secs(300);

    fn server() -> ServerId {
        ServerId::new(7).unwrap()
    }

    fn names(graph: &Graph) -> Vec<&str> {
        let order = graph.execution_order().unwrap();
        let name = |id: &SubtaskId| graph.subtasks.iter().find(|subtask| subtask.id == *id).unwrap().name.as_str();
        order.iter().map(name).collect()
    }

    #[test]
    fn the_graph_of_a_stop_is_the_contracts() {
        let stop = graph(Request::StopProcess, 133_815, server(), Duration::from_secs(10), LEADER_WAIT).unwrap();
        let ids: Vec<i64> = stop.execution_order().unwrap().iter().map(|id| id.get()).collect();
        assert_eq!(ids, [133_820, 133_818, 133_816, 133_815, 133_821, 133_822, 133_819, 133_817]);
        assert_eq!(
            names(&stop),
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
        let service = graph(Request::StopService, 1, server(), Duration::ZERO, LEADER_WAIT).unwrap();
        assert_eq!(service.execution_order().unwrap().len(), 6);
    }

    /// The samples of `…/start` and `…/restart` (docs/ocp-v2.md#start-ob-server, docs/ocp-v2.md#restart-ob-server),
    /// whose ids begin at 133851 and 89030472.
    #[test]
    fn the_graphs_of_start_and_restart_are_the_documented_ones() {
        let start = graph(Request::Start, 133_851, server(), Duration::ZERO, LEADER_WAIT).unwrap();
        let ids: Vec<i64> = start.execution_order().unwrap().iter().map(|id| id.get()).collect();
        assert_eq!(ids, [133_858, 133_851, 133_855, 133_856, 133_854, 133_852, 133_853, 133_859, 133_857]);
        assert_eq!(
            names(&start),
            [
                "Prepare start observer",
                "Start observer process",
                "Wait observer active",
                "Start ocp agent service",
                "Start server",
                "Update observer status",
                "Update zone status",
                "Sync cluster info",
                "Update OB cluster status"
            ]
        );
        let restart = graph(Request::Restart, 89_030_472, server(), Duration::ZERO, LEADER_WAIT).unwrap();
        assert_eq!(
            names(&restart),
            [
                "Prepare restart observer",
                "Stop server",
                "Stop observer process",
                "Start observer process",
                "Wait observer active",
                "Start ocp agent service",
                "Start server",
                "Update observer status",
                "Update zone status",
                "Sync cluster info",
                "Update OB cluster status"
            ]
        );
    }

    #[test]
    fn the_wait_outlasts_the_lease() {
        let graph = graph(Request::StopProcess, 1, server(), Duration::from_secs(300), LEADER_WAIT).unwrap();
        assert_eq!(graph.subtasks[0].timeout, Duration::from_secs(360));
    }
}
