//! The graph of a task: subtasks with their edges and timeouts. It is data and travels in the task's first event, so that
//! a task goes on under the graph that it was accepted with, whatever later versions do.

use std::time::Duration;

use crate::domain::ids::{ServerId, SubtaskId};

/// Operation and version, by which the engine finds the code of the steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OperationName {
    /// As OCP writes it, for example `Stop OB server`.
    pub name: String,
    /// Grows when the meaning of a step changes.
    pub version: i32,
}

/// One subtask of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtaskSpec {
    /// Its id.
    pub id: SubtaskId,
    /// Name as in OCP's task graph.
    pub name: String,
    /// The server that it acts on; `None`: it is about the zone or the cluster.
    pub server: Option<ServerId>,
    /// Longest time of one execution; whole seconds.
    pub timeout: Duration,
    /// Subtasks that must succeed before.
    pub upstreams: Vec<SubtaskId>,
    /// Whether nobody may mark it successful (OCP: `prohibitSkip`).
    pub prohibit_skip: bool,
}

/// The graph of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Which operation.
    pub operation: OperationName,
    /// Its subtasks, ascending by id.
    pub subtasks: Vec<SubtaskSpec>,
}

impl Graph {
    /// Ids of the subtasks that wait for `id`, ascending.
    pub fn downstreams(&self, id: SubtaskId) -> Vec<SubtaskId> {
        self.subtasks.iter().filter(|subtask| subtask.upstreams.contains(&id)).map(|subtask| subtask.id).collect()
    }

    /// The subtasks, upstreams before downstreams; ties ascending by id. `None` when an edge leads nowhere or in a circle.
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
