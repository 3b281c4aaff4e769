//! A file that takes the rows of another store.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params_from_iter};

use super::connection::{SqliteConnection, bound};
use super::file_lock::FileLock;
use super::schema::{self, beside};
use super::shutdown_mark;
use super::sqlite_error::unusable;
use crate::clock::Timestamp;
use crate::domain::ids::Seq;
use crate::store::StoreError;
use crate::store::sql::{Database, SqlValue};
use crate::store::transfer::Rows;
use crate::store::vault::Vault;

/// A new file, in one transaction until it is finished; whose file is removed unless it is.
pub(in crate::store) struct SqliteRows {
    connection: Connection,
    path: PathBuf,
    finished: bool,
}

impl SqliteRows {
    /// Refuses a file that is there.
    pub(in crate::store) fn create(path: &Path) -> Result<Self, StoreError> {
        if path.try_exists().is_ok_and(|exists| exists) {
            return Err(StoreError::Open(format!("{} is there already, name a file that is not", path.display())));
        }
        // Replaced by what is copied, like everything else that a new file begins with.
        schema::create(path, &Vault::random()?)?;
        let this = Self { connection: schema::open_plain(path)?, path: path.to_owned(), finished: false };
        this.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| unusable(path, &error))?;
        Ok(this)
    }

    /// The file is complete, as an ordinary store or as a backup of this moment. Returns the position of its last event.
    pub(in crate::store) fn finish(mut self, backup: Option<Timestamp>) -> Result<Seq, StoreError> {
        self.connection.execute_batch("COMMIT").map_err(|error| unusable(&self.path, &error))?;
        let head = super::commit::head(&self.connection)?;
        let marked = match backup {
            Some(at) => shutdown_mark::make_backup(&self.connection, at),
            None => shutdown_mark::forget(&self.connection),
        };
        marked.map_err(|error| unusable(&self.path, &error))?;
        self.finished = true;
        Ok(head)
    }
}

impl Drop for SqliteRows {
    fn drop(&mut self) {
        if !self.finished {
            for suffix in ["", "-journal", "-wal", "-shm", ".lock"] {
                let _ = std::fs::remove_file(beside(&self.path, suffix));
            }
        }
    }
}

impl Rows for SqliteRows {
    async fn put(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
        rows: Vec<Vec<SqlValue>>,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = columns.iter().map(|name| format!("`{name}`")).collect();
        let marks = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT OR REPLACE INTO `{table}` ({}) VALUES ({marks})", names.join(", "));
        let mut statement = self.connection.prepare_cached(&sql)?;
        for row in rows {
            statement.execute(params_from_iter(row.into_iter().map(bound)))?;
        }
        Ok(())
    }
}

/// A file that no service uses, to be copied from or looked at; nobody else can use it meanwhile.
pub(in crate::store) struct IdleFile {
    connection: SqliteConnection,
    path: PathBuf,
    _lock: FileLock,
}

impl IdleFile {
    pub(in crate::store) fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.try_exists().is_ok_and(|exists| exists) {
            return Err(StoreError::Open(format!("there is no store {}", path.display())));
        }
        let lock = FileLock::take(path)?;
        let had_log = shutdown_mark::has_log(path);
        let connection = schema::open_whole(path)?;
        schema::newest(path, &connection)?;
        shutdown_mark::check(path, &connection, had_log, &lock)?;
        connection.execute_batch("BEGIN").map_err(|error| unusable(path, &error))?;
        Ok(Self { connection: SqliteConnection::new(connection), path: path.to_owned(), _lock: lock })
    }

    pub(in crate::store) fn database(&self) -> Result<Database, StoreError> {
        Ok(Database::over_sqlite(self.connection.clone(), std::sync::Arc::new(Vault::random()?)))
    }

    /// It is not to be used any more: what it holds has gone on elsewhere.
    pub(in crate::store) fn mark_moved(self, to: &str) -> Result<(), StoreError> {
        let connection = self.connection.lock();
        let marked = connection.execute_batch("COMMIT").and_then(|()| shutdown_mark::move_away(&connection, to));
        marked.map_err(|error| unusable(&self.path, &error))
    }
}

/// A file as it is, whether or not a service uses it: only read.
pub(in crate::store) fn reader(path: &Path) -> Result<Database, StoreError> {
    if !path.try_exists().is_ok_and(|exists| exists) {
        return Err(StoreError::Open(format!("there is no store {}", path.display())));
    }
    let connection = schema::open_reader(path)?;
    schema::newest(path, &connection)?;
    connection.execute_batch("BEGIN").map_err(|error| unusable(path, &error))?;
    Ok(Database::over_sqlite(SqliteConnection::new(connection), std::sync::Arc::new(Vault::random()?)))
}
