//! [`AccessStore`] over the file.

use async_trait::async_trait;

use super::SqliteStore;
use crate::store::access::{AccessChange, AccessChanged, AccessRows, AccessStore, AuditFilter, StoredAuditRecord};
use crate::store::{AuditRecord, StoreError};

#[async_trait]
impl AccessStore for SqliteStore {
    async fn access(&self) -> Result<AccessRows, StoreError> {
        Ok(AccessRows::default())
    }

    async fn change_access(&self, _change: AccessChange, _audit: AuditRecord) -> Result<AccessChanged, StoreError> {
        Err(StoreError::Failed("not built".to_owned()))
    }

    async fn record(&self, _audit: AuditRecord) -> Result<(), StoreError> {
        Err(StoreError::Failed("not built".to_owned()))
    }

    async fn audit_records(
        &self,
        _filter: &AuditFilter,
        _below: Option<i64>,
        _limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, StoreError> {
        Err(StoreError::Failed("not built".to_owned()))
    }
}
