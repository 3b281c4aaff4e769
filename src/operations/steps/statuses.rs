//! Update observer status, Update zone status, Update OB cluster status: write what is observed now. Repeating them is safe:
//! they write a function of a fresh look. Undo: the status that stood before, an operation's while the task is at work.

use async_trait::async_trait;

use crate::domain::admission::{ServiceState, service_state};
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::facts::{Fact, StopTimeState, ZoneFact};
use crate::domain::reading::ServerReading;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::engine::{Observation, Step, StepContext};
use crate::inventory::recorded_reading;
use crate::operations::operation::former_zone;
use crate::operations::{Deps, step_io};
use crate::store::Write;

/// Servers as they are now; as last recorded when the caller accepted that the cluster cannot be read. `Err`: the
/// observation that says why they are not known.
async fn servers(deps: &Deps, context: &StepContext) -> Result<Vec<ServerReading>, Box<Observation>> {
    let target = step_io::target(deps, context).await.map_err(|failure| Box::new(step_io::not_begun(failure)))?;
    let read = async { step_io::reader(deps, &target).await?.servers().await };
    match step_io::bounded(deps, context, read).await {
        Ok(servers) => Ok(servers),
        Err(error) if step_io::goes_on_unread(context, &error) => {
            Ok(target.servers.iter().map(recorded_reading).collect())
        }
        Err(error) => Err(Box::new(step_io::unread(&error))),
    }
}

/// Of a stop: the server no longer serves.
pub struct UpdateStoppedStatus(pub Deps);

#[async_trait]
impl Step for UpdateStoppedStatus {
    async fn look(&self, context: &StepContext) -> Observation {
        let servers = match servers(&self.0, context).await {
            Ok(servers) => servers,
            Err(look) => return *look,
        };
        let addr = context.task.spec.server().addr;
        let row = servers.iter().find(|server| server.addr == addr);
        let serves = row.is_some_and(|row| service_state(row) == ServiceState::Serving);
        let not_marked = context.server_facts().stop_time == Some(StopTimeState::Refused);
        if serves && !step_io::is_unread(context) && !not_marked {
            let message = format!(
                "server {} serves again: somebody started it while it was being stopped; ask, then retry or give up",
                addr
            );
            let failure = Failure::new(FailureKind::Interfered, "SERVES_AGAIN", message);
            return step_io::refuse(failure.with("address", addr));
        }
        let server = context.task.spec.server().id;
        let writes = vec![Write::ServerStatus { server, status: Some(ServerStatus::Stopped) }];
        Observation::Reached { already_so: false, output: StepOutput::default(), writes }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::undone(vec![operated_on(context, ServerStatus::Starting)])
    }
}

/// Of a start: the server serves, and nothing about it is managed any more.
pub struct UpdateStartedStatus(pub Deps);

#[async_trait]
impl Step for UpdateStartedStatus {
    async fn look(&self, context: &StepContext) -> Observation {
        let servers = match servers(&self.0, context).await {
            Ok(servers) => servers,
            Err(look) => return *look,
        };
        let addr = context.task.spec.server().addr;
        let state = servers.iter().find(|server| server.addr == addr).map(service_state);
        if state != Some(ServiceState::Serving) {
            let state = state.map_or_else(|| "not in the cluster".to_owned(), |state| state.to_string());
            let message =
                format!("server {addr} was started and is {state}: ask who stopped it, then retry or give up");
            let failure = Failure::new(FailureKind::Interfered, "DOES_NOT_SERVE", message);
            return step_io::refuse(failure.with("address", addr).with("service", state));
        }
        let writes = vec![Write::ServerStatus { server: context.task.spec.server().id, status: None }];
        Observation::Reached { already_so: false, output: StepOutput::default(), writes }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::undone(vec![operated_on(context, ServerStatus::Stopping)])
    }
}

fn operated_on(context: &StepContext, status: ServerStatus) -> Write {
    Write::ServerStatus { server: context.task.spec.server().id, status: Some(status) }
}

/// The zone, recomputed now.
pub struct UpdateZoneStatus {
    pub deps: Deps,
    /// Whether the server itself serves at the end.
    pub serves: bool,
}

#[async_trait]
impl Step for UpdateZoneStatus {
    async fn look(&self, context: &StepContext) -> Observation {
        let servers = match servers(&self.deps, context).await {
            Ok(servers) => servers,
            Err(look) => return *look,
        };
        let (zone, addr) = (&context.task.spec.server().zone, context.task.spec.server().addr);
        let serves = servers.iter().any(|server| {
            server.zone == *zone
                && (self.serves || server.addr != addr)
                && service_state(server) == ServiceState::Serving
        });
        let status = if serves { ZoneStatus::Running } else { ZoneStatus::Stopped };
        let facts = vec![Fact::Zone(zone.clone(), ZoneFact::TargetStatus(status))];
        let managed = if serves { None } else { Some(ZoneStatus::Stopped) };
        let cluster = context.task.spec.cluster.id;
        let writes = vec![Write::ZoneStatus { cluster, zone: zone.clone(), status: managed }];
        Observation::Reached { already_so: false, output: StepOutput { facts, ..StepOutput::default() }, writes }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        let status = former_zone(&context.task);
        let (cluster, zone) = (context.task.spec.cluster.id, context.task.spec.server().zone.clone());
        step_io::undone(vec![Write::ZoneStatus { cluster, zone, status }])
    }
}

/// The cluster is no longer operated on: its status is what is observed again.
pub struct UpdateClusterStatus;

#[async_trait]
impl Step for UpdateClusterStatus {
    async fn look(&self, context: &StepContext) -> Observation {
        let cluster = context.task.spec.cluster.id;
        let writes = vec![Write::ClusterStatus { cluster, status: None::<ClusterStatus> }];
        Observation::Reached { already_so: false, output: StepOutput::default(), writes }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        let cluster = context.task.spec.cluster.id;
        step_io::undone(vec![Write::ClusterStatus { cluster, status: Some(ClusterStatus::Operating) }])
    }
}
