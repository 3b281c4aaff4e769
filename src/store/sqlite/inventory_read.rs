//! Reads clusters, zones, servers and hosts, and translates the stored form of routes.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::conditions::{Conditions, order_of_clusters};
use super::read::count;
use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, ClusterIdentity, ClusterKey, ServerId};
use crate::store::inventory::{ClusterFilter, ClusterOrder, ClusterRow, DefaultHost, HostRoute, ServerRow, ZoneRow};
use crate::store::vault::{SecretLocation, Vault};
use crate::store::{Page, StoreError};

const CLUSTER: &str = "SELECT id, name, ob_cluster_id, fingerprint, endpoints, username, password, default_host, \
                       managed_status, observed_us, sync_error, lease_time_us, permanent_offline_us FROM cluster";

pub(super) fn cluster(connection: &Connection, vault: &Vault, id: ClusterId) -> Result<Option<ClusterRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{CLUSTER} WHERE id = ?1"))?;
    let mut rows = statement.query([id.get()])?;
    rows.next()?.map(|row| cluster_row(row, vault)).transpose()
}

pub(super) fn cluster_of(
    connection: &Connection,
    vault: &Vault,
    key: &ClusterKey,
) -> Result<Option<ClusterRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{CLUSTER} WHERE cluster_key = ?1"))?;
    let mut rows = statement.query([key.as_str()])?;
    rows.next()?.map(|row| cluster_row(row, vault)).transpose()
}

/// `lease_time` and `server_permanent_offline_time` of a cluster as last read, microseconds.
pub(super) fn times(connection: &Connection, id: ClusterId) -> rusqlite::Result<Option<(i64, i64)>> {
    connection
        .prepare_cached("SELECT lease_time_us, permanent_offline_us FROM cluster WHERE id = ?1")?
        .query_row([id.get()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn clusters(
    connection: &Connection,
    vault: &Vault,
    filter: &ClusterFilter,
    above: Option<ClusterId>,
    limit: u32,
) -> Result<Vec<ClusterRow>, StoreError> {
    let Conditions { text, mut values } = Conditions::of_clusters_above(filter, above);
    values.push(i64::from(limit).into());
    select(connection, vault, &format!("{CLUSTER} WHERE {text} ORDER BY id LIMIT ?"), values)
}

/// A page of the clusters that pass a filter, and how many pass in all.
pub(super) fn page(
    connection: &Connection,
    vault: &Vault,
    filter: &ClusterFilter,
    page: Page<ClusterOrder>,
) -> Result<(Vec<ClusterRow>, u64), StoreError> {
    let Conditions { text, mut values } = Conditions::of_clusters(filter);
    let total = count(connection, &format!("SELECT count(*) FROM cluster WHERE {text}"), &values)?;
    let order = order_of_clusters(page);
    values.extend([i64::from(page.limit).into(), i64::from(page.offset).into()]);
    let sql = format!("{CLUSTER} WHERE {text} ORDER BY {order} LIMIT ? OFFSET ?");
    Ok((select(connection, vault, &sql, values)?, total))
}

fn select(
    connection: &Connection,
    vault: &Vault,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<ClusterRow>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut clusters = Vec::new();
    while let Some(row) = rows.next()? {
        clusters.push(cluster_row(row, vault)?);
    }
    Ok(clusters)
}

fn cluster_row(row: &Row<'_>, vault: &Vault) -> Result<ClusterRow, StoreError> {
    let id = ClusterId::new(row.get(0)?).map_err(damaged)?;
    let endpoints: String = row.get(4)?;
    let sealed: String = row.get(6)?;
    Ok(ClusterRow {
        id,
        identity: ClusterIdentity { name: row.get(1)?, ob_cluster_id: row.get(2)?, fingerprint: row.get(3)? },
        endpoints: serde_json::from_str(&endpoints).map_err(damaged)?,
        username: row.get(5)?,
        password: vault.open(SecretLocation::ClusterPassword(id), &sealed).map_err(damaged)?,
        default_host: default_host(&row.get::<_, String>(7)?)?,
        managed_status: optional_word(row.get(8)?)?,
        observed_at: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_micros),
        sync_error: row.get(10)?,
        lease_time_micros: row.get(11)?,
        permanent_offline_micros: row.get(12)?,
    })
}

/// Ascending by name.
pub(super) fn zones(connection: &Connection, cluster: ClusterId) -> Result<Vec<ZoneRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, inner_status, region, idc, managed_status FROM zone WHERE cluster = ?1 ORDER BY name",
    )?;
    let mut rows = statement.query([cluster.get()])?;
    let mut zones = Vec::new();
    while let Some(row) = rows.next()? {
        zones.push(ZoneRow {
            name: word(&row.get::<_, String>(0)?)?,
            inner_status: word(&row.get::<_, String>(1)?)?,
            region: row.get(2)?,
            idc: row.get(3)?,
            managed_status: optional_word(row.get(4)?)?,
        });
    }
    Ok(zones)
}

/// Ascending by id.
pub(super) fn servers(connection: &Connection, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, addr, ob_server_id, zone, sql_port, managed_status, inner_status, stop_us, start_service_us, \
         last_offline_us, with_rootserver, build_version, observed_us FROM server WHERE cluster = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([cluster.get()])?;
    let mut servers = Vec::new();
    while let Some(row) = rows.next()? {
        servers.push(ServerRow {
            id: ServerId::new(row.get(0)?).map_err(damaged)?,
            cluster,
            addr: word(&row.get::<_, String>(1)?)?,
            ob_server_id: row.get(2)?,
            zone: word(&row.get::<_, String>(3)?)?,
            sql_port: row.get(4)?,
            managed_status: optional_word(row.get(5)?)?,
            inner_status: word(&row.get::<_, String>(6)?)?,
            stop_time: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros),
            start_service_time: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
            last_offline_time: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_micros),
            with_rootserver: row.get(10)?,
            build_version: row.get(11)?,
            observed_at: Timestamp::from_micros(row.get(12)?),
        });
    }
    Ok(servers)
}

/// By `svr_ip`.
pub(super) fn hosts(connection: &Connection, cluster: ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT svr_ip, route FROM host WHERE cluster = ?1 ORDER BY svr_ip")?;
    let mut rows = statement.query([cluster.get()])?;
    let mut hosts = Vec::new();
    while let Some(row) = rows.next()? {
        hosts.push((row.get(0)?, route(&row.get::<_, String>(1)?)?));
    }
    Ok(hosts)
}

/// As stored: `none`, `local`, `grpc host:port`, `ssh [user@]host[:port]`.
pub(super) fn route_text(route: &HostRoute) -> String {
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
pub(super) fn default_host_text(default_host: &DefaultHost) -> String {
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

fn word<T>(text: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(damaged)
}

fn optional_word<T>(text: Option<String>) -> Result<Option<T>, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.as_deref().map(word).transpose()
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("the inventory: {error}"))
}
