//! Servers that tasks hold out of service, of which people are reminded: without a caller.

use std::sync::Arc;

use super::Service;
use super::refusals::store_refusal;
use super::servers::permanent_offline_at;
use crate::domain::graph::TaskTarget;
use crate::domain::refusal::Refusal;
use crate::notify::reminders::Hold;
use crate::store::inventory::ServerRow;

impl Service {
    /// Every server that is held now. When the cluster gives up its replicas is as the last reading has it, or at the earliest: that is
    /// not known when no reading has found it away and it was not the task that ended its process.
    pub(super) async fn holds(&self) -> Result<Vec<Hold>, Refusal> {
        let (open, _) = self.store.open_tasks(None).await.map_err(|error| store_refusal(&error))?;
        let mut held = Vec::new();
        for task in open.into_iter().map(|stored| stored.task).filter(|task| task.held().next().is_some()) {
            let (id, inventory) = (task.spec.cluster.id, self.deps.inventory.store());
            let Some(cluster) = inventory.cluster(id).await.map_err(|error| store_refusal(&error))? else { continue };
            let rows = inventory.servers(id).await.map_err(|error| store_refusal(&error))?;
            for (subtask, until) in task.held() {
                let of_hold = |row: &&ServerRow| subtask.spec.target == TaskTarget::Server(row.id);
                held.extend(rows.iter().find(of_hold).map(|row| Hold {
                    spec: Arc::clone(&task.spec),
                    subtask: subtask.spec.id,
                    run_time: subtask.run_time,
                    until,
                    permanent_offline_at:
                        permanent_offline_at(&cluster, row).or_else(|| task.permanent_offline_at(subtask)),
                }));
            }
        }
        Ok(held)
    }
}
