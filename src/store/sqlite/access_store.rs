//! [`AccessStore`] over the file: writes go through the writer thread in the order of the calls, reads through the pool.

use std::sync::Arc;

use async_trait::async_trait;

use super::{SqliteStore, access_read, access_write, commit};
use crate::store::access::{
    AccessChange, AccessChangeOutcome, AccessRows, AccessStore, AuditFilter, StoredAuditRecord,
};
use crate::store::{AuditRecord, StoreError};

#[async_trait]
impl AccessStore for SqliteStore {
    async fn access(&self) -> Result<AccessRows, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.readers.read(move |connection| access_read::access(connection, &vault)).await
    }

    async fn change_access(&self, change: AccessChange, audit: AuditRecord) -> Result<AccessChangeOutcome, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.writer.change(move |connection| access_write::change(connection, &vault, &change, &audit)).await
    }

    async fn record(&self, audit: AuditRecord) -> Result<(), StoreError> {
        self.writer.change(move |connection| Ok(Ok(commit::audit(connection, &audit)?))).await
    }

    async fn audit_records(
        &self,
        filter: &AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, StoreError> {
        let filter = filter.clone();
        let read = move |connection: &_| access_read::audit_records(connection, &filter, below, limit);
        self.readers.read(read).await
    }
}
