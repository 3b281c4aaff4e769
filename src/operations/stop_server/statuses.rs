//! Update observer status, Update zone status, Update OB cluster status: write what is observed now. Repeating them is safe:
//! they write a function of a fresh look.

use async_trait::async_trait;

use super::{REFUSED, UNKNOWN, key, ways};
use crate::domain::admission::{ServiceState, service_state};
use crate::domain::decide::Learned;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::reading::ServerReading;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::engine::{Look, Step, StepContext};
use crate::inventory::recorded_reading;
use crate::operations::Deps;
use crate::store::Write;

/// Servers as they are now; as last recorded when the caller accepted that the cluster cannot be read. Otherwise the look
/// that says why they are not known.
async fn servers(deps: &Deps, context: &StepContext) -> Result<Vec<ServerReading>, Box<Look>> {
    let target = ways::target(deps, context).await.map_err(|failure| Box::new(ways::not_begun(failure)))?;
    let read = async { ways::reader(deps, &target).await?.discover().await };
    match ways::bounded(deps, context, read).await {
        Ok(discovery) => Ok(discovery.servers),
        Err(error) if ways::goes_on_unread(context, &error) => {
            Ok(target.servers.iter().map(recorded_reading).collect())
        }
        Err(error) => Err(Box::new(ways::unread(&error))),
    }
}

pub(super) struct UpdateObserverStatus(pub Deps);

#[async_trait]
impl Step for UpdateObserverStatus {
    async fn look(&self, context: &StepContext) -> Look {
        let servers = match servers(&self.0, context).await {
            Ok(servers) => servers,
            Err(look) => return *look,
        };
        let addr = context.task.spec.server.addr;
        let row = servers.iter().find(|server| server.addr == addr);
        let serves = row.is_some_and(|row| service_state(row) == ServiceState::Serving);
        let not_read = context.value(key::CLUSTER_STATE) == Some(UNKNOWN);
        let not_marked = context.value(key::STOP_TIME) == Some(REFUSED);
        if serves && !not_read && !not_marked {
            let message = format!(
                "server {} serves again: somebody started it while it was being stopped; ask, then retry or give up",
                addr
            );
            let failure = Failure::new(FailureKind::Interfered, "SERVES_AGAIN", message);
            return ways::refuse(failure.with("address", addr));
        }
        let server = context.task.spec.server.id;
        let writes = vec![Write::ServerStatus { server, status: Some(ServerStatus::Stopped) }];
        Look::Reached { already_so: false, learned: Learned::default(), writes }
    }
}

pub(super) struct UpdateZoneStatus(pub Deps);

#[async_trait]
impl Step for UpdateZoneStatus {
    async fn look(&self, context: &StepContext) -> Look {
        let servers = match servers(&self.0, context).await {
            Ok(servers) => servers,
            Err(look) => return *look,
        };
        let (zone, addr) = (&context.task.spec.server.zone, context.task.spec.server.addr);
        let another = servers.iter().any(|server| {
            server.zone == *zone && server.addr != addr && service_state(server) == ServiceState::Serving
        });
        let status = if another { ZoneStatus::Running } else { ZoneStatus::Stopped };
        let strings = vec![(key::TARGET_ZONE_STATUS.to_owned(), status.to_string())];
        let managed = if another { None } else { Some(ZoneStatus::Stopped) };
        let cluster = context.task.spec.cluster.id;
        let writes = vec![Write::ZoneStatus { cluster, zone: zone.clone(), status: managed }];
        Look::Reached { already_so: false, learned: Learned { strings, ..Learned::default() }, writes }
    }
}

/// The cluster is no longer operated on: its status is what is observed again.
pub(super) struct UpdateClusterStatus;

#[async_trait]
impl Step for UpdateClusterStatus {
    async fn look(&self, context: &StepContext) -> Look {
        let cluster = context.task.spec.cluster.id;
        let writes = vec![Write::ClusterStatus { cluster, status: None::<ClusterStatus> }];
        Look::Reached { already_so: false, learned: Learned::default(), writes }
    }
}
