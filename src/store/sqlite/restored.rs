//! Makes a restored backup usable. Agents, watchers and audit records elsewhere know more of the store than the backup does:
//! fences that it would give out a second time, ids of tasks that it has lost. So it becomes another store, with a new id,
//! which agents trust only after their operator says so.

use std::path::Path;

use rusqlite::Connection;

use super::file_lock::FileLock;
use super::sqlite_error::unusable;
use super::{commit, schema, shutdown_mark};
use crate::domain::ids::LARGEST_ID;
use crate::store::StoreError;
use crate::store::transfer::{LOST_IDS, StoreIdChange};

/// Gives a restored file a new store id. No service may be using it.
pub(in crate::store) fn restored(path: &Path) -> Result<StoreIdChange, StoreError> {
    if !path.try_exists().is_ok_and(|exists| exists) {
        return Err(StoreError::Open(format!("there is no store {}, name the restored file", path.display())));
    }
    let lock = FileLock::take(path)?;
    let mut connection = schema::open_whole(path)?;
    schema::version(path, &connection)?;
    let store_id = uuid::Uuid::new_v4().to_string();
    let former = rename(&mut connection, &store_id).map_err(|error| unusable(path, &error))?;
    lock.acknowledge(commit::head(&connection)?);
    Ok(StoreIdChange { former, store_id })
}

fn rename(connection: &mut Connection, store_id: &str) -> rusqlite::Result<String> {
    let transaction = connection.transaction()?;
    let former = transaction.query_row("SELECT value FROM meta WHERE name = 'store_id'", [], |row| row.get(0))?;
    transaction.execute("UPDATE meta SET value = ?1 WHERE name = 'store_id'", [store_id])?;
    transaction.execute(
        "UPDATE counter SET value = value + ?1 WHERE name = 'id' AND value <= ?2 - 2 * ?1",
        [LOST_IDS, LARGEST_ID],
    )?;
    shutdown_mark::forget(&transaction)?;
    transaction.commit()?;
    Ok(former)
}
