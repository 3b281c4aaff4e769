//! "Stop OB server": the service and the process, in the contract's eight subtasks, or the service only, in the six that are
//! documented for OCP 4.3 (docs/ocp-v2.md#stop-ob-server).

use crate::domain::admission::{ProcessFinding, ServiceState};
use crate::domain::call::Call;
use crate::domain::status::{ServerStatus, StopType};
use crate::operations::admission::{NOT_LEAVING, ONE_PROCESS};
use crate::operations::definition::Limit::{LeaderWait, Lease, Seconds};
use crate::operations::definition::StepKind::{
    PrepareStop, StopProcess, StopService, SyncCluster, UpdateCluster, UpdateServerStopped, UpdateZoneStopped,
    WaitObserverStop,
};
use crate::operations::definition::{Definition, SERVER_RESTORES, node};

const NAME: &str = "Stop OB server";

/// The ids have the order of the contract's sample. `Wait observer stop` has no published timeout and gets its own.
pub static PROCESS: Definition = Definition {
    call: Call::StopServer,
    name: NAME,
    nodes: &[
        node(0, WaitObserverStop, "Wait observer stop", Lease(300), &[1]),
        node(1, StopProcess, "Stop observer process", Seconds(1200), &[3]),
        node(2, UpdateCluster, "Update OB cluster status", Seconds(30), &[4]),
        node(3, StopService, "Stop server", LeaderWait, &[5]),
        node(4, SyncCluster, "Sync cluster info", Seconds(30), &[7]),
        node(5, PrepareStop, "Prepare stop observer", Seconds(300), &[]),
        node(6, UpdateServerStopped, "Update observer status", Seconds(300), &[0]),
        node(7, UpdateZoneStopped, "Update zone status", Seconds(1800), &[6]),
    ],
    admits: admits_process,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Stopping),
    restores: SERVER_RESTORES,
};

pub static SERVICE: Definition = Definition {
    call: Call::StopServer,
    name: NAME,
    nodes: &[
        node(0, PrepareStop, "Prepare stop observer service", Seconds(300), &[]),
        node(1, StopService, "Stop observer service", LeaderWait, &[0]),
        node(2, UpdateServerStopped, "Update observer status", Seconds(300), &[1]),
        node(3, UpdateZoneStopped, "Update zone status", Seconds(1800), &[2]),
        node(4, SyncCluster, "Sync cluster info", Seconds(60), &[3]),
        node(5, UpdateCluster, "Update OB cluster status", Seconds(30), &[4]),
    ],
    admits: admits_service,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Stopping),
    restores: SERVER_RESTORES,
};

/// Of what is stopped.
pub const fn stop(stop_type: StopType) -> &'static Definition {
    match stop_type {
        StopType::Process => &PROCESS,
        StopType::Service => &SERVICE,
    }
}

fn admits_process(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    use ServiceState::{Leaving, Lost, Serving, Starting, Stopped};
    match (service, process) {
        (Leaving, _) => Err(NOT_LEAVING),
        // A process that is not proven is never signalled.
        (Serving | Lost | Starting | Stopped, Ambiguous) => Err(ONE_PROCESS),
        // ACTIVE and host unreachable: refused before any SQL.
        (Serving | Starting, HostUnreachable) => Err("an ACTIVE server whose host answers"),
        // A process that is gone before the heartbeats stop is accepted: the stop marks the server and finds no process.
        (Serving | Starting, Running | Absent | NotAsked) => Ok(()),
        // Dead: STOP_TIME keeps leaders off it when it returns.
        (Lost, Running | Absent | HostUnreachable | NotAsked) => Ok(()),
        (Stopped, Running | HostUnreachable | NotAsked) => Ok(()),
        (Stopped, Absent) => Err("a server that is not stopped yet"),
    }
}

fn admits_service(service: ServiceState, _: ProcessFinding) -> Result<(), &'static str> {
    match service {
        ServiceState::Serving | ServiceState::Starting | ServiceState::Lost => Ok(()),
        ServiceState::Leaving => Err(NOT_LEAVING),
        ServiceState::Stopped => Err("a server whose STOP_TIME is not set"),
    }
}
