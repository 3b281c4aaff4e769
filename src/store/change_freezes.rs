//! The change freezes that are on. A commit that takes a cluster's lock looks at them itself, so that nothing begins behind a freeze
//! that was answered, at whichever replica.

use async_trait::async_trait;

use crate::domain::change_freeze::{ChangeFreeze, FreezeScope};
use crate::store::{AuditRecord, StoreError};

#[async_trait]
pub trait ChangeFreezes: Send + Sync {
    /// All that are on: that of everything first, then by cluster.
    async fn change_freezes(&self) -> Result<Vec<ChangeFreeze>, StoreError>;

    /// Freezes; false: it is frozen already, and stays as it was.
    async fn freeze_changes(&self, freeze: ChangeFreeze, audit: AuditRecord) -> Result<bool, StoreError>;

    /// Thaws; false: it is not frozen.
    async fn thaw_changes(&self, scope: FreezeScope, audit: AuditRecord) -> Result<bool, StoreError>;
}
