//! Backups of a store in use. A backup holds everything but the key of the secrets, and does not start as a store before an
//! operator declares it restored (`sqlite::restored`).

use std::fs::File;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::ids::Seq;
use crate::store::StoreError;

/// A store that can be copied while it is in use.
#[async_trait]
pub trait Backups: Send + Sync {
    /// A checked copy of one moment. Takes time in proportion to the file's size and delays no write; needs room for the copy
    /// on the store's disk meanwhile. One at a time: others wait. `at` is recorded in it.
    async fn back_up(&self, at: Timestamp) -> Result<Backup, StoreError>;
}

/// A copy in a file that is unlinked already: it disappears with its last handle.
#[derive(Debug)]
pub struct Backup {
    /// Positioned at its first byte.
    pub file: File,
    pub bytes: u64,
    pub store_id: String,
    /// Position of the last event in it.
    pub head: Seq,
    pub at: Timestamp,
}
