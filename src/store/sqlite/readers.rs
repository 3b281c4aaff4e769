//! The connections that read: a few, each in a short transaction of its own, so that a read does not wait for the writer. Lists are
//! read on the blocking pool, and hold up no runtime; a few rows by their keys are read where they are asked for, because handing
//! them to another thread and back costs more than they do.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::connection::SqliteConnection;
use super::schema;
use crate::store::StoreError;
use crate::store::sql::Database;
use crate::store::vault::Vault;

/// A pool of read-only connections.
pub(super) struct Readers {
    path: PathBuf,
    vault: Arc<Vault>,
    idle: Mutex<Vec<SqliteConnection>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize, vault: Arc<Vault>) -> Result<Self, StoreError> {
        let count = count.max(1);
        let open = || schema::open_reader(path).map(SqliteConnection::new);
        let idle = (0..count).map(|_| open()).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), vault, idle: Mutex::new(idle), turns: Arc::new(Semaphore::new(count)) })
    }

    /// Runs `read` in one read transaction, on this thread: everything it sees is of one moment.
    pub(super) async fn read_here<T>(
        &self,
        read: impl FnOnce(&mut Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _turn = self.turns.acquire().await.map_err(|_| StoreError::Closed)?;
        self.read_blocking(read)
    }

    /// The same on the blocking pool.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            readers.read_blocking(read)
        });
        reading.await.map_err(|error| StoreError::Failed(format!("a reader ended early, {error}")))?
    }

    fn read_blocking<T>(&self, read: impl FnOnce(&mut Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            // A reader that panicked has lost its connection.
            None => SqliteConnection::new(schema::open_reader(&self.path)?),
        };
        connection.lock().prepare_cached("BEGIN")?.execute([])?;
        let outcome = read(&mut Database::over_sqlite(connection.clone(), Arc::clone(&self.vault)));
        // If it fails, the connection is dropped, which ends its transaction too.
        connection.lock().prepare_cached("COMMIT")?.execute([])?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        outcome
    }
}
