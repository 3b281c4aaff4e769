//! Which server a command acts on, as it is named on the command line, and what is sent to be sure that it is that one.

use clap::{Args, value_parser};

use super::client::Client;
use super::failure::Failure;
use super::resolve::{self, ServerName, parse_server};
use crate::domain::ids::LARGEST_ID;

/// A server of a cluster.
#[derive(Debug, Args)]
pub struct OnServer {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER", required_unless_present = "cluster_id")]
    cluster: Option<String>,
    /// Server, by ip:rpc_port, IP or id
    #[arg(value_name = "SERVER", required_unless_present = "server_id", value_parser = parse_server)]
    server: Option<ServerName>,
    /// Cluster, by id
    #[arg(
        long,
        value_name = "ID",
        requires = "server_id",
        conflicts_with_all = ["cluster", "server"],
        value_parser = value_parser!(i64).range(1..=LARGEST_ID)
    )]
    cluster_id: Option<i64>,
    /// Server, by id
    #[arg(
        long,
        value_name = "ID",
        requires = "cluster_id",
        conflicts_with_all = ["cluster", "server"],
        value_parser = value_parser!(i64).range(1..=LARGEST_ID)
    )]
    server_id: Option<i64>,
}

impl OnServer {
    /// obsteward's ids of cluster and server; names are looked up.
    pub async fn ids(&self, client: &Client) -> Result<(i64, i64), Failure> {
        match (self.cluster_id, self.server_id, &self.cluster, &self.server) {
            (Some(cluster_id), Some(server_id), _, _) => Ok((cluster_id, server_id)),
            (_, _, Some(cluster), Some(server)) => {
                let cluster_id = resolve::cluster(client, cluster).await?;
                Ok((cluster_id, resolve::server(client, cluster_id, server).await?))
            }
            (_, _, _, _) => Err(Failure::Usage("name the cluster and the server: CLUSTER SERVER".to_owned())),
        }
    }

    /// The address that was named; empty when something else was.
    pub fn address(&self) -> String {
        match &self.server {
            Some(ServerName::Address(address)) => address.to_string(),
            Some(ServerName::Ip(_) | ServerName::Id(_)) | None => String::new(),
        }
    }

    /// Refuses another server than the named one: between the look-up and another answer an id could have come to mean
    /// another server.
    pub fn is(&self, address: &str) -> Result<(), Failure> {
        match self.address() {
            named if named.is_empty() || named == address => Ok(()),
            named => Err(Failure::Refused(format!(
                "{named} was asked for, but the plan is for {address}, nothing was changed"
            ))),
        }
    }
}
