//! "Start OB server", in the documented nine subtasks; ids in the order of the sample (docs/ocp-v2.md#start-ob-server).

use crate::domain::admission::{ProcessFinding, ServiceState};
use crate::domain::call::Call;
use crate::domain::status::ServerStatus;
use crate::operations::admission::NOT_LEAVING;
use crate::operations::definition::Limit::Seconds;
use crate::operations::definition::StepKind::{
    Prepare, StartAgentService, StartProcess, StartService, SyncCluster, UpdateCluster, UpdateServerStarted,
    UpdateZoneStarted, WaitObserverActive,
};
use crate::operations::definition::{Definition, SERVER_RESTORES, node};

pub static START: Definition = Definition {
    call: Call::StartServer,
    name: "Start OB server",
    nodes: &[
        node(0, StartProcess, "Start observer process", Seconds(1200), &[7]),
        node(1, UpdateServerStarted, "Update observer status", Seconds(300), &[3]),
        node(2, UpdateZoneStarted, "Update zone status", Seconds(1800), &[1]),
        node(3, StartService, "Start server", Seconds(300), &[5]),
        node(4, WaitObserverActive, "Wait observer active", Seconds(1800), &[0]),
        node(5, StartAgentService, "Start ocp agent service", Seconds(1800), &[4]),
        node(6, UpdateCluster, "Update OB cluster status", Seconds(30), &[8]),
        node(7, Prepare, "Prepare start observer", Seconds(300), &[]),
        node(8, SyncCluster, "Sync cluster info", Seconds(30), &[2]),
    ],
    admits,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Starting),
    restores: SERVER_RESTORES,
};

fn admits(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    use ServiceState::{Leaving, Lost, Serving, Starting, Stopped};
    match (service, process) {
        (Leaving, _) => Err(NOT_LEAVING),
        (Serving, _) => Err("a server that does not serve"),
        (Starting, _) => Err("a server that is not starting already"),
        (Stopped | Lost, Running | Absent | NotAsked) => Ok(()),
        (Stopped | Lost, Ambiguous) => Err("at most one process on its host that could be this server's"),
        (Stopped | Lost, HostUnreachable) => Err("a server whose host answers"),
    }
}
