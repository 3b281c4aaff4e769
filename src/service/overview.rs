//! What stands open, as metrics tell of it: to whoever reaches those, without a caller.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Service;
use super::refusals::store_refusal;
use super::servers::permanent_offline_at;
use crate::clock::Timestamp;
use crate::domain::event::TaskState;
use crate::domain::graph::TaskTarget;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId, TaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;
use crate::store::StoreError;
use crate::store::inventory::{ClusterFilter, ClusterRow, ServerRow};
use crate::store::replicas::ReplicaState;

/// Clusters that are read at a time.
const RANGE: u32 = 1000;

#[derive(Clone, Debug)]
pub struct Overview {
    pub tasks: Vec<OpenTask>,
    pub held: Vec<HeldServer>,
    /// Servers that are held or of a task at rest, and away.
    pub away: Vec<AwayServer>,
    pub clusters: Vec<ReadCluster>,
    /// Tasks that this replica drives.
    pub driven: usize,
    pub live_replicas: usize,
    /// What is left of the lease of this replica; `None`: it never ends.
    pub lease_left: Option<Duration>,
    pub leases_lost: u64,
}

#[derive(Clone, Debug)]
pub struct OpenTask {
    pub cluster_name: String,
    pub task: TaskId,
    /// Of its operation.
    pub name: String,
    pub state: TaskState,
    /// `None`: it moves.
    pub resting_since: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct HeldServer {
    pub cluster_name: String,
    pub server: ServerAddr,
    pub task: TaskId,
    pub since: Timestamp,
    /// When it is brought back if nobody completes the hold.
    pub until: Timestamp,
}

#[derive(Clone, Debug)]
pub struct AwayServer {
    pub cluster_name: String,
    pub server: ServerAddr,
    pub task: TaskId,
    /// When the cluster gives up its replicas, as the last reading has it, or at the earliest.
    pub permanent_offline_at: Timestamp,
}

/// How a cluster was last read.
#[derive(Clone, Debug)]
pub struct ReadCluster {
    pub name: String,
    /// `None`: never.
    pub observed_at: Option<Timestamp>,
    pub failed: bool,
}

impl Service {
    /// What stands open now.
    pub async fn overview(&self) -> Result<Overview, Refusal> {
        self.read_overview().await.map_err(|error| store_refusal(&error))
    }

    async fn read_overview(&self) -> Result<Overview, StoreError> {
        let (open, _) = self.store.open_tasks(None).await?;
        let open: Vec<Task> = open.into_iter().map(|stored| stored.task).collect();
        let clusters = self.all_clusters().await?;
        let (mut tasks, mut held, mut away) = (Vec::new(), Vec::new(), Vec::new());
        for task in &open {
            tasks.push(OpenTask {
                cluster_name: task.spec.cluster.name.clone(),
                task: task.spec.id,
                name: task.spec.graph.operation.name.clone(),
                state: task.state,
                resting_since: task.resting_since,
            });
            let waits = task.resting_since.is_some() || task.held().next().is_some();
            if let Some(cluster) = clusters.get(&task.spec.cluster.id).filter(|_| waits) {
                let servers = self.deps.inventory.store().servers(cluster.id).await?;
                held.extend(held_servers(task, &servers));
                away.extend(away_servers(task, cluster, &servers));
            }
        }
        let replicas = self.engine.replicas().replicas().await?;
        let clusters = clusters.into_values().map(|cluster| ReadCluster {
            failed: !cluster.sync_error.is_empty(),
            name: cluster.identity.name,
            observed_at: cluster.observed_at,
        });
        Ok(Overview {
            tasks,
            held,
            away,
            clusters: clusters.collect(),
            driven: self.engine.running(),
            live_replicas: replicas.iter().filter(|replica| replica.state == ReplicaState::Live).count(),
            lease_left: self.engine.lease_left(),
            leases_lost: self.engine.leases_lost(),
        })
    }

    async fn all_clusters(&self) -> Result<BTreeMap<ClusterId, ClusterRow>, StoreError> {
        let (store, mut all) = (self.deps.inventory.store(), BTreeMap::new());
        loop {
            let above = all.last_key_value().map(|(id, _)| *id);
            let some = store.clusters(&ClusterFilter::every(), above, RANGE).await?;
            let last = some.len() < RANGE as usize;
            all.extend(some.into_iter().map(|cluster| (cluster.id, cluster)));
            if last {
                return Ok(all);
            }
        }
    }
}

fn held_servers<'a>(task: &'a Task, servers: &'a [ServerRow]) -> impl Iterator<Item = HeldServer> + 'a {
    task.held().filter_map(|(subtask, until)| {
        let row = servers.iter().find(|row| subtask.spec.target == TaskTarget::Server(row.id))?;
        let (cluster_name, since) = (task.spec.cluster.name.clone(), subtask.started_at?);
        Some(HeldServer { cluster_name, server: row.addr, task: task.spec.id, since, until })
    })
}

/// By the last reading; where that has not seen it yet, by when the task ended the process of what it holds.
fn away_servers<'a>(
    task: &'a Task,
    cluster: &'a ClusterRow,
    servers: &'a [ServerRow],
) -> impl Iterator<Item = AwayServer> + 'a {
    let by_task = move |server: ServerId| {
        let mut held = task.held().map(|(subtask, _)| subtask);
        held.find(|subtask| subtask.spec.target == TaskTarget::Server(server))
    };
    let concerned = servers.iter().filter(move |row| {
        by_task(row.id).is_some() || (task.resting_since.is_some() && task.spec.server(row.id).is_some())
    });
    concerned.filter_map(move |row| {
        let told = permanent_offline_at(cluster, row);
        let permanent_offline_at = told.or_else(|| task.permanent_offline_at(by_task(row.id)?))?;
        let cluster_name = task.spec.cluster.name.clone();
        Some(AwayServer { cluster_name, server: row.addr, task: task.spec.id, permanent_offline_at })
    })
}
