//! What happens around the steps of a task: which code runs a node, what an earlier owner left behind, and what is restored
//! at a task's end.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::attempt::RecordedIntent;
use crate::domain::effect::Permit;
use crate::domain::event::Failure;
use crate::domain::graph::SubtaskSpec;
use crate::domain::ids::{ServerId, ZoneName};
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::domain::task::Task;
use crate::engine::{Operation, Step, StepContext};
use crate::operations::definition::{Definition, Restored};
use crate::operations::subject::Subject;
use crate::operations::{Deps, cluster_failure, steps};
use crate::store::Write;

/// Every operation: what distinguishes them is in their definitions.
pub struct DefinedOperation(pub Deps);

#[async_trait]
impl Operation for DefinedOperation {
    fn step(&self, subtask: &SubtaskSpec) -> Option<Arc<dyn Step>> {
        Some(steps::of_kind(subtask.kind.parse().ok()?, self.0.clone()))
    }

    fn asks_clusters(&self) -> bool {
        true
    }

    /// An intent on a session: KILL it and check that it is gone. An intent on a host needs nothing: the next look tells its agent
    /// of the new fence (`step_io::find_behind`), which refuses the old one from then on, and runs a token once.
    async fn take_over(
        &self,
        context: &StepContext,
        intent: &RecordedIntent,
        permit: Permit,
    ) -> Result<String, Failure> {
        if intent.intent.connection_id == 0 {
            return Ok(format!("intent {} was on a host, which is told of the new fence", intent.number));
        }
        let subject = Subject::of(&self.0, context).await?;
        let (endpoint, connection) = (&intent.intent.endpoint, intent.intent.connection_id);
        let gone = self
            .0
            .oceanbase
            .kill_session(permit, &subject.way().access, &subject.expected(), endpoint, connection)
            .await
            .map_err(|error| cluster_failure(&error))?;
        Ok(format!("session {connection} at {endpoint} of intent {} is gone: {gone:?}", intent.number))
    }

    fn closing_writes(&self, task: &Task) -> Vec<Write> {
        let restores = Definition::of_task(task).map(|definition| definition.restores).unwrap_or_default();
        let at_this_end = restores.iter().filter(|(state, _)| *state == task.state).flat_map(|(_, restored)| *restored);
        at_this_end.flat_map(|restored| restoring(task, *restored)).collect()
    }
}

fn restoring(task: &Task, restored: Restored) -> Vec<Write> {
    let cluster = task.spec.cluster.id;
    let servers = |status: fn(&Task, ServerId) -> Option<ServerStatus>| {
        let ids = task.spec.servers.iter().map(|server| server.id);
        ids.map(|server| Write::ServerStatus { server, status: status(task, server) }).collect()
    };
    let zones = |status: fn(&Task, &ZoneName) -> Option<ZoneStatus>| {
        let zones: BTreeSet<&ZoneName> = task.spec.servers.iter().map(|server| &server.zone).collect();
        let write = |zone: &ZoneName| Write::ZoneStatus { cluster, zone: zone.clone(), status: status(task, zone) };
        zones.into_iter().map(write).collect()
    };
    match restored {
        Restored::FormerServer => servers(former_server),
        Restored::FormerZone => zones(former_zone),
        Restored::ServerAsObserved => servers(|_, _| None),
        Restored::ZoneAsObserved => zones(|_, _| None),
        Restored::FormerCluster => {
            let stopped = task.facts.cluster.former_status == Some(ClusterStatus::Stopped);
            vec![Write::ClusterStatus { cluster, status: stopped.then_some(ClusterStatus::Stopped) }]
        }
        Restored::ClusterAsObserved => vec![Write::ClusterStatus { cluster, status: None }],
    }
}

/// A server that was STOPPED under management is so again; everything else is as observed.
fn former_server(task: &Task, server: ServerId) -> Option<ServerStatus> {
    task.facts.server(server).former_status.filter(|former| *former == ServerStatus::Stopped)
}

/// The same for a zone.
pub(super) fn former_zone(task: &Task, zone: &ZoneName) -> Option<ZoneStatus> {
    task.facts.zone(zone).former_status.filter(|former| *former == ZoneStatus::Stopped)
}
