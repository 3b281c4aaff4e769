//! The agent over gRPC: `HostAgentService`, health and reflection. Translates, and turns away whose calls are not taken.

use std::future::Future;
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::InterceptorLayer;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status};
use tonic_types::ErrorDetails;

use crate::agent::calls::Calls;
use crate::agent::clients::Clients;
use crate::agent::refusal::AgentRefusal;
use crate::agent::service::Agent;
use crate::agent::spans;
use crate::agent::wire;
use crate::net::bounds::ListenerLimits;
use crate::net::connections::Connections;
use crate::net::descriptors;
use crate::net::health::health;
use crate::net::in_flight::InFlight;
use crate::net::peer::Peer;
use crate::net::reflection::Reflection;
use crate::proto::agent_v1 as pb;
use crate::proto::agent_v1::host_agent_service_server::{HostAgentService, HostAgentServiceServer};
use crate::proto::rpc::ErrorInfo;

/// Domain of our `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "obsteward";
/// In which a call says the trace that it is made for, as W3C Trace Context has it.
pub const TRACEPARENT: &str = "traceparent";
/// A request is a few hundred bytes; paths may be long.
const LARGEST_REQUEST: usize = 64 << 10;
/// Calls in flight per connection.
const CONCURRENCY: u32 = 64;
/// Retry delay of a refusal because the agent's record or its host lacked room.
const ROOM_AGAIN: Duration = Duration::from_secs(5);
/// Limits for clients. There are only a few, the replicas of one service.
pub const BOUNDS: ListenerLimits = ListenerLimits {
    strangers_per_connection: None,
    strangers_per_address: None,
    connections: 256,
    arrival: Duration::from_secs(15),
    write_timeout: Duration::from_secs(30),
    streams: Some(CONCURRENCY),
    header_bytes: 16 << 10,
};

/// [`BOUNDS`], with fewer connections where the limit of open files is low: ending a process and recording it need some too.
pub fn bounds() -> ListenerLimits {
    ListenerLimits { connections: descriptors::share(BOUNDS.connections, 1, descriptors::raise()), ..BOUNDS }
}

#[derive(Clone, Debug)]
pub struct HostAgent(Agent);

impl HostAgent {
    pub const fn new(agent: Agent) -> Self {
        Self(agent)
    }
}

#[tonic::async_trait]
impl HostAgentService for HostAgent {
    async fn find_observer(
        &self,
        request: Request<pb::FindObserverRequest>,
    ) -> Result<Response<pb::FindObserverResponse>, Status> {
        let answering = async |request: pb::FindObserverRequest| {
            let target = wire::target(request.target).map_err(status)?;
            let (found, ticket) = if request.arm {
                let fence = wire::fence(request.fence).map_err(status)?;
                if request.fence_only {
                    self.0.admit(&fence).await.map_err(status)?;
                    return Ok(Response::new(pb::FindObserverResponse::default()));
                }
                self.0.arm(&target, &fence).await.map_err(status)?
            } else {
                (self.0.find(&target).await.map_err(status)?, None)
            };
            Ok(Response::new(wire::found_message(found, ticket)))
        };
        spans::answered("FindObserver", request, answering).await
    }

    async fn stop_observer(
        &self,
        request: Request<pb::StopObserverRequest>,
    ) -> Result<Response<pb::StopObserverResponse>, Status> {
        let answering = async |request| {
            let request = wire::stop_request(request).map_err(status)?;
            let stopped = self.0.stop(request).await.map_err(status)?;
            Ok(Response::new(wire::stopped_message(stopped)))
        };
        spans::answered("StopObserver", request, answering).await
    }

    async fn start_observer(
        &self,
        request: Request<pb::StartObserverRequest>,
    ) -> Result<Response<pb::StartObserverResponse>, Status> {
        let answering = async |request| {
            let request = wire::start_request(request).map_err(status)?;
            let started = self.0.start(request).await.map_err(status)?;
            Ok(Response::new(wire::started_message(started)))
        };
        spans::answered("StartObserver", request, answering).await
    }
}

/// Serves everybody who reaches a listener, in plaintext, as [`serve_clients`] does.
pub async fn serve(
    agent: Agent,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    serve_clients(agent, Connections::new(listener, None, bounds()), Clients::Everybody, shutdown).await
}

/// Serves `clients` until `shutdown`, then lets the calls in flight end, as [`InFlight`] says. Other callers get no
/// answer, not even to a health check.
pub async fn serve_clients(
    agent: Agent,
    connections: Connections,
    clients: Clients,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    serve_over(agent, connections, clients, Calls::new(), shutdown).await
}

/// Serves any kind of connections, as [`serve_clients`] does. `calls` are those that begin here.
pub async fn serve_over<C, E>(
    agent: Agent,
    connections: impl Stream<Item = Result<C, E>>,
    clients: Clients,
    calls: Calls,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError>
where
    C: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (health, health_service) = health();
    health.set_serving::<HostAgentServiceServer<HostAgent>>().await;
    let reflection = Reflection::of(&[
        pb::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ])?;
    let service = HostAgentServiceServer::new(HostAgent::new(agent)).max_decoding_message_size(LARGEST_REQUEST);
    let (in_flight, closing) = (InFlight::default(), CancellationToken::new());
    let serving = tonic::transport::Server::builder()
        .max_concurrent_streams(BOUNDS.streams)
        .http2_max_header_list_size(BOUNDS.header_bytes)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .layer(in_flight.clone())
        .layer(InterceptorLayer::new(move |request| admitted(&clients, request)))
        .layer(calls)
        .add_service(health_service)
        .add_service(reflection.v1())
        .add_service(reflection.v1alpha())
        .add_service(service)
        .serve_with_incoming_shutdown(connections, closing.clone().cancelled_owned());
    let ending = async {
        shutdown.await;
        health.set_not_serving::<HostAgentServiceServer<HostAgent>>().await;
        health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        closing.cancel();
        in_flight.ended().await;
    };
    tokio::select! {
        served = serving => served?,
        () = ending => {}
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the agent's listener failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("the protocol's description is damaged, build again: {0}")]
    Reflection(#[from] prost::DecodeError),
}

fn admitted(clients: &Clients, request: Request<()>) -> Result<Request<()>, Status> {
    let peer = request.extensions().get::<Peer>();
    if let Err(refusal) = clients.admit(peer) {
        let address = peer.map(|peer| peer.address);
        tracing::warn!(?address, reason = refusal.reason(), "a call was turned away: {refusal}");
        return Err(status(refusal));
    }
    Ok(request)
}

fn status(refusal: AgentRefusal) -> Status {
    let code = match &refusal {
        AgentRefusal::ClientNotProven { .. } => Code::Unauthenticated,
        AgentRefusal::ClientNotAccepted { .. } => Code::PermissionDenied,
        AgentRefusal::Invalid { .. } => Code::InvalidArgument,
        AgentRefusal::StoreNotTrusted { .. } | AgentRefusal::NotPermitted { .. } => Code::PermissionDenied,
        AgentRefusal::TooManyEnds { .. }
        | AgentRefusal::LedgerFailed { passes: true, .. }
        | AgentRefusal::HostExhausted { .. } => Code::ResourceExhausted,
        AgentRefusal::TokenReused { .. } => Code::AlreadyExists,
        AgentRefusal::LedgerFailed { passes: false, .. } | AgentRefusal::HostUnreadable { .. } => Code::Internal,
        AgentRefusal::Fenced { .. }
        | AgentRefusal::TicketUnknown
        | AgentRefusal::TicketUsed
        | AgentRefusal::TicketExpired { .. }
        | AgentRefusal::TicketMismatch { .. }
        | AgentRefusal::IdentityChanged { .. }
        | AgentRefusal::Ambiguous { .. }
        | AgentRefusal::Supervised { .. }
        | AgentRefusal::StartedBySupervisor { .. }
        | AgentRefusal::PortTaken { .. }
        | AgentRefusal::HomeUnknown { .. }
        | AgentRefusal::HomeAmbiguous { .. }
        | AgentRefusal::HomeMismatch { .. }
        | AgentRefusal::ProgramMissing { .. }
        | AgentRefusal::LaunchFailed { .. }
        | AgentRefusal::Recorded { .. } => Code::FailedPrecondition,
    };
    let mut details = ErrorDetails::new();
    let metadata = refusal.metadata().into_iter().map(|(key, value)| (key.to_owned(), shortened(value))).collect();
    let info = ErrorInfo { reason: refusal.reason().to_owned(), domain: ERROR_DOMAIN.to_owned(), metadata };
    if let AgentRefusal::TooManyEnds { retry_after, .. } = &refusal {
        details.set_retry_info(Some(*retry_after));
    }
    if let AgentRefusal::LedgerFailed { passes: true, .. } | AgentRefusal::HostExhausted { .. } = &refusal {
        details.set_retry_info(Some(ROOM_AGAIN));
    }
    if let AgentRefusal::Invalid { field, wanted, .. } = &refusal {
        details.add_bad_request_violation(*field, format!("write {wanted}"));
    }
    info.status(code, shortened(refusal.to_string()), details)
}

/// A status travels in headers, which clients limit to some kilobytes: evidence of a large host may be longer.
fn shortened(text: String) -> String {
    const LONGEST: usize = 1500;
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).chain("…".chars()).collect() }
}

#[cfg(test)]
#[path = "grpc_tests.rs"]
mod tests;
