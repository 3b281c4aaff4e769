//! BackupStore.

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::store::backup::Backup;

/// A copy of the store, of one moment. That it is taken is on record before it begins, and so in the copy.
#[derive(Clone, Copy, Debug)]
pub struct BackupStore;

impl ServiceCall for BackupStore {
    const CALL: Call = Call::BackupStore;
    type Subject = ();
    type Output = Backup;

    fn subject(&self, _: &Caller) {}

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on("store")
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<Backup, Refusal> {
        let record = service.accepted(caller, Self::CALL, self.audit_entry(caller));
        let at = record.at;
        service.access.record(record).await.map_err(|error| store_refusal(&error))?;
        service.backups.back_up(at).await.map_err(|error| {
            tracing::error!("no backup was made: {error}");
            Refusal::Unavailable { why: error.to_string(), retry_after_millis: 1000 }
        })
    }
}
