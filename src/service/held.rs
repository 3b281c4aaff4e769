//! Servers that tasks hold out of service, as metrics tell of them: to whoever reaches those, without a caller.

use std::sync::Arc;

use super::Service;
use super::refusals::store_refusal;
use super::servers::permanent_offline_at;
use crate::domain::graph::TaskTarget;
use crate::domain::ids::{ServerAddr, TaskId};
use crate::domain::refusal::Refusal;
use crate::notify::reminders::Hold;
use crate::store::inventory::ServerRow;

/// A server that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldServer {
    pub cluster_name: String,
    pub server: ServerAddr,
    pub task: TaskId,
    /// Until when, and when the cluster gives up its replicas, as the last reading has it, or at the earliest: that is not known when
    /// no reading has found it away and it was not the task that ended its process.
    pub hold: Hold,
}

impl Service {
    /// Every server that is held now.
    pub async fn held_servers(&self) -> Result<Vec<HeldServer>, Refusal> {
        let (open, _) = self.store.open_tasks(None).await.map_err(|error| store_refusal(&error))?;
        let mut held = Vec::new();
        for task in open.into_iter().map(|stored| stored.task).filter(|task| task.held().next().is_some()) {
            let (id, inventory) = (task.spec.cluster.id, self.deps.inventory.store());
            let Some(cluster) = inventory.cluster(id).await.map_err(|error| store_refusal(&error))? else { continue };
            let rows = inventory.servers(id).await.map_err(|error| store_refusal(&error))?;
            for (subtask, until) in task.held() {
                let of_hold = |row: &&ServerRow| subtask.spec.target == TaskTarget::Server(row.id);
                held.extend(rows.iter().find(of_hold).map(|row| HeldServer {
                    cluster_name: task.spec.cluster.name.clone(),
                    server: row.addr,
                    task: task.spec.id,
                    hold: Hold {
                        spec: Arc::clone(&task.spec),
                        subtask: subtask.spec.id,
                        run_time: subtask.run_time,
                        until,
                        permanent_offline_at:
                            permanent_offline_at(&cluster, row).or_else(|| task.permanent_offline_at(subtask)),
                    },
                }));
            }
        }
        Ok(held)
    }
}
