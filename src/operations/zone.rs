//! "Stop OB zone", "Start OB zone" and "Restart OB zone", in the documented graphs: the zone as a whole is marked with one
//! statement, and each of its servers has its own branch, which meet at the wait nodes
//! (docs/ocp-v2.md#zone-operations).

use crate::domain::admission::{ProcessFinding, ServiceState};
use crate::domain::call::Call;
use crate::domain::status::{ServerStatus, ZoneInnerStatus};
use crate::operations::admission::{NOT_LEAVING, ONE_PROCESS};
use crate::operations::definition::Limit::{LeaderWait, Lease, Seconds};
use crate::operations::definition::StepKind::{
    PrepareInZone, PrepareStopZone, PrepareZone, StartAgentService, StartProcess, StartZone, StopProcess, StopZone,
    SyncCluster, UpdateCluster, UpdateServerStarted, UpdateServerStoppedInZone, UpdateZoneStarted, UpdateZoneStopped,
    WaitNode, WaitObserverActive,
};
use crate::operations::definition::{Definition, ZONE_RESTORES, node};

pub static STOP: Definition = Definition {
    call: Call::StopZone,
    name: "Stop OB zone",
    nodes: &[
        node(0, PrepareStopZone, "Prepare stop OB zone", Seconds(1800), &[]),
        node(1, StopZone, "Stop zone", LeaderWait, &[0]),
        node(2, PrepareInZone, "Prepare stop observer", Seconds(300), &[1]),
        node(3, WaitNode, "Wait node", Seconds(30), &[2]),
        node(4, StopProcess, "Stop observer process", Seconds(1200), &[3]),
        node(5, WaitNode, "Wait node", Seconds(30), &[4]),
        node(6, UpdateServerStoppedInZone, "Update observer status", Lease(300), &[5]),
        node(7, UpdateZoneStopped, "Update zone status", Seconds(1800), &[6]),
        node(8, SyncCluster, "Sync cluster info", Seconds(30), &[7]),
        node(9, UpdateCluster, "Update OB cluster status", Seconds(30), &[8]),
    ],
    admits: admits_stop,
    admits_zone: Some(admits_stop_zone),
    meanwhile: Some(ServerStatus::Stopping),
    restores: ZONE_RESTORES,
};

pub static START: Definition = Definition {
    call: Call::StartZone,
    name: "Start OB zone",
    nodes: &[
        node(0, PrepareZone, "Prepare start OB zone", Seconds(1800), &[]),
        node(1, PrepareInZone, "Prepare start observer", Seconds(300), &[0]),
        node(2, WaitNode, "Wait node", Seconds(30), &[1]),
        node(3, StartProcess, "Start observer process", Seconds(1200), &[2]),
        node(4, WaitObserverActive, "Wait observer active", Seconds(1800), &[3]),
        node(5, StartAgentService, "Start ocp agent service", Seconds(1800), &[4]),
        node(6, WaitNode, "Wait node", Seconds(30), &[5]),
        node(7, UpdateServerStarted, "Update observer status", Seconds(300), &[6]),
        node(8, StartZone, "Start zone", Seconds(1800), &[7]),
        node(9, UpdateZoneStarted, "Update zone status", Seconds(1800), &[8]),
        node(10, SyncCluster, "Sync cluster info", Seconds(30), &[9]),
        node(11, UpdateCluster, "Update OB cluster status", Seconds(30), &[10]),
    ],
    admits: admits_start,
    admits_zone: Some(admits_start_zone),
    meanwhile: Some(ServerStatus::Starting),
    restores: ZONE_RESTORES,
};

pub static RESTART: Definition = Definition {
    call: Call::RestartZone,
    name: "Restart OB zone",
    nodes: &[
        node(0, PrepareStopZone, "Prepare restart OB zone", Seconds(1800), &[]),
        node(1, StopZone, "Stop zone", LeaderWait, &[0]),
        node(2, PrepareInZone, "Prepare restart observer", Seconds(300), &[1]),
        node(3, WaitNode, "Wait node", Seconds(30), &[2]),
        node(4, StopProcess, "Stop observer process", Seconds(1200), &[3]),
        node(5, WaitNode, "Wait node", Seconds(30), &[4]),
        node(6, StartProcess, "Start observer process", Seconds(1200), &[5]),
        node(7, WaitObserverActive, "Wait observer active", Seconds(1800), &[6]),
        node(8, StartAgentService, "Start ocp agent service", Seconds(1800), &[7]),
        node(9, WaitNode, "Wait node", Seconds(30), &[8]),
        node(10, UpdateServerStarted, "Update observer status", Seconds(300), &[9]),
        node(11, StartZone, "Start zone", Seconds(1800), &[10]),
        node(12, UpdateZoneStarted, "Update zone status", Seconds(1800), &[11]),
        node(13, SyncCluster, "Sync cluster info", Seconds(30), &[12]),
        node(14, UpdateCluster, "Update OB cluster status", Seconds(30), &[13]),
    ],
    admits: admits_restart,
    admits_zone: Some(admits_restart_zone),
    meanwhile: Some(ServerStatus::Restarting),
    restores: ZONE_RESTORES,
};

/// One server that cannot be stopped keeps its whole zone from it: a zone that is half out would be nobody's plan.
fn admits_stop(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    use ServiceState::{Leaving, Lost, Serving, Starting, Stopped};
    match (service, process) {
        (Leaving, _) => Err(NOT_LEAVING),
        (Serving | Lost | Starting | Stopped, Ambiguous) => Err(ONE_PROCESS),
        (Serving | Starting, HostUnreachable) => Err("an ACTIVE server whose host answers"),
        (Serving | Starting, Running | Absent | NotAsked) => Ok(()),
        (Lost | Stopped, Running | Absent | HostUnreachable | NotAsked) => Ok(()),
    }
}

fn admits_stop_zone(zone: ZoneInnerStatus, servers: &[(ServiceState, ProcessFinding)]) -> Result<(), &'static str> {
    let ended = |(service, process): &(ServiceState, ProcessFinding)| {
        matches!(service, ServiceState::Lost | ServiceState::Stopped) && *process == ProcessFinding::Absent
    };
    match zone {
        ZoneInnerStatus::Inactive if servers.iter().all(ended) => Err("a zone that is not stopped yet"),
        ZoneInnerStatus::Inactive | ZoneInnerStatus::Active => Ok(()),
    }
}

fn admits_start(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    match (service, process) {
        (ServiceState::Leaving, _) => Err(NOT_LEAVING),
        (_, Running | Absent | NotAsked) => Ok(()),
        (_, Ambiguous) => Err("at most one process on its host that could be this server's"),
        (_, HostUnreachable) => Err("a server whose host answers"),
    }
}

fn admits_start_zone(zone: ZoneInnerStatus, servers: &[(ServiceState, ProcessFinding)]) -> Result<(), &'static str> {
    let serve = || servers.iter().all(|(service, _)| *service == ServiceState::Serving);
    match zone {
        ZoneInnerStatus::Active if serve() => Err("a zone that is INACTIVE or has a server that does not serve"),
        ZoneInnerStatus::Active | ZoneInnerStatus::Inactive => Ok(()),
    }
}

fn admits_restart(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    match (service, process) {
        (ServiceState::Leaving, _) => Err(NOT_LEAVING),
        (ServiceState::Serving | ServiceState::Starting, Running | NotAsked) => Ok(()),
        (ServiceState::Serving | ServiceState::Starting, Absent | Ambiguous | HostUnreachable) => Err(ONE_PROCESS),
        (ServiceState::Stopped | ServiceState::Lost, _) => Err("servers that serve; start the zone where one does not"),
    }
}

fn admits_restart_zone(zone: ZoneInnerStatus, _: &[(ServiceState, ProcessFinding)]) -> Result<(), &'static str> {
    match zone {
        ZoneInnerStatus::Active => Ok(()),
        ZoneInnerStatus::Inactive => Err("a zone that is ACTIVE; start one that is not"),
    }
}
