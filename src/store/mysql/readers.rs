//! The sessions that read: a few, kept open between reads. A read that fails is tried again over another session, because it
//! changes nothing: the database may have been restarted, or have closed a session that was idle.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::connection::MysqlConnection;
use super::options::MysqlOptions;
use crate::clock::monotonic_now;
use crate::store::StoreError;
use crate::store::sql::Database;
use crate::store::vault::Vault;

/// For how long a read is tried.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);
/// Between two tries: from, to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

pub(super) struct Readers {
    options: Arc<MysqlOptions>,
    vault: Arc<Vault>,
    idle: Mutex<Vec<Database>>,
    turns: Semaphore,
}

impl Readers {
    pub(super) fn new(options: Arc<MysqlOptions>, vault: Arc<Vault>) -> Self {
        let turns = Semaphore::new(options.readers.max(1));
        Self { options, vault, idle: Mutex::default(), turns }
    }

    /// Reads with one of the functions of `sql`.
    pub(super) async fn read<A, T>(
        &self,
        read: impl AsyncFn(&mut Database, &A) -> Result<T, StoreError>,
        arguments: &A,
    ) -> Result<T, StoreError> {
        let _turn = self.turns.acquire().await.map_err(|_| StoreError::Closed)?;
        let until = monotonic_now() + GIVE_UP_AFTER;
        let mut pause = PAUSES.0;
        loop {
            let outcome = match self.session().await {
                Ok(mut database) => {
                    let outcome = read(&mut database, arguments).await;
                    if database.is_open() {
                        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(database);
                    }
                    outcome
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(StoreError::Failed(error)) if monotonic_now() < until => {
                    tracing::debug!("a read failed, it is tried again: {error}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                other => return other,
            }
        }
    }

    async fn session(&self) -> Result<Database, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(database) => Ok(database),
            None => {
                let connection = MysqlConnection::open(&self.options).await?;
                Ok(Database::over_mysql(connection, Arc::clone(&self.vault)))
            }
        }
    }
}
