//! The gRPC face: the four services, tasks as `google.longrunning.Operations`, health and reflection, and how they are served.

mod admin;
mod backup;
mod call;
mod cluster;
pub mod encode;
mod encode_admin;
pub mod fields;
mod front;
mod measured;
mod ob_server;
mod ob_zone;
mod once;
mod operations;
mod page;
mod reasons;
mod rollout;
mod statuses;
mod task;
pub mod validate;
pub mod validate_admin;
pub mod validate_cluster;
pub mod validate_rollout;
mod validate_whole;
mod validate_zone;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use crate::api::auth::Gatekeeper;
use crate::net::bounds::ListenerLimits;
use crate::net::connections::Connections;
use crate::net::health;
use crate::net::http;
use crate::net::reflection::Reflection;
use crate::net::tls::Protocols;
use crate::proto::v1::FILE_DESCRIPTOR_SET;
use crate::service::Guarded;
use crate::telemetry::metrics::CallMetrics;
use crate::watch::Hub;

use call::Calls;
pub use call::TRACE_ID;
use front::{Front, LARGEST_MESSAGE};

/// Servers generated with `watch::Encoded` as the response of the watches; see `build.rs`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
mod server {
    include!(concat!(env!("OUT_DIR"), "/server/obsteward.v1.rs"));
    pub mod longrunning {
        include!(concat!(env!("OUT_DIR"), "/server/google.longrunning.rs"));
    }
}

use server::admin_service_server::AdminServiceServer;
use server::cluster_service_server::ClusterServiceServer;
use server::longrunning::operations_server::OperationsServer;
use server::ob_server_service_server::ObServerServiceServer;
use server::ob_zone_service_server::ObZoneServiceServer;
use server::rollout_service_server::RolloutServiceServer;
use server::task_service_server::TaskServiceServer;

/// Services of the gRPC face and their health.
pub struct Grpc {
    /// The services, ready to be served.
    pub routes: Routes,
    /// Proves callers before a service sees their call.
    gatekeeper: Arc<Gatekeeper>,
    pub health: Health,
    metrics: CallMetrics,
}

impl Grpc {
    /// Counts calls there.
    #[must_use]
    pub fn measured(self, metrics: CallMetrics) -> Self {
        Self { metrics, ..self }
    }
}

/// Flips the health of all services at once.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Load balancers send new calls elsewhere from now on; calls that come are still answered.
    pub async fn not_serving(&self) {
        self.0.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        self.0.set_not_serving::<ObServerServiceServer<ob_server::ObServers>>().await;
        self.0.set_not_serving::<ObZoneServiceServer<ob_zone::ObZones>>().await;
        self.0.set_not_serving::<RolloutServiceServer<rollout::Rollouts>>().await;
        self.0.set_not_serving::<TaskServiceServer<task::Tasks>>().await;
        self.0.set_not_serving::<ClusterServiceServer<cluster::Clusters>>().await;
        self.0.set_not_serving::<AdminServiceServer<admin::Administrators>>().await;
        self.0.set_not_serving::<OperationsServer<operations::Operations<task::Tasks>>>().await;
    }

    async fn serving(&self) {
        self.0.set_serving::<ObServerServiceServer<ob_server::ObServers>>().await;
        self.0.set_serving::<ObZoneServiceServer<ob_zone::ObZones>>().await;
        self.0.set_serving::<RolloutServiceServer<rollout::Rollouts>>().await;
        self.0.set_serving::<TaskServiceServer<task::Tasks>>().await;
        self.0.set_serving::<ClusterServiceServer<cluster::Clusters>>().await;
        self.0.set_serving::<AdminServiceServer<admin::Administrators>>().await;
        self.0.set_serving::<OperationsServer<operations::Operations<task::Tasks>>>().await;
    }
}

/// The gRPC face over the service. Its watches end with the hub's shutdown.
pub async fn routes(guarded: Guarded, hub: Arc<Hub>, gatekeeper: Arc<Gatekeeper>) -> Result<Grpc, prost::DecodeError> {
    let calls = Calls::new(guarded, gatekeeper.watches());
    let (servers, zones) = (ob_server::ObServers(calls.clone()), ob_zone::ObZones(calls.clone()));
    let (rollouts, clusters) = (rollout::Rollouts(calls.clone()), cluster::Clusters(calls.clone()));
    let administrators = admin::Administrators(calls.clone());
    let tasks = Arc::new(task::Tasks { calls, hub });
    let operations = operations::Operations { tasks: Arc::clone(&tasks) };
    let (reporter, health_service) = health::health();
    let health = Health(reporter);
    health.serving().await;
    let reflection = Reflection::of(&[
        FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        // The details of errors: without their types grpcurl shows them as bytes.
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ])?;
    let largest = usize::try_from(LARGEST_MESSAGE).unwrap_or(usize::MAX);
    let routes = Routes::new(ObServerServiceServer::new(servers).max_decoding_message_size(largest))
        .add_service(ObZoneServiceServer::new(zones).max_decoding_message_size(largest))
        .add_service(RolloutServiceServer::new(rollouts).max_decoding_message_size(largest))
        .add_service(TaskServiceServer::from_arc(tasks).max_decoding_message_size(largest))
        .add_service(ClusterServiceServer::new(clusters).max_decoding_message_size(largest))
        .add_service(AdminServiceServer::new(administrators).max_decoding_message_size(largest))
        .add_service(OperationsServer::new(operations).max_decoding_message_size(largest))
        .add_service(health_service.max_decoding_message_size(largest))
        .add_service(reflection.v1())
        .add_service(reflection.v1alpha());
    Ok(Grpc { routes, gatekeeper, health, metrics: CallMetrics::default() })
}

/// Serves until `shutdown`; then it is not ready, calls in flight are answered, watches end with a bookmark, and what
/// [`crate::net::in_flight::InFlight`] does not wait for is cut off. The hub's shutdown is the same token or a child of it.
pub async fn serve(connections: Connections, grpc: Grpc, bounds: ListenerLimits, shutdown: CancellationToken) {
    let Grpc { routes, gatekeeper, health, metrics } = grpc;
    let front = Front::new(routes, gatekeeper, bounds, &metrics);
    let closing = CancellationToken::new();
    let turning = async {
        shutdown.cancelled().await;
        // Who asks for our health is told before anything is closed.
        health.not_serving().await;
        closing.cancel();
    };
    tokio::join!(http::serve(connections, front, Protocols::Grpc, bounds, closing.clone()), turning);
}
