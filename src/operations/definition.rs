//! What an operation is, as data: its name, its nodes, in which states of a server it is admitted, and what is restored at
//! which end. Each has a file of its own; the graphs are those that OCP documents (docs/ocp-v2.md#task-graphs), and so are
//! the timeouts (docs/ocp-v2.md#timeouts-of-steps).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::admission::{ProcessFinding, ServiceState};
use crate::domain::call::Call;
use crate::domain::event::{TaskServer, TaskState};
use crate::domain::graph::{Graph, OperationName, SubtaskRole, SubtaskSpec, TaskTarget};
use crate::domain::ids::{InvalidName, ServerId, SubtaskId, ZoneName};
use crate::domain::status::{ServerStatus, ZoneInnerStatus};
use crate::domain::task::Task;
use crate::operations;
use crate::operations::steps::Scope;
pub use crate::operations::steps::StepKind;

/// Longest time of one execution.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    Seconds(u64),
    /// While no leader leaves; a setting.
    LeaderWait,
    /// At least so many seconds, and a minute more than the cluster's lease.
    Lease(u64),
    /// The hold that was asked for, and how long a host may then not answer.
    Held,
    /// Up to the deadline of the rollout: the step itself bounds how long a cluster may be ill.
    Healthy,
}

#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Offset of its id from the first; in the documented samples that is not the order of execution.
    pub id: i64,
    pub kind: StepKind,
    /// As OCP writes it.
    pub name: &'static str,
    pub timeout: Limit,
    /// Nodes that must succeed first.
    pub after: &'static [i64],
}

pub(super) const fn node(id: i64, kind: StepKind, name: &'static str, timeout: Limit, after: &'static [i64]) -> Node {
    Node { id, kind, name, timeout, after }
}

impl Node {
    /// What it is done to, for each of these servers.
    fn targets(&self, servers: &[TaskServer]) -> Vec<TaskTarget> {
        match self.kind.scope() {
            Scope::Server => servers.iter().map(|server| TaskTarget::Server(server.id)).collect(),
            Scope::Zone => {
                let zones: BTreeSet<&ZoneName> = servers.iter().map(|server| &server.zone).collect();
                zones.into_iter().map(|zone| TaskTarget::Zone(zone.clone())).collect()
            }
            Scope::Cluster => vec![TaskTarget::Cluster],
        }
    }
}

/// Whether what is done to one target concerns the other: a server its zone, and all of them the cluster.
fn touch(one: &TaskTarget, other: &TaskTarget, servers: &[TaskServer]) -> bool {
    let zone_of = |id: &ServerId| servers.iter().find(|server| server.id == *id).map(|server| &server.zone);
    match (one, other) {
        (TaskTarget::Cluster, _) | (_, TaskTarget::Cluster) => true,
        (TaskTarget::Server(one), TaskTarget::Server(other)) => one == other,
        (TaskTarget::Zone(one), TaskTarget::Zone(other)) => one == other,
        (TaskTarget::Server(server), TaskTarget::Zone(zone)) | (TaskTarget::Zone(zone), TaskTarget::Server(server)) => {
            zone_of(server) == Some(zone)
        }
    }
}

/// Each kind where it is first: a node has as many subtasks as targets, and a rollout as many nodes as batches.
fn once_each<'a>(kinds: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut seen = BTreeSet::new();
    kinds.filter(move |kind| seen.insert(*kind))
}

/// A node for one target, and for one batch of a rollout where it is of one.
struct Instance<'a> {
    id: i64,
    node: &'a Node,
    target: TaskTarget,
    batch: Option<usize>,
}

impl Instance<'_> {
    /// Whether `self` waits for `before` as far as batches go: only the first begins behind what is of no batch, and only the
    /// last is waited for by it.
    fn follows(&self, before: &Self, batches: usize) -> bool {
        match (before.batch, self.batch) {
            (None, None) => true,
            (None, Some(batch)) => batch == 0,
            (Some(batch), None) => batch + 1 == batches,
            (Some(one), Some(other)) => one == other,
        }
    }

    /// Whether `before` is the gate of the batch before.
    fn begins_behind(&self, before: &Self) -> bool {
        let next = before.batch.map(|batch| batch + 1);
        before.node.kind.role() == SubtaskRole::HealthGate && next.is_some() && next == self.batch
    }
}

/// What is recorded again of how it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// STOPPED if it was under management, as observed otherwise.
    FormerServer,
    FormerZone,
    /// STOPPED if it was, as observed otherwise.
    FormerCluster,
    /// No status is managed any more: as a fresh reading finds it.
    ServerAsObserved,
    ZoneAsObserved,
    ClusterAsObserved,
}

/// For the STATUS of a zone, and the service and process of each of its servers; an error says which state it needs.
pub type AdmitsZone = fn(ZoneInnerStatus, &[(ServiceState, ProcessFinding)]) -> Result<(), &'static str>;

#[derive(Debug)]
pub struct Definition {
    /// That asks for it.
    pub call: Call,
    /// As OCP writes it.
    pub name: &'static str,
    pub nodes: &'static [Node],
    /// For every state of each of its servers but a leaving one's; an error says which state it needs.
    pub admits: fn(ServiceState, ProcessFinding) -> Result<(), &'static str>,
    /// `None`: it is on a server or on a whole cluster. Otherwise on a zone, which must be in a state for it besides.
    pub admits_zone: Option<AdmitsZone>,
    /// Status that its servers are shown with while it is at work; `None`: as observed.
    pub meanwhile: Option<ServerStatus>,
    /// In the commit of the task's end. At an end that is not named nothing is restored: its steps have recorded what is.
    pub restores: &'static [(TaskState, &'static [Restored])],
}

/// What operations on a server restore. A refusal has changed nothing but the mark that a task is at work.
pub(super) const SERVER_RESTORES: &[(TaskState, &[Restored])] = &[
    (TaskState::Refused, &[Restored::FormerServer, Restored::FormerCluster]),
    (TaskState::RolledBack, &[Restored::FormerServer, Restored::FormerZone, Restored::FormerCluster]),
    (TaskState::GivenUp, &[Restored::ServerAsObserved, Restored::ZoneAsObserved, Restored::ClusterAsObserved]),
];

/// And what those on a zone or a cluster do, which are shown as operated on meanwhile.
pub(super) const ZONE_RESTORES: &[(TaskState, &[Restored])] = &[
    (TaskState::Refused, &[Restored::FormerServer, Restored::FormerZone, Restored::FormerCluster]),
    (TaskState::RolledBack, &[Restored::FormerServer, Restored::FormerZone, Restored::FormerCluster]),
    (TaskState::GivenUp, &[Restored::ServerAsObserved, Restored::ZoneAsObserved, Restored::ClusterAsObserved]),
];

/// What a graph depends on besides its definition.
#[derive(Clone, Copy, Debug, Default)]
pub struct GraphTimes {
    /// The cluster's lease, as recorded.
    pub lease: Duration,
    pub leader_wait: Duration,
    /// Longest time of a hold with the wait for its host; zero: nothing is held.
    pub hold: Duration,
    /// From acceptance to the deadline of a rollout; zero: it is none.
    pub rollout: Duration,
    /// How long clients are waited for before a process is ended.
    pub drain: Duration,
}

impl Definition {
    /// The definition of a task; `None`: another version's, or none of ours.
    pub fn of_task(task: &Task) -> Option<&'static Self> {
        let graph = &task.spec.graph;
        operations::ALL.into_iter().find(|definition| {
            definition.operation() == graph.operation
                && once_each(definition.nodes.iter().map(|node| node.kind.as_str()))
                    .eq(once_each(graph.subtasks.iter().map(|it| it.kind.as_str())))
        })
    }

    /// What people call it, for example `start`.
    pub fn noun(&self) -> String {
        self.name.split(' ').next().unwrap_or_default().to_lowercase()
    }

    pub fn operation(&self) -> OperationName {
        OperationName { name: self.name.to_owned(), version: 1 }
    }

    /// Whether it takes what it acts on out of service.
    pub fn stops_service(&self) -> bool {
        self.has(StepKind::StopService) || self.has(StepKind::StopZone) || self.stops_cluster()
    }

    /// Whether it ends service for everybody.
    pub fn stops_cluster(&self) -> bool {
        self.has(StepKind::PrepareStopCluster)
    }

    /// Whether it takes nothing out of service and brings something back.
    pub fn only_starts(&self) -> bool {
        self.has(StepKind::StartProcess) && !self.stops_service() && !self.stops_cluster()
    }

    pub fn is_on_cluster(&self) -> bool {
        self.stops_cluster() || self.has(StepKind::PrepareStartCluster)
    }

    pub fn has(&self, kind: StepKind) -> bool {
        self.nodes.iter().any(|node| node.kind == kind)
    }

    /// Number of ids that its graph needs for these servers.
    pub fn subtask_count(&self, batches: &[Vec<TaskServer>]) -> usize {
        self.instances(0, batches).len()
    }

    /// A rollout repeats, for each batch, its nodes on servers and the gate behind them; any other operation has one batch.
    fn instances(&self, first: i64, batches: &[Vec<TaskServer>]) -> Vec<Instance<'_>> {
        let rolls = self.has(StepKind::WaitClusterHealthy);
        let of_batch =
            |node: &Node| rolls && (node.kind.scope() == Scope::Server || node.kind.role() == SubtaskRole::HealthGate);
        let begin = self.nodes.iter().position(of_batch).unwrap_or(self.nodes.len());
        let end = self.nodes.iter().rposition(of_batch).map_or(begin, |last| last + 1);
        let all: Vec<TaskServer> = batches.iter().flatten().cloned().collect();
        let mut found = Vec::new();
        let mut add = |nodes: &'static [Node], servers: &[TaskServer], batch: Option<usize>| {
            let targets = nodes.iter().flat_map(|node| node.targets(servers).into_iter().map(move |it| (node, it)));
            found.extend(targets.map(|(node, target)| (node, target, batch)));
        };
        add(&self.nodes[..begin], &all, None);
        for (number, batch) in batches.iter().enumerate().filter(|_| rolls) {
            add(&self.nodes[begin..end], batch, Some(number));
        }
        add(&self.nodes[end..], &all, None);
        let numbered = (first..).zip(found);
        numbered.map(|(id, (node, target, batch))| Instance { id, node, target, batch }).collect()
    }

    /// The graph for a server, for the servers of a zone, or for the batches of a rollout, with ids from `first`: a subtask for
    /// each target of each node.
    pub fn graph(&self, first: i64, batches: &[Vec<TaskServer>], times: GraphTimes) -> Result<Graph, InvalidName> {
        let numbered = self.instances(first, batches);
        let servers: Vec<TaskServer> = batches.iter().flatten().cloned().collect();
        let subtask = |this: &Instance<'_>| {
            let Instance { id, node, target, .. } = this;
            let timeout = match node.timeout {
                Limit::Seconds(seconds) => Duration::from_secs(seconds),
                Limit::Held => times.hold,
                Limit::Healthy => times.rollout,
                Limit::LeaderWait => times.leader_wait,
                Limit::Lease(seconds) => {
                    Duration::from_secs(seconds).max(Duration::from_secs(times.lease.as_secs() + 60))
                }
            };
            // Clients are waited for before anything of it begins.
            let timeout = if node.kind == StepKind::StopProcess { timeout + times.drain } else { timeout };
            let begins =
                node.after.iter().any(|after| numbered.iter().any(|it| it.node.id == *after && it.batch.is_none()));
            let before = numbered.iter().filter(|before| {
                let named = node.after.contains(&before.node.id) && this.follows(before, batches.len());
                (named && touch(&before.target, target, &servers)) || (begins && this.begins_behind(before))
            });
            let upstreams = before.map(|before| SubtaskId::new(before.id));
            Ok(SubtaskSpec {
                id: SubtaskId::new(*id)?,
                kind: node.kind.as_str().to_owned(),
                name: node.name.to_owned(),
                role: node.kind.role(),
                target: target.clone(),
                timeout,
                upstreams: upstreams.collect::<Result<_, _>>()?,
                // What it checks and records is what the others rely on; so is the freeze before a whole cluster's processes end.
                prohibit_skip: node.after.is_empty() || (self.stops_cluster() && node.kind == StepKind::Freeze),
            })
        };
        let subtasks = numbered.iter().map(subtask).collect::<Result<_, InvalidName>>()?;
        Ok(Graph { operation: self.operation(), subtasks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{RESTART, START, STOP_PROCESS, STOP_SERVICE};

    const TIMES: GraphTimes = GraphTimes {
        lease: Duration::from_secs(10),
        leader_wait: Duration::from_secs(300),
        hold: Duration::ZERO,
        rollout: Duration::ZERO,
        drain: Duration::ZERO,
    };

    fn server() -> [Vec<TaskServer>; 1] {
        let (addr, zone) = ("10.0.0.2:2882".parse().unwrap(), "zone1".parse().unwrap());
        [vec![TaskServer { id: ServerId::new(7).unwrap(), addr, ob_server_id: 3, zone }]]
    }

    fn names(graph: &Graph) -> Vec<&str> {
        let order = graph.execution_order().unwrap();
        let name = |id: &SubtaskId| graph.subtasks.iter().find(|subtask| subtask.id == *id).unwrap().name.as_str();
        order.iter().map(name).collect()
    }

    #[test]
    fn the_graph_of_a_stop_is_the_contracts() {
        let stop = STOP_PROCESS.graph(133_815, &server(), TIMES).unwrap();
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
        let service = STOP_SERVICE.graph(1, &server(), TIMES).unwrap();
        assert_eq!(service.execution_order().unwrap().len(), 6);
    }

    /// The samples of `…/start` and `…/restart` (docs/ocp-v2.md#start-ob-server, docs/ocp-v2.md#restart-ob-server),
    /// whose ids begin at 133851 and 89030472.
    #[test]
    fn the_graphs_of_start_and_restart_are_the_documented_ones() {
        let start = START.graph(133_851, &server(), TIMES).unwrap();
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
        let restart = RESTART.graph(89_030_472, &server(), TIMES).unwrap();
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
        let times = GraphTimes { lease: Duration::from_secs(300), drain: Duration::from_secs(60), ..TIMES };
        let graph = STOP_PROCESS.graph(1, &server(), times).unwrap();
        assert_eq!(graph.subtasks[0].timeout, Duration::from_secs(360));
        assert_eq!(graph.subtasks[1].timeout, Duration::from_secs(1260), "and that of a drain before the end");
    }
}
