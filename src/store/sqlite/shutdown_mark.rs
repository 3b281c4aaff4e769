//! The mark in the file that says in which state it was left: closed, when it is complete without its write-ahead log; in use,
//! when that log belongs to it; or a backup. It reveals on any machine that the file was copied without its log.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::commit;
use super::file_lock::FileLock;
use super::schema::beside;
use super::sqlite_error::unusable;
use crate::clock::Timestamp;
use crate::store::StoreError;

/// Row of `meta` that holds the mark. A file without it was closed.
const MARK: &str = "left";
const CLOSED: &str = "closed";
const IN_USE: &str = "in use by ";
const BACKUP: &str = "backup of ";
const MOVED: &str = "moved to ";
/// A person's sqlite3 that reads at this moment only delays the truncation of the log.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Whether a file has a write-ahead log. Must be called before SQLite opens the file, which creates one.
pub(super) fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Refuses a file that was copied without its log, and a backup that was not declared restored.
pub(super) fn check(path: &Path, connection: &Connection, had_log: bool, lock: &FileLock) -> Result<(), StoreError> {
    let mark = mark(connection).map_err(|error| unusable(path, &error))?;
    let file = path.display();
    if let Some(made) = mark.strip_prefix(BACKUP) {
        return Err(StoreError::Open(format!(
            "the store {file} is a backup of {made}; make sure that no other service runs on what it is a backup of, run \
             `obsteward store restored`, then start again"
        )));
    }
    if let Some(to) = mark.strip_prefix(MOVED) {
        return Err(StoreError::Open(format!(
            "the store {file} was moved to {to} and is not used any more; start the service there, or remove this file"
        )));
    }
    if !mark.starts_with(IN_USE) || had_log {
        return Ok(());
    }
    let (head, acknowledged) = (commit::head(connection)?, lock.acknowledged());
    if acknowledged == head && head.get() > 0 {
        tracing::warn!("the write-ahead log of the store {file} is gone, and no event is missing: sqlite3 folds it in");
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "the store {file} was in use when it was copied or moved, and its write-ahead log {file}-wal is missing: what was \
         written last is not there; bring both files while no service runs, or a backup of `obsteward store backup`; if \
         nothing newer is left and no other service runs, run `obsteward store restored`, then start again"
    )))
}

/// From here on the file is incomplete without its log. The mark is in the file itself before anything else is written.
pub(super) fn begin(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    // A new value each time: SQLite does not write a page that did not change.
    let mark = || set(connection, &format!("{IN_USE}{}", uuid::Uuid::new_v4()));
    let begun = mark()
        .and_then(|()| checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)"))
        // After a checkpoint the log starts over, which costs a sync: now, not in the first call.
        .and_then(|_| mark());
    begun.map_err(|error| unusable(path, &error))
}

/// Makes the file complete without its log. If that fails, the next start does it: everything is on disk.
pub(super) fn close(connection: &Connection) {
    let closed = connection.busy_timeout(LONGEST_WAIT).and_then(|()| set(connection, CLOSED)).and_then(|()| {
        // Copies the log into the file, which is synced before the log is cut.
        checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
    });
    match closed {
        Ok(true) => {}
        Ok(false) => tracing::warn!("somebody reads the store's file, so its write-ahead log stays beside it"),
        Err(error) => tracing::warn!("the store's write-ahead log stays beside it, {error}"),
    }
}

/// Turns a copy that is open nowhere else into a backup, in one file.
pub(super) fn make_backup(connection: &Connection, made: Timestamp) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    set(connection, &format!("{BACKUP}{made}"))
}

/// Whether it is a backup that was not declared restored.
pub(super) fn is_backup(connection: &Connection) -> bool {
    mark(connection).is_ok_and(|mark| mark.starts_with(BACKUP))
}

/// What is in the file has gone on elsewhere.
pub(super) fn move_away(connection: &Connection, to: &str) -> rusqlite::Result<()> {
    set(connection, &format!("{MOVED}{to}"))
}

/// A restored backup is an ordinary store from here on.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    set(connection, CLOSED)
}

fn mark(connection: &Connection) -> rusqlite::Result<String> {
    let mark = connection.query_row("SELECT value FROM meta WHERE name = ?1", [MARK], |row| row.get(0)).optional()?;
    Ok(mark.unwrap_or_else(|| CLOSED.to_owned()))
}

fn set(connection: &Connection, mark: &str) -> rusqlite::Result<()> {
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", [MARK, mark]).map(drop)
}

/// False: a reader or writer was in its way.
fn checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<bool> {
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}
