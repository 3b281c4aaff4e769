//! The parts of a store that are the same over either database: what is read, and what a change decides, is said by the functions
//! beside this file. A store brings `read(function, arguments)`, `read_by_key` for a few rows by their keys, `change(domain, function,
//! arguments)`, and `change_at` a version.

use super::database::Domain;
use super::{
    access_change, access_read, audit, change_freezes, inventory_change, inventory_read, notifications, observe,
};
use crate::clock::Timestamp;
use crate::domain::change_freeze::{ChangeFreeze, FreezeScope};
use crate::domain::ids::{ClusterId, ClusterKey};
use crate::store::access::{AccessChange, AccessChangeOutcome, AccessRows, AuditFilter, StoredAuditRecord};
use crate::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, ClusterOrder, ClusterRow, DeregisterOutcome, HostRoute,
    NewCluster, RecordedCluster, RegisterOutcome, ServerRow, ZoneRow,
};
use crate::store::mysql::MysqlStore;
use crate::store::notifications::{ManagedServer, NotificationRow, RefusedRequest};
use crate::store::sqlite::SqliteStore;
use crate::store::{AuditRecord, Page, StoreError};

macro_rules! inventory_store {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl crate::store::inventory::InventoryStore for $store {
            async fn register(&self, cluster: NewCluster, audit: AuditRecord) -> Result<RegisterOutcome, StoreError> {
                self.change(Domain::Inventory, inventory_change::register, (cluster, audit)).await
            }

            async fn update(
                &self,
                cluster: ClusterId,
                change: ClusterChange,
                audit: AuditRecord,
            ) -> Result<bool, StoreError> {
                self.change(Domain::Inventory, inventory_change::update, (cluster, change, audit)).await
            }

            async fn deregister(
                &self,
                cluster: ClusterId,
                audit: AuditRecord,
            ) -> Result<DeregisterOutcome, StoreError> {
                self.change(Domain::Inventory, inventory_change::deregister, (cluster, audit)).await
            }

            async fn observe(
                &self,
                cluster: ClusterId,
                observation: ClusterObservation,
                audit: Option<AuditRecord>,
            ) -> Result<Vec<String>, StoreError> {
                self.change(Domain::Inventory, observe::observe, (cluster, observation, audit)).await
            }

            async fn observe_failed(&self, cluster: ClusterId, at: Timestamp, error: String) -> Result<(), StoreError> {
                self.change(Domain::None, observe::failed, (cluster, at, error)).await
            }

            async fn cluster(&self, cluster: ClusterId) -> Result<Option<ClusterRow>, StoreError> {
                self.read_by_key(inventory_read::cluster, cluster).await
            }

            async fn cluster_of(&self, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError> {
                self.read_by_key(inventory_read::cluster_of, key.clone()).await
            }

            async fn clusters(
                &self,
                filter: &ClusterFilter,
                above: Option<ClusterId>,
                limit: u32,
            ) -> Result<Vec<ClusterRow>, StoreError> {
                self.read(inventory_read::clusters, (filter.clone(), above, limit)).await
            }

            async fn clusters_page(
                &self,
                filter: &ClusterFilter,
                page: Page<ClusterOrder>,
            ) -> Result<(Vec<ClusterRow>, u64), StoreError> {
                self.read(inventory_read::page, (filter.clone(), page)).await
            }

            async fn zones(&self, cluster: ClusterId) -> Result<Vec<ZoneRow>, StoreError> {
                self.read(inventory_read::zones, cluster).await
            }

            async fn servers(&self, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError> {
                self.read(inventory_read::servers, cluster).await
            }

            async fn hosts(&self, cluster: ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError> {
                self.read(inventory_read::hosts, cluster).await
            }

            async fn recorded(&self, cluster: ClusterId) -> Result<Option<RecordedCluster>, StoreError> {
                self.read_by_key(inventory_read::recorded, cluster).await
            }
        }
    };
}

macro_rules! access_store {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl crate::store::access::AccessStore for $store {
            async fn access(&self) -> Result<AccessRows, StoreError> {
                self.read_access().await
            }

            async fn change_access(
                &self,
                change: AccessChange,
                audit: AuditRecord,
                version: i64,
            ) -> Result<Option<AccessChangeOutcome>, StoreError> {
                self.change_at(Domain::Access, version, access_change::change, &(change, audit)).await
            }

            fn access_changes(&self) -> tokio::sync::watch::Receiver<i64> {
                self.access_version()
            }

            async fn record(&self, audit: AuditRecord) -> Result<(), StoreError> {
                self.change(Domain::None, audit::record, audit).await
            }

            async fn audit_records(
                &self,
                filter: &AuditFilter,
                below: Option<i64>,
                limit: u32,
            ) -> Result<Vec<StoredAuditRecord>, StoreError> {
                self.read(access_read::audit_records, (filter.clone(), below, limit)).await
            }
        }
    };
}

macro_rules! notification_store {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl crate::store::notifications::NotificationStore for $store {
            async fn notification_rows(&self) -> Result<Vec<NotificationRow>, StoreError> {
                self.read(notifications::rows, ()).await
            }

            async fn keep_notification_row(&self, row: NotificationRow) -> Result<(), StoreError> {
                self.change(Domain::None, notifications::keep, row).await
            }

            async fn audit_head(&self) -> Result<i64, StoreError> {
                self.read(notifications::audit_head, ()).await
            }

            async fn refused_requests(
                &self,
                above: i64,
                head: i64,
                limit: u32,
            ) -> Result<Vec<RefusedRequest>, StoreError> {
                self.read(notifications::refused_requests, (above, head, limit)).await
            }

            async fn managed_servers(&self) -> Result<Vec<ManagedServer>, StoreError> {
                self.read(notifications::managed_servers, ()).await
            }
        }
    };
}

macro_rules! change_freezes {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl crate::store::change_freezes::ChangeFreezes for $store {
            async fn change_freezes(&self) -> Result<Vec<ChangeFreeze>, StoreError> {
                self.read(change_freezes::all, ()).await
            }

            async fn freeze_changes(&self, freeze: ChangeFreeze, audit: AuditRecord) -> Result<bool, StoreError> {
                self.change(Domain::Inventory, change_freezes::freeze, (freeze, audit)).await
            }

            async fn thaw_changes(&self, scope: FreezeScope, audit: AuditRecord) -> Result<bool, StoreError> {
                self.change(Domain::Inventory, change_freezes::thaw, (scope, audit)).await
            }
        }
    };
}

inventory_store!(SqliteStore);
inventory_store!(MysqlStore);
access_store!(SqliteStore);
access_store!(MysqlStore);
notification_store!(SqliteStore);
notification_store!(MysqlStore);
change_freezes!(SqliteStore);
change_freezes!(MysqlStore);
