//! An inventory in memory, of clusters that nobody can reach.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::effect::Permit;
use obsteward::domain::ids::{ClusterId, ClusterIdentity, ClusterKey, ServerAddr, ServerId};
use obsteward::domain::status::{ClusterStatus, InnerStatus, ServerStatus, ZoneInnerStatus, ZoneStatus};
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterError, ClusterReader, EffectSession, ErrorClass, Expected, KnownServer, OceanBase,
    SessionGone,
};
use obsteward::service::views::{ClusterView, ProcessView, ServerView};
use obsteward::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, ClusterOrder, ClusterRow, DefaultHost, DeregisterOutcome,
    HostRoute, InventoryStore, NewCluster, RegisterOutcome, ServerRow, ZoneRow,
};
use obsteward::store::{AuditRecord, Page, StoreError};
use secrecy::SecretString;

use crate::fake_access::FakeAccess;
use crate::fake_store::{cluster_id, task_id};

pub fn server_view(id: i64) -> ServerView {
    ServerView {
        row: ServerRow {
            id: ServerId::new(id).unwrap(),
            cluster: cluster_id(1),
            addr: "10.0.0.2:2882".parse().unwrap(),
            ob_server_id: 1,
            zone: "zone1".parse().unwrap(),
            sql_port: 2881,
            managed_status: None,
            inner_status: InnerStatus::Active,
            stop_time: Some(Timestamp::from_micros(5_000_001)),
            start_service_time: Some(Timestamp::from_micros(1)),
            last_offline_time: None,
            with_rootserver: true,
            build_version: "4.2.1.8".to_owned(),
            observed_at: Timestamp::from_micros(6_000_000),
        },
        status: ServerStatus::Stopped,
        process: ProcessView::Running { pid: 77 },
        leaders: None,
        permanent_offline_at: None,
        not_safe_reason: Some("its process runs".to_owned()),
        operating_task: Some(task_id(4)),
    }
}

pub fn cluster_view(id: i64) -> ClusterView {
    let zone = ZoneRow {
        name: "zone1".parse().unwrap(),
        inner_status: ZoneInnerStatus::Active,
        region: "r".to_owned(),
        idc: "i".to_owned(),
        managed_status: None,
    };
    ClusterView {
        row: ClusterRow {
            id: cluster_id(id),
            identity: ClusterIdentity { name: "obtest".to_owned(), ob_cluster_id: 9, fingerprint: "f".to_owned() },
            endpoints: vec!["10.0.0.2:2881".to_owned()],
            username: "root@sys".to_owned(),
            password: SecretString::from("geheim"),
            default_host: DefaultHost::None,
            managed_status: None,
            observed_at: None,
            sync_error: String::new(),
            lease_time_micros: 0,
            permanent_offline_micros: 0,
        },
        status: ClusterStatus::Running,
        zones: vec![(zone, ZoneStatus::Running)],
        hosts: vec![("10.0.0.2".to_owned(), HostRoute::Grpc { address: "10.0.0.2:2890".to_owned() })],
        operating_task: None,
        server_count: 3,
        version: "4.2.1.8_108000022024072217-b4e5b2e(Jul 22 2024 17:36:02)".to_owned(),
    }
}

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
    async fn register(&self, cluster: NewCluster, audit: AuditRecord) -> Result<RegisterOutcome, StoreError> {
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

    async fn deregister(&self, cluster: ClusterId, audit: AuditRecord) -> Result<DeregisterOutcome, StoreError> {
        let mut clusters = self.clusters.lock().unwrap();
        let before = clusters.len();
        clusters.retain(|row| row.id != cluster);
        if clusters.len() == before {
            return Ok(DeregisterOutcome::NotFound);
        }
        self.audit.audit.lock().unwrap().push(audit);
        Ok(DeregisterOutcome::Done)
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

    async fn zones(&self, cluster: ClusterId) -> Result<Vec<ZoneRow>, StoreError> {
        Ok(cluster_view(cluster.get()).zones.into_iter().map(|(zone, _)| zone).collect())
    }

    /// Servers 7, 8 and 9 of cluster 1, 17… of cluster 2, but 1, 2 and 3 of cluster 20, which is that of OCP's samples; all of
    /// them serve. Those of cluster 3 have stopped.
    async fn servers(&self, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError> {
        let rows = (7..=9).map(|number| {
            let mut row = server_view(number).row;
            let id = if cluster.get() == 20 { number - 6 } else { (cluster.get() - 1) * 10 + number };
            row.id = ServerId::new(id).unwrap();
            row.cluster = cluster;
            row.addr = ServerAddr::new(format!("10.0.{cluster}.{number}").parse().unwrap(), 2882).unwrap();
            row.inner_status = InnerStatus::Active;
            row.build_version = cluster_view(1).version;
            row.stop_time = (cluster.get() == 3).then(|| Timestamp::from_micros(5_000_001));
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
