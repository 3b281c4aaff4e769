//! `obsteward agent trust STORE_ID`: the operator's word that a cluster is from now on operated from another store. A word
//! counts once per cluster: the store that was left behind needs a new one.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::agent::files::{self, FileError};

const FILE: &str = "trusted.json";
const LOCK: &str = "trusted.lock";

/// Every `agent trust` of the operator, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Trusted {
    words: Vec<TrustGrant>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct TrustGrant {
    number: u64,
    store_id: String,
}

impl Trusted {
    /// As it stands on disk: the operator speaks through another process.
    pub fn read(directory: &Path) -> Result<Self, FileError> {
        Ok(files::read(directory, FILE)?.unwrap_or_default())
    }

    /// Adds an `agent trust`.
    pub fn grant(&mut self, store_id: &str) {
        let number = self.latest() + 1;
        self.words.push(TrustGrant { number, store_id: store_id.to_owned() });
    }

    /// Number of the latest `agent trust`; 0 before the first.
    pub fn latest(&self) -> u64 {
        self.words.last().map_or(0, |word| word.number)
    }

    /// Number of the latest `agent trust` for `store_id`, if it came after number `after`.
    pub fn granted_after(&self, store_id: &str, after: u64) -> Option<u64> {
        self.words.iter().rev().find(|word| word.store_id == store_id && word.number > after).map(|word| word.number)
    }
}

/// Says that `store_id` may take over clusters on this host.
pub fn trust(directory: &Path, store_id: &str) -> Result<(), FileError> {
    files::make_directory(directory)?;
    let _lock = files::lock(directory, LOCK, true)?;
    let mut trusted = Trusted::read(directory)?;
    trusted.grant(store_id);
    files::replace(directory, FILE, &trusted)
}
