//! What is done on the stage: an operation, forward or undone; how the stage is set for it, what it should come to.

use std::fmt;

use obsteward::operations;
use obsteward::operations::definition::Definition;
use obsteward::proto::v1;
use obsteward::sim::state::Cluster;

use super::graphs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Stop,
    Start,
    Restart,
    Freeze,
    StopZone,
    StartZone,
    RestartZone,
    StopCluster,
    StartCluster,
    RestartCluster,
    /// Of a server, completed as soon as it is held.
    Hold,
    /// Restarts the servers of a zone, one at a time.
    Rollout,
    /// Holds the servers of a zone, one at a time.
    HoldRollout,
}

impl Operation {
    pub const fn definition(self) -> &'static Definition {
        match self {
            Self::Stop => &operations::STOP_PROCESS,
            Self::Start => &operations::START,
            Self::Restart => &operations::RESTART,
            Self::Freeze => &operations::FREEZE,
            Self::StopZone => &operations::zone::STOP,
            Self::StartZone => &operations::zone::START,
            Self::RestartZone => &operations::zone::RESTART,
            Self::StopCluster => &operations::cluster::STOP,
            Self::StartCluster => &operations::cluster::START,
            Self::RestartCluster => &operations::cluster::RESTART,
            Self::Hold => &operations::HOLD,
            Self::Rollout => &operations::rollout::RESTART,
            Self::HoldRollout => &operations::rollout::HOLD,
        }
    }

    /// Whether it marks a zone, and no server.
    pub const fn marks_zone(self) -> bool {
        matches!(self, Self::StopZone | Self::StartZone | Self::RestartZone)
    }

    /// Whether it is of all servers at once, and ends their processes without a mark.
    pub const fn is_of_whole_cluster(self) -> bool {
        matches!(self, Self::StopCluster | Self::StartCluster | Self::RestartCluster)
    }

    pub const fn is_rollout(self) -> bool {
        matches!(self, Self::Rollout | Self::HoldRollout)
    }

    pub const fn holds(self) -> bool {
        matches!(self, Self::Hold | Self::HoldRollout)
    }

    /// What must have been done before there is anything for it to do.
    pub const fn needs(self) -> Option<Self> {
        match self {
            Self::Start => Some(Self::Stop),
            Self::StartZone => Some(Self::StopZone),
            Self::StartCluster => Some(Self::StopCluster),
            _ => None,
        }
    }

    /// The simulated servers that it is about.
    pub const fn servers(self) -> &'static [i64] {
        if self.marks_zone() || self.is_rollout() {
            &[SERVER, SERVER + 3]
        } else if self.is_of_whole_cluster() {
            &[1, SERVER, 3]
        } else {
            &[SERVER]
        }
    }

    /// How many servers each zone has.
    pub const fn servers_per_zone(self) -> u16 {
        if self.servers().len() == 2 { 2 } else { 1 }
    }

    /// The step behind which there is something to undo. What is behind the gate of a rollout never is.
    pub const fn fails_at(self) -> &'static str {
        if self.is_rollout() { graphs::GATE } else { graphs::LAST }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Back,
}

pub const OPERATIONS: [Operation; 4] = [Operation::Stop, Operation::Start, Operation::Restart, Operation::Freeze];
/// Those on several servers, and those that wait for a person.
pub const WIDER_OPERATIONS: [Operation; 9] = [
    Operation::StopZone,
    Operation::StartZone,
    Operation::RestartZone,
    Operation::StopCluster,
    Operation::StartCluster,
    Operation::RestartCluster,
    Operation::Hold,
    Operation::Rollout,
    Operation::HoldRollout,
];
pub const COURSES: [Direction; 2] = [Direction::Forward, Direction::Back];

/// The simulated server that all is about, or that comes first, and its zone.
pub const SERVER: i64 = 2;
pub const ZONE: &str = "zone2";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub operation: Operation,
    pub direction: Direction,
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Forward => "forward",
            Direction::Back => "undone",
        };
        write!(formatter, "{:?} {direction}", self.operation)
    }
}

impl Scenario {
    pub const fn new(operation: Operation, direction: Direction) -> Self {
        Self { operation, direction }
    }

    /// Names of the steps in the order in which this scenario runs them; each once, where it is run for several servers.
    pub fn steps(self) -> Vec<&'static str> {
        let mut steps = graphs::names(self.operation.definition());
        if self.direction == Direction::Back {
            let failed = steps.iter().position(|step| *step == self.operation.fails_at());
            steps.truncate(failed.map_or(0, |at| at + 1));
            steps.reverse();
        }
        let mut known = Vec::new();
        steps.retain(|step| {
            let new = !known.contains(step);
            known.push(*step);
            new
        });
        steps
    }

    /// The state in which a task that met no lasting fault is closed.
    pub const fn good_end(self) -> v1::TaskState {
        match self.direction {
            Direction::Forward => v1::TaskState::Successful,
            Direction::Back => v1::TaskState::RolledBack,
        }
    }

    /// Whether the server serves at the end, by the state in which the task is closed; the server served or was stopped
    /// before, by the operation.
    pub const fn serves_after(self, state: v1::TaskState) -> bool {
        let done = matches!(state, v1::TaskState::Successful);
        match self.operation {
            Operation::Stop | Operation::StopZone | Operation::StopCluster => !done,
            Operation::Start | Operation::StartZone => done,
            // No rollback of it ends a process.
            Operation::StartCluster => done || matches!(state, v1::TaskState::RolledBack),
            _ => true,
        }
    }

    /// Whether its servers serve as the cluster itself sees it, in words when they are neither here nor there.
    pub fn serves(self, cluster: &Cluster) -> Result<bool, String> {
        let each = self.operation.servers().iter().map(|id| serves(cluster, *id, self.operation));
        let each: Vec<bool> = each.collect::<Result<_, _>>()?;
        if each.iter().all(|serves| *serves == each[0]) { Ok(each[0]) } else { Err(format!("each serves: {each:?}")) }
    }
}

/// Of one server, which was to be marked itself, with its zone, or not at all.
fn serves(cluster: &Cluster, id: i64, operation: Operation) -> Result<bool, String> {
    let (by_zone, of_all) = (operation.marks_zone(), operation.is_of_whole_cluster());
    let server = cluster.server(id).ok_or("there is no such server")?;
    let active = cluster.zone(&server.zone).is_some_and(|zone| zone.active);
    let pid = server.process.as_ref().map(|process| process.pid);
    match (pid, server.stop_time != 0, server.start_service_time != 0, active) {
        (Some(_), false, true, active) if active || !(by_zone || of_all) => Ok(true),
        (None, false, ..) if of_all => Ok(false),
        (None, true, ..) if !(by_zone || of_all) => Ok(false),
        (None, false, _, false) if by_zone => Ok(false),
        other => Err(format!("server {id}: pid, marked, in service, zone active: {other:?}")),
    }
}
