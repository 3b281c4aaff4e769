//! Reads clusters, zones, servers and hosts, and translates the stored form of routes.

use super::conditions::{Conditions, cluster_order};
use super::database::Database;
use super::task_read::total;
use super::value::{SqlRow, SqlValue, damaged};
use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, ClusterIdentity, ClusterKey, ServerId};
use crate::store::inventory::{
    ClusterFilter, ClusterOrder, ClusterRow, DefaultHost, HostRoute, RecordedCluster, ServerRow, ZoneRow,
};
use crate::store::vault::{SecretLocation, Vault};
use crate::store::{Page, StoreError};

const CLUSTER: &str = "SELECT id, name, ob_cluster_id, fingerprint, endpoints, username, password, default_host, \
                       managed_status, observed_us, sync_error, lease_time_us, permanent_offline_us FROM cluster";

pub async fn cluster(database: &mut Database, id: &ClusterId) -> Result<Option<ClusterRow>, StoreError> {
    one(database, "id", id.get().into()).await
}

pub async fn cluster_of(database: &mut Database, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError> {
    one(database, "cluster_key", key.as_str().into()).await
}

async fn one(database: &mut Database, column: &str, value: SqlValue) -> Result<Option<ClusterRow>, StoreError> {
    let row = database.row(&format!("{CLUSTER} WHERE {column} = ?"), vec![value]).await?;
    row.map(|row| cluster_row(&row, 0, &database.vault)).transpose()
}

pub async fn clusters(
    database: &mut Database,
    (filter, above, limit): &(ClusterFilter, Option<ClusterId>, u32),
) -> Result<Vec<ClusterRow>, StoreError> {
    let Conditions { text, mut values } = Conditions::of_clusters_above(filter, *above, database.dialect());
    values.push((*limit).into());
    let rows = database.rows(&format!("{CLUSTER} WHERE {text} ORDER BY id LIMIT ?"), values).await?;
    rows.iter().map(|row| cluster_row(row, 0, &database.vault)).collect()
}

/// A page of the clusters that pass a filter, and how many pass in all.
pub async fn page(
    database: &mut Database,
    (filter, page): &(ClusterFilter, Page<ClusterOrder>),
) -> Result<(Vec<ClusterRow>, u64), StoreError> {
    let Conditions { text, values } = Conditions::of_clusters(filter, database.dialect());
    let order = cluster_order(*page).clause();
    let sql = format!(
        "SELECT c.total, p.* FROM (SELECT count(*) AS total FROM cluster WHERE {text}) c \
         LEFT JOIN ({CLUSTER} WHERE {text} ORDER BY {order} LIMIT ? OFFSET ?) p ON true ORDER BY {order}"
    );
    let bounds: [SqlValue; 2] = [page.limit.into(), page.offset.into()];
    let rows = database.rows(&sql, values.iter().cloned().chain(values.clone()).chain(bounds).collect()).await?;
    let clusters = rows.iter().filter(|row| !row.is_null(1)).map(|row| cluster_row(row, 1, &database.vault));
    Ok((clusters.collect::<Result<_, _>>()?, total(&rows)?))
}

/// `first`: the column of the id.
fn cluster_row(row: &SqlRow, first: usize, vault: &Vault) -> Result<ClusterRow, StoreError> {
    let id = row.id(first, ClusterId::new)?;
    let identity = ClusterIdentity {
        name: row.owned_text(first + 1)?,
        ob_cluster_id: row.int(first + 2)?,
        fingerprint: row.owned_text(first + 3)?,
    };
    Ok(ClusterRow {
        id,
        identity,
        endpoints: serde_json::from_str(row.text(first + 4)?).map_err(damaged)?,
        username: row.owned_text(first + 5)?,
        password: vault.open(SecretLocation::ClusterPassword(id), row.text(first + 6)?).map_err(damaged)?,
        default_host: default_host(row.text(first + 7)?)?,
        managed_status: row.optional_word(first + 8)?,
        observed_at: row.moment(first + 9)?,
        sync_error: row.owned_text(first + 10)?,
        lease_time_micros: row.int(first + 11)?,
        permanent_offline_micros: row.int(first + 12)?,
    })
}

/// Ascending by name.
pub async fn zones(database: &mut Database, cluster: &ClusterId) -> Result<Vec<ZoneRow>, StoreError> {
    let sql = "SELECT name, inner_status, region, idc, managed_status FROM zone WHERE cluster = ? ORDER BY name";
    let zone = |row: &SqlRow| {
        Ok(ZoneRow {
            name: row.word(0)?,
            inner_status: row.word(1)?,
            region: row.owned_text(2)?,
            idc: row.owned_text(3)?,
            managed_status: row.optional_word(4)?,
        })
    };
    database.rows(sql, vec![cluster.get().into()]).await?.iter().map(zone).collect()
}

/// Ascending by id.
pub async fn servers(database: &mut Database, cluster: &ClusterId) -> Result<Vec<ServerRow>, StoreError> {
    let sql = "SELECT id, addr, ob_server_id, zone, sql_port, managed_status, inner_status, stop_us, start_service_us, \
               last_offline_us, with_rootserver, build_version, observed_us FROM server WHERE cluster = ? ORDER BY id";
    let server = |row: &SqlRow| {
        Ok(ServerRow {
            id: row.id(0, ServerId::new)?,
            cluster: *cluster,
            addr: row.word(1)?,
            ob_server_id: row.int(2)?,
            zone: row.word(3)?,
            sql_port: u16::try_from(row.int(4)?).map_err(damaged)?,
            managed_status: row.optional_word(5)?,
            inner_status: row.word(6)?,
            stop_time: row.moment(7)?,
            start_service_time: row.moment(8)?,
            last_offline_time: row.moment(9)?,
            with_rootserver: row.int(10)? != 0,
            build_version: row.owned_text(11)?,
            observed_at: Timestamp::from_micros(row.int(12)?),
        })
    };
    database.rows(sql, vec![cluster.get().into()]).await?.iter().map(server).collect()
}

/// By `svr_ip`.
pub async fn hosts(database: &mut Database, cluster: &ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError> {
    let sql = "SELECT svr_ip, route FROM host WHERE cluster = ? ORDER BY svr_ip";
    let rows = database.rows(sql, vec![cluster.get().into()]).await?;
    rows.iter().map(|row| Ok((row.owned_text(0)?, route(row.text(1)?)?))).collect()
}

pub async fn recorded(database: &mut Database, id: &ClusterId) -> Result<Option<RecordedCluster>, StoreError> {
    let Some(cluster) = cluster(database, id).await? else { return Ok(None) };
    let (servers, hosts) = (servers(database, id).await?, hosts(database, id).await?);
    Ok(Some(RecordedCluster { cluster, servers, hosts }))
}

/// As stored: `none`, `local`, `grpc host:port`, `ssh [user@]host[:port]`.
pub fn route_text(route: &HostRoute) -> String {
    match route {
        HostRoute::None => "none".to_owned(),
        HostRoute::Local => "local".to_owned(),
        HostRoute::Grpc { address } => format!("grpc {address}"),
        HostRoute::Ssh(destination) => format!("ssh {destination}"),
    }
}

fn route(text: &str) -> Result<HostRoute, StoreError> {
    let (way, place) = text.split_once(' ').unwrap_or((text, ""));
    match (way, place) {
        ("none", "") => Ok(HostRoute::None),
        ("local", "") => Ok(HostRoute::Local),
        ("grpc", address) => Ok(HostRoute::Grpc { address: address.to_owned() }),
        ("ssh", destination) => destination.parse().map(HostRoute::Ssh).map_err(damaged),
        _ => Err(damaged(format!("{text:?} is not a route to a host"))),
    }
}

/// As stored: `none`, `local`, `grpc port`, `ssh [user@][:port]`.
pub fn default_host_text(default_host: &DefaultHost) -> String {
    match default_host {
        DefaultHost::None => "none".to_owned(),
        DefaultHost::Local => "local".to_owned(),
        DefaultHost::Grpc { port } => format!("grpc {port}"),
        DefaultHost::Ssh(login) => format!("ssh {login}").trim_end().to_owned(),
    }
}

fn default_host(text: &str) -> Result<DefaultHost, StoreError> {
    let (way, place) = text.split_once(' ').unwrap_or((text, ""));
    match (way, place) {
        ("none", "") => Ok(DefaultHost::None),
        ("local", "") => Ok(DefaultHost::Local),
        ("grpc", port) => port.parse().map(|port| DefaultHost::Grpc { port }).map_err(damaged),
        ("ssh", login) => login.parse().map(DefaultHost::Ssh).map_err(damaged),
        _ => Err(damaged(format!("{text:?} is not a default route to hosts"))),
    }
}
