//! The inventory as it is stored: clusters with their zones, servers and hosts. Discovery writes facts (zone, ports, id,
//! version); people decide names, hosts and credentials.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, ClusterIdentity, ClusterKey, ServerAddr, ServerId, ZoneName};
use crate::domain::permission::VisibleIds;
use crate::domain::ssh::{SshDestination, SshLogin};
use crate::domain::status::{ClusterStatus, InnerStatus, ServerStatus, ZoneInnerStatus, ZoneStatus};
use crate::store::{AuditRecord, Page, StoreError};

/// How the agent on a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRoute {
    /// No route is known: the process cannot be ended.
    None,
    /// By the agent in this process.
    Local,
    /// `obsteward agent` by gRPC, at `host:port`.
    Grpc { address: String },
    /// `obsteward agent --stdio` over ssh.
    Ssh(SshDestination),
}

/// Route to hosts that have none of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultHost {
    /// Hosts without a route of their own cannot be reached.
    None,
    /// By the agent in this process.
    Local,
    /// gRPC at the server's IP and this port.
    Grpc { port: u16 },
    /// ssh to the server's IP.
    Ssh(SshLogin),
}

#[derive(Clone, Debug)]
pub struct ClusterRow {
    /// Our id, not the `cluster_id` parameter.
    pub id: ClusterId,
    pub identity: ClusterIdentity,
    /// As the caller gave them, `host:sql_port`.
    pub endpoints: Vec<String>,
    pub username: String,
    pub password: SecretString,
    /// Route to hosts that have none of their own.
    pub default_host: DefaultHost,
    /// Written by the lock holder; `None`: as observed.
    pub managed_status: Option<ClusterStatus>,
    /// `None`: never read.
    pub observed_at: Option<Timestamp>,
    /// Why the last reading failed; empty: it succeeded.
    pub sync_error: String,
    /// `lease_time` as last read, microseconds.
    pub lease_time_micros: i64,
    /// `server_permanent_offline_time` as last read, microseconds.
    pub permanent_offline_micros: i64,
}

impl ClusterRow {
    /// `lease_time` as last read.
    pub fn lease_time(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.lease_time_micros).unwrap_or_default())
    }

    /// `server_permanent_offline_time` as last read.
    pub fn permanent_offline_time(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.permanent_offline_micros).unwrap_or_default())
    }
}

/// A zone as last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRow {
    pub name: ZoneName,
    /// `DBA_OB_ZONES.STATUS`.
    pub inner_status: ZoneInnerStatus,
    pub region: String,
    pub idc: String,
    /// Written by the lock holder; `None`: as observed.
    pub managed_status: Option<ZoneStatus>,
}

/// A server as last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRow {
    /// Our id; a new one when the address was deleted and added again.
    pub id: ServerId,
    pub cluster: ClusterId,
    pub addr: ServerAddr,
    /// `DBA_OB_SERVERS.ID`.
    pub ob_server_id: i64,
    pub zone: ZoneName,
    pub sql_port: u16,
    /// Written by the lock holder; `None`: as observed.
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
    pub observed_at: Timestamp,
}

/// What a reading found of a server; the store assigns our ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerObservation {
    pub addr: ServerAddr,
    /// `DBA_OB_SERVERS.ID`.
    pub ob_server_id: i64,
    pub zone: ZoneName,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneObservation {
    pub name: ZoneName,
    /// `STATUS`.
    pub inner_status: ZoneInnerStatus,
    pub region: String,
    pub idc: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterObservation {
    pub observed_at: Timestamp,
    pub zones: Vec<ZoneObservation>,
    pub servers: Vec<ServerObservation>,
    /// `lease_time`, microseconds.
    pub lease_time_micros: i64,
    /// `server_permanent_offline_time`, microseconds.
    pub permanent_offline_micros: i64,
}

#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Chosen by the caller; `None`: the next free one.
    pub id: Option<ClusterId>,
    pub identity: ClusterIdentity,
    pub endpoints: Vec<String>,
    pub username: String,
    pub password: SecretString,
    /// Route to hosts that have none of their own.
    pub default_host: DefaultHost,
    /// Routes by `svr_ip`.
    pub hosts: Vec<(String, HostRoute)>,
    /// Ids that the caller chose; other servers get the next free ones.
    pub server_ids: Vec<(ServerAddr, ServerId)>,
    pub observation: ClusterObservation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The new cluster's id.
    Done(ClusterId),
    /// The id under which the physical cluster is registered.
    AlreadyRegistered(ClusterId),
    /// Another object has an id that the caller chose; `what`: `cluster` or `server`.
    IdTaken { what: &'static str, id: i64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeregisterOutcome {
    Done,
    NotFound,
    Held { task: crate::domain::ids::TaskId },
}

/// What people may change of a cluster; `None`: stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ClusterChange {
    pub endpoints: Option<Vec<String>>,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    /// Routes by `svr_ip`; replaces all of them.
    pub hosts: Option<Vec<(String, HostRoute)>>,
    /// Route to hosts that have none of their own.
    pub default_host: Option<DefaultHost>,
}

/// Which clusters a list shows; `None` means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFilter {
    /// Only what the caller may see.
    pub visible: VisibleIds,
    pub name: Option<String>,
    /// Contained in the name, ignoring case.
    pub name_part: Option<String>,
}

impl ClusterFilter {
    pub const fn every() -> Self {
        Self { visible: VisibleIds::All, name: None, name_part: None }
    }
}

/// Sort key of a page of clusters; ties by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterOrder {
    #[default]
    Id,
    Name,
}

/// The part of the store that holds the inventory. Every mutation writes its audit record in the same commit.
/// A cluster with what is needed to reach it and its hosts.
#[derive(Clone, Debug)]
pub struct RecordedCluster {
    pub cluster: ClusterRow,
    /// Ascending by id.
    pub servers: Vec<ServerRow>,
    /// By `svr_ip`.
    pub hosts: Vec<(String, HostRoute)>,
}

#[async_trait]
pub trait InventoryStore: Send + Sync {
    async fn register(&self, cluster: NewCluster, audit: AuditRecord) -> Result<RegisterOutcome, StoreError>;

    /// False: no such cluster.
    async fn update(&self, cluster: ClusterId, change: ClusterChange, audit: AuditRecord) -> Result<bool, StoreError>;

    /// Removes a cluster; its tasks stay.
    async fn deregister(&self, cluster: ClusterId, audit: AuditRecord) -> Result<DeregisterOutcome, StoreError>;

    /// Writes the observed columns: new servers get ids, servers that are gone are removed. Returns the changes, described for
    /// people (times of observation do not count). `audit`: the record of a request for this reading, if there was one.
    async fn observe(
        &self,
        cluster: ClusterId,
        observation: ClusterObservation,
        audit: Option<AuditRecord>,
    ) -> Result<Vec<String>, StoreError>;

    /// Records why a reading failed; the observed columns stay.
    async fn observe_failed(&self, cluster: ClusterId, at: Timestamp, error: String) -> Result<(), StoreError>;

    async fn cluster(&self, cluster: ClusterId) -> Result<Option<ClusterRow>, StoreError>;

    async fn cluster_of(&self, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError>;

    /// Clusters with ids above `above`, ascending, at most `limit`.
    async fn clusters(
        &self,
        filter: &ClusterFilter,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterRow>, StoreError>;

    /// A page of clusters, and the total number, both of one moment.
    async fn clusters_page(
        &self,
        filter: &ClusterFilter,
        page: Page<ClusterOrder>,
    ) -> Result<(Vec<ClusterRow>, u64), StoreError>;

    /// Ascending by name.
    async fn zones(&self, cluster: ClusterId) -> Result<Vec<ZoneRow>, StoreError>;

    /// Ascending by id.
    async fn servers(&self, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError>;

    /// By `svr_ip`.
    async fn hosts(&self, cluster: ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError>;

    /// A cluster with its servers and the routes to its hosts; a database reads them in one transaction.
    async fn recorded(&self, cluster: ClusterId) -> Result<Option<RecordedCluster>, StoreError> {
        let Some(row) = self.cluster(cluster).await? else { return Ok(None) };
        let (servers, hosts) = (self.servers(cluster).await?, self.hosts(cluster).await?);
        Ok(Some(RecordedCluster { cluster: row, servers, hosts }))
    }
}
