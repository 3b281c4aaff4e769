//! Where the service keeps its own records, as the rules of a stop must know it: a shared store may be a tenant of a cluster that the
//! service itself tends. Plain data.

use std::fmt;
use std::net::SocketAddr;

use crate::domain::ids::{ClusterIdentity, ServerAddr};
use crate::domain::reading::{Fact, Unreadable};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreHome {
    /// In a file, or in a database that is no OceanBase.
    InNoCluster,
    /// In a tenant of an OceanBase.
    Tenant(StoreTenant),
    /// In an OceanBase that does not tell where.
    NotKnown(Unreadable),
}

/// A tenant that holds the store, as the store's own session sees it (docs/oceanbase.md#oceanbase-as-the-database-of-the-store).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTenant {
    /// `effective_tenant_id()`.
    pub tenant_id: i64,
    /// `host_ip()` and `rpc_port()`: the server that answered this time, behind OBProxy another one each time.
    pub answered_by: ServerAddr,
    /// The parameters `cluster` and `cluster_id`.
    pub cluster: Fact<(String, i64)>,
    /// What `store.url` leads to: servers, or a proxy in front of them. Empty when its name is not resolved.
    pub endpoints: Vec<SocketAddr>,
}

impl StoreTenant {
    /// Whether it is a tenant of this cluster, which has these servers. Name and id alone are those of every cluster that was set up
    /// without any of its own, so the server that answered must be one of these. Where name and id are not known that is all: an
    /// address that two clusters in separate networks have says too much then, and a stop that costs one of them a majority is
    /// refused for the other's sake.
    pub fn is_of(&self, identity: &ClusterIdentity, mut servers: impl Iterator<Item = ServerAddr>) -> bool {
        let named = match &self.cluster {
            Ok((name, ob_cluster_id)) => *name == identity.name && *ob_cluster_id == identity.ob_cluster_id,
            Err(_) => true,
        };
        named && servers.any(|server| server == self.answered_by)
    }
}

impl fmt::Display for StoreTenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "tenant {}", self.tenant_id)?;
        match &self.cluster {
            Ok((name, ob_cluster_id)) => write!(formatter, " of cluster {name} (cluster_id {ob_cluster_id})"),
            Err(_) => write!(formatter, " of the cluster of {}", self.answered_by),
        }
    }
}
