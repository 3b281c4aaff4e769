//! Calls that connect to a cluster: register, update, sync.

use std::time::Duration;

use secrecy::SecretString;

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::refusals::{cluster_refusal, inventory_refusal, store_refusal};
use super::views::ClusterView;
use crate::clock::monotonic_now;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::domain::refusal::Refusal;
use crate::inventory::{InventoryError, access, observation};
use crate::oceanbase::{ClusterError, Discovery};
use crate::store::inventory::{ClusterChange, ClusterRow, DefaultHost, HostRoute, NewCluster, RegisterOutcome};

/// Longest reading of a cluster within a call.
const LONGEST_READING: Duration = Duration::from_secs(20);

/// Connects to a cluster, proves it, and records it with its zones and servers.
#[derive(Clone, Debug)]
pub struct RegisterCluster {
    /// `host:sql_port`, at least one.
    pub endpoints: Vec<String>,
    pub username: String,
    pub password: SecretString,
    /// Refused unless the cluster has this name.
    pub expected_name: Option<String>,
    /// Id that the caller chose.
    pub cluster: Option<ClusterId>,
    /// Server ids that the caller chose.
    pub server_ids: Vec<(ServerAddr, ServerId)>,
    /// Routes by `svr_ip`.
    pub hosts: Vec<(String, HostRoute)>,
    /// Route to hosts that are not named.
    pub default_host: DefaultHost,
}

impl RegisterCluster {
    /// With the cluster's name, once that is known.
    fn entry(&self, name: Option<&str>) -> AuditEntry {
        let name = name.or(self.expected_name.as_deref()).unwrap_or_default();
        let entry = AuditEntry::on(format!("cluster {name}").trim_end());
        let entry = self.cluster.into_iter().fold(entry, AuditEntry::in_cluster);
        entry.with("endpoints", self.endpoints.join(",")).with("username", &self.username)
    }
}

impl ServiceCall for RegisterCluster {
    const CALL: Call = Call::RegisterCluster;
    type Subject = ();
    type Output = ClusterView;

    fn subject(&self, _: &Caller) {}

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        self.entry(None)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<ClusterView, Refusal> {
        service.register_cluster(caller, self).await
    }
}

/// Changes what people decide of a cluster; endpoints and credentials are tried first. `None`: stays.
#[derive(Clone, Debug)]
pub struct UpdateCluster {
    pub cluster: ClusterId,
    pub endpoints: Option<Vec<String>>,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    /// Routes by `svr_ip`, all of them.
    pub hosts: Option<Vec<(String, HostRoute)>>,
    /// Route to hosts that are not named.
    pub default_host: Option<DefaultHost>,
}

impl ServiceCall for UpdateCluster {
    const CALL: Call = Call::UpdateCluster;
    type Subject = ClusterId;
    type Output = ClusterView;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        let given = [
            (self.endpoints.is_some(), "endpoints"),
            (self.username.is_some(), "username"),
            (self.password.is_some(), "password"),
            (self.hosts.is_some(), "hosts"),
            (self.default_host.is_some(), "default_host"),
        ];
        let changed: Vec<&str> = given.into_iter().filter_map(|(given, name)| given.then_some(name)).collect();
        entry(self.cluster).with("changes", changed.join(","))
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<ClusterView, Refusal> {
        service.update_cluster(caller, self).await
    }
}

/// Reads a cluster now, into the inventory.
#[derive(Clone, Copy, Debug)]
pub struct SyncCluster(pub ClusterId);

/// A cluster as just read.
#[derive(Clone, Debug)]
pub struct Synced {
    /// What is known of it.
    pub cluster: ClusterView,
    /// What changed since the reading before.
    pub differences: Vec<String>,
    /// How long the reading took.
    pub elapsed: Duration,
}

impl ServiceCall for SyncCluster {
    const CALL: Call = Call::SyncCluster;
    type Subject = ClusterId;
    type Output = Synced;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.0
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        entry(self.0)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<Synced, Refusal> {
        service.sync_cluster(caller, self).await
    }
}

fn entry(cluster: ClusterId) -> AuditEntry {
    AuditEntry::on(format!("cluster {cluster}")).in_cluster(cluster)
}

impl Service {
    async fn register_cluster(&self, caller: &Caller, asked: RegisterCluster) -> Result<ClusterView, Refusal> {
        let discovery = self.discover(&asked.endpoints, &asked.username, &asked.password).await?;
        let found = &discovery.identity;
        if let Some(expected) = asked.expected_name.as_ref().filter(|expected| **expected != found.name) {
            let (endpoint, expected, found) = (discovery.endpoint, expected.clone(), discovery.identity.name);
            return Err(Refusal::WrongCluster { endpoint, expected, found });
        }
        let audit = self.accepted(caller, RegisterCluster::CALL, asked.entry(Some(&found.name)));
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
            RegisterOutcome::Done(cluster) => self.cluster_view(cluster).await,
            RegisterOutcome::AlreadyRegistered(cluster) => Err(Refusal::ClusterAlreadyRegistered { cluster, name }),
            RegisterOutcome::IdTaken { what, id } => Err(Refusal::IdTaken { what, id }),
        }
    }

    async fn discover(
        &self,
        endpoints: &[String],
        username: &str,
        password: &SecretString,
    ) -> Result<Discovery, Refusal> {
        let name = endpoints.join(",");
        let access =
            access(endpoints, username, password).map_err(|error| Refusal::field("endpoints", error.message))?;
        let read = tokio::time::timeout(LONGEST_READING, self.deps.inventory.discover(&access)).await;
        read.map_err(|_| too_slow(&name))?.map_err(|error| cluster_refusal(&name, username, &error))
    }

    async fn update_cluster(&self, caller: &Caller, asked: UpdateCluster) -> Result<ClusterView, Refusal> {
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
        let audit = self.accepted(caller, UpdateCluster::CALL, asked.audit_entry(caller));
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

    async fn sync_cluster(&self, caller: &Caller, asked: SyncCluster) -> Result<Synced, Refusal> {
        let SyncCluster(cluster) = asked;
        let began = monotonic_now();
        let row = self.deps.inventory.cluster(cluster).await.map_err(|error| inventory_refusal(&error))?;
        let audit = self.accepted(caller, SyncCluster::CALL, asked.audit_entry(caller));
        let synced = tokio::time::timeout(LONGEST_READING, self.deps.inventory.sync_as(cluster, Some(audit))).await;
        let differences = match synced.map_err(|_| too_slow(&row.identity.name))? {
            Ok(differences) => differences,
            Err(InventoryError::Cluster(error)) => return Err(cluster_error(&row, &error)),
            Err(error) => return Err(inventory_refusal(&error)),
        };
        let elapsed = monotonic_now().duration_since(began);
        Ok(Synced { cluster: self.cluster_view(cluster).await?, differences, elapsed })
    }
}

fn cluster_error(row: &ClusterRow, error: &ClusterError) -> Refusal {
    cluster_refusal(&row.identity.name, &row.username, error)
}

fn too_slow(cluster: &str) -> Refusal {
    let why = format!("it did not answer within {} s", LONGEST_READING.as_secs());
    Refusal::ClusterUnreachable { cluster: cluster.to_owned(), why }
}
