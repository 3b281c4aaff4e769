//! Backups: what a store gives while it is in use, and what is known of them. A backup holds everything but the key of the
//! secrets, and does not start as a store before somebody said that it was restored.

use std::fs::File;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::ids::Seq;
use crate::store::StoreError;

/// A store that can be copied while it is in use.
#[async_trait]
pub trait Backups: Send + Sync {
    /// A copy of one moment, checked. Takes as long as the file is large and holds no write up; needs room for the copy on the
    /// store's disk meanwhile. One at a time: others wait. `at` is put into it.
    async fn back_up(&self, at: Timestamp) -> Result<Backup, StoreError>;
}

/// A copy in a file that has no name any more: it goes with its last handle.
#[derive(Debug)]
pub struct Backup {
    /// From its first byte.
    pub file: File,
    /// Its length.
    pub bytes: u64,
    /// Of what store.
    pub store_id: String,
    /// Place of the last event in it.
    pub head: Seq,
    /// When it was made.
    pub at: Timestamp,
}
