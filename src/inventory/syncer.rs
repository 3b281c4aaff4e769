//! Reads every registered cluster periodically: each once per interval, spread over it, so that neither the clusters nor this
//! process get all readings at once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::domain::ids::ClusterId;
use crate::inventory::Inventory;
use crate::store::inventory::ClusterFilter;

/// Shortest time between two readings of one cluster.
const INTERVAL: Duration = Duration::from_secs(60);
/// Limit of one replica, per second.
const PER_SECOND: u32 = 10;
/// Clusters that are fetched from the store at a time.
const PAGE: u32 = 500;
/// Concurrent readings of clusters whose last reading succeeded.
const CONCURRENT: usize = 32;
/// Concurrent readings of clusters whose last reading failed: they may take up to the limit of a reading, and must not delay
/// the others, however many they are.
const CONCURRENT_FAILING: usize = 16;
/// Pause after a round that could not begin.
const PAUSE_AFTER_FAILED_ROUND: Duration = Duration::from_secs(5);

/// Whether this replica is the one that reads a cluster: several share them out.
pub type Share = Arc<dyn Fn(ClusterId) -> bool + Send + Sync>;

/// Keeps the observed columns fresh.
pub struct Syncer {
    inventory: Inventory,
    share: Share,
    shutdown: CancellationToken,
    healthy: Arc<Semaphore>,
    failing: Arc<Semaphore>,
    /// Clusters whose last reading failed, and that wait for their reading or are being read.
    queued: Arc<Mutex<HashSet<ClusterId>>>,
}

impl Syncer {
    pub fn new(inventory: Inventory, share: Share, shutdown: CancellationToken) -> Self {
        let (healthy, failing) = (Arc::new(Semaphore::new(CONCURRENT)), Arc::new(Semaphore::new(CONCURRENT_FAILING)));
        Self { inventory, share, shutdown, healthy, failing, queued: Arc::default() }
    }

    pub async fn run(self) {
        while !self.shutdown.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::error!("the inventory could not be read: {error}");
                self.pause(PAUSE_AFTER_FAILED_ROUND).await;
            }
        }
    }

    async fn round(&self) -> Result<(), crate::store::StoreError> {
        let mut clusters = Vec::new();
        let mut above = None;
        loop {
            let page = self.inventory.store().clusters(&ClusterFilter::every(), above, PAGE).await?;
            above = page.last().map(|cluster| cluster.id);
            let full = page.len() == PAGE as usize;
            let own = page.into_iter().filter(|cluster| (self.share)(cluster.id));
            clusters.extend(own.map(|cluster| (cluster.id, cluster.sync_error.is_empty())));
            if !full {
                break;
            }
        }
        let count = u32::try_from(clusters.len()).unwrap_or(u32::MAX).max(1);
        let interval = INTERVAL.max(Duration::from_secs(u64::from(count / PER_SECOND)));
        if clusters.is_empty() {
            self.pause(interval).await;
        }
        for (id, healthy) in clusters {
            self.pause(interval / count).await;
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            if healthy {
                let permit = self.shutdown.run_until_cancelled(Arc::clone(&self.healthy).acquire_owned()).await;
                let Some(Ok(permit)) = permit else { return Ok(()) };
                let (inventory, shutdown) = (self.inventory.clone(), self.shutdown.clone());
                tokio::spawn(async move { shutdown.run_until_cancelled(read(inventory, id, permit)).await });
            } else {
                self.queue(id);
            }
        }
        Ok(())
    }

    /// A cluster whose last reading failed waits outside the round, and only once.
    fn queue(&self, id: ClusterId) {
        if !lock(&self.queued).insert(id) {
            return;
        }
        let (failing, queued) = (Arc::clone(&self.failing), Arc::clone(&self.queued));
        let (inventory, shutdown) = (self.inventory.clone(), self.shutdown.clone());
        tokio::spawn(async move {
            let reading = async {
                if let Ok(permit) = failing.acquire_owned().await {
                    read(inventory, id, permit).await;
                }
            };
            shutdown.run_until_cancelled(reading).await;
            lock(&queued).remove(&id);
        });
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

/// The permit is held until the reading ends.
async fn read(inventory: Inventory, id: ClusterId, _permit: OwnedSemaphorePermit) {
    match inventory.sync(id).await {
        Ok(differences) => {
            for difference in differences {
                tracing::info!(cluster = id.get(), "{difference}");
            }
        }
        Err(error) => tracing::warn!(cluster = id.get(), "the cluster could not be read: {error}"),
    }
}

fn lock(queued: &Mutex<HashSet<ClusterId>>) -> std::sync::MutexGuard<'_, HashSet<ClusterId>> {
    // Every change is one call, so the set is consistent even after a panic.
    queued.lock().unwrap_or_else(PoisonError::into_inner)
}
