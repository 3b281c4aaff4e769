//! Reads every registered cluster from time to time: each once per interval, spread over it, so that neither the clusters
//! nor this process meet them all at once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::inventory::Inventory;
use crate::store::inventory::ClusterFilter;

/// Shortest time between two readings of one cluster.
const INTERVAL: Duration = Duration::from_secs(60);
/// Most readings per second of one replica.
const PER_SECOND: u32 = 10;
/// Clusters of one page of the round.
const PAGE: u32 = 500;
/// Readings under way at once: a cluster that does not answer delays nobody else's.
const AT_ONCE: usize = 32;

/// Keeps the observed columns fresh.
pub struct Syncer {
    inventory: Inventory,
    shutdown: CancellationToken,
}

impl Syncer {
    /// Runs until `shutdown`.
    pub const fn new(inventory: Inventory, shutdown: CancellationToken) -> Self {
        Self { inventory, shutdown }
    }

    /// Round after round.
    pub async fn run(self) {
        let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        while !self.shutdown.is_cancelled() {
            if let Err(error) = self.round(&permits).await {
                tracing::error!("the inventory could not be read: {error}");
            }
        }
    }

    async fn round(&self, permits: &std::sync::Arc<tokio::sync::Semaphore>) -> Result<(), crate::store::StoreError> {
        let mut ids = Vec::new();
        let mut above = None;
        loop {
            let page = self.inventory.store().clusters(&ClusterFilter::every(), above, PAGE).await?;
            above = page.last().map(|cluster| cluster.id);
            let full = page.len() == PAGE as usize;
            ids.extend(page.into_iter().map(|cluster| cluster.id));
            if !full {
                break;
            }
        }
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX).max(1);
        let interval = INTERVAL.max(Duration::from_secs(u64::from(count / PER_SECOND)));
        if ids.is_empty() {
            self.pause(interval).await;
        }
        for id in ids {
            self.pause(interval / count).await;
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            let Ok(permit) = std::sync::Arc::clone(permits).acquire_owned().await else { return Ok(()) };
            let inventory = self.inventory.clone();
            tokio::spawn(async move {
                match inventory.sync(id).await {
                    Ok(differences) => {
                        for difference in differences {
                            tracing::info!(cluster = id.get(), "{difference}");
                        }
                    }
                    Err(error) => tracing::warn!(cluster = id.get(), "the cluster could not be read: {error}"),
                }
                drop(permit);
            });
        }
        Ok(())
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}
