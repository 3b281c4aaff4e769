//! The gRPC face: the four services, health and reflection, and how they are served.

mod admin;
mod backup;
mod call;
mod checked;
mod cluster;
mod encode;
mod encode_admin;
pub mod fields;
mod ob_server;
mod page;
mod task;
pub mod validate;
pub mod validate_admin;
pub mod validate_cluster;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tower::util::MapRequestLayer;
use tracing::info;

use crate::api::auth::Gatekeeper;
use crate::net::arriving::{ArrivalError, Arriving};
use crate::net::bounds::Bounds;
use crate::net::connections::Connections;
use crate::net::health;
use crate::net::in_flight::InFlight;
use crate::net::reflection::Reflection;
use crate::proto::v1::FILE_DESCRIPTOR_SET;
use crate::service::use_cases::UseCases;
use crate::watch::Hub;

pub use call::TRACE_ID;

/// Servers generated with `watch::Encoded` as the response of the watches; see `build.rs`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
mod server {
    include!(concat!(env!("OUT_DIR"), "/server/obsteward.v1.rs"));
}

use server::admin_service_server::AdminServiceServer;
use server::cluster_service_server::ClusterServiceServer;
use server::ob_server_service_server::ObServerServiceServer;
use server::task_service_server::TaskServiceServer;

/// Largest request: a thousand hosts with names as long as they may be.
const LARGEST_REQUEST: usize = 1024 * 1024;
/// A connection whose other end is gone is found so, whether or not it watches.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Services of the gRPC face and their health.
pub struct Grpc {
    /// The services, ready to be served.
    pub routes: Routes,
    /// Says whether they serve.
    pub health: Health,
}

/// Flips the health of all services at once.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Load balancers send new calls elsewhere from now on; calls that come are still answered.
    pub async fn not_serving(&self) {
        self.0.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        self.0.set_not_serving::<ObServerServiceServer<ob_server::ObServers>>().await;
        self.0.set_not_serving::<TaskServiceServer<task::Tasks>>().await;
        self.0.set_not_serving::<ClusterServiceServer<cluster::Clusters>>().await;
        self.0.set_not_serving::<AdminServiceServer<admin::Administrators>>().await;
    }

    async fn serving(&self) {
        self.0.set_serving::<ObServerServiceServer<ob_server::ObServers>>().await;
        self.0.set_serving::<TaskServiceServer<task::Tasks>>().await;
        self.0.set_serving::<ClusterServiceServer<cluster::Clusters>>().await;
        self.0.set_serving::<AdminServiceServer<admin::Administrators>>().await;
    }
}

/// The gRPC face over the use cases. Its watches end with the hub's shutdown.
pub async fn routes(
    use_cases: Arc<dyn UseCases>,
    hub: Arc<Hub>,
    gatekeeper: Arc<Gatekeeper>,
) -> Result<Grpc, prost::DecodeError> {
    let servers = ob_server::ObServers { use_cases: Arc::clone(&use_cases), gatekeeper: Arc::clone(&gatekeeper) };
    let tasks = task::Tasks { use_cases: Arc::clone(&use_cases), gatekeeper: Arc::clone(&gatekeeper), hub };
    let clusters = cluster::Clusters { use_cases: Arc::clone(&use_cases), gatekeeper: Arc::clone(&gatekeeper) };
    let administrators = admin::Administrators { use_cases, gatekeeper };
    let (reporter, health_service) = health::health();
    let health = Health(reporter);
    health.serving().await;
    let reflection = Reflection::of(&[
        FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        // The details of errors: without their types grpcurl shows them as bytes.
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ])?;
    let routes = Routes::new(ObServerServiceServer::new(servers).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(TaskServiceServer::new(tasks).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(ClusterServiceServer::new(clusters).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(AdminServiceServer::new(administrators).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(health_service)
        .add_service(reflection.v1())
        .add_service(reflection.v1alpha());
    Ok(Grpc { routes, health })
}

/// Serves until `shutdown`; then it is not ready, calls in flight are answered, watches end with a bookmark, and what
/// [`InFlight`] does not wait for is left to the end of the process. The hub's shutdown is the same token or a child of it.
pub async fn serve(
    connections: Connections,
    grpc: Grpc,
    bounds: Bounds,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let Grpc { routes, health } = grpc;
    let (in_flight, closing) = (InFlight::default(), CancellationToken::new());
    let server = Server::builder()
        .max_concurrent_streams(bounds.streams)
        .http2_max_header_list_size(bounds.header_bytes)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(in_flight.clone())
        .layer(MapRequestLayer::new(move |request| in_time(request, bounds.arrival)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, closing.clone().cancelled_owned());
    tokio::pin!(server);
    tokio::select! {
        served = &mut server => return served,
        () = shutdown.cancelled() => health.not_serving().await,
    }
    // Who asks for our health is told before anything is closed.
    closing.cancel();
    tokio::select! {
        served = server => {
            info!("every connection has ended");
            served
        }
        () = in_flight.ended() => {
            info!("connections with nothing in flight are left");
            Ok(())
        }
    }
}

/// A request of which only a part ever comes must not be held for ever. Reflection is a conversation, which lasts as long as
/// its client likes.
fn in_time(request: http::Request<Body>, patience: Duration) -> http::Request<Body> {
    if request.uri().path().starts_with("/grpc.reflection.") {
        return request;
    }
    let late = |error| match error {
        ArrivalError::Late => Status::deadline_exceeded("the request did not arrive in time"),
        ArrivalError::Body(status) => status,
    };
    request.map(|body| Body::new(Arriving::new(body, patience).map_err(late)))
}
