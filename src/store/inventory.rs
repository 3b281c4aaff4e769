//! The inventory as it is stored: clusters with their zones, servers and hosts. Discovery decides facts (zone, ports, id,
//! version), people decide names, hosts and credentials.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, ClusterIdentity, ClusterKey, ServerAddr, ServerId, ZoneName};
use crate::domain::permission::Visible;
use crate::domain::ssh::{SshDestination, SshLogin};
use crate::domain::status::{ClusterStatus, InnerStatus, ServerStatus, ZoneInnerStatus, ZoneStatus};
use crate::store::{AuditRecord, Page, StoreError};

/// How the agent on a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRoute {
    /// No way is known: the process cannot be ended.
    None,
    /// In-process.
    Local,
    /// `obsteward agent` by gRPC, at `host:port`.
    Grpc { address: String },
    /// `obsteward agent --stdio` over ssh.
    Ssh(SshDestination),
}

/// Route to hosts that are not named one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultHost {
    /// None.
    None,
    /// In-process.
    Local,
    /// gRPC at the server's IP and this port.
    Grpc { port: u16 },
    /// ssh to the server's IP.
    Ssh(SshLogin),
}

/// A registered cluster.
#[derive(Clone, Debug)]
pub struct ClusterRow {
    /// Id here.
    pub id: ClusterId,
    /// The physical cluster.
    pub identity: ClusterIdentity,
    /// Endpoints that were given, `host:sql_port`.
    pub endpoints: Vec<String>,
    /// Login.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Route to hosts that are not named.
    pub default_host: DefaultHost,
    /// Written by the lock holder.
    pub managed_status: Option<ClusterStatus>,
    /// When it was last read.
    pub observed_at: Option<Timestamp>,
    /// Why the last reading failed; empty: it did not.
    pub sync_error: String,
    /// `lease_time` as last read, microseconds.
    pub lease_time_micros: i64,
    /// `server_permanent_offline_time` as last read, microseconds.
    pub permanent_offline_micros: i64,
}

/// A zone as last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRow {
    /// Its name.
    pub name: ZoneName,
    /// `DBA_OB_ZONES.STATUS`.
    pub inner_status: ZoneInnerStatus,
    /// Region.
    pub region: String,
    /// IDC.
    pub idc: String,
    /// Written by the lock holder.
    pub managed_status: Option<ZoneStatus>,
}

/// A server as last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRow {
    /// Id here; another when the address was deleted and added again.
    pub id: ServerId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its address.
    pub addr: ServerAddr,
    /// `DBA_OB_SERVERS.ID`.
    pub ob_server_id: i64,
    /// Its zone.
    pub zone: ZoneName,
    /// SQL port.
    pub sql_port: u16,
    /// Written by the lock holder.
    pub managed_status: Option<ServerStatus>,
    /// `STATUS`.
    pub inner_status: InnerStatus,
    /// `STOP_TIME`.
    pub stop_time: Option<Timestamp>,
    /// `START_SERVICE_TIME`.
    pub start_service_time: Option<Timestamp>,
    /// `LAST_OFFLINE_TIME`.
    pub last_offline_time: Option<Timestamp>,
    /// `WITH_ROOTSERVER`.
    pub with_rootserver: bool,
    /// `BUILD_VERSION`.
    pub build_version: String,
    /// When it was last read.
    pub observed_at: Timestamp,
}

/// What a reading found of a server; ids here are the store's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerObservation {
    /// Its address.
    pub addr: ServerAddr,
    /// `DBA_OB_SERVERS.ID`.
    pub ob_server_id: i64,
    /// Its zone.
    pub zone: ZoneName,
    /// SQL port.
    pub sql_port: u16,
    /// `STATUS`.
    pub inner_status: InnerStatus,
    /// `STOP_TIME`.
    pub stop_time: Option<Timestamp>,
    /// `START_SERVICE_TIME`.
    pub start_service_time: Option<Timestamp>,
    /// `LAST_OFFLINE_TIME`.
    pub last_offline_time: Option<Timestamp>,
    /// `WITH_ROOTSERVER`.
    pub with_rootserver: bool,
    /// `BUILD_VERSION`.
    pub build_version: String,
}

/// What a reading found of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneObservation {
    /// Its name.
    pub name: ZoneName,
    /// `STATUS`.
    pub inner_status: ZoneInnerStatus,
    /// Region.
    pub region: String,
    /// IDC.
    pub idc: String,
}

/// What a reading found of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterObservation {
    /// When.
    pub observed_at: Timestamp,
    /// Zones.
    pub zones: Vec<ZoneObservation>,
    /// Servers.
    pub servers: Vec<ServerObservation>,
    /// `lease_time`, microseconds.
    pub lease_time_micros: i64,
    /// `server_permanent_offline_time`, microseconds.
    pub permanent_offline_micros: i64,
}

/// A cluster to be registered.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Id that the caller chose.
    pub id: Option<ClusterId>,
    /// The physical cluster.
    pub identity: ClusterIdentity,
    /// Endpoints.
    pub endpoints: Vec<String>,
    /// Login.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Route to hosts that are not named.
    pub default_host: DefaultHost,
    /// Routes by `svr_ip`.
    pub hosts: Vec<(String, HostRoute)>,
    /// Server ids that the caller chose.
    pub server_ids: Vec<(ServerAddr, ServerId)>,
    /// The first reading.
    pub observation: ClusterObservation,
}

/// How a registration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Under this id.
    Done(ClusterId),
    /// The physical cluster is registered under this id.
    AlreadyRegistered(ClusterId),
    /// An id that the caller chose is taken (`cluster` or `server`).
    IdTaken { what: &'static str, id: i64 },
}

/// How a deregistration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deregistered {
    /// It is forgotten.
    Done,
    /// There is none.
    NotFound,
    /// A task holds it.
    Held { task: crate::domain::ids::TaskId },
}

/// What people may change of a cluster; `None`: stays.
#[derive(Clone, Debug, Default)]
pub struct ClusterChange {
    /// Endpoints.
    pub endpoints: Option<Vec<String>>,
    /// Login.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
    /// Routes by `svr_ip`, all of them.
    pub hosts: Option<Vec<(String, HostRoute)>>,
    /// Route to hosts that are not named.
    pub default_host: Option<DefaultHost>,
}

/// Which clusters a list shows; `None` means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFilter {
    /// Only what the caller may see.
    pub visible: Visible,
    /// Of this name.
    pub name: Option<String>,
    /// Whose name holds this, whatever the case.
    pub name_part: Option<String>,
}

impl ClusterFilter {
    /// Every cluster.
    pub const fn every() -> Self {
        Self { visible: Visible::All, name: None, name_part: None }
    }
}

/// What a page of clusters is sorted by; ties by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterOrder {
    /// Id.
    #[default]
    Id,
    /// Name.
    Name,
}

/// The inventory's part of the store. Every mutation names itself in the audit log, in the same commit.
#[async_trait]
pub trait InventoryStore: Send + Sync {
    /// Registers a cluster with its first reading.
    async fn register(&self, cluster: NewCluster, audit: AuditRecord) -> Result<Registered, StoreError>;

    /// Changes what people decide; false when there is no such cluster.
    async fn update(&self, cluster: ClusterId, change: ClusterChange, audit: AuditRecord) -> Result<bool, StoreError>;

    /// Forgets a cluster; its tasks stay.
    async fn deregister(&self, cluster: ClusterId, audit: AuditRecord) -> Result<Deregistered, StoreError>;

    /// Writes the observed columns: new servers get ids, servers that are gone are removed. Answers what changed, in words
    /// (nothing about moments of observation). `audit`: who asked for the reading, if somebody did.
    async fn observe(
        &self,
        cluster: ClusterId,
        observation: ClusterObservation,
        audit: Option<AuditRecord>,
    ) -> Result<Vec<String>, StoreError>;

    /// Records why a reading failed.
    async fn observe_failed(&self, cluster: ClusterId, at: Timestamp, error: String) -> Result<(), StoreError>;

    /// One cluster.
    async fn cluster(&self, cluster: ClusterId) -> Result<Option<ClusterRow>, StoreError>;

    /// The registration of a physical cluster.
    async fn cluster_of(&self, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError>;

    /// Clusters with ids above `above`, ascending, at most `limit`.
    async fn clusters(
        &self,
        filter: &ClusterFilter,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterRow>, StoreError>;

    /// A page of clusters, and how many there are in all, of one moment.
    async fn clusters_page(
        &self,
        filter: &ClusterFilter,
        page: Page<ClusterOrder>,
    ) -> Result<(Vec<ClusterRow>, u64), StoreError>;

    /// Zones of a cluster, by name.
    async fn zones(&self, cluster: ClusterId) -> Result<Vec<ZoneRow>, StoreError>;

    /// Servers of a cluster, ascending by id.
    async fn servers(&self, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError>;

    /// Routes of a cluster by `svr_ip`.
    async fn hosts(&self, cluster: ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError>;
}
