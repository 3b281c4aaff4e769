//! The observers of a simulated cluster, as the service knows those of a cluster.

use obsteward::oceanbase::KnownServer;
use obsteward::sim::{SimCluster, SimServerInfo};

/// All of them.
pub fn known(sim: &SimCluster) -> Vec<KnownServer> {
    let known = |server: SimServerInfo| KnownServer {
        addr: server.address().parse().unwrap(),
        sql_port: server.sql_port,
        zone: server.zone.parse().unwrap(),
        active: true,
    };
    sim.servers().into_iter().map(known).collect()
}
