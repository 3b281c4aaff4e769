//! Registers, changes and removes clusters, each with its audit record.

use secrecy::SecretString;

use super::database::{Change, Database};
use super::ids::Ids;
use super::inventory_read::{default_host_text, route_text};
use super::statement::{OnConflict, Statement};
use super::value::SqlValue;
use super::{audit, observe, task_read};
use crate::domain::ids::ClusterId;
use crate::store::inventory::{ClusterChange, DeregisterOutcome, HostRoute, NewCluster, RegisterOutcome};
use crate::store::vault::{SecretLocation, Vault};
use crate::store::{AuditRecord, StoreError};

pub async fn register(
    database: &mut Database,
    (new, record): &(NewCluster, AuditRecord),
) -> Result<Change<RegisterOutcome>, StoreError> {
    let key = new.identity.key();
    let known = database.row("SELECT id FROM cluster WHERE cluster_key = ?", vec![key.as_str().into()]).await?;
    if let Some(known) = known {
        return Ok(Change::none(RegisterOutcome::AlreadyRegistered(known.id(0, ClusterId::new)?)));
    }
    if let Some(taken) = taken(database, new).await? {
        return Ok(Change::none(taken));
    }
    let mut cluster_ids = Ids::read(database, "cluster").await?;
    let mut server_ids = Ids::read(database, "server").await?;
    let id = match new.id {
        Some(id) => {
            cluster_ids.choose(id.get());
            id
        }
        None => ClusterId::new(cluster_ids.next(database).await?)
            .map_err(|error| StoreError::Damaged(format!("a cluster's id: {error}")))?,
    };
    new.server_ids.iter().for_each(|(_, server)| server_ids.choose(server.get()));
    let password = seal(&database.vault, id, &new.password)?;
    let cluster = Statement::insert(
        "cluster",
        [
            ("id", id.get().into()),
            ("cluster_key", key.as_str().into()),
            ("name", new.identity.name.as_str().into()),
            ("ob_cluster_id", new.identity.ob_cluster_id.into()),
            ("fingerprint", new.identity.fingerprint.as_str().into()),
            ("endpoints", endpoints_text(&new.endpoints).into()),
            ("username", new.username.as_str().into()),
            ("password", password.into()),
            ("default_host", default_host_text(&new.default_host).into()),
            ("sync_error", "".into()),
            ("lease_time_us", 0_i64.into()),
            ("permanent_offline_us", 0_i64.into()),
        ],
    );
    // The lock's row outlives the registration: its fence must never decrease.
    let lock = [("cluster_key", key.as_str().into()), ("holder", SqlValue::Null), ("fence", 0_i64.into())];
    let lock = Statement::insert("cluster_lock", lock).on_conflict(OnConflict::Keep);
    let mut statements = vec![cluster, lock];
    statements.extend(host_routes(id, &new.hosts));
    statements.extend(observe::first(database, id, &new.observation, &new.server_ids, &mut server_ids).await?);
    statements.extend(cluster_ids.statements());
    statements.extend(server_ids.statements());
    // Its id is known only now.
    statements.push(audit::insertion(&AuditRecord { cluster: Some(id), ..record.clone() }));
    Ok(Change::of(RegisterOutcome::Done(id), statements))
}

fn seal(vault: &Vault, cluster: ClusterId, password: &SecretString) -> Result<String, StoreError> {
    vault
        .seal(SecretLocation::ClusterPassword(cluster), password)
        .map_err(|error| StoreError::Failed(error.to_string()))
}

/// The first id chosen by the caller that is in use already.
async fn taken(database: &mut Database, new: &NewCluster) -> Result<Option<RegisterOutcome>, StoreError> {
    if let Some(id) = new.id
        && database.exists("SELECT 1 FROM cluster WHERE id = ?", vec![id.get().into()]).await?
    {
        return Ok(Some(RegisterOutcome::IdTaken { what: "cluster", id: id.get() }));
    }
    for (index, (_, id)) in new.server_ids.iter().enumerate() {
        let twice = new.server_ids.iter().take(index).any(|(_, other)| other == id);
        if twice || database.exists("SELECT 1 FROM server WHERE id = ?", vec![id.get().into()]).await? {
            return Ok(Some(RegisterOutcome::IdTaken { what: "server", id: id.get() }));
        }
    }
    Ok(None)
}

/// False: no such cluster.
pub async fn update(
    database: &mut Database,
    (cluster, change, record): &(ClusterId, ClusterChange, AuditRecord),
) -> Result<Change<bool>, StoreError> {
    let ClusterChange { endpoints, username, password, hosts, default_host } = change;
    let known = database.exists("SELECT 1 FROM cluster WHERE id = ?", vec![cluster.get().into()]).await?;
    if !known {
        return Ok(Change::none(false));
    }
    let password = password.as_ref().map(|password| seal(&database.vault, *cluster, password)).transpose()?;
    let columns: [(&str, Option<String>); 4] = [
        ("endpoints", endpoints.as_deref().map(endpoints_text)),
        ("username", username.clone()),
        ("password", password),
        ("default_host", default_host.as_ref().map(default_host_text)),
    ];
    let set: Vec<_> = columns.into_iter().filter_map(|(column, value)| Some((column, value?.into()))).collect();
    let mut statements = Vec::new();
    if !set.is_empty() {
        statements.push(Statement::update("cluster", set, vec![("id", cluster.get().into())]));
    }
    if let Some(hosts) = hosts {
        statements.push(Statement::delete("host", [("cluster", cluster.get().into())]));
        statements.extend(host_routes(*cluster, hosts));
    }
    statements.push(audit::insertion(record));
    Ok(Change::of(true, statements))
}

/// Removes a cluster that no task holds; its tasks and its lock's row stay.
pub async fn deregister(
    database: &mut Database,
    (cluster, record): &(ClusterId, AuditRecord),
) -> Result<Change<DeregisterOutcome>, StoreError> {
    let id: SqlValue = cluster.get().into();
    let row = database.row("SELECT cluster_key FROM cluster WHERE id = ?", vec![id.clone()]).await?;
    let Some(row) = row else { return Ok(Change::none(DeregisterOutcome::NotFound)) };
    let key = row.text(0)?;
    if let Some(task) = task_read::holder(database, key).await? {
        return Ok(Change::none(DeregisterOutcome::Held { task }));
    }
    let mut statements: Vec<Statement> =
        ["host", "server", "zone"].map(|table| Statement::delete(table, [("cluster", id.clone())])).into();
    statements.push(Statement::delete("cluster", [("id", id)]));
    statements.push(audit::insertion(record));
    let while_free = Some(key.to_owned());
    Ok(Change { answer: DeregisterOutcome::Done, statements, while_free })
}

fn host_routes(cluster: ClusterId, hosts: &[(String, HostRoute)]) -> impl Iterator<Item = Statement> {
    hosts.iter().map(move |(svr_ip, route)| {
        let row = [
            ("cluster", cluster.get().into()),
            ("svr_ip", svr_ip.as_str().into()),
            ("route", route_text(route).into()),
        ];
        let replace = OnConflict::Replace { key: "cluster, svr_ip", columns: &["route"] };
        Statement::insert("host", row).on_conflict(replace)
    })
}

fn endpoints_text(endpoints: &[String]) -> String {
    serde_json::json!(endpoints).to_string()
}
