//! Registers, changes and removes clusters, each in the transaction of its batch and with its audit record: first every check,
//! then every write.

use rusqlite::{Connection, OptionalExtension, params};
use secrecy::SecretString;

use super::inventory_read::{default_host_text, route_text};
use super::{commit, observe, read};
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::store::inventory::{ClusterChange, DeregisterOutcome, HostRoute, NewCluster, RegisterOutcome};
use crate::store::vault::{SecretLocation, Vault};
use crate::store::{AuditRecord, StoreError};

/// Result of a change: an error of SQL is fatal, a [`StoreError`] is a refusal that wrote nothing.
pub(super) type Changed<T> = rusqlite::Result<Result<T, StoreError>>;

pub(super) fn register(
    connection: &Connection,
    vault: &Vault,
    new: &NewCluster,
    record: &AuditRecord,
) -> Changed<RegisterOutcome> {
    let key = new.identity.key();
    let known = connection
        .prepare_cached("SELECT id FROM cluster WHERE cluster_key = ?1")?
        .query_row([key.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(cluster_id(id).map(RegisterOutcome::AlreadyRegistered));
    }
    if let Some(taken) = taken(connection, new)? {
        return Ok(Ok(taken));
    }
    let id = match new.id {
        Some(id) => id,
        None => match cluster_id(next_id(connection, "cluster")?) {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        },
    };
    let password = match seal(vault, id, &new.password) {
        Ok(password) => password,
        Err(error) => return Ok(Err(error)),
    };
    if new.id.is_some() {
        advance_counter(connection, "cluster", id.get())?;
    }
    for (_, server) in &new.server_ids {
        advance_counter(connection, "server", server.get())?;
    }
    connection.execute(
        "INSERT INTO cluster (id, cluster_key, name, ob_cluster_id, fingerprint, endpoints, username, password, \
         default_host, managed_status, observed_us, sync_error, lease_time_us, permanent_offline_us) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, NULL, '', 0, 0)",
        params![
            id.get(),
            key.as_str(),
            new.identity.name,
            new.identity.ob_cluster_id,
            new.identity.fingerprint,
            serde_json::json!(new.endpoints).to_string(),
            new.username,
            password,
            default_host_text(&new.default_host)
        ],
    )?;
    // The lock's row outlives the registration: its fence must never decrease.
    connection.execute(
        "INSERT INTO cluster_lock (cluster_key, holder, fence) VALUES (?1, NULL, 0) ON CONFLICT DO NOTHING",
        [key.as_str()],
    )?;
    write_hosts(connection, id, &new.hosts)?;
    observe::first(connection, id, &new.observation, &new.server_ids)?;
    // Its id is known only now.
    commit::audit(connection, &AuditRecord { cluster: Some(id), ..record.clone() })?;
    Ok(Ok(RegisterOutcome::Done(id)))
}

fn seal(vault: &Vault, cluster: ClusterId, password: &SecretString) -> Result<String, StoreError> {
    vault
        .seal(SecretLocation::ClusterPassword(cluster), password)
        .map_err(|error| StoreError::Failed(error.to_string()))
}

/// The first id chosen by the caller that is in use already.
fn taken(connection: &Connection, new: &NewCluster) -> rusqlite::Result<Option<RegisterOutcome>> {
    let is_taken = |sql: &str, id: i64| connection.prepare_cached(sql)?.exists([id]);
    if let Some(id) = new.id
        && is_taken("SELECT 1 FROM cluster WHERE id = ?1", id.get())?
    {
        return Ok(Some(RegisterOutcome::IdTaken { what: "cluster", id: id.get() }));
    }
    for (index, (_, id)) in new.server_ids.iter().enumerate() {
        let twice = new.server_ids.iter().take(index).any(|(_, other)| other == id);
        if twice || is_taken("SELECT 1 FROM server WHERE id = ?1", id.get())? {
            return Ok(Some(RegisterOutcome::IdTaken { what: "server", id: id.get() }));
        }
    }
    Ok(None)
}

/// Raises the counter above an id that a caller chose, so that it is never given out again.
pub(super) fn advance_counter(connection: &Connection, counter: &str, id: i64) -> rusqlite::Result<()> {
    connection
        .execute("INSERT INTO chosen_id (counter, id) VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![counter, id])?;
    Ok(())
}

/// The next id of a small counter that no caller has chosen.
pub(super) fn next_id(connection: &Connection, counter: &str) -> rusqlite::Result<i64> {
    let mut chosen = connection.prepare_cached("SELECT 1 FROM chosen_id WHERE counter = ?1 AND id = ?2")?;
    loop {
        // No row: 2^53 registrations, which no file can hold.
        let id = commit::reserve(connection, counter, 1)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        if !chosen.exists(params![counter, id])? {
            return Ok(id);
        }
    }
}

/// The id of a new server: the one chosen for its address, or the next.
pub(super) fn server_id(
    connection: &Connection,
    addr: ServerAddr,
    chosen: &[(ServerAddr, ServerId)],
) -> rusqlite::Result<i64> {
    if let Some((_, id)) = chosen.iter().find(|(of, _)| *of == addr) {
        let mut given = connection.prepare_cached("SELECT 1 FROM server WHERE id = ?1")?;
        // Two rows with one address: the second is another server.
        if !given.exists([id.get()])? {
            return Ok(id.get());
        }
    }
    next_id(connection, "server")
}

/// False: no such cluster.
pub(super) fn update(
    connection: &Connection,
    vault: &Vault,
    cluster: ClusterId,
    change: &ClusterChange,
    record: &AuditRecord,
) -> Changed<bool> {
    let ClusterChange { endpoints, username, password, hosts, default_host } = change;
    let password = match password.as_ref().map(|password| seal(vault, cluster, password)).transpose() {
        Ok(password) => password,
        Err(error) => return Ok(Err(error)),
    };
    let changed = connection.execute(
        "UPDATE cluster SET endpoints = coalesce(?2, endpoints), username = coalesce(?3, username), \
         password = coalesce(?4, password), default_host = coalesce(?5, default_host) WHERE id = ?1",
        params![
            cluster.get(),
            endpoints.as_ref().map(|endpoints| serde_json::json!(endpoints).to_string()),
            username,
            password,
            default_host.as_ref().map(default_host_text)
        ],
    )?;
    if changed == 0 {
        return Ok(Ok(false));
    }
    if let Some(hosts) = hosts {
        connection.execute("DELETE FROM host WHERE cluster = ?1", [cluster.get()])?;
        write_hosts(connection, cluster, hosts)?;
    }
    commit::audit(connection, record)?;
    Ok(Ok(true))
}

/// Removes a cluster that no task holds; its tasks and its lock's row stay.
pub(super) fn deregister(
    connection: &Connection,
    cluster: ClusterId,
    record: &AuditRecord,
) -> Changed<DeregisterOutcome> {
    let key: Option<String> = connection
        .query_row("SELECT cluster_key FROM cluster WHERE id = ?1", [cluster.get()], |row| row.get(0))
        .optional()?;
    let Some(key) = key else { return Ok(Ok(DeregisterOutcome::NotFound)) };
    if let Some(task) = read::holder(connection, &key)? {
        return Ok(Ok(DeregisterOutcome::Held { task }));
    }
    for sql in [
        "DELETE FROM host WHERE cluster = ?1",
        "DELETE FROM server WHERE cluster = ?1",
        "DELETE FROM zone WHERE cluster = ?1",
        "DELETE FROM cluster WHERE id = ?1",
    ] {
        connection.execute(sql, [cluster.get()])?;
    }
    commit::audit(connection, record)?;
    Ok(Ok(DeregisterOutcome::Done))
}

fn write_hosts(connection: &Connection, cluster: ClusterId, hosts: &[(String, HostRoute)]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO host (cluster, svr_ip, route) VALUES (?1, ?2, ?3) \
               ON CONFLICT (cluster, svr_ip) DO UPDATE SET route = excluded.route";
    let mut statement = connection.prepare_cached(sql)?;
    for (svr_ip, route) in hosts {
        statement.execute(params![cluster.get(), svr_ip, route_text(route)])?;
    }
    Ok(())
}

fn cluster_id(id: i64) -> Result<ClusterId, StoreError> {
    ClusterId::new(id).map_err(|error| StoreError::Damaged(format!("a cluster's id: {error}")))
}
