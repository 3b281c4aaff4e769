//! What a simulated cluster is made of, and its errors. Plain data.

use std::path::PathBuf;
use std::time::Duration;

use super::net::NetChoice;

#[derive(Debug, thiserror::Error)]
pub enum SimError {
    #[error("{0}")]
    Net(String),
    #[error("cannot {doing}: {error}")]
    Io { doing: String, error: std::io::Error },
    #[error("{0}")]
    Options(String),
    #[error("server {server} did not start: {reason}")]
    Start { server: i64, reason: String },
    #[error("no server {0} in the simulated cluster")]
    NoSuchServer(i64),
    #[error("fault not understood: {0}")]
    Fault(String),
}

impl SimError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Io { doing, error }
    }
}

/// Everything that may be chosen about a run; `SimOptions::new(executable)` gives one zone per server, three of them.
#[derive(Debug, Clone)]
pub struct SimOptions {
    pub zones: u16,
    pub servers_per_zone: u16,
    pub cluster_name: String,
    pub cluster_id: i64,
    pub net: NetChoice,
    /// Where the servers' homes stand; a temporary directory, removed at the end, otherwise.
    pub directory: Option<PathBuf>,
    /// The password of root@sys.
    pub password: String,
    /// User tenants (each brings its META tenant); the sys tenant is always there.
    pub tenants: Vec<TenantOptions>,
    pub durations: Durations,
    /// The obsteward binary: its `main` must call [`super::observer::main`] when it runs as `observer`.
    pub observer_executable: PathBuf,
    /// Bring arbitration up: `GV$OB_ARBITRATION_SERVICE_STATUS` says ACTIVE.
    pub arbitration: bool,
}

impl SimOptions {
    pub fn new(observer_executable: impl Into<PathBuf>) -> Self {
        Self {
            zones: 3,
            servers_per_zone: 1,
            cluster_name: "demo".into(),
            cluster_id: 1,
            net: NetChoice::Any,
            directory: None,
            password: String::new(),
            tenants: ["app", "billing", "report"].map(TenantOptions::new).to_vec(),
            durations: Durations::default(),
            observer_executable: observer_executable.into(),
            arbitration: false,
        }
    }

    /// Durations for tests: everything that takes seconds in reality takes tenths of a second.
    pub fn quick(observer_executable: impl Into<PathBuf>) -> Self {
        Self { durations: Durations::quick(), ..Self::new(observer_executable) }
    }
}

#[derive(Debug, Clone)]
pub struct TenantOptions {
    pub name: String,
    /// User log streams beside the tenant's own first one.
    pub log_streams: u16,
    /// The zones that hold a replica, from 1; all when empty.
    pub replica_zones: Vec<u16>,
    /// Two replicas and the arbitration service.
    pub arbitration: bool,
    /// `STANDBY` tenants follow a primary elsewhere.
    pub standby: bool,
}

impl TenantOptions {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), log_streams: 3, replica_zones: Vec::new(), arbitration: false, standby: false }
    }
}

/// How long things take. `lease_time` and `internal_sql_execute_timeout` are parameters of the cluster too, and the
/// parameter counts: `ALTER SYSTEM SET` changes them.
#[derive(Debug, Clone)]
pub struct Durations {
    pub lease_time: Duration,
    pub heartbeat_interval: Duration,
    /// One leader leaves a marked server in this time.
    pub leader_switch: Duration,
    /// A dead server's leaders are elected elsewhere after this time.
    pub election: Duration,
    /// `internal_sql_execute_timeout`: bounds the wait for arbitration.
    pub internal_sql_execute_timeout: Duration,
    /// The precheck looks again this often (100 ms in the kernel).
    pub precheck_interval: Duration,
    /// STOP SERVER counts the leaders this often (1 s in the kernel).
    pub leader_wait_interval: Duration,
    /// From a process's first heartbeat to its start_service_time.
    pub start_service: Duration,
    /// A returned replica has caught up after this time.
    pub catch_up: Duration,
    /// The arbitration service degrades a stopped member after this time.
    pub arbitration_degrade: Duration,
    /// A minor freeze moves `checkpoint_scn` after this time.
    pub minor_freeze: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            lease_time: ms(10_000),
            heartbeat_interval: ms(1_000),
            leader_switch: ms(300),
            election: ms(4_000),
            internal_sql_execute_timeout: ms(30_000),
            precheck_interval: ms(100),
            leader_wait_interval: ms(1_000),
            start_service: ms(1_500),
            catch_up: ms(3_000),
            arbitration_degrade: ms(2_000),
            minor_freeze: ms(3_000),
        }
    }
}

impl Durations {
    pub fn quick() -> Self {
        let ms = Duration::from_millis;
        Self {
            lease_time: ms(1_000),
            heartbeat_interval: ms(100),
            leader_switch: ms(20),
            election: ms(200),
            internal_sql_execute_timeout: ms(2_000),
            precheck_interval: ms(50),
            leader_wait_interval: ms(50),
            start_service: ms(100),
            catch_up: ms(300),
            arbitration_degrade: ms(200),
            minor_freeze: ms(200),
        }
    }
}
