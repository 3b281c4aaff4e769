//! Sync cluster info: reads servers and zones into the inventory and logs what changed. Repeating it is safe: it writes
//! observed columns only.

use async_trait::async_trait;

use crate::domain::decide::StepOutput;
use crate::engine::{Observation, Step, StepContext};
use crate::inventory::InventoryError;
use crate::oceanbase::{ClusterError, ErrorClass};
use crate::operations::{Deps, inventory_failure, step_io};

pub struct SyncClusterInfo(pub Deps);

#[async_trait]
impl Step for SyncClusterInfo {
    async fn look(&self, context: &StepContext) -> Observation {
        let mut output = StepOutput::default();
        let unread = step_io::is_unread(context);
        let limit = if unread { step_io::UNREADABLE_CLUSTER_TIMEOUT } else { self.0.timeouts.reading };
        let sync = self.0.inventory.sync(context.task.spec.cluster.id);
        let synced = tokio::time::timeout(limit, sync).await.unwrap_or_else(|_| {
            let name = &context.task.spec.cluster.name;
            let message = format!("cluster {name} was not read within {} s", limit.as_secs());
            Err(InventoryError::Cluster(ClusterError::new(ErrorClass::Unreachable, message)))
        });
        match synced {
            Ok(differences) => differences.into_iter().for_each(|difference| context.log(difference)),
            Err(InventoryError::Cluster(error)) if step_io::goes_on_unread(context, &error) => {
                let message = format!("the inventory is as it was, the cluster does not answer: {}", error.message);
                output.warnings.push(("CLUSTER_STATE_UNKNOWN".to_owned(), message));
            }
            Err(InventoryError::Cluster(error)) => return step_io::unread(&error),
            Err(error) => return step_io::not_begun(inventory_failure(&error)),
        }
        Observation::Reached { already_so: false, output, writes: Vec::new() }
    }
}
