//! The operations: a file each (`stop_server`, `freeze_server` and others), as data, and one file per step in `steps`,
//! which they share. Steps look and prepare effects, forward and back; the engine commits and sends.

pub mod admission;
pub mod assess;
pub mod clients;
pub mod cluster;
pub mod definition;
mod freeze_server;
mod hold_server;
pub mod margin;
mod operation;
mod restart_server;
pub mod rollout;
pub mod server_or_zone;
mod start_server;
mod step_io;
mod steps;
mod stop_server;
pub mod subject;
pub mod zone;

pub use freeze_server::FREEZE;
pub use hold_server::HOLD;
pub use restart_server::RESTART;
pub use start_server::START;
pub use stop_server::{PROCESS as STOP_PROCESS, SERVICE as STOP_SERVICE, stop};

use definition::Definition;
pub use operation::DefinedOperation;
pub use steps::former_and_target;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::event::{Failure, FailureKind};
use crate::engine::Registry;
use crate::host::Hosts;
use crate::inventory::{Inventory, InventoryError};
use crate::oceanbase::{ClusterError, ErrorClass, ErrorDetail, OceanBase};
use crate::store::home::Located;

/// Times that an operator may want to change.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Between looks at something that moves by itself (leaders, STATUS), which ask two things at most.
    pub poll: Duration,
    /// How long Prepare waits for checks that may pass by themselves (log in sync, a leader elected).
    pub precheck: Duration,
    /// How long the process step waits for a gate that may open by itself.
    pub gate: Duration,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How long leaders are waited for while none leaves.
    pub leader_wait: Duration,
    /// How long one whole reading of a cluster may take.
    pub reading: Duration,
    /// How long a freeze before a stop may take.
    pub freeze: Duration,
    /// How long an agent watches a process that it started until it listens.
    pub start_watch: Duration,
    /// How long the replicas of a started server may take to catch up before the task ends with a warning.
    pub catch_up: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            precheck: Duration::from_secs(6),
            gate: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            leader_wait: Duration::from_secs(300),
            reading: Duration::from_secs(20),
            freeze: Duration::from_secs(300),
            start_watch: Duration::from_secs(20),
            catch_up: Duration::from_secs(240),
        }
    }
}

/// How many looks a whole reading of a cluster counts for: a look asks two things, a reading twelve.
const LOOKS_OF_A_READING: u32 = 6;
/// For how many looks an unused session is kept: more than the pause behind a whole reading.
const LOOKS_KEPT: u32 = 10;
/// And at least this long: some looks come at longer intervals.
const KEPT_AT_LEAST: Duration = Duration::from_secs(5);

impl Timeouts {
    /// Between whole readings of a cluster in which something has to pass by itself.
    pub fn between_readings(&self) -> Duration {
        self.poll * LOOKS_OF_A_READING
    }

    /// How long a reading session that nobody uses stays open.
    pub fn kept(&self) -> Duration {
        (self.poll * LOOKS_KEPT).max(KEPT_AT_LEAST)
    }
}

/// How steps reach clusters, hosts and the inventory.
#[derive(Clone)]
pub struct Deps {
    pub oceanbase: Arc<dyn OceanBase>,
    pub hosts: Arc<dyn Hosts>,
    pub inventory: Inventory,
    pub clock: Clock,
    /// Agents count fences per store.
    pub store_id: String,
    /// Where the store lives.
    pub store: Arc<dyn Located>,
    pub timeouts: Timeouts,
}

/// Every operation that this version knows.
pub const ALL: [&Definition; 14] = [
    &STOP_PROCESS,
    &STOP_SERVICE,
    &HOLD,
    &START,
    &RESTART,
    &FREEZE,
    &zone::STOP,
    &zone::START,
    &zone::RESTART,
    &cluster::STOP,
    &cluster::START,
    &cluster::RESTART,
    &rollout::RESTART,
    &rollout::HOLD,
];

/// The same, with the code that runs them.
pub fn registry(deps: &Deps) -> Registry {
    let operation = Arc::new(DefinedOperation(deps.clone()));
    ALL.into_iter()
        .fold(Registry::default(), |registry, definition| registry.with(definition.operation(), operation.clone()))
}

pub fn cluster_failure(error: &ClusterError) -> Failure {
    let (kind, reason) = match error.class {
        ErrorClass::Permanent => (FailureKind::Refused, "CLUSTER_ERROR"),
        ErrorClass::Transient | ErrorClass::Unknown => (FailureKind::Unreachable, "CLUSTER_NOT_READY"),
        ErrorClass::AuthFailed => (FailureKind::Refused, "CLUSTER_AUTH_FAILED"),
        ErrorClass::WrongCluster => (FailureKind::Refused, "WRONG_CLUSTER"),
        ErrorClass::Unreachable => (FailureKind::Unreachable, "CLUSTER_UNREACHABLE"),
        ErrorClass::Unreadable => (FailureKind::Unreachable, "CLUSTER_UNREADABLE"),
    };
    let (reason, about) = match error.about.as_deref() {
        Some(ErrorDetail::MissingView { view, versions }) => {
            ("VIEW_MISSING", vec![("view", view.clone()), ("versions", (*versions).to_owned())])
        }
        Some(ErrorDetail::OtherCluster { expected, found }) => {
            (reason, vec![("expected", expected.clone()), ("found", found.clone())])
        }
        None => (reason, Vec::new()),
    };
    let number = error.number.map(|number| ("ob_errno", format!("-{number}")));
    let endpoint = error.endpoint.clone().map(|endpoint| ("endpoint", endpoint));
    let values = number.into_iter().chain(endpoint).chain(about);
    values.fold(Failure::new(kind, reason, error.message.clone()), |failure, (key, value)| failure.with(key, value))
}

/// Whether a read that failed so may be made again by itself.
pub const fn retriable(class: ErrorClass) -> bool {
    match class {
        ErrorClass::Transient | ErrorClass::Unknown | ErrorClass::Unreachable | ErrorClass::Unreadable => true,
        ErrorClass::Permanent | ErrorClass::AuthFailed | ErrorClass::WrongCluster => false,
    }
}

/// Whether this error means that the cluster's state is not known, which a caller may accept by name. A different
/// cluster at the endpoints, and answers that are not understood, do not count.
pub const fn leaves_unknown(class: ErrorClass) -> bool {
    match class {
        ErrorClass::Transient | ErrorClass::Unknown | ErrorClass::Unreachable | ErrorClass::AuthFailed => true,
        ErrorClass::Permanent | ErrorClass::Unreadable | ErrorClass::WrongCluster => false,
    }
}

pub fn inventory_failure(error: &InventoryError) -> Failure {
    match error {
        InventoryError::ClusterNotFound(cluster) => {
            Failure::new(FailureKind::Refused, "CLUSTER_NOT_FOUND", error.to_string()).with("cluster_id", cluster)
        }
        InventoryError::ServerNotFound { cluster, server } => {
            Failure::new(FailureKind::Refused, "SERVER_NOT_FOUND", error.to_string())
                .with("cluster_id", cluster)
                .with("server_id", server)
        }
        InventoryError::Store(_) => Failure::new(FailureKind::Internal, "STORE_FAILED", error.to_string()),
        InventoryError::Cluster(cluster) => cluster_failure(cluster),
    }
}
