//! An inventory in memory, of clusters that nobody can reach.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::effect::Permit;
use obsteward::domain::ids::{ClusterId, ClusterIdentity, ClusterKey, ServerAddr, ServerId};
use obsteward::domain::status::InnerStatus;
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterError, ClusterReader, EffectSession, ErrorClass, Expected, KnownServer, OceanBase,
    SessionGone,
};
use obsteward::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, ClusterOrder, ClusterRow, Deregistered, HostRoute,
    InventoryStore, NewCluster, Registered, ServerRow, ZoneRow,
};
use obsteward::store::{AuditRecord, Page, StoreError};

use crate::fake_access::FakeAccess;
use crate::fake_store::cluster_id;
use crate::fake_use_cases::{cluster_view, server_view};

pub struct FakeInventory {
    pub clusters: Mutex<Vec<ClusterRow>>,
    audit: Arc<FakeAccess>,
}

impl FakeInventory {
    /// Clusters 1 to `count`, named ob1, ob2…; their audit records go where those of users go.
    pub fn new(count: i64, audit: Arc<FakeAccess>) -> Self {
        let clusters = (1..=count).map(|id| {
            let mut row = cluster_view(id).row;
            row.id = cluster_id(id);
            row.identity = ClusterIdentity { name: format!("ob{id}"), ob_cluster_id: 1, fingerprint: "x".to_owned() };
            row
        });
        Self { clusters: Mutex::new(clusters.collect()), audit }
    }

    fn observed(&self, cluster: ClusterId, error: String) {
        let mut clusters = self.clusters.lock().unwrap();
        clusters.iter_mut().filter(|row| row.id == cluster).for_each(|row| row.sync_error.clone_from(&error));
    }

    fn shown(&self, filter: &ClusterFilter) -> Vec<ClusterRow> {
        let clusters = self.clusters.lock().unwrap();
        let shown = clusters.iter().filter(|row| {
            let name = &row.identity.name;
            filter.visible.includes(row.id.get())
                && filter.name.as_ref().is_none_or(|wanted| wanted == name)
                && filter.name_part.as_ref().is_none_or(|part| name.contains(part))
        });
        shown.cloned().collect()
    }
}

#[async_trait]
impl InventoryStore for FakeInventory {
    async fn register(&self, cluster: NewCluster, audit: AuditRecord) -> Result<Registered, StoreError> {
        _ = (cluster, audit);
        Err(StoreError::Failed("no cluster can be reached, so none is registered".to_owned()))
    }

    async fn update(&self, cluster: ClusterId, _: ClusterChange, audit: AuditRecord) -> Result<bool, StoreError> {
        let known = self.cluster(cluster).await?.is_some();
        if known {
            self.audit.audit.lock().unwrap().push(audit);
        }
        Ok(known)
    }

    async fn deregister(&self, cluster: ClusterId, audit: AuditRecord) -> Result<Deregistered, StoreError> {
        let mut clusters = self.clusters.lock().unwrap();
        let before = clusters.len();
        clusters.retain(|row| row.id != cluster);
        if clusters.len() == before {
            return Ok(Deregistered::NotFound);
        }
        self.audit.audit.lock().unwrap().push(audit);
        Ok(Deregistered::Done)
    }

    async fn observe(
        &self,
        cluster: ClusterId,
        _: ClusterObservation,
        audit: Option<AuditRecord>,
    ) -> Result<Vec<String>, StoreError> {
        self.observed(cluster, String::new());
        self.audit.audit.lock().unwrap().extend(audit);
        Ok(Vec::new())
    }

    async fn observe_failed(&self, cluster: ClusterId, _: Timestamp, error: String) -> Result<(), StoreError> {
        self.observed(cluster, error);
        Ok(())
    }

    async fn cluster(&self, cluster: ClusterId) -> Result<Option<ClusterRow>, StoreError> {
        Ok(self.clusters.lock().unwrap().iter().find(|row| row.id == cluster).cloned())
    }

    async fn cluster_of(&self, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError> {
        Ok(self.clusters.lock().unwrap().iter().find(|row| row.identity.key() == *key).cloned())
    }

    async fn clusters(
        &self,
        filter: &ClusterFilter,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterRow>, StoreError> {
        let shown = self.shown(filter).into_iter().filter(|row| above.is_none_or(|above| row.id > above));
        Ok(shown.take(limit as usize).collect())
    }

    async fn clusters_page(
        &self,
        filter: &ClusterFilter,
        page: Page<ClusterOrder>,
    ) -> Result<(Vec<ClusterRow>, u64), StoreError> {
        let mut shown = self.shown(filter);
        let total = u64::try_from(shown.len()).unwrap();
        if page.descending {
            shown.reverse();
        }
        Ok((shown.into_iter().skip(page.offset as usize).take(page.limit as usize).collect(), total))
    }

    async fn zones(&self, _: ClusterId) -> Result<Vec<ZoneRow>, StoreError> {
        Ok(Vec::new())
    }

    /// Servers 7, 8 and 9 of cluster 1, 17… of cluster 2; all of them serve. Those of cluster 3 have stopped.
    async fn servers(&self, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError> {
        let rows = (7..=9).map(|number| {
            let mut row = server_view(number).row;
            row.id = ServerId::new((cluster.get() - 1) * 10 + number).unwrap();
            row.cluster = cluster;
            row.addr = ServerAddr::new(format!("10.0.{cluster}.{number}").parse().unwrap(), 2882).unwrap();
            row.inner_status = InnerStatus::Active;
            row.stop_time = (cluster.get() == 3).then(|| Timestamp::from_micros(9));
            row
        });
        Ok(rows.collect())
    }

    async fn hosts(&self, _: ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError> {
        Ok(Vec::new())
    }
}

/// No cluster answers.
pub struct NoOceanBase;

fn unreachable() -> ClusterError {
    ClusterError::new(ErrorClass::Unreachable, "nobody is there")
}

#[async_trait]
impl OceanBase for NoOceanBase {
    async fn reader(
        &self,
        _: &ClusterAccess,
        _: &[KnownServer],
        _: &Expected,
        _: &Avoid,
    ) -> Result<Box<dyn ClusterReader>, ClusterError> {
        Err(unreachable())
    }

    async fn effect_session(
        &self,
        _: &ClusterAccess,
        _: &[KnownServer],
        _: &Expected,
        _: &Avoid,
    ) -> Result<Box<dyn EffectSession>, ClusterError> {
        Err(unreachable())
    }

    async fn kill_session(
        &self,
        _: Permit,
        _: &ClusterAccess,
        _: &Expected,
        _: &str,
        _: i64,
    ) -> Result<SessionGone, ClusterError> {
        Err(unreachable())
    }
}
