//! The steps, one file each: what it does, why repeating it is safe, its look, and its undo.

mod arm_and_fire;
mod drain;
mod freeze;
mod health;
mod hold;
mod leaders;
mod prepare;
mod prepare_cluster;
mod prepare_in_zone;
mod prepare_stop;
mod start_agent;
mod start_process;
mod start_service;
mod statement;
mod statuses;
mod stop_process;
mod stop_service;
mod sync_cluster;
mod wait_accessible;
mod wait_active;
mod wait_node;
mod wait_stop;

pub use prepare_stop::former_and_target;

use std::sync::Arc;

use freeze::FreezeServer;
use health::{PrepareRollout, WaitClusterHealthy};
use hold::HoldObserver;
use prepare::Prepare;
use prepare_cluster::{PrepareStartCluster, PrepareZoneInCluster};
use prepare_in_zone::PrepareInZone;
use prepare_stop::PrepareStop;
use start_agent::StartAgentService;
use start_process::StartProcess;
use start_service::StartService;
use statuses::{
    StoppedInCluster, StoppedInZone, UpdateClusterStatus, UpdateClusterStopped, UpdateStartedStatus,
    UpdateStoppedStatus, UpdateZoneStatus,
};
use stop_process::StopProcess;
use stop_service::StopService;
use sync_cluster::SyncClusterInfo;
use wait_accessible::WaitObserverAccessible;
use wait_active::WaitObserverActive;
use wait_node::WaitNode;
use wait_stop::WaitObserverStop;

use crate::domain::graph::SubtaskRole;
use crate::domain::words::words;
use crate::engine::Step;
use crate::operations::Deps;

/// What a node can do: its word, which is kept with the task so that names may change, what it acts on, and its code.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal, $scope:ident, $step:expr;)+) => {
        words!(
            /// What a node does: which code runs it.
            StepKind, "step kind", { $($(#[$doc])* $kind = $word),+ }
        );

        impl StepKind {
            /// What it means for the course of its task.
            pub(super) const fn role(self) -> SubtaskRole {
                if matches!(self, Self::WaitClusterHealthy) {
                    SubtaskRole::HealthGate
                } else if matches!(self, Self::Hold) {
                    SubtaskRole::Hold
                } else {
                    SubtaskRole::Step
                }
            }

            pub(super) const fn scope(self) -> Scope {
                match self { $(Self::$kind => Scope::$scope),+ }
            }
        }

        /// The code of a kind of node.
        pub fn of_kind(kind: StepKind, deps: Deps) -> Arc<dyn Step> {
            match kind { $(StepKind::$kind => Arc::new(($step)(deps))),+ }
        }
    };
}

/// What a step acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Server,
    Zone,
    Cluster,
}

kinds! {
    /// Admission, and what was.
    Prepare = "PREPARE", Server, Prepare;
    /// The whole precheck of a stop as well.
    PrepareStop = "PREPARE_STOP", Server, PrepareStop;
    /// [`Prepare`](Self::Prepare) of a zone with its servers.
    PrepareZone = "PREPARE_ZONE", Zone, Prepare;
    /// [`PrepareStop`](Self::PrepareStop) of a zone with its servers.
    PrepareStopZone = "PREPARE_STOP_ZONE", Zone, PrepareStop;
    /// [`PrepareStop`](Self::PrepareStop) of a cluster with all its servers.
    PrepareStopCluster = "PREPARE_STOP_CLUSTER", Cluster, PrepareStop;
    /// Of a cluster that may be down: what its hosts say.
    PrepareStartCluster = "PREPARE_START_CLUSTER", Cluster, PrepareStartCluster;
    /// Of one of a cluster's zones, behind those.
    PrepareZoneInCluster = "PREPARE_ZONE_IN_CLUSTER", Zone, |_| PrepareZoneInCluster;
    /// A node of the documented graph that hands on what every task here knows.
    SetZoneContext = "SET_ZONE_CONTEXT", Cluster, |_| WaitNode;
    /// Of one of a zone's or a cluster's servers, behind those.
    PrepareInZone = "PREPARE_IN_ZONE", Server, PrepareInZone;
    /// Of a rollout, before its first batch.
    PrepareRollout = "PREPARE_ROLLOUT", Cluster, PrepareRollout;
    /// Behind each batch of a rollout.
    WaitClusterHealthy = "WAIT_CLUSTER_HEALTHY", Cluster, WaitClusterHealthy::new;
    /// Where parallel branches meet.
    WaitNode = "WAIT_NODE", Cluster, |_| WaitNode;
    /// MINOR FREEZE, and the wait for the checkpoints.
    Freeze = "FREEZE", Server, FreezeServer;
    /// STOP SERVER, and the wait for its leaders.
    StopService = "STOP_SERVICE", Server, StopService;
    /// STOP ZONE, and the wait for its leaders.
    StopZone = "STOP_ZONE", Zone, StopService;
    StopProcess = "STOP_PROCESS", Server, StopProcess;
    WaitObserverStop = "WAIT_OBSERVER_STOP", Server, WaitObserverStop;
    /// Out of service until somebody says that the work is done.
    Hold = "HOLD", Server, HoldObserver;
    StartProcess = "START_PROCESS", Server, StartProcess;
    WaitObserverActive = "WAIT_OBSERVER_ACTIVE", Server, WaitObserverActive;
    WaitObserverAccessible = "WAIT_OBSERVER_ACCESSIBLE", Server, WaitObserverAccessible;
    StartAgentService = "START_AGENT_SERVICE", Server, StartAgentService;
    /// START SERVER, and the wait for its replicas.
    StartService = "START_SERVICE", Server, StartService;
    /// START ZONE, and the wait for its replicas.
    StartZone = "START_ZONE", Zone, StartService;
    UpdateServerStopped = "UPDATE_SERVER_STOPPED", Server, UpdateStoppedStatus;
    /// Of a graph that has no step of its own for the end of the server's heartbeats: waits for it too.
    UpdateServerStoppedInZone = "UPDATE_SERVER_STOPPED_IN_ZONE", Server, StoppedInZone;
    /// Of a graph at whose end nobody can be asked for heartbeats: waits for the host alone.
    UpdateServerStoppedInCluster = "UPDATE_SERVER_STOPPED_IN_CLUSTER", Server, StoppedInCluster;
    UpdateServerStarted = "UPDATE_SERVER_STARTED", Server, UpdateStartedStatus;
    UpdateZoneStopped = "UPDATE_ZONE_STOPPED", Zone, |deps| UpdateZoneStatus { deps, serves: false };
    UpdateZoneStarted = "UPDATE_ZONE_STARTED", Zone, |deps| UpdateZoneStatus { deps, serves: true };
    SyncCluster = "SYNC_CLUSTER", Cluster, SyncClusterInfo;
    SyncTenants = "SYNC_TENANTS", Cluster, SyncClusterInfo;
    UpdateClusterStopped = "UPDATE_CLUSTER_STOPPED", Cluster, UpdateClusterStopped;
    UpdateCluster = "UPDATE_CLUSTER", Cluster, |_| UpdateClusterStatus;
}
