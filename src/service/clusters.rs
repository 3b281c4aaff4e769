//! Calls on clusters: register, update, get, list, sync, deregister.

use std::time::Duration;

use super::Service;
use super::arguments::{Caller, ClusterName, ClusterSelection, ClusterView, PageOf, RegisterCluster, UpdateCluster};
use super::named;
use super::refusals::{cluster_refusal, inventory_refusal, store_refusal};
use crate::clock::monotonic_now;
use crate::domain::admission::service_state;
use crate::domain::call::Call;
use crate::domain::ids::ClusterId;
use crate::domain::permission::Domain;
use crate::domain::refusal::Refusal;
use crate::domain::shown::{cluster_status, server_status, zone_status};
use crate::domain::status::ServerStatus;
use crate::inventory::{InventoryError, access, observation, recorded_reading};
use crate::oceanbase::{ClusterError, Discovery};
use crate::store::Page;
use crate::store::inventory::{
    ClusterChange, ClusterFilter, ClusterOrder, ClusterRow, Deregistered, NewCluster, Registered,
};

/// Longest reading of a cluster within a call.
const LONGEST_READING: Duration = Duration::from_secs(20);
/// Most clusters whose status is looked at for one page; each takes four reads.
const MOST_LOOKED_AT: u32 = 2000;

impl Service {
    /// Connects to a cluster, proves it, and records it with its zones and servers.
    pub async fn register_cluster(&self, caller: &Caller, asked: RegisterCluster) -> Result<ClusterView, Refusal> {
        let discovery = self.discover(&asked.endpoints, &asked.username, &asked.password).await?;
        let found = &discovery.identity;
        if let Some(expected) = asked.expected_name.as_ref().filter(|expected| **expected != found.name) {
            let (endpoint, expected, found) = (discovery.endpoint, expected.clone(), discovery.identity.name);
            return Err(Refusal::WrongCluster { endpoint, expected, found });
        }
        let audit = self.audit(caller, Call::RegisterCluster, named::register_cluster(&asked, Some(&found.name)));
        let new = NewCluster {
            id: asked.cluster,
            identity: found.clone(),
            endpoints: asked.endpoints,
            username: asked.username,
            password: asked.password,
            default_host: asked.default_host,
            hosts: asked.hosts,
            server_ids: asked.server_ids,
            observation: observation(&discovery),
        };
        let name = new.identity.name.clone();
        let registered = self.deps.inventory.store().register(new, audit).await;
        match registered.map_err(|error| store_refusal(&error))? {
            Registered::Done(cluster) => self.cluster_view(cluster).await,
            Registered::AlreadyRegistered(cluster) => Err(Refusal::ClusterAlreadyRegistered { cluster, name }),
            Registered::IdTaken { what, id } => Err(Refusal::IdTaken { what, id }),
        }
    }

    async fn discover(
        &self,
        endpoints: &[String],
        username: &str,
        password: &secrecy::SecretString,
    ) -> Result<Discovery, Refusal> {
        let name = endpoints.join(",");
        let access =
            access(endpoints, username, password).map_err(|error| Refusal::field("endpoints", error.message))?;
        let read = tokio::time::timeout(LONGEST_READING, self.deps.inventory.discover(&access)).await;
        read.map_err(|_| too_slow(&name))?.map_err(|error| cluster_refusal(&name, username, &error))
    }

    /// Changes what people decide; endpoints and credentials are tried first.
    pub async fn update_cluster(&self, caller: &Caller, asked: UpdateCluster) -> Result<ClusterView, Refusal> {
        let inventory = &self.deps.inventory;
        let row = inventory.cluster(asked.cluster).await.map_err(|error| inventory_refusal(&error))?;
        if asked.endpoints.is_some() || asked.username.is_some() || asked.password.is_some() {
            let endpoints = asked.endpoints.as_ref().unwrap_or(&row.endpoints);
            let username = asked.username.as_ref().unwrap_or(&row.username);
            let password = asked.password.as_ref().unwrap_or(&row.password);
            let Discovery { identity: found, endpoint, .. } = self.discover(endpoints, username, password).await?;
            if found != row.identity {
                let (expected, found) = (row.identity.key().as_str().to_owned(), found.key().as_str().to_owned());
                return Err(Refusal::WrongCluster { endpoint, expected, found });
            }
        }
        let audit = self.audit(caller, Call::UpdateCluster, named::update_cluster(&asked));
        let change = ClusterChange {
            endpoints: asked.endpoints,
            username: asked.username,
            password: asked.password,
            hosts: asked.hosts,
            default_host: asked.default_host,
        };
        let updated = inventory.store().update(asked.cluster, change, audit).await;
        if !updated.map_err(|error| store_refusal(&error))? {
            return Err(Refusal::ClusterNotFound { cluster: asked.cluster.to_string() });
        }
        self.cluster_view(asked.cluster).await
    }

    /// One cluster; by its name, one of those that the caller may read.
    pub async fn get_cluster(&self, caller: &Caller, name: ClusterName) -> Result<ClusterView, Refusal> {
        match name {
            ClusterName::Id(cluster) => self.cluster_view(cluster).await,
            ClusterName::Name(name) => {
                let filter = ClusterFilter { name: Some(name.clone()), ..shown_to(caller) };
                let found = self.deps.inventory.store().clusters(&filter, None, 1).await;
                let found = found.map_err(|error| store_refusal(&error))?.into_iter().next();
                self.view(found.ok_or(Refusal::ClusterNotFound { cluster: name })?).await
            }
        }
    }

    /// Clusters, ascending by id.
    pub async fn list_clusters(
        &self,
        caller: &Caller,
        name: Option<String>,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterView>, Refusal> {
        let filter = ClusterFilter { name, ..shown_to(caller) };
        let rows = self.deps.inventory.store().clusters(&filter, above, limit).await;
        self.views(rows.map_err(|error| store_refusal(&error))?).await
    }

    /// A page of clusters. The shown status is computed and not stored: asking for some means looking at every cluster.
    pub async fn clusters_page(
        &self,
        caller: &Caller,
        asked: ClusterSelection,
        page: Page<ClusterOrder>,
    ) -> Result<PageOf<ClusterView>, Refusal> {
        let ClusterSelection { name_part, statuses } = asked;
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

    /// Reads a cluster now, into the inventory.
    pub async fn sync_cluster(
        &self,
        caller: &Caller,
        cluster: ClusterId,
    ) -> Result<(ClusterView, Vec<String>, Duration), Refusal> {
        let began = monotonic_now();
        let row = self.deps.inventory.cluster(cluster).await.map_err(|error| inventory_refusal(&error))?;
        let audit = self.audit(caller, Call::SyncCluster, named::cluster(cluster));
        let synced = tokio::time::timeout(LONGEST_READING, self.deps.inventory.sync_as(cluster, Some(audit))).await;
        let differences = match synced.map_err(|_| too_slow(&row.identity.name))? {
            Ok(differences) => differences,
            Err(InventoryError::Cluster(error)) => return Err(cluster_error(&row, &error)),
            Err(error) => return Err(inventory_refusal(&error)),
        };
        Ok((self.cluster_view(cluster).await?, differences, monotonic_now().duration_since(began)))
    }

    /// Forgets a cluster.
    pub async fn deregister_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<(), Refusal> {
        let audit = self.audit(caller, Call::DeregisterCluster, named::cluster(cluster));
        let ended = self.deps.inventory.store().deregister(cluster, audit).await;
        match ended.map_err(|error| store_refusal(&error))? {
            Deregistered::Done => Ok(()),
            Deregistered::NotFound => Err(Refusal::ClusterNotFound { cluster: cluster.to_string() }),
            Deregistered::Held { task } => Err(Refusal::ClusterHeld { cluster, task }),
        }
    }

    async fn cluster_view(&self, cluster: ClusterId) -> Result<ClusterView, Refusal> {
        let row = self.deps.inventory.cluster(cluster).await.map_err(|error| inventory_refusal(&error))?;
        self.view(row).await
    }

    async fn view(&self, row: ClusterRow) -> Result<ClusterView, Refusal> {
        let store = self.deps.inventory.store();
        let refused = |error: crate::store::StoreError| store_refusal(&error);
        let servers = store.servers(row.id).await.map_err(refused)?;
        let zones = store.zones(row.id).await.map_err(refused)?;
        let hosts = store.hosts(row.id).await.map_err(refused)?;
        let shown: Vec<(crate::domain::ids::ZoneName, ServerStatus)> = servers
            .iter()
            .map(|server| {
                let status = server_status(server.managed_status, service_state(&recorded_reading(server)));
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

fn cluster_error(row: &ClusterRow, error: &ClusterError) -> Refusal {
    cluster_refusal(&row.identity.name, &row.username, error)
}

fn too_slow(cluster: &str) -> Refusal {
    let why = format!("it did not answer within {} s", LONGEST_READING.as_secs());
    Refusal::ClusterUnreachable { cluster: cluster.to_owned(), why }
}
