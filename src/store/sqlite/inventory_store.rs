//! [`InventoryStore`] over the file: writes go through the writer thread in the order of the calls, reads through the
//! pool.

use std::sync::Arc;

use async_trait::async_trait;

use super::{SqliteStore, inventory_read, inventory_write, observe};
use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, ClusterKey};
use crate::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, ClusterOrder, ClusterRow, DeregisterOutcome, HostRoute,
    InventoryStore, NewCluster, RegisterOutcome, ServerRow, ZoneRow,
};
use crate::store::{AuditRecord, Page, StoreError};

#[async_trait]
impl InventoryStore for SqliteStore {
    async fn register(&self, cluster: NewCluster, audit: AuditRecord) -> Result<RegisterOutcome, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.writer.change(move |connection| inventory_write::register(connection, &vault, &cluster, &audit)).await
    }

    async fn update(&self, cluster: ClusterId, change: ClusterChange, audit: AuditRecord) -> Result<bool, StoreError> {
        let vault = Arc::clone(&self.vault);
        let write = move |connection: &_| inventory_write::update(connection, &vault, cluster, &change, &audit);
        self.writer.change(write).await
    }

    async fn deregister(&self, cluster: ClusterId, audit: AuditRecord) -> Result<DeregisterOutcome, StoreError> {
        self.writer.change(move |connection| inventory_write::deregister(connection, cluster, &audit)).await
    }

    async fn observe(
        &self,
        cluster: ClusterId,
        observation: ClusterObservation,
        audit: Option<AuditRecord>,
    ) -> Result<Vec<String>, StoreError> {
        let change = move |connection: &_| observe::observe(connection, cluster, &observation, audit.as_ref());
        self.writer.change(change).await
    }

    async fn observe_failed(&self, cluster: ClusterId, at: Timestamp, error: String) -> Result<(), StoreError> {
        self.writer.change(move |connection| observe::failed(connection, cluster, at, &error)).await
    }

    async fn cluster(&self, cluster: ClusterId) -> Result<Option<ClusterRow>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.readers.read(move |connection| inventory_read::cluster(connection, &vault, cluster)).await
    }

    async fn cluster_of(&self, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError> {
        let (vault, key) = (Arc::clone(&self.vault), key.clone());
        self.readers.read(move |connection| inventory_read::cluster_of(connection, &vault, &key)).await
    }

    async fn clusters(
        &self,
        filter: &ClusterFilter,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterRow>, StoreError> {
        let (vault, filter) = (Arc::clone(&self.vault), filter.clone());
        let read = move |connection: &_| inventory_read::clusters(connection, &vault, &filter, above, limit);
        self.readers.read(read).await
    }

    async fn clusters_page(
        &self,
        filter: &ClusterFilter,
        page: Page<ClusterOrder>,
    ) -> Result<(Vec<ClusterRow>, u64), StoreError> {
        let (vault, filter) = (Arc::clone(&self.vault), filter.clone());
        self.readers.read(move |connection| inventory_read::page(connection, &vault, &filter, page)).await
    }

    async fn zones(&self, cluster: ClusterId) -> Result<Vec<ZoneRow>, StoreError> {
        self.readers.read(move |connection| inventory_read::zones(connection, cluster)).await
    }

    async fn servers(&self, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError> {
        self.readers.read(move |connection| inventory_read::servers(connection, cluster)).await
    }

    async fn hosts(&self, cluster: ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError> {
        self.readers.read(move |connection| inventory_read::hosts(connection, cluster)).await
    }
}
