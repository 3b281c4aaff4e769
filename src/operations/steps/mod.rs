//! The steps, one file each: what it does, why repeating it is safe, its look, and its undo.

mod freeze;
mod prepare_start;
mod prepare_stop;
mod start_agent;
mod start_process;
mod start_service;
mod statement;
mod statuses;
mod stop_process;
mod stop_service;
mod sync_cluster;
mod wait_active;
mod wait_stop;

pub use prepare_stop::former_and_target;

use std::sync::Arc;

use prepare_start::PrepareStart;
use prepare_stop::PrepareStop;
use start_agent::StartAgentService;
use start_process::StartProcess;
use start_service::StartService;
use statuses::{UpdateClusterStatus, UpdateStartedStatus, UpdateStoppedStatus, UpdateZoneStatus};
use stop_process::StopProcess;
use stop_service::StopService;
use sync_cluster::SyncClusterInfo;
use wait_active::WaitObserverActive;
use wait_stop::WaitObserverStop;

use crate::domain::status::ServerStatus;
use crate::engine::Step;
use crate::operations::Deps;
use crate::operations::definition::StepKind;

/// The code of a kind of node.
pub fn of_kind(kind: StepKind, deps: Deps) -> Arc<dyn Step> {
    match kind {
        StepKind::PrepareStop => Arc::new(PrepareStop { deps, status: ServerStatus::Stopping }),
        StepKind::PrepareRestart => Arc::new(PrepareStop { deps, status: ServerStatus::Restarting }),
        StepKind::PrepareStart => Arc::new(PrepareStart(deps)),
        StepKind::StopService => Arc::new(StopService(deps)),
        StepKind::StopProcess => Arc::new(StopProcess(deps)),
        StepKind::WaitObserverStop => Arc::new(WaitObserverStop(deps)),
        StepKind::StartProcess => Arc::new(StartProcess(deps)),
        StepKind::WaitObserverActive => Arc::new(WaitObserverActive(deps)),
        StepKind::StartAgentService => Arc::new(StartAgentService(deps)),
        StepKind::StartService => Arc::new(StartService(deps)),
        StepKind::UpdateServerStopped => Arc::new(UpdateStoppedStatus(deps)),
        StepKind::UpdateServerStarted => Arc::new(UpdateStartedStatus(deps)),
        StepKind::UpdateZoneStopped => Arc::new(UpdateZoneStatus { deps, serves: false }),
        StepKind::UpdateZoneStarted => Arc::new(UpdateZoneStatus { deps, serves: true }),
        StepKind::SyncCluster => Arc::new(SyncClusterInfo(deps)),
        StepKind::UpdateCluster => Arc::new(UpdateClusterStatus),
    }
}
