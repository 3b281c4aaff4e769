//! What happens around the steps of a task: which code runs a node, what an earlier owner left behind, and what is restored
//! at a task's end.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::attempt::RecordedIntent;
use crate::domain::effect::Permit;
use crate::domain::event::Failure;
use crate::domain::graph::SubtaskSpec;
use crate::domain::status::{ServerStatus, ZoneStatus};
use crate::domain::task::Task;
use crate::engine::{Operation, Step, StepContext};
use crate::operations::definition::{Definition, Restored};
use crate::operations::{Deps, cluster_failure, step_io, steps};
use crate::store::Write;

/// Every operation on a server: what distinguishes them is in their definitions.
pub struct ServerOperation(pub Deps);

#[async_trait]
impl Operation for ServerOperation {
    fn step(&self, subtask: &SubtaskSpec) -> Option<Arc<dyn Step>> {
        Some(steps::of_kind(subtask.kind.parse().ok()?, self.0.clone()))
    }

    /// An intent on a session: KILL it and check that it is gone. An intent on a host needs nothing: the agent refuses
    /// the old fence, and runs a token once.
    async fn take_over(
        &self,
        context: &StepContext,
        intent: &RecordedIntent,
        permit: Permit,
    ) -> Result<String, Failure> {
        if intent.intent.connection_id == 0 {
            return Ok(format!("intent {} was on a host, which refuses the old fence", intent.number));
        }
        let target = step_io::target(&self.0, context).await?;
        let (endpoint, connection) = (&intent.intent.endpoint, intent.intent.connection_id);
        let gone = self
            .0
            .oceanbase
            .kill_session(permit, &target.access, &target.expected(), endpoint, connection)
            .await
            .map_err(|error| cluster_failure(&error))?;
        Ok(format!("session {connection} at {endpoint} of intent {} is gone: {gone:?}", intent.number))
    }

    fn closing_writes(&self, task: &Task) -> Vec<Write> {
        let restores = Definition::of_task(task).map(|definition| definition.restores).unwrap_or_default();
        let at_this_end = restores.iter().filter(|(state, _)| *state == task.state).flat_map(|(_, restored)| *restored);
        at_this_end.map(|restored| restoring(task, *restored)).collect()
    }
}

fn restoring(task: &Task, restored: Restored) -> Write {
    let (server, cluster) = (task.spec.server().id, task.spec.cluster.id);
    let zone = |status| Write::ZoneStatus { cluster, zone: task.spec.server().zone.clone(), status };
    match restored {
        Restored::FormerServer => Write::ServerStatus { server, status: former_server(task) },
        Restored::FormerZone => zone(former_zone(task)),
        Restored::ServerAsObserved => Write::ServerStatus { server, status: None },
        Restored::ZoneAsObserved => zone(None),
        Restored::ClusterAsObserved => Write::ClusterStatus { cluster, status: None },
    }
}

/// A server that was STOPPED under management is so again; everything else is as observed.
fn former_server(task: &Task) -> Option<ServerStatus> {
    task.facts.server(task.spec.server().id).former_status.filter(|former| *former == ServerStatus::Stopped)
}

/// The same for its zone.
pub(super) fn former_zone(task: &Task) -> Option<ZoneStatus> {
    task.facts.zone(&task.spec.server().zone).former_status.filter(|former| *former == ZoneStatus::Stopped)
}
