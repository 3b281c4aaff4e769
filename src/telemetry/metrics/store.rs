//! The store's writer: what waits for it, and its commits.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{declare, declare_seconds};

/// From a disk with a cache of its own to one that is failing.
const COMMIT_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const BATCH_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

#[derive(Clone, Debug)]
pub struct StoreMetrics {
    commits: Histogram,
    batches: Histogram,
    queued: Gauge,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let (commits, batches) = (Histogram::new(COMMIT_BUCKETS), Histogram::new(BATCH_BUCKETS));
        Self { commits, batches, queued: Gauge::default() }
    }
}

impl StoreMetrics {
    /// A write was asked for.
    pub fn queued(&self) {
        self.queued.inc();
    }

    /// So many of them wait no longer, and are not committed as far as is known.
    pub fn given_up(&self, writes: usize) {
        self.queued.dec_by(i64::try_from(writes).unwrap_or(i64::MAX));
    }

    /// So many were, in one transaction.
    pub fn committed(&self, writes: usize, took: Duration) {
        self.given_up(writes);
        self.commits.observe(took.as_secs_f64());
        self.batches.observe(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { commits, batches, queued } = self;
        let help = "Transactions of the store's writer, until they are durable";
        declare_seconds(registry, "obsteward_store_commit_duration", help, commits.clone());
        declare(registry, "obsteward_store_batch_writes", "Writes that one transaction held", batches.clone());
        declare(
            registry,
            "obsteward_store_queued_writes",
            "Writes that were asked for and are not committed yet",
            queued.clone(),
        );
    }
}
