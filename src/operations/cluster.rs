//! "Stop OB cluster", "Start OB cluster" and "Restart OB cluster", in the documented graphs (docs/ocp-v2.md#cluster-operations). A stop
//! ends service for everybody, so that nothing is marked and no majority is asked for: every server is frozen, in a node of our own,
//! and then every process is ended behind the gate of a whole cluster. Each zone and each server has its own branch.

use crate::domain::admission::{ProcessFinding, ServiceState, service_state};
use crate::domain::call::Call;
use crate::domain::precheck::CheckVerdict;
use crate::domain::reading::ServerReading;
use crate::domain::status::{OverriddenBy, ServerStatus, ZoneInnerStatus};
use crate::operations::admission::{NOT_LEAVING, ONE_PROCESS};
use crate::operations::assess::{AssessedCheck, Survey, check, process_finding};
use crate::operations::definition::Limit::Seconds;
use crate::operations::definition::StepKind::{
    Freeze, PrepareInZone, PrepareStartCluster, PrepareStopCluster, PrepareZoneInCluster, SetZoneContext,
    StartAgentService, StartProcess, StartService, StartZone, StopProcess, SyncCluster, SyncTenants, UpdateCluster,
    UpdateClusterStopped, UpdateServerStarted, UpdateServerStoppedInCluster, UpdateZoneStarted, UpdateZoneStopped,
    WaitNode, WaitObserverAccessible,
};
use crate::operations::definition::{Definition, ZONE_RESTORES, node};
use crate::operations::subject::Subject;

pub static STOP: Definition = Definition {
    call: Call::StopCluster,
    name: "Stop OB cluster",
    nodes: &[
        node(0, PrepareStopCluster, "Prepare stop cluster", Seconds(1800), &[]),
        node(1, PrepareZoneInCluster, "Prepare stop OB zone", Seconds(1800), &[0]),
        node(2, WaitNode, "Wait node", Seconds(30), &[1]),
        node(3, PrepareInZone, "Prepare stop observer", Seconds(300), &[2]),
        node(4, Freeze, "Freeze server", Seconds(1200), &[3]),
        node(5, WaitNode, "Wait node", Seconds(30), &[4]),
        node(6, StopProcess, "Stop observer process", Seconds(1200), &[5]),
        node(7, WaitNode, "Wait node", Seconds(30), &[6]),
        node(8, UpdateServerStoppedInCluster, "Update observer status", Seconds(300), &[7]),
        node(9, WaitNode, "Wait node", Seconds(30), &[8]),
        node(10, UpdateZoneStopped, "Update zone status", Seconds(1800), &[9]),
        node(11, UpdateClusterStopped, "Update OB cluster status", Seconds(30), &[10]),
    ],
    admits: admits_stop,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Stopping),
    restores: ZONE_RESTORES,
};

pub static START: Definition = Definition {
    call: Call::StartCluster,
    name: "Start OB cluster",
    nodes: &[
        node(0, PrepareStartCluster, "Prepare start cluster", Seconds(1800), &[]),
        node(1, PrepareZoneInCluster, "Prepare start OB zone", Seconds(1800), &[0]),
        node(2, WaitNode, "Wait node", Seconds(30), &[1]),
        node(3, PrepareInZone, "Prepare start observer", Seconds(300), &[2]),
        node(4, WaitNode, "Wait node", Seconds(30), &[3]),
        node(5, StartProcess, "Start observer process", Seconds(1200), &[4]),
        node(6, WaitObserverAccessible, "Wait observer accessible", Seconds(1800), &[5]),
        node(7, StartAgentService, "Start ocp agent service", Seconds(1800), &[6]),
        node(8, WaitNode, "Wait node", Seconds(30), &[7]),
        node(9, StartService, "Start server", Seconds(300), &[8]),
        node(10, WaitNode, "Wait node", Seconds(30), &[9]),
        node(11, StartZone, "Start zone", Seconds(1800), &[10]),
        node(12, WaitNode, "Wait node", Seconds(30), &[11]),
        node(13, UpdateServerStarted, "Update observer status", Seconds(300), &[12]),
        node(14, WaitNode, "Wait node", Seconds(30), &[13]),
        node(15, UpdateZoneStarted, "Update zone status", Seconds(1800), &[14]),
        node(16, SyncTenants, "Sync all tenant information", Seconds(30), &[15]),
        node(17, UpdateCluster, "Update OB cluster status", Seconds(30), &[16]),
    ],
    admits: admits_start,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Starting),
    restores: ZONE_RESTORES,
};

pub static RESTART: Definition = Definition {
    call: Call::RestartCluster,
    name: "Restart OB cluster",
    nodes: &[
        node(0, PrepareStopCluster, "Prepare restart cluster", Seconds(1800), &[]),
        node(1, SetZoneContext, "Set zone context", Seconds(30), &[0]),
        node(2, PrepareZoneInCluster, "Prepare restart OB zone", Seconds(1800), &[1]),
        node(3, PrepareInZone, "Prepare restart observer", Seconds(300), &[2]),
        node(4, Freeze, "Freeze server", Seconds(1200), &[3]),
        node(5, WaitNode, "Wait node", Seconds(30), &[4]),
        node(6, StopProcess, "Stop observer process", Seconds(1200), &[5]),
        node(7, WaitNode, "Wait node", Seconds(30), &[6]),
        node(8, StartProcess, "Start observer process", Seconds(1200), &[7]),
        node(9, WaitObserverAccessible, "Wait observer accessible", Seconds(1800), &[8]),
        node(10, StartAgentService, "Start ocp agent service", Seconds(1800), &[9]),
        node(11, WaitNode, "Wait node", Seconds(30), &[10]),
        node(12, StartService, "Start server", Seconds(300), &[11]),
        node(13, WaitNode, "Wait node", Seconds(30), &[12]),
        node(14, UpdateServerStarted, "Update observer status", Seconds(300), &[13]),
        node(15, StartZone, "Start zone", Seconds(1800), &[14]),
        node(16, UpdateZoneStarted, "Update zone status", Seconds(1800), &[15]),
        node(17, SyncCluster, "Sync cluster info", Seconds(30), &[16]),
        node(18, SyncTenants, "Sync all tenant information", Seconds(30), &[17]),
        node(19, UpdateCluster, "Update OB cluster status", Seconds(30), &[18]),
    ],
    admits: admits_stop,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Restarting),
    restores: ZONE_RESTORES,
};

/// As of a zone: one process that cannot be ended keeps the cluster from being stopped by half.
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

/// One host that does not answer keeps no other server down: its branch fails, and the others are up by then.
fn admits_start(service: ServiceState, process: ProcessFinding) -> Result<(), &'static str> {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    match (service, process) {
        (ServiceState::Leaving, _) => Err(NOT_LEAVING),
        (_, Running | Absent | NotAsked | HostUnreachable) => Ok(()),
        (_, Ambiguous) => Err("at most one process on its host that could be this server's"),
    }
}

/// Whether the cluster as a whole is in a state for an operation on it; an error says what was found, and which state it needs.
/// `zones`: none are known of a cluster that does not answer.
pub fn admits(
    operation: &Definition,
    servers: &[(ServiceState, ProcessFinding)],
    zones: &[ZoneInnerStatus],
) -> Result<(), (&'static str, &'static str)> {
    let all_absent = servers.iter().all(|(_, process)| *process == ProcessFinding::Absent);
    let serve = servers
        .iter()
        .all(|state| matches!(state, (ServiceState::Serving, ProcessFinding::Running | ProcessFinding::NotAsked)))
        && zones.iter().all(|zone| *zone == ZoneInnerStatus::Active);
    match operation.call {
        Call::StopCluster if all_absent => Err(("no process of it runs", "a cluster that is not stopped yet")),
        Call::RestartCluster if all_absent => {
            Err(("no process of it runs", "one that runs; start a cluster that does not"))
        }
        Call::StartCluster if serve => {
            Err(("every server of it serves", "a cluster with a server that does not serve"))
        }
        _ => Ok(()),
    }
}

/// What the stop of a whole cluster asks for besides the state of each server.
pub(super) fn checks(survey: &Survey, subject: &Subject, operation: &Definition) -> Vec<AssessedCheck> {
    let (name, servers) = (subject.cluster_name(), subject.addresses());
    let evidence = format!(
        "service ends for every tenant and every client of cluster {name}: the processes of its {} servers are ended",
        servers.len()
    );
    let loss = AssessedCheck {
        overridden_by: Some(OverriddenBy::ServiceLoss),
        ..check("SERVICE_LOSS", CheckVerdict::Block, evidence, "accept the risk SERVICE_LOSS by name if that is meant")
    };
    let seen = survey.reading.as_ref().map_or(&[][..], |reading| &reading.servers);
    let added = added_servers(subject, seen);
    let states: Vec<(ServiceState, ProcessFinding)> = survey
        .found
        .iter()
        .map(|(addr, found)| {
            let row = seen.iter().find(|row| row.addr == *addr);
            (row.map_or(ServiceState::Lost, service_state), process_finding(found))
        })
        .collect();
    let state = match admits(operation, &states, &[]) {
        Ok(()) => None,
        Err((found, expected)) => {
            let evidence = format!("{found}, where a {} needs {expected}", operation.noun());
            Some(check("CLUSTER_STATE", CheckVerdict::Block, evidence, "look at the servers of the cluster"))
        }
    };
    std::iter::once(loss).chain(added).chain(state).collect()
}

/// The check that blocks when the cluster has servers that the operation would leave out.
pub(super) fn added_servers(subject: &Subject, seen: &[ServerReading]) -> Option<AssessedCheck> {
    let servers = subject.addresses();
    let added = seen.iter().filter(|row| !servers.contains(&row.addr)).map(|row| row.addr.to_string());
    let added: Vec<String> = added.collect();
    let evidence = format!("the cluster has servers that are not recorded: {}", added.join(", "));
    let check = check("CLUSTER_SERVERS", CheckVerdict::Block, evidence, "sync the cluster, then ask for it anew");
    (!added.is_empty()).then_some(check)
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
