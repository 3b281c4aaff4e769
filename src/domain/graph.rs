//! The graph of a task: subtasks with their edges and timeouts. It is stored in the task's first event, so that a task
//! continues under the graph that it was accepted with, whatever later versions do.

use std::time::Duration;

use crate::domain::ids::{ServerId, SubtaskId, ZoneName};
use crate::domain::words::words;

/// Name and version, by which the engine finds the code of the steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OperationName {
    /// As OCP writes it, for example `Stop OB server`.
    pub name: String,
    /// Grows when the meaning of a step changes.
    pub version: i32,
}

/// The part of its cluster that a task, or one of its subtasks, acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskTarget {
    /// By our id.
    Server(ServerId),
    Zone(ZoneName),
    /// All of it, or what is about no part of it.
    Cluster,
}

words!(
    /// What a subtask means for the course of its task.
    SubtaskRole, "role of a subtask", {
        Step = "STEP",
        /// What comes before it is finished for good once it succeeds (docs/architecture.md#rollouts).
        HealthGate = "HEALTH_GATE",
        /// Keeps its server out of service for somebody.
        Hold = "HOLD",
    }
);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtaskSpec {
    pub id: SubtaskId,
    /// Which code runs it: a word of the layer of operations.
    pub kind: String,
    /// Name as in OCP's task graph, for people.
    pub name: String,
    pub role: SubtaskRole,
    pub target: TaskTarget,
    /// Limit of one execution; whole seconds.
    pub timeout: Duration,
    /// Subtasks that must succeed first.
    pub upstreams: Vec<SubtaskId>,
    /// Whether nobody may mark it successful (OCP: `prohibitSkip`).
    pub prohibit_skip: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    pub operation: OperationName,
    /// Ascending by id.
    pub subtasks: Vec<SubtaskSpec>,
}

impl Graph {
    /// Ids of the subtasks that wait for `id`, ascending.
    pub fn downstreams(&self, id: SubtaskId) -> Vec<SubtaskId> {
        self.subtasks.iter().filter(|subtask| subtask.upstreams.contains(&id)).map(|subtask| subtask.id).collect()
    }

    /// Upstreams before downstreams; ties ascending by id. `None` when an edge leads nowhere or in a circle.
    pub fn execution_order(&self) -> Option<Vec<SubtaskId>> {
        let mut order: Vec<SubtaskId> = Vec::with_capacity(self.subtasks.len());
        while order.len() < self.subtasks.len() {
            let next = self.subtasks.iter().find(|subtask| {
                !order.contains(&subtask.id) && subtask.upstreams.iter().all(|upstream| order.contains(upstream))
            })?;
            order.push(next.id);
        }
        Some(order)
    }
}
