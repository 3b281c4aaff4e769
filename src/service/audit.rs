//! ListAuditRecords.

use super::Service;
use super::refusals::store_refusal;
use crate::domain::refusal::Refusal;
use crate::store::access::{AuditFilter, StoredAuditRecord};

impl Service {
    /// Mutations that were asked for, allowed or refused, newest first, with ids below `below`.
    pub async fn list_audit_records(
        &self,
        filter: &AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, Refusal> {
        self.access.audit_records(filter, below, limit).await.map_err(|error| store_refusal(&error))
    }
}
