//! Update observer status, Update zone status, Update OB cluster status: write what is observed now. Repeating them is safe:
//! they write a function of a fresh look. Undo: the status that stood before, an operation's while the task is at work.

use async_trait::async_trait;

use super::WaitObserverStop;
use super::stop_service::mark_refused;
use crate::domain::admission::{ServiceState, service_state};
use crate::domain::blocker::Blocker;
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind, TaskServer};
use crate::domain::facts::{Fact, Moment, ZoneFact};
use crate::domain::graph::TaskTarget;
use crate::domain::reading::ServerReading;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::engine::{Observation, ProgressReport, Step, StepContext};
use crate::inventory::InventoryError;
use crate::operations::operation::former_zone;
use crate::operations::{Deps, inventory_failure, step_io};
use crate::store::Write;

/// Of a stop: the server no longer serves.
pub struct UpdateStoppedStatus(pub Deps);

#[async_trait]
impl Step for UpdateStoppedStatus {
    async fn look(&self, context: &StepContext) -> Observation {
        let Some(TaskServer { id: server, addr, .. }) = context.server().cloned() else {
            return step_io::refuse(step_io::misplaced(context));
        };
        let servers = match step_io::servers(&self.0, context).await {
            Ok(servers) => servers,
            Err(look) => return *look,
        };
        let row = servers.iter().find(|server| server.addr == addr);
        let serves = row.is_some_and(|row| service_state(row) == ServiceState::Serving);
        let not_marked = mark_refused(context);
        if serves && !step_io::is_unread(context) && !not_marked {
            let message = format!(
                "server {} serves again: somebody started it while it was being stopped; ask, then retry or give up",
                addr
            );
            let failure = Failure::new(FailureKind::Interfered, "SERVES_AGAIN", message);
            return step_io::refuse(failure.with("address", addr));
        }
        let writes = vec![Write::ServerStatus { server, status: Some(ServerStatus::Stopped) }];
        Observation::Reached { already_so: false, output: StepOutput::default(), writes }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::undone(operated_on(context, ServerStatus::Starting))
    }
}

/// Of a stopped zone's server: it no longer serves once its process is gone and the cluster no longer hears from it.
pub struct StoppedInZone(pub Deps);

#[async_trait]
impl Step for StoppedInZone {
    async fn look(&self, context: &StepContext) -> Observation {
        match WaitObserverStop(self.0.clone()).look(context).await {
            Observation::Reached { output: waited, .. } => {
                match UpdateStoppedStatus(self.0.clone()).look(context).await {
                    Observation::Reached { writes, .. } => {
                        Observation::Reached { already_so: false, output: waited, writes }
                    }
                    look => look,
                }
            }
            look => look,
        }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        UpdateStoppedStatus(self.0.clone()).undo_look(context).await
    }
}

/// Of a server whose whole cluster is stopped: its process is gone and its ports are closed. No STATUS can be seen any more.
pub struct StoppedInCluster(pub Deps);

#[async_trait]
impl Step for StoppedInCluster {
    async fn look(&self, context: &StepContext) -> Observation {
        let target = match step_io::target(&self.0, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let found = step_io::find(&self.0, &target).await;
        match WaitObserverStop(self.0.clone()).process(context, &target, &found) {
            Ok(None) => {
                context.log(found.evidence);
                let (server, status) = (target.server.id, Some(ServerStatus::Stopped));
                let writes = vec![Write::ServerStatus { server, status }];
                Observation::Reached { already_so: false, output: StepOutput::default(), writes }
            }
            Ok(Some(waits_for)) => {
                let progress = step_io::waits_for(&target, vec![waits_for]);
                Observation::Wait { progress, again_in: self.0.timeouts.poll }
            }
            Err(failure) => step_io::refuse(failure),
        }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        UpdateStoppedStatus(self.0.clone()).undo_look(context).await
    }
}

/// Of a start: the server serves, and nothing about it is managed any more.
pub struct UpdateStartedStatus(pub Deps);

#[async_trait]
impl Step for UpdateStartedStatus {
    async fn look(&self, context: &StepContext) -> Observation {
        let Some(TaskServer { id: server, addr, .. }) = context.server().cloned() else {
            return step_io::refuse(step_io::misplaced(context));
        };
        let servers = match step_io::servers(&self.0, context).await {
            Ok(servers) => servers,
            Err(look) => return *look,
        };
        let state = servers.iter().find(|server| server.addr == addr).map(service_state);
        let stopped_before = matches!(context.server_facts().stop_time_before, Some(Moment::At(_)));
        let of_zone = matches!(context.task.spec.target, TaskTarget::Zone(_));
        if state == Some(ServiceState::Stopped) && stopped_before && of_zone {
            // Starting a zone is not starting each of its servers: STOP_TIME of this one was set before.
            let message = format!("{addr} was stopped on its own before, and stays so: start it with StartServer");
            let warnings = vec![("STAYS_STOPPED".to_owned(), message)];
            let writes = vec![Write::ServerStatus { server, status: Some(ServerStatus::Stopped) }];
            return Observation::Reached {
                already_so: false,
                output: StepOutput { warnings, ..StepOutput::default() },
                writes,
            };
        }
        // In the graph of a zone nothing before this waits for the service.
        if state == Some(ServiceState::Starting) {
            let progress = ProgressReport::uncounted(format!("waits for {addr} to serve (it is STARTING)"))
                .held_by(Blocker::server(addr, "is STARTING"));
            return Observation::Wait { progress, again_in: self.0.timeouts.poll };
        }
        if state != Some(ServiceState::Serving) {
            let state = state.map_or_else(|| "not in the cluster".to_owned(), |state| state.to_string());
            let message =
                format!("server {addr} was started and is {state}: ask who stopped it, then retry or give up");
            let failure = Failure::new(FailureKind::Interfered, "DOES_NOT_SERVE", message);
            return step_io::refuse(failure.with("address", addr).with("service", state));
        }
        let writes = vec![Write::ServerStatus { server, status: None }];
        Observation::Reached { already_so: false, output: StepOutput::default(), writes }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::undone(operated_on(context, ServerStatus::Stopping))
    }
}

fn operated_on(context: &StepContext, status: ServerStatus) -> Vec<Write> {
    context.server().map(|server| Write::ServerStatus { server: server.id, status: Some(status) }).into_iter().collect()
}

/// The zone, recomputed now.
pub struct UpdateZoneStatus {
    pub deps: Deps,
    /// Whether the task's own servers serve at the end.
    pub serves: bool,
}

#[async_trait]
impl Step for UpdateZoneStatus {
    async fn look(&self, context: &StepContext) -> Observation {
        let Some(zone) = context.zone() else { return step_io::refuse(step_io::misplaced(context)) };
        let servers = match context.task.spec.target {
            // Nobody is left who could be asked, nor who could serve.
            TaskTarget::Cluster if !self.serves => Vec::new(),
            TaskTarget::Server(_) | TaskTarget::Zone(_) | TaskTarget::Cluster => {
                match step_io::servers(&self.deps, context).await {
                    Ok(servers) => servers,
                    Err(look) => return *look,
                }
            }
        };
        let stopped = |server: &ServerReading| context.task.spec.servers.iter().any(|one| one.addr == server.addr);
        let serves = servers.iter().any(|server| {
            server.zone == *zone && (self.serves || !stopped(server)) && service_state(server) == ServiceState::Serving
        });
        let status = if serves { ZoneStatus::Running } else { ZoneStatus::Stopped };
        let facts = vec![Fact::Zone(zone.clone(), ZoneFact::TargetStatus(status))];
        let managed = if serves { None } else { Some(ZoneStatus::Stopped) };
        let cluster = context.task.spec.cluster.id;
        let writes = vec![Write::ZoneStatus { cluster, zone: zone.clone(), status: managed }];
        Observation::Reached { already_so: false, output: StepOutput { facts, ..StepOutput::default() }, writes }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        let Some(zone) = context.zone() else { return step_io::refuse(step_io::misplaced(context)) };
        let (cluster, status) = (context.task.spec.cluster.id, former_zone(&context.task, zone));
        step_io::undone(vec![Write::ZoneStatus { cluster, zone: zone.clone(), status }])
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

/// All of the cluster is stopped: that it cannot be read is how it should be, and is recorded, so that its servers are not shown as
/// they were before.
pub struct UpdateClusterStopped(pub Deps);

#[async_trait]
impl Step for UpdateClusterStopped {
    async fn look(&self, context: &StepContext) -> Observation {
        let cluster = context.task.spec.cluster.id;
        match self.0.inventory.sync(cluster).await {
            Ok(_) => {
                let message =
                    "the cluster answers again: somebody started it while it was being stopped; ask, then retry";
                step_io::refuse(Failure::new(FailureKind::Interfered, "SERVES_AGAIN", message))
            }
            Err(InventoryError::Cluster(error)) => {
                context.log(format!("as expected the cluster does not answer: {}", error.message));
                let writes = vec![Write::ClusterStatus { cluster, status: Some(ClusterStatus::Stopped) }];
                Observation::Reached { already_so: false, output: StepOutput::default(), writes }
            }
            Err(error) => step_io::not_begun(inventory_failure(&error)),
        }
    }

    async fn undo_look(&self, context: &StepContext) -> Observation {
        UpdateClusterStatus.undo_look(context).await
    }
}
