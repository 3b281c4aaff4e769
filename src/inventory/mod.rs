//! Clusters, zones, servers, hosts and credentials: how a cluster is reached, what was observed of it, and when it is read
//! again. May use `store`, `oceanbase`, `host` and `domain`; writes observed columns only.

mod syncer;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::clock::Clock;
use crate::domain::event::TaskServer;
use crate::domain::host::ObserverTarget;
use crate::domain::ids::{ClusterId, ServerId};
use crate::domain::reading::{ServerReading, ZoneReading};
use crate::domain::status::{ClusterStatus, InnerStatus, ServerStatus};
use crate::host::HostAddress;
use crate::oceanbase::{
    ClusterAccess, ClusterError, Discovery, Endpoint, ErrorClass, Expected, KnownServer, OceanBase,
};
use crate::store::inventory::{
    ClusterObservation, ClusterRow, DefaultHost, HostRoute, InventoryStore, RecordedCluster, ServerObservation,
    ServerRow, ZoneObservation,
};
use crate::store::{AuditRecord, StoreError};

pub use syncer::{Share, Syncer};

/// Limit for reading a registered cluster: below the time that a call waits for it, so that a failure is recorded, and below
/// the time between two readings, so that one cluster is never read twice at once.
const LONGEST_READING: Duration = Duration::from_secs(18);

#[derive(Debug, Error)]
pub enum InventoryError {
    #[error("cluster {0} is not registered")]
    ClusterNotFound(ClusterId),
    #[error("server {server} is not in cluster {cluster}")]
    ServerNotFound { cluster: ClusterId, server: ServerId },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// A cluster with everything that is needed to reach it.
#[derive(Clone, Debug)]
pub struct ClusterRoute {
    pub cluster: ClusterRow,
    /// All of it, as last read.
    pub servers: Vec<ServerRow>,
    pub access: ClusterAccess,
    /// Endpoints found by the last sync.
    pub known: Vec<KnownServer>,
}

/// A server with everything that is needed to reach it and its cluster.
#[derive(Clone, Debug)]
pub struct Target {
    pub cluster: Arc<ClusterRow>,
    pub server: ServerRow,
    /// All of its cluster, as last read.
    pub servers: Arc<[ServerRow]>,
    pub access: Arc<ClusterAccess>,
    /// Endpoints found by the last sync.
    pub known: Arc<[KnownServer]>,
    pub host: HostAddress,
}

impl Target {
    /// What every session must prove of its cluster.
    pub fn expected(&self) -> Expected {
        Expected {
            identity: Some(self.cluster.identity.clone()),
            target: Some((self.server.addr, self.server.ob_server_id)),
        }
    }

    /// As a task keeps it.
    pub fn task_server(&self) -> TaskServer {
        let row = &self.server;
        TaskServer { id: row.id, addr: row.addr, ob_server_id: row.ob_server_id, zone: row.zone.clone() }
    }

    /// By what an agent finds the server's process.
    pub fn observer(&self) -> ObserverTarget {
        ObserverTarget {
            address: self.server.addr,
            sql_port: self.server.sql_port,
            cluster_name: self.cluster.identity.name.clone(),
            ob_cluster_id: self.cluster.identity.ob_cluster_id,
        }
    }
}

#[derive(Clone)]
pub struct Inventory {
    store: Arc<dyn InventoryStore>,
    oceanbase: Arc<dyn OceanBase>,
    clock: Clock,
}

impl Inventory {
    pub fn new(store: Arc<dyn InventoryStore>, oceanbase: Arc<dyn OceanBase>, clock: Clock) -> Self {
        Self { store, oceanbase, clock }
    }

    pub const fn store(&self) -> &Arc<dyn InventoryStore> {
        &self.store
    }

    pub async fn cluster(&self, id: ClusterId) -> Result<ClusterRow, InventoryError> {
        self.store.cluster(id).await?.ok_or(InventoryError::ClusterNotFound(id))
    }

    /// A server with the routes to it and its cluster.
    pub async fn target(&self, cluster: ClusterId, server: ServerId) -> Result<Target, InventoryError> {
        let found = self.targets(cluster, |row| row.id == server).await?.pop();
        found.ok_or(InventoryError::ServerNotFound { cluster, server })
    }

    /// These servers likewise, ascending by id.
    pub async fn targets(
        &self,
        cluster: ClusterId,
        wanted: impl Fn(&ServerRow) -> bool,
    ) -> Result<Vec<Target>, InventoryError> {
        let RecordedCluster { cluster: row, servers, hosts } = self.recorded(cluster).await?;
        let access = Arc::new(access(&row.endpoints, &row.username, &row.password)?);
        let known = known_servers(&servers).into();
        let (row, servers): (_, Arc<[ServerRow]>) = (Arc::new(row), servers.into());
        let mut targets: Vec<Target> = servers
            .iter()
            .filter(|server| wanted(server))
            .map(|server| Target {
                cluster: Arc::clone(&row),
                server: server.clone(),
                servers: Arc::clone(&servers),
                access: Arc::clone(&access),
                known: Arc::clone(&known),
                host: host_address(&row.default_host, &hosts, server),
            })
            .collect();
        targets.sort_by_key(|target| target.server.id);
        Ok(targets)
    }

    pub async fn route(&self, cluster: ClusterId) -> Result<ClusterRoute, InventoryError> {
        let RecordedCluster { cluster: row, servers, hosts: _ } = self.recorded(cluster).await?;
        let access = access(&row.endpoints, &row.username, &row.password)?;
        Ok(ClusterRoute { access, known: known_servers(&servers), cluster: row, servers })
    }

    async fn recorded(&self, id: ClusterId) -> Result<RecordedCluster, InventoryError> {
        self.store.recorded(id).await?.ok_or(InventoryError::ClusterNotFound(id))
    }

    /// Reads a cluster that is not registered yet.
    pub async fn discover(&self, access: &ClusterAccess) -> Result<Discovery, ClusterError> {
        let mut reader = self.oceanbase.reader(access, &[], &Expected::default(), &Default::default()).await?;
        reader.discover().await
    }

    /// Reads a registered cluster and records what is observed. Returns the changes, described for people.
    pub async fn sync(&self, id: ClusterId) -> Result<Vec<String>, InventoryError> {
        self.sync_as(id, None).await
    }

    /// As [`Inventory::sync`], on request: `audit` is recorded with what is observed.
    pub async fn sync_as(&self, id: ClusterId, audit: Option<AuditRecord>) -> Result<Vec<String>, InventoryError> {
        let RecordedCluster { cluster: row, servers, hosts: _ } = self.recorded(id).await?;
        let known = known_servers(&servers);
        let access = access(&row.endpoints, &row.username, &row.password)?;
        let expected = Expected { identity: Some(row.identity.clone()), target: None };
        let read = async {
            let mut reader = self.oceanbase.reader(&access, &known, &expected, &Default::default()).await?;
            reader.discover().await
        };
        let read = tokio::time::timeout(LONGEST_READING, read).await.unwrap_or_else(|_| {
            let message = format!("cluster {} was not read within {} s", row.identity.name, LONGEST_READING.as_secs());
            Err(ClusterError::new(ErrorClass::Unreachable, message))
        });
        match read {
            Ok(discovery) => Ok(self.store.observe(id, observation(&discovery), audit).await?),
            Err(error) => {
                self.store.observe_failed(id, self.clock.now(), error.to_string()).await?;
                Err(error.into())
            }
        }
    }
}

/// How a cluster is reached, from its stored row.
pub fn access(
    endpoints: &[String],
    username: &str,
    password: &secrecy::SecretString,
) -> Result<ClusterAccess, ClusterError> {
    let endpoints: Result<Vec<Endpoint>, ClusterError> =
        endpoints.iter().map(|text| Endpoint::from_str(text)).collect();
    Ok(ClusterAccess { endpoints: endpoints?, username: username.to_owned(), password: password.clone() })
}

/// Translates a reading for the store.
pub fn observation(discovery: &Discovery) -> ClusterObservation {
    let micros = |duration: &crate::domain::reading::Fact<std::time::Duration>| {
        duration.as_ref().ok().and_then(|duration| i64::try_from(duration.as_micros()).ok()).unwrap_or_default()
    };
    ClusterObservation {
        observed_at: discovery.observed_at,
        zones: discovery.zones.iter().map(zone_observation).collect(),
        servers: discovery.servers.iter().map(server_observation).collect(),
        lease_time_micros: micros(&discovery.parameters.lease_time),
        permanent_offline_micros: micros(&discovery.parameters.server_permanent_offline_time),
    }
}

fn zone_observation(zone: &ZoneReading) -> ZoneObservation {
    ZoneObservation {
        name: zone.name.clone(),
        inner_status: zone.status,
        region: zone.region.clone(),
        idc: zone.idc.clone(),
    }
}

fn server_observation(server: &ServerReading) -> ServerObservation {
    ServerObservation {
        addr: server.addr,
        ob_server_id: server.ob_server_id,
        zone: server.zone.clone(),
        sql_port: server.sql_port,
        inner_status: server.status,
        stop_time: server.stop_time,
        start_service_time: server.start_service_time,
        last_offline_time: server.last_offline_time,
        with_rootserver: server.with_rootserver,
        build_version: server.build_version.clone(),
    }
}

/// Whether a task of ours ended every process of the cluster, and nobody read it since.
pub fn is_stopped_as_a_whole(cluster: &ClusterRow) -> bool {
    cluster.managed_status == Some(ClusterStatus::Stopped) && !cluster.sync_error.is_empty()
}

/// Translates a stored server for the rules. The rows of a cluster that was stopped as a whole are from before: nobody hears from
/// a server whose process was ended then.
pub fn recorded_reading(cluster: &ClusterRow, server: &ServerRow) -> ServerReading {
    let ended = is_stopped_as_a_whole(cluster) && server.managed_status == Some(ServerStatus::Stopped);
    ServerReading {
        addr: server.addr,
        ob_server_id: server.ob_server_id,
        zone: server.zone.clone(),
        sql_port: server.sql_port,
        with_rootserver: server.with_rootserver,
        status: match server.inner_status {
            InnerStatus::Active if ended => InnerStatus::Inactive,
            status => status,
        },
        start_service_time: server.start_service_time,
        stop_time: server.stop_time,
        last_offline_time: server.last_offline_time,
        create_time: None,
        build_version: server.build_version.clone(),
    }
}

fn known_servers(servers: &[ServerRow]) -> Vec<KnownServer> {
    let known = servers.iter().map(|server| KnownServer {
        addr: server.addr,
        sql_port: server.sql_port,
        zone: server.zone.clone(),
        active: server.inner_status == InnerStatus::Active && server.last_offline_time.is_none(),
    });
    known.collect()
}

fn host_address(default: &DefaultHost, hosts: &[(String, HostRoute)], server: &ServerRow) -> HostAddress {
    let ip = server.addr.ip();
    match hosts.iter().find(|(svr_ip, _)| *svr_ip == ip.to_string()).map(|(_, route)| route) {
        Some(HostRoute::Local) => HostAddress::Local,
        Some(HostRoute::Grpc { address }) => HostAddress::Grpc { address: address.clone() },
        Some(HostRoute::Ssh(destination)) => HostAddress::Ssh(destination.clone()),
        Some(HostRoute::None) => HostAddress::None,
        None => match default {
            DefaultHost::None => HostAddress::None,
            DefaultHost::Local => HostAddress::Local,
            DefaultHost::Grpc { port } => {
                HostAddress::Grpc { address: std::net::SocketAddr::new(ip, *port).to_string() }
            }
            DefaultHost::Ssh(login) => HostAddress::Ssh(login.at(ip)),
        },
    }
}
