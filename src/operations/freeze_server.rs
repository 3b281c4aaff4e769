//! "Freeze OB server": MINOR FREEZE of one server that serves on, verified by its checkpoints, so that its next stop or crash
//! leaves it less to replay. Not one of OCP's. There is nothing to undo.

use crate::domain::admission::{ProcessFinding, ServiceState};
use crate::domain::call::Call;
use crate::domain::event::TaskState;
use crate::operations::admission::{NOT_LEAVING, ONE_PROCESS};
use crate::operations::definition::Limit::Seconds;
use crate::operations::definition::StepKind::{Freeze, Prepare, SyncCluster, UpdateCluster};
use crate::operations::definition::{Definition, Restored, node};

pub static FREEZE: Definition = Definition {
    call: Call::FreezeServer,
    name: "Freeze OB server",
    nodes: &[
        node(0, Prepare, "Prepare freeze observer", Seconds(300), &[]),
        // More than the setting for a freeze may be.
        node(1, Freeze, "Freeze server", Seconds(600), &[0]),
        node(2, SyncCluster, "Sync cluster info", Seconds(30), &[1]),
        node(3, UpdateCluster, "Update OB cluster status", Seconds(30), &[2]),
    ],
    admits,
    admits_zone: None,
    meanwhile: None,
    restores: &[
        (TaskState::Refused, &[Restored::ClusterAsObserved]),
        (TaskState::RolledBack, &[Restored::ClusterAsObserved]),
        (TaskState::GivenUp, &[Restored::ClusterAsObserved]),
    ],
};

/// Its process is what freezes: the cluster hears from it, or its host has seen it.
fn admits(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    use ServiceState::{Leaving, Lost, Serving, Starting, Stopped};
    match (service, process) {
        (Leaving, _) => Err(NOT_LEAVING),
        (Lost, _) => Err("an ACTIVE server"),
        (Serving | Starting, Running | Ambiguous | HostUnreachable | NotAsked) => Ok(()),
        (Stopped, Running | NotAsked) => Ok(()),
        (Serving | Starting, Absent) | (Stopped, Absent | Ambiguous | HostUnreachable) => Err(ONE_PROCESS),
    }
}
