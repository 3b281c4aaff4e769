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

pub use prepare_start::PrepareStart;
pub use prepare_stop::{PrepareStop, former_and_target};
pub use start_agent::StartAgentService;
pub use start_process::StartProcess;
pub use start_service::StartService;
pub use statuses::{UpdateClusterStatus, UpdateStartedStatus, UpdateStoppedStatus, UpdateZoneStatus};
pub use stop_process::StopProcess;
pub use stop_service::StopService;
pub use sync_cluster::SyncClusterInfo;
pub use wait_active::WaitObserverActive;
pub use wait_stop::WaitObserverStop;
