//! How hosts are reached: of a stage, and whether anything answers there.

use obsteward::domain::host::{Finding, ObserverTarget};
use obsteward::host::Host;
use obsteward::proto::v1;

use super::Stage;

impl Stage {
    /// Says how the host of a simulated server is reached.
    pub async fn reach(&self, sim_id: i64, host: v1::Host) {
        let host = v1::Host { svr_ip: self.info(sim_id).ip, ..host };
        let request = v1::UpdateClusterRequest {
            cluster_id: self.cluster_id,
            hosts: vec![host.clone()],
            update_mask: Some(prost_types::FieldMask { paths: vec!["hosts".to_owned()] }),
            ..Default::default()
        };
        let updated = self.clients.clusters.clone().update_cluster(request).await.unwrap().into_inner();
        assert_eq!(updated.cluster.unwrap().hosts, [host]);
    }
}

/// A host whose agent listens there.
pub fn by_grpc(address: impl std::fmt::Display) -> v1::Host {
    let (transport, agent_address) = (v1::HostTransport::Grpc as i32, address.to_string());
    v1::Host { transport, agent_address, ..Default::default() }
}

/// An observer that nobody runs.
fn nobodys() -> ObserverTarget {
    ObserverTarget {
        address: "127.0.0.1:1".parse().unwrap(),
        sql_port: 2,
        cluster_name: "nobody's".to_owned(),
        ob_cluster_id: 1,
    }
}

/// What comes of a look for an observer that nobody runs: `Ok` when an agent answered, else what is said.
pub async fn look(host: &dyn Host) -> Result<(), String> {
    match host.find(&nobodys()).await {
        Ok(found) => match found.finding {
            Finding::HostUnreachable { reason } => Err(reason),
            Finding::Running(_) | Finding::Absent { .. } | Finding::Ambiguous { .. } => Ok(()),
        },
        Err(error) => Err(error.to_string()),
    }
}
