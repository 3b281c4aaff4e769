//! What becomes of a store that was restored: it is another one from then on, because it knows less than agents, watchers and
//! audit records elsewhere.

/// Ids that are skipped: more than a store gives out between two backups.
pub const LOST_IDS: i64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreIdChange {
    /// The id that agents know.
    pub former: String,
    /// The id that agents must be configured to trust.
    pub store_id: String,
}
