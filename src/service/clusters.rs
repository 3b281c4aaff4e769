//! Calls on clusters as they are recorded: get, list, deregister. What connects to one is in `registering`.

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::refusals::{inventory_refusal, store_refusal};
use super::views::{ClusterView, PageOf};
use crate::domain::admission::service_state;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, ZoneName};
use crate::domain::permission::Domain;
use crate::domain::refusal::Refusal;
use crate::domain::shown::{cluster_status, server_status, zone_status};
use crate::domain::status::{ClusterStatus, ServerStatus};
use crate::inventory::recorded_reading;
use crate::store::inventory::{ClusterFilter, ClusterOrder, ClusterRow, DeregisterOutcome};
use crate::store::{Page, StoreError};

/// Most clusters whose status is looked at for one page; each takes four reads.
const MOST_LOOKED_AT: u32 = 2000;

/// One cluster; by its name, one of those that the caller may read.
#[derive(Clone, Debug)]
pub enum GetCluster {
    Id(ClusterId),
    Name(String),
}

impl ServiceCall for GetCluster {
    const CALL: Call = Call::GetCluster;
    type Subject = Self;
    type Output = ClusterView;

    fn subject(&self, _: &Caller) -> Self {
        self.clone()
    }

    async fn run(self, service: &Service, _: &Caller, found: ClusterRow) -> Result<ClusterView, Refusal> {
        service.view(found).await
    }
}

/// Clusters that the caller may read, ascending by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListClusters {
    pub name: Option<String>,
    /// Only ids above this (from the page token).
    pub above: Option<ClusterId>,
    pub limit: u32,
}

impl ServiceCall for ListClusters {
    const CALL: Call = Call::ListClusters;
    type Subject = ();
    type Output = Vec<ClusterView>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<Vec<ClusterView>, Refusal> {
        let filter = ClusterFilter { name: self.name, ..shown_to(caller) };
        let rows = service.deps.inventory.store().clusters(&filter, self.above, self.limit).await;
        service.views(rows.map_err(|error| store_refusal(&error))?).await
    }
}

/// Which clusters of those that the caller may see.
#[derive(Clone, Debug, Default)]
pub struct ClusterSelection {
    /// Whose name holds this, whatever the case.
    pub name_part: Option<String>,
    /// With one of these shown statuses; empty: any.
    pub statuses: Vec<ClusterStatus>,
}

/// A page of the clusters that the caller may read. The shown status is computed and not stored: asking for some means looking
/// at every cluster.
#[derive(Clone, Debug)]
pub struct ClustersPage {
    pub selection: ClusterSelection,
    pub page: Page<ClusterOrder>,
}

impl ServiceCall for ClustersPage {
    const CALL: Call = Call::ListClusters;
    type Subject = ();
    type Output = PageOf<ClusterView>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<PageOf<ClusterView>, Refusal> {
        service.clusters_page(caller, self).await
    }
}

#[derive(Clone, Copy, Debug)]
pub struct DeregisterCluster(pub ClusterId);

impl ServiceCall for DeregisterCluster {
    const CALL: Call = Call::DeregisterCluster;
    type Subject = ClusterId;
    type Output = ();

    fn subject(&self, _: &Caller) -> ClusterId {
        self.0
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("cluster {}", self.0)).in_cluster(self.0)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<(), Refusal> {
        let Self(cluster) = self;
        let audit = service.accepted(caller, Self::CALL, self.audit_entry(caller));
        let ended = service.deps.inventory.store().deregister(cluster, audit).await;
        match ended.map_err(|error| store_refusal(&error))? {
            DeregisterOutcome::Done => Ok(()),
            DeregisterOutcome::NotFound => Err(Refusal::ClusterNotFound { cluster: cluster.to_string() }),
            DeregisterOutcome::Held { task } => Err(Refusal::ClusterHeld { cluster, task }),
        }
    }
}

impl Service {
    /// The cluster of this name, among those that the caller may read.
    pub(super) async fn cluster_named(&self, caller: &Caller, name: &str) -> Result<Option<ClusterRow>, Refusal> {
        let filter = ClusterFilter { name: Some(name.to_owned()), ..shown_to(caller) };
        let found = self.deps.inventory.store().clusters(&filter, None, 1).await;
        Ok(found.map_err(|error| store_refusal(&error))?.into_iter().next())
    }

    async fn clusters_page(&self, caller: &Caller, asked: ClustersPage) -> Result<PageOf<ClusterView>, Refusal> {
        let ClustersPage { selection: ClusterSelection { name_part, statuses }, page } = asked;
        let filter = ClusterFilter { name_part, ..shown_to(caller) };
        let store = self.deps.inventory.store();
        let whole = Page { offset: 0, limit: MOST_LOOKED_AT, ..page };
        let read = store.clusters_page(&filter, if statuses.is_empty() { page } else { whole }).await;
        let (rows, total) = read.map_err(|error| store_refusal(&error))?;
        let mut items = self.views(rows).await?;
        if statuses.is_empty() {
            return Ok(PageOf { items, total });
        }
        if total > u64::from(MOST_LOOKED_AT) {
            let description = format!("is for at most {MOST_LOOKED_AT} clusters, here are {total}; give a name too");
            return Err(Refusal::field("status", description));
        }
        items.retain(|view| statuses.contains(&view.status));
        let total = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let items = items.into_iter().skip(size(page.offset)).take(size(page.limit)).collect();
        Ok(PageOf { items, total })
    }

    async fn views(&self, rows: Vec<ClusterRow>) -> Result<Vec<ClusterView>, Refusal> {
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            views.push(self.view(row).await?);
        }
        Ok(views)
    }

    pub(super) async fn cluster_view(&self, cluster: ClusterId) -> Result<ClusterView, Refusal> {
        let row = self.deps.inventory.cluster(cluster).await.map_err(|error| inventory_refusal(&error))?;
        self.view(row).await
    }

    async fn view(&self, row: ClusterRow) -> Result<ClusterView, Refusal> {
        let store = self.deps.inventory.store();
        let refused = |error: StoreError| store_refusal(&error);
        let servers = store.servers(row.id).await.map_err(refused)?;
        let zones = store.zones(row.id).await.map_err(refused)?;
        let hosts = store.hosts(row.id).await.map_err(refused)?;
        let shown: Vec<(ZoneName, ServerStatus)> = servers
            .iter()
            .map(|server| {
                let status = server_status(server.managed_status, service_state(&recorded_reading(&row, server)));
                (server.zone.clone(), status)
            })
            .collect();
        let all: Vec<ServerStatus> = shown.iter().map(|(_, status)| *status).collect();
        let zones = zones.into_iter().map(|zone| {
            let of_zone: Vec<ServerStatus> =
                shown.iter().filter(|(name, _)| *name == zone.name).map(|(_, status)| *status).collect();
            let status = zone_status(zone.managed_status, zone.inner_status, &of_zone);
            (zone, status)
        });
        Ok(ClusterView {
            status: cluster_status(row.managed_status, row.sync_error.is_empty(), &all),
            zones: zones.collect(),
            hosts,
            operating_task: self.operating(&row).await?.map(|task| task.spec.id),
            server_count: servers.len(),
            version: servers.first().map(|server| server.build_version.clone()).unwrap_or_default(),
            row,
        })
    }
}

/// The clusters that the caller may read.
fn shown_to(caller: &Caller) -> ClusterFilter {
    ClusterFilter { visible: caller.rights.visible(Domain::Cluster), ..ClusterFilter::every() }
}
