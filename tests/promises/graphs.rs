//! The subtasks of each operation, in execution order. That they are the documented ones is for `operations` and
//! `rest::contract` to test.

use std::sync::LazyLock;

use obsteward::domain::event::TaskServer;
use obsteward::domain::ids::{ServerId, SubtaskId};
use obsteward::operations::definition::{Definition, GraphTimes};
use obsteward::operations::{self, STOP_PROCESS};

/// The last of every graph: a task that fails there has done everything else.
pub const LAST: &str = "Update OB cluster status";

/// The health gate behind each batch of a rollout.
pub const GATE: &str = "Wait cluster healthy";
/// What freezes a server before a whole cluster stops.
pub const FREEZE: &str = "Freeze server";
/// The subtask of a hold.
pub const HOLD: &str = "Hold observer";

/// Of `Stop OB server`.
pub static STOP: LazyLock<Vec<&str>> = LazyLock::new(|| names(&STOP_PROCESS));
/// Of `Start OB server`.
pub static START: LazyLock<Vec<&str>> = LazyLock::new(|| names(&operations::START));
/// Of `Restart OB server`.
pub static RESTART: LazyLock<Vec<&str>> = LazyLock::new(|| names(&operations::RESTART));

pub fn names(operation: &Definition) -> Vec<&'static str> {
    let (addr, zone) = ("10.0.0.1:2882".parse().unwrap(), "zone1".parse().unwrap());
    let server = TaskServer { id: ServerId::new(1).unwrap(), addr, ob_server_id: 1, zone };
    let graph = operation.graph(1, &[vec![server]], GraphTimes::default()).unwrap();
    let named = |id: &SubtaskId| graph.subtasks.iter().find(|subtask| subtask.id == *id).unwrap().name.clone().leak();
    graph.execution_order().unwrap().iter().map(|id| &*named(id)).collect()
}
