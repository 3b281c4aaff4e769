//! "Hold OB server": the stop of a server, the wait for whoever works on its host, and the start.

use crate::domain::call::Call;
use crate::domain::status::ServerStatus;
use crate::operations::definition::Limit::{Held, LeaderWait, Lease, Seconds};
use crate::operations::definition::StepKind::{
    Hold, PrepareStop, StartAgentService, StartProcess, StartService, StopProcess, StopService, SyncCluster,
    UpdateCluster, UpdateServerStarted, UpdateServerStopped, UpdateZoneStarted, WaitObserverActive, WaitObserverStop,
};
use crate::operations::definition::{Definition, SERVER_RESTORES, node};
use crate::operations::restart_server::admits;

pub static HOLD: Definition = Definition {
    call: Call::StopServer,
    name: "Hold OB server",
    nodes: &[
        node(0, PrepareStop, "Prepare stop observer", Seconds(300), &[]),
        node(1, StopService, "Stop server", LeaderWait, &[0]),
        node(2, StopProcess, "Stop observer process", Seconds(1200), &[1]),
        node(3, WaitObserverStop, "Wait observer stop", Lease(300), &[2]),
        node(4, UpdateServerStopped, "Update observer status", Seconds(300), &[3]),
        node(5, Hold, "Hold observer", Held, &[4]),
        node(6, StartProcess, "Start observer process", Seconds(1200), &[5]),
        node(7, WaitObserverActive, "Wait observer active", Seconds(1800), &[6]),
        node(8, StartAgentService, "Start ocp agent service", Seconds(1800), &[7]),
        node(9, StartService, "Start server", Seconds(300), &[8]),
        node(10, UpdateServerStarted, "Update observer status", Seconds(300), &[9]),
        node(11, UpdateZoneStarted, "Update zone status", Seconds(1800), &[10]),
        node(12, SyncCluster, "Sync cluster info", Seconds(30), &[11]),
        node(13, UpdateCluster, "Update OB cluster status", Seconds(30), &[12]),
    ],
    // What is brought back must have been there.
    admits,
    admits_zone: None,
    meanwhile: Some(ServerStatus::Stopping),
    restores: SERVER_RESTORES,
};
