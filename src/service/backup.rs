//! BackupStore.

use super::Service;
use super::arguments::Caller;
use super::named;
use super::refusals::store_refusal;
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::store::backup::Backup;

impl Service {
    /// A copy of the store, of one moment. That it is taken is on record before it begins, and so in the copy.
    pub async fn backup_store(&self, caller: &Caller) -> Result<Backup, Refusal> {
        let record = self.audit(caller, Call::BackupStore, named::store());
        let at = record.at;
        self.access.record(record).await.map_err(|error| store_refusal(&error))?;
        self.backups.back_up(at).await.map_err(|error| {
            tracing::error!("no backup was made: {error}");
            Refusal::Unavailable { why: error.to_string(), retry_after_millis: 1000 }
        })
    }
}
