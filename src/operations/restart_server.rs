//! "Restart OB server", in the documented eleven subtasks; ids in the order of the sample
//! (docs/ocp-v2.md#restart-ob-server).

use crate::domain::admission::{ProcessFinding, ServiceState};
use crate::domain::call::Call;
use crate::domain::status::ServerStatus;
use crate::operations::admission::{NOT_LEAVING, ONE_PROCESS};
use crate::operations::definition::Limit::{LeaderWait, Seconds};
use crate::operations::definition::StepKind::{
    PrepareStop, StartAgentService, StartProcess, StartService, StopProcess, StopService, SyncCluster, UpdateCluster,
    UpdateServerStarted, UpdateZoneStarted, WaitObserverActive,
};
use crate::operations::definition::{Definition, SERVER_RESTORES, node};

pub static RESTART: Definition = Definition {
    call: Call::RestartServer,
    name: "Restart OB server",
    nodes: &[
        node(0, StartAgentService, "Start ocp agent service", Seconds(1800), &[8]),
        node(1, UpdateServerStarted, "Update observer status", Seconds(300), &[10]),
        node(2, UpdateCluster, "Update OB cluster status", Seconds(30), &[7]),
        node(3, PrepareStop, "Prepare restart observer", Seconds(300), &[]),
        node(4, StopProcess, "Stop observer process", Seconds(1200), &[9]),
        node(5, UpdateZoneStarted, "Update zone status", Seconds(1800), &[1]),
        node(6, StartProcess, "Start observer process", Seconds(1200), &[4]),
        node(7, SyncCluster, "Sync cluster info", Seconds(30), &[5]),
        node(8, WaitObserverActive, "Wait observer active", Seconds(1800), &[6]),
        node(9, StopService, "Stop server", LeaderWait, &[3]),
        node(10, StartService, "Start server", Seconds(300), &[0]),
    ],
    admits,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Restarting),
    restores: SERVER_RESTORES,
};

pub(super) fn admits(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    match (service, process) {
        (ServiceState::Leaving, _) => Err(NOT_LEAVING),
        (ServiceState::Serving | ServiceState::Starting, Running | NotAsked) => Ok(()),
        (ServiceState::Serving | ServiceState::Starting, Absent | Ambiguous | HostUnreachable) => Err(ONE_PROCESS),
        (ServiceState::Stopped | ServiceState::Lost, _) => Err("a server that serves; start one that does not"),
    }
}
