//! Clusters.

use serde::Serialize;

use crate::cli::{times, words};
use crate::proto::v1;

/// A registered cluster.
#[derive(Debug, Serialize)]
pub struct ClusterDoc {
    id: i64,
    name: String,
    ob_cluster_id: i64,
    status: String,
    endpoints: Vec<String>,
    username: String,
    zones: Vec<ZoneDoc>,
    hosts: Vec<HostDoc>,
    observed_at: Option<String>,
    operating_task_id: i64,
    sync_error: String,
    version: String,
    server_count: i32,
    default_host: Option<DefaultHostDoc>,
}

#[derive(Debug, Serialize)]
struct DefaultHostDoc {
    transport: String,
    agent_port: i32,
    ssh_user: String,
    ssh_port: i32,
}

#[derive(Debug, Serialize)]
struct ZoneDoc {
    name: String,
    status: String,
    inner_status: String,
    region: String,
    idc: String,
}

#[derive(Debug, Serialize)]
struct HostDoc {
    svr_ip: String,
    transport: String,
    agent_address: String,
    ssh_destination: String,
}

/// Every cluster.
#[derive(Debug, Serialize)]
pub struct ClustersDoc {
    /// Ascending by id.
    pub clusters: Vec<ClusterDoc>,
}

/// A cluster as just read.
#[derive(Debug, Serialize)]
pub struct SyncDoc {
    cluster: Option<ClusterDoc>,
    differences: Vec<String>,
    elapsed_ms: Option<u64>,
}

impl From<&v1::Cluster> for ClusterDoc {
    fn from(cluster: &v1::Cluster) -> Self {
        Self {
            id: cluster.id,
            name: cluster.name.clone(),
            ob_cluster_id: cluster.ob_cluster_id,
            status: cluster.status.clone(),
            endpoints: cluster.endpoints.clone(),
            username: cluster.username.clone(),
            zones: cluster.zones.iter().map(ZoneDoc::from).collect(),
            hosts: cluster.hosts.iter().map(HostDoc::from).collect(),
            observed_at: times::rfc3339(cluster.observed_at.as_ref()),
            operating_task_id: cluster.operating_task_id,
            sync_error: cluster.sync_error.clone(),
            version: cluster.version.clone(),
            server_count: cluster.server_count,
            default_host: cluster.default_host.as_ref().map(|host| DefaultHostDoc {
                transport: words::transport(host.transport).into_owned(),
                agent_port: host.agent_port,
                ssh_user: host.ssh_user.clone(),
                ssh_port: host.ssh_port,
            }),
        }
    }
}

impl From<&v1::Zone> for ZoneDoc {
    fn from(zone: &v1::Zone) -> Self {
        Self {
            name: zone.name.clone(),
            status: zone.status.clone(),
            inner_status: zone.inner_status.clone(),
            region: zone.region.clone(),
            idc: zone.idc.clone(),
        }
    }
}

impl From<&v1::Host> for HostDoc {
    fn from(host: &v1::Host) -> Self {
        Self {
            svr_ip: host.svr_ip.clone(),
            transport: words::transport(host.transport).into_owned(),
            agent_address: host.agent_address.clone(),
            ssh_destination: host.ssh_destination.clone(),
        }
    }
}

impl From<&v1::SyncClusterResponse> for SyncDoc {
    fn from(response: &v1::SyncClusterResponse) -> Self {
        Self {
            cluster: response.cluster.as_ref().map(ClusterDoc::from),
            differences: response.differences.clone(),
            elapsed_ms: elapsed(response).map(|elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// How long a reading took.
pub fn elapsed(response: &v1::SyncClusterResponse) -> Option<std::time::Duration> {
    std::time::Duration::try_from(response.elapsed?).ok()
}
