//! What is done on the stage: an operation, forward or undone; how the stage is set for it, what it should come to.

use std::fmt;

use obsteward::proto::v1;
use obsteward::sim::SimCluster;
use tonic::Status;

use crate::support::{Clients, graphs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Stop,
    Start,
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Back,
}

pub const OPERATIONS: [Operation; 3] = [Operation::Stop, Operation::Start, Operation::Restart];
pub const COURSES: [Direction; 2] = [Direction::Forward, Direction::Back];

/// The simulated server that all is about.
pub const SERVER: i64 = 2;

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

    /// Names of the steps in the order in which this scenario runs them.
    pub fn steps(self) -> Vec<&'static str> {
        let mut steps = match self.operation {
            Operation::Stop => graphs::STOP.to_vec(),
            Operation::Start => graphs::START.to_vec(),
            Operation::Restart => graphs::RESTART.to_vec(),
        };
        if self.direction == Direction::Back {
            steps.reverse();
        }
        steps
    }

    /// Asks for the operation itself.
    pub async fn ask(self, clients: &Clients, cluster_id: i64, server_id: i64) -> Result<v1::Task, Status> {
        let mut servers = clients.servers.clone();
        let task = match self.operation {
            Operation::Stop => {
                // A restart stops without a freeze.
                let request =
                    v1::StopServerRequest { cluster_id, server_id, freeze_before_stop: true, ..Default::default() };
                servers.stop_server(request).await?.into_inner().task
            }
            Operation::Start => {
                let request = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
                servers.start_server(request).await?.into_inner().task
            }
            Operation::Restart => {
                let request = v1::RestartServerRequest { cluster_id, server_id, ..Default::default() };
                servers.restart_server(request).await?.into_inner().task
            }
        };
        Ok(task.unwrap())
    }

    /// Goes on with a task at rest.
    pub async fn go_on(self, clients: &Clients, task_id: i64) -> Result<v1::Task, Status> {
        let mut tasks = clients.tasks.clone();
        let task = match self.direction {
            Direction::Forward => {
                let request = v1::RetryTaskRequest { task_id, ..Default::default() };
                tasks.retry_task(request).await?.into_inner().task
            }
            Direction::Back => {
                let request = v1::RollbackTaskRequest { task_id, ..Default::default() };
                tasks.rollback_task(request).await?.into_inner().task
            }
        };
        Ok(task.unwrap())
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
            Operation::Stop => !done,
            Operation::Start => done,
            Operation::Restart => true,
        }
    }
}

/// Whether the server serves as the cluster itself sees it, in words when it is neither here nor there.
pub fn serves(sim: &SimCluster) -> Result<bool, String> {
    let pid = sim.server(SERVER).unwrap().pid;
    let (marked, in_service) = sim.look(|cluster| {
        let server = cluster.server(SERVER).unwrap();
        (server.stop_time != 0, server.start_service_time != 0)
    });
    match (pid, marked, in_service) {
        (Some(_), false, true) => Ok(true),
        (None, true, _) => Ok(false),
        other => Err(format!("pid, marked, in service: {other:?}")),
    }
}
