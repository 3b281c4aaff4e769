//! The gate of a process whose whole cluster is stopped. It cannot ask for a majority, nor for leaders that left: service is to end
//! for everybody, and the cluster cannot be read any more once the first processes have ended. What stands in their place is a
//! proof that this is meant: [`WholeStop`]. Pure.

use super::{Gate, GateCode, Obstacle, closes};
use crate::domain::event::{Direction, SubtaskOperation, SubtaskState};
use crate::domain::graph::TaskTarget;
use crate::domain::ids::ServerAddr;
use crate::domain::reading::ServerReading;
use crate::domain::status::Risk;
use crate::domain::task::Task;

/// That a task may end the processes of its whole cluster. Nothing but [`WholeStop::of`] makes one, and without one nothing asks
/// [`whole_gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeStop(());

impl WholeStop {
    /// The task is on its whole cluster and on its way forward, `SERVICE_LOSS` was accepted for it, and the freeze of each of its
    /// servers succeeded: was done, found nothing to freeze, or is on record as overridden. One that somebody skipped did not.
    /// `freeze`: the word of the steps that freeze. `Err`: the gate as this closes it.
    pub fn of(task: &Task, freeze: &str) -> Result<Self, Gate> {
        let spec = &task.spec;
        if !spec.is_of_whole_cluster() || task.direction != Direction::Forward {
            let evidence = format!("{} does not stop a whole cluster", spec.describe_target());
            return Err(closed(closes(GateCode::ServiceLossNotAccepted, evidence)));
        }
        if !spec.accepted_risks.contains(&Risk::ServiceLoss) {
            let evidence = "SERVICE_LOSS was not accepted, and ending these processes ends service for everybody";
            return Err(closed(closes(GateCode::ServiceLossNotAccepted, evidence)));
        }
        let is_frozen = |server: &TaskTarget| {
            let mut of_server =
                task.subtasks.iter().filter(|it| it.spec.kind == freeze && it.spec.target == *server).peekable();
            of_server.peek().is_some()
                && of_server.all(|it| it.state == SubtaskState::Successful && it.operation != SubtaskOperation::Skip)
        };
        let not_frozen = spec.servers.iter().filter(|server| !is_frozen(&TaskTarget::Server(server.id)));
        let not_frozen: Vec<String> = not_frozen.map(|server| server.addr.to_string()).collect();
        if spec.servers.is_empty() || !not_frozen.is_empty() {
            let evidence = format!("no freeze before it of {}", not_frozen.join(", "));
            return Err(closed(closes(GateCode::NotFrozen, evidence)));
        }
        Ok(Self(()))
    }
}

fn closed(obstacle: Obstacle) -> Gate {
    let reason = format!("{}: {}", obstacle.code, obstacle.evidence);
    Gate::Closed { code: obstacle.code, reason, retriable: obstacle.retriable, obstacles: vec![obstacle] }
}

/// `servers`: as the cluster was read just now, on a session that proved which cluster it is; `None`: it does not answer.
pub fn whole_gate(_: WholeStop, target: &ServerAddr, servers: Option<&[ServerReading]>) -> Gate {
    match servers {
        Some(servers) if !servers.iter().any(|server| server.addr == *target) => {
            closed(closes(GateCode::TargetUnknown, format!("server {target} is not in DBA_OB_SERVERS")))
        }
        Some(_) | None => Gate::Open { overridden: Vec::new() },
    }
}
