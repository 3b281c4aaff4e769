//! What is done on the stage: an operation, forward or undone; how the stage is set for it, what it should come to.

use std::fmt;

use obsteward::operations;
use obsteward::operations::definition::Definition;
use obsteward::proto::v1;
use obsteward::sim::state::Server;

use super::graphs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Stop,
    Start,
    Restart,
    Freeze,
}

impl Operation {
    pub const fn definition(self) -> &'static Definition {
        match self {
            Self::Stop => &operations::STOP_PROCESS,
            Self::Start => &operations::START,
            Self::Restart => &operations::RESTART,
            Self::Freeze => &operations::FREEZE,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Back,
}

pub const OPERATIONS: [Operation; 4] = [Operation::Stop, Operation::Start, Operation::Restart, Operation::Freeze];
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
        let mut steps = graphs::names(self.operation.definition());
        if self.direction == Direction::Back {
            steps.reverse();
        }
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
            Operation::Stop => !done,
            Operation::Start => done,
            Operation::Restart | Operation::Freeze => true,
        }
    }
}

/// Whether a server serves as the cluster itself sees it, in words when it is neither here nor there.
pub fn serves(server: &Server) -> Result<bool, String> {
    let pid = server.process.as_ref().map(|process| process.pid);
    match (pid, server.stop_time != 0, server.start_service_time != 0) {
        (Some(_), false, true) => Ok(true),
        (None, true, _) => Ok(false),
        other => Err(format!("pid, marked, in service: {other:?}")),
    }
}
