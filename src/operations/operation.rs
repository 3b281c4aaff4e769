//! What happens around the steps of a task on a server: which step belongs to which subtask, what an earlier owner left
//! behind, and the statuses at a task's end.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::admission::Request;
use crate::domain::attempt::RecordedIntent;
use crate::domain::effect::Permit;
use crate::domain::event::{Failure, TaskState};
use crate::domain::graph::OperationName;
use crate::domain::status::{ServerStatus, StopType, ZoneStatus};
use crate::domain::task::Task;
use crate::engine::{Operation, Step, StepContext};
use crate::operations::{Deps, cluster_failure, key, operation_name, step_io, steps};
use crate::store::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// `Stop OB server`.
    Stop,
    /// `Start OB server`.
    Start,
    /// `Restart OB server`.
    Restart,
}

impl OperationKind {
    pub const ALL: [Self; 3] = [Self::Stop, Self::Start, Self::Restart];

    pub fn name(self) -> OperationName {
        operation_name(match self {
            Self::Stop => Request::StopProcess,
            Self::Start => Request::Start,
            Self::Restart => Request::Restart,
        })
    }

    /// The operation of a task, and what it asks in the words of the admission table.
    pub fn of(task: &Task) -> Option<(Self, Request)> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == task.spec.graph.operation)?;
        let request = match (kind, task.spec.stop_type) {
            (Self::Stop, Some(StopType::Service)) => Request::StopService,
            (Self::Stop, Some(StopType::Process) | None) => Request::StopProcess,
            (Self::Start, _) => Request::Start,
            (Self::Restart, _) => Request::Restart,
        };
        Some((kind, request))
    }
}

pub struct ServerOperation {
    kind: OperationKind,
    deps: Deps,
}

impl ServerOperation {
    pub const fn new(kind: OperationKind, deps: Deps) -> Self {
        Self { kind, deps }
    }
}

#[async_trait]
impl Operation for ServerOperation {
    fn step(&self, name: &str) -> Option<Arc<dyn Step>> {
        let deps = self.deps.clone();
        let serves = match self.kind {
            OperationKind::Stop => false,
            OperationKind::Start | OperationKind::Restart => true,
        };
        Some(match name {
            "Prepare stop observer" | "Prepare stop observer service" => {
                Arc::new(steps::PrepareStop { deps, status: ServerStatus::Stopping })
            }
            "Prepare restart observer" => Arc::new(steps::PrepareStop { deps, status: ServerStatus::Restarting }),
            "Prepare start observer" => Arc::new(steps::PrepareStart(deps)),
            "Stop server" | "Stop observer service" => Arc::new(steps::StopService(deps)),
            "Stop observer process" => Arc::new(steps::StopProcess(deps)),
            "Wait observer stop" => Arc::new(steps::WaitObserverStop(deps)),
            "Start observer process" => Arc::new(steps::StartProcess(deps)),
            "Wait observer active" => Arc::new(steps::WaitObserverActive(deps)),
            "Start ocp agent service" => Arc::new(steps::StartAgentService(deps)),
            "Start server" => Arc::new(steps::StartService(deps)),
            "Update observer status" if serves => Arc::new(steps::UpdateStartedStatus(deps)),
            "Update observer status" => Arc::new(steps::UpdateStoppedStatus(deps)),
            "Update zone status" => Arc::new(steps::UpdateZoneStatus { deps, serves }),
            "Sync cluster info" => Arc::new(steps::SyncClusterInfo(deps)),
            "Update OB cluster status" => Arc::new(steps::UpdateClusterStatus),
            _ => return None,
        })
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
        let target = step_io::target(&self.deps, context).await?;
        let (endpoint, connection) = (&intent.intent.endpoint, intent.intent.connection_id);
        let gone = self
            .deps
            .oceanbase
            .kill_session(permit, &target.access, &target.expected(), endpoint, connection)
            .await
            .map_err(|error| cluster_failure(&error))?;
        Ok(format!("session {connection} at {endpoint} of intent {} is gone: {gone:?}", intent.number))
    }

    fn closing_writes(&self, task: &Task) -> Vec<Write> {
        let (server, cluster) = (task.spec.server().id, task.spec.cluster.id);
        let zone = |status| Write::ZoneStatus { cluster, zone: task.spec.server().zone.clone(), status };
        let server_status = |status| Write::ServerStatus { server, status };
        let cluster_status = Write::ClusterStatus { cluster, status: None };
        match task.state {
            // Nothing was changed but the mark that a task is at work.
            TaskState::Refused => vec![server_status(former_server(task)), cluster_status],
            TaskState::RolledBack => vec![server_status(former_server(task)), zone(former_zone(task)), cluster_status],
            // As a fresh reading finds them: no status is managed any more.
            TaskState::GivenUp => vec![server_status(None), zone(None), cluster_status],
            TaskState::Running
            | TaskState::Canceling
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Successful => Vec::new(),
        }
    }
}

/// A server that was STOPPED under management is so again; everything else is as observed.
fn former_server(task: &Task) -> Option<ServerStatus> {
    let former = task.context.get(key::FORMER_SERVER_STATUS).and_then(|word| word.parse().ok());
    former.filter(|former| *former == ServerStatus::Stopped)
}

/// The same for its zone.
fn former_zone(task: &Task) -> Option<ZoneStatus> {
    let former = task.context.get(key::FORMER_ZONE_STATUS).and_then(|word| word.parse().ok());
    former.filter(|former| *former == ZoneStatus::Stopped)
}
