//! [`Replicas`] of the embedded store: the process that has the file's lock is the only one.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{SqliteStore, commit};
use crate::domain::ids::{Fence, ReplicaId};
use crate::store::StoreError;
use crate::store::replicas::{OwnedTask, ReplicaRow, ReplicaState, Replicas};
use crate::store::sql::{damaged, task_read};

#[async_trait]
impl Replicas for SqliteStore {
    async fn join(&self) -> Result<ReplicaId, StoreError> {
        ReplicaId::new(1).map_err(damaged)
    }

    async fn renew(&self, tasks: usize) -> Result<bool, StoreError> {
        self.running.store(tasks, Ordering::Relaxed);
        Ok(true)
    }

    async fn replicas(&self) -> Result<Vec<ReplicaRow>, StoreError> {
        let tasks = u32::try_from(self.running.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        Ok(vec![ReplicaRow {
            id: self.join().await?,
            name: self.replica.name.clone(),
            address: self.replica.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: self.opened_at,
            end_time: None,
            state: ReplicaState::Live,
            renewals: 0,
            renew_time: self.opened_at,
            tasks,
        }])
    }

    async fn bury(&self, _: ReplicaId, _: i64) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn owned_tasks(&self) -> Result<Vec<OwnedTask>, StoreError> {
        self.read(task_read::owned, ()).await
    }

    async fn claim(&self, owned: &OwnedTask) -> Result<Option<Fence>, StoreError> {
        let owned = owned.clone();
        self.writer.change(move |_, connection| Ok(Ok(commit::claim(&connection.lock(), &owned)?))).await
    }

    fn ownership(&self) -> watch::Receiver<i64> {
        self.ownership.subscribe()
    }

    fn is_shared(&self) -> bool {
        false
    }
}
