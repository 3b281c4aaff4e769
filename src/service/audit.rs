//! ListAuditRecords.

use super::Service;
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::store::access::{AuditFilter, StoredAuditRecord};

/// Mutations that were asked for, allowed or refused, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListAuditRecords {
    pub filter: AuditFilter,
    /// Only ids below this (from the page token).
    pub below: Option<i64>,
    pub limit: u32,
}

impl ServiceCall for ListAuditRecords {
    const CALL: Call = Call::ListAuditRecords;
    type Subject = ();
    type Output = Vec<StoredAuditRecord>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<Vec<StoredAuditRecord>, Refusal> {
        let records = service.access.audit_records(&self.filter, self.below, self.limit).await;
        records.map_err(|error| store_refusal(&error))
    }
}
