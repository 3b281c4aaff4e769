//! From what a person types to ids: a cluster by name or id, a server by address, IP or id.

use std::net::IpAddr;

use super::client::{Client, READ_TIMEOUT};
use super::failure::Failure;
use super::pages;
use crate::domain::ids::ServerAddr;
use crate::proto::v1;

/// How a server was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// By its id here.
    Id(i64),
    /// By `ip:rpc_port`.
    Address(ServerAddr),
    /// By its IP alone, which must be the only one of the cluster.
    Ip(IpAddr),
}

pub fn parse_server(text: &str) -> Result<ServerName, String> {
    if let Ok(id) = text.parse::<i64>() {
        return Ok(ServerName::Id(id));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ServerName::Ip(ip));
    }
    match text.parse::<ServerAddr>() {
        Ok(address) => Ok(ServerName::Address(address)),
        Err(_) => {
            Err(format!("{text:?} is not a server, write its id, its IP or ip:rpc_port, for example 10.0.0.2:2882"))
        }
    }
}

/// The id of a cluster that was named by id or name.
pub async fn cluster(client: &Client, named: &str) -> Result<i64, Failure> {
    if let Ok(id) = named.parse::<i64>() {
        return Ok(id);
    }
    let request = v1::ListClustersRequest { name: named.to_owned(), ..Default::default() };
    let found = client.call("list clusters", READ_TIMEOUT, client.clusters().list_clusters(request)).await?.clusters;
    one_cluster(named, &found)
}

fn one_cluster(named: &str, found: &[v1::Cluster]) -> Result<i64, Failure> {
    match found {
        [] => Err(Failure::Refused(format!(
            "no cluster is named {named:?}, see the clusters with: obsteward clusters list"
        ))),
        [cluster] => Ok(cluster.id),
        several => {
            let ids: Vec<_> = several.iter().map(|cluster| cluster.id.to_string()).collect();
            Err(Failure::Usage(format!(
                "{} clusters are named {named:?}, name one by its id: {}",
                several.len(),
                ids.join(", ")
            )))
        }
    }
}

/// The id of a server that was named by address, IP or id.
pub async fn server(client: &Client, cluster_id: i64, named: &ServerName) -> Result<i64, Failure> {
    match named {
        ServerName::Id(id) => Ok(*id),
        ServerName::Address(_) | ServerName::Ip(_) => {
            one_server(cluster_id, named, &servers(client, cluster_id, "").await?)
        }
    }
}

/// All servers of a cluster, or of one of its zones.
pub async fn servers(client: &Client, cluster_id: i64, zone: &str) -> Result<Vec<v1::ObServer>, Failure> {
    pages::all(async |page_size, page_token| {
        let request = v1::ListServersRequest { cluster_id, zone: zone.to_owned(), page_size, page_token };
        let page = client.call("list servers", READ_TIMEOUT, client.servers().list_servers(request)).await?;
        Ok((page.servers, page.next_page_token))
    })
    .await
}

fn one_server(cluster_id: i64, named: &ServerName, servers: &[v1::ObServer]) -> Result<i64, Failure> {
    let (text, matching): (String, Vec<_>) = match named {
        ServerName::Id(id) => (id.to_string(), servers.iter().filter(|server| server.id == *id).collect()),
        ServerName::Address(address) => {
            (address.to_string(), servers.iter().filter(|server| address_of(server) == Some(*address)).collect())
        }
        ServerName::Ip(ip) => {
            (ip.to_string(), servers.iter().filter(|server| server.ip.parse().ok() == Some(*ip)).collect())
        }
    };
    match matching.as_slice() {
        [server] => Ok(server.id),
        [] => Err(Failure::Refused(format!(
            "cluster {cluster_id} has no server {text}, see its servers with: obsteward servers list {cluster_id}"
        ))),
        several => Err(Failure::Usage(format!(
            "{} servers of cluster {cluster_id} match {text}, write ip:rpc_port or the id",
            several.len()
        ))),
    }
}

/// Address of a server as OceanBase knows it: IP and RPC port.
pub fn address_of(server: &v1::ObServer) -> Option<ServerAddr> {
    ServerAddr::new(server.ip.parse().ok()?, u16::try_from(server.rpc_port).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_at(id: i64, ip: &str, rpc_port: i32) -> v1::ObServer {
        v1::ObServer { id, ip: ip.to_owned(), rpc_port, ..Default::default() }
    }

    #[test]
    fn servers_are_named_by_id_ip_or_address() {
        assert_eq!(parse_server("7"), Ok(ServerName::Id(7)));
        assert_eq!(parse_server("10.0.0.2"), Ok(ServerName::Ip("10.0.0.2".parse().unwrap())));
        assert_eq!(parse_server("[fd00::2]:2882"), Ok(ServerName::Address("[fd00::2]:2882".parse().unwrap())));
        assert!(parse_server("db-2").unwrap_err().contains("ip:rpc_port"));
    }

    #[test]
    fn exactly_one_server_or_none_is_taken() {
        let servers = [server_at(1, "10.0.0.1", 2882), server_at(2, "10.0.0.2", 2882), server_at(3, "10.0.0.2", 3882)];
        let find = |text: &str| one_server(1, &parse_server(text).unwrap(), &servers);
        assert_eq!(find("10.0.0.1").unwrap(), 1);
        assert_eq!(find("10.0.0.2:3882").unwrap(), 3);
        assert!(matches!(find("10.0.0.2"), Err(Failure::Usage(_))));
        assert!(matches!(find("10.0.0.9"), Err(Failure::Refused(_))));
    }

    #[test]
    fn the_sql_port_does_not_name_a_server() {
        let mut server = server_at(1, "10.0.0.1", 2882);
        server.sql_port = 2881;
        assert!(one_server(1, &parse_server("10.0.0.1:2881").unwrap(), &[server]).is_err());
    }

    #[test]
    fn cluster_names_must_be_unique() {
        let cluster = |id| v1::Cluster { id, name: "ob".to_owned(), ..Default::default() };
        assert_eq!(one_cluster("ob", &[cluster(4)]).unwrap(), 4);
        assert!(matches!(one_cluster("ob", &[]), Err(Failure::Refused(_))));
        let Err(Failure::Usage(text)) = one_cluster("ob", &[cluster(4), cluster(9)]) else { panic!("taken") };
        assert!(text.ends_with("4, 9"), "{text}");
    }
}
