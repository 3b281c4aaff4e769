//! A host whose agent is reached by gRPC. What was surely not sent is refused, what may have been sent is unknown.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use tower::{Service, service_fn};

use crate::agent::grpc::{ERROR_DOMAIN, TRACEPARENT};
use crate::agent::wire;
use crate::domain::effect::Permit;
use crate::domain::host::{
    CallerFence, HostCode, ObserverIdentity, ObserverTarget, ProcessReport, StartResult, StopResult, Ticket,
};
use crate::host::connection::{ByteStream, ConnectError};
use crate::host::transport::{Purpose, Transport};
use crate::host::{Admission, Host, HostError, caller, local};
use crate::proto::agent_v1 as pb;
use crate::proto::agent_v1::host_agent_service_client::HostAgentServiceClient;
use crate::telemetry::traces;

/// Longest search: a host with many processes on slow disks.
const LOOK: Duration = Duration::from_secs(10);
/// What a stop may take beyond its grace: two searches, the wait after SIGKILL and the record.
const STOP_BEYOND_GRACE: Duration = Duration::from_secs(30);
/// What a start may take beyond its wait: another start before it, the launch, searches on a busy host, and the record.
const START_BEYOND_WAIT: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
pub struct RemoteHost {
    /// The agent, in words.
    address: String,
    transport: Arc<Transport>,
    endpoint: Endpoint,
    /// Shared by searches; connects when first used and again when it was lost.
    channel: Channel,
}

impl RemoteHost {
    /// The host whose agent `transport` leads to.
    pub fn by(transport: Transport) -> Self {
        // TLS is handled by `transport`, so that its files are read for each connection and its errors can be told apart. An
        // endpoint that knew of it would insist on its own TLS.
        let endpoint = Endpoint::from_static("http://agent")
            .origin(transport.origin())
            // Together shorter than the limit of a search: a host that vanished leaves time for a new connection.
            .http2_keep_alive_interval(Duration::from_secs(3))
            .keep_alive_timeout(Duration::from_secs(3));
        let (address, transport) = (transport.to_string(), Arc::new(transport));
        let channel = endpoint.connect_with_connector_lazy(connector_for(Purpose::Looks, Arc::clone(&transport)));
        Self { address, transport, endpoint, channel }
    }

    async fn look(
        &self,
        target: &ObserverTarget,
        fence: Option<&CallerFence>,
    ) -> Result<(ProcessReport, Option<Ticket>), HostError> {
        match self.ask(target, fence, false).await? {
            Ok(response) => wire::found(response)
                .map_err(|problem| HostError::Protocol { host: self.address.clone(), problem: problem.to_string() }),
            Err(why) => Ok((ProcessReport::unreachable(format!("agent {}: {why}", self.address)), None)),
        }
    }

    /// The inner `Err`: why there is no answer.
    async fn ask(
        &self,
        target: &ObserverTarget,
        fence: Option<&CallerFence>,
        fence_only: bool,
    ) -> Result<Result<pb::FindObserverResponse, String>, HostError> {
        let request = pb::FindObserverRequest {
            target: Some(wire::target_message(target)),
            arm: fence.is_some(),
            fence: fence.map(wire::fence_message),
            fence_only,
        };
        let mut client = HostAgentServiceClient::new(self.channel.clone());
        let answer = tokio::time::timeout(LOOK, async {
            match client.find_observer(traced(request.clone())).await {
                // The kept connection may have died with an earlier agent. Finding and arming may be repeated; an error
                // on a new connection would come again.
                Err(status)
                    if refusal(&status).is_none()
                        && status.code() != Code::Unimplemented
                        && not_connected(&status).is_none() =>
                {
                    client.find_observer(traced(request)).await
                }
                answer => answer,
            }
        })
        .await;
        match answer {
            Err(_) => Ok(Err(format!("no answer within {LOOK:?}"))),
            Ok(Ok(response)) => Ok(Ok(response.into_inner())),
            Ok(Err(status)) => match refusal(&status) {
                Some((code, message)) => Err(HostError::Refused { code, message }),
                None if status.code() == Code::Unimplemented => {
                    Err(HostError::Protocol { host: self.address.clone(), problem: words(&status) })
                }
                None => Ok(Err(words(&status))),
            },
        }
    }
}

#[async_trait]
impl Host for RemoteHost {
    async fn find(&self, target: &ObserverTarget) -> Result<ProcessReport, HostError> {
        Ok(self.look(target, None).await?.0)
    }

    async fn admit(&self, target: &ObserverTarget, fence: &CallerFence) -> Result<Admission, HostError> {
        Ok(match self.ask(target, Some(fence), true).await? {
            Ok(_) => Admission::Current,
            Err(reason) => Admission::Unreachable { reason: format!("agent {}: {reason}", self.address) },
        })
    }

    async fn arm(
        &self,
        target: &ObserverTarget,
        fence: &CallerFence,
    ) -> Result<(ProcessReport, Option<Ticket>), HostError> {
        self.look(target, Some(fence)).await
    }

    async fn stop(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        identity: &ObserverIdentity,
        ticket: Ticket,
        store_id: &str,
        grace: Duration,
    ) -> StopResult {
        let request = pb::StopObserverRequest {
            target: Some(wire::target_message(target)),
            identity: Some(wire::identity_message(identity)),
            ticket: ticket.as_str().to_owned(),
            token: permit.token(),
            fence: Some(wire::fence_message(&caller(&permit, store_id))),
            grace_millis: i32::try_from(grace.as_millis()).unwrap_or(i32::MAX),
        };
        let unknown = |why: String| StopResult::Unknown { message: format!("agent {}: {why}", self.address) };
        // On a connection of its own: only so is it known that nothing was sent when connecting fails.
        let channel = match self.endpoint.connect_with_connector(connector(Arc::clone(&self.transport))).await {
            Ok(channel) => channel,
            Err(error) => return self.not_sent(&not_connected(&error).unwrap_or_else(|| causes(&error))),
        };
        let mut client = HostAgentServiceClient::new(channel);
        let limit = grace.saturating_add(STOP_BEYOND_GRACE);
        match tokio::time::timeout(limit, client.stop_observer(traced(request))).await {
            Err(_) => unknown(format!("no answer within {limit:?}")),
            Ok(Ok(response)) => local::result(wire::stopped(response.into_inner())),
            Ok(Err(status)) => match refusal(&status) {
                Some((code, message)) => StopResult::Refused { code, message },
                // Only a server that has no such method says so.
                None if status.code() == Code::Unimplemented => {
                    StopResult::Refused { code: HostCode::NotAnAgent.to_string(), message: words(&status) }
                }
                None => unknown(words(&status)),
            },
        }
    }

    async fn start(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        ticket: Option<Ticket>,
        store_id: &str,
        wait: Duration,
    ) -> StartResult {
        let request = pb::StartObserverRequest {
            target: Some(wire::target_message(target)),
            token: permit.token(),
            fence: Some(wire::fence_message(&caller(&permit, store_id))),
            wait_millis: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            ticket: ticket.map(|ticket| ticket.as_str().to_owned()),
        };
        let refused = |code: HostCode, message| StartResult::Refused { code: code.to_string(), message };
        let unknown = |why: String| StartResult::Unknown { message: format!("agent {}: {why}", self.address) };
        // As for a stop: on a connection of its own.
        let channel = match self.endpoint.connect_with_connector(connector(Arc::clone(&self.transport))).await {
            Ok(channel) => channel,
            Err(error) => {
                let why = not_connected(&error).unwrap_or_else(|| causes(&error));
                return refused(HostCode::HostUnreachable, format!("agent {}: {why}; nothing was sent", self.address));
            }
        };
        let mut client = HostAgentServiceClient::new(channel);
        let limit = wait.saturating_add(START_BEYOND_WAIT);
        match tokio::time::timeout(limit, client.start_observer(traced(request))).await {
            Err(_) => unknown(format!("no answer within {limit:?}")),
            Ok(Ok(response)) => local::start_result(wire::started(response.into_inner())),
            Ok(Err(status)) => match refusal(&status) {
                Some((code, message)) => StartResult::Refused { code, message },
                None if status.code() == Code::Unimplemented => refused(
                    HostCode::AgentTooOld,
                    format!("agent {} cannot start observers: {}", self.address, words(&status)),
                ),
                None => unknown(words(&status)),
            },
        }
    }
}

impl RemoteHost {
    fn not_sent(&self, why: &str) -> StopResult {
        StopResult::Refused {
            code: HostCode::HostUnreachable.to_string(),
            message: format!("agent {}: {why}; nothing was sent", self.address),
        }
    }
}

type Connecting = BoxFuture<'static, Result<TokioIo<Box<dyn ByteStream>>, ConnectError>>;

/// Opens the connection of one call.
fn connector(
    transport: Arc<Transport>,
) -> impl Service<Uri, Response = TokioIo<Box<dyn ByteStream>>, Error = ConnectError, Future = Connecting> + Send + 'static
{
    connector_for(Purpose::OneCall, transport)
}

/// Opens a connection whenever tonic needs one.
fn connector_for(
    purpose: Purpose,
    transport: Arc<Transport>,
) -> impl Service<Uri, Response = TokioIo<Box<dyn ByteStream>>, Error = ConnectError, Future = Connecting> + Send + 'static
{
    service_fn(move |_: Uri| -> Connecting {
        let transport = Arc::clone(&transport);
        Box::pin(async move { transport.open(purpose).await.map(TokioIo::new) })
    })
}

/// A request that tells the agent the trace that it is made for.
fn traced<Q>(request: Q) -> Request<Q> {
    let mut request = Request::new(request);
    if let Some(place) = traces::current().and_then(|place| AsciiMetadataValue::try_from(place).ok()) {
        request.metadata_mut().insert(TRACEPARENT, place);
    }
    request
}

/// A refusal that came from our agent itself: nothing was signalled.
fn refusal(status: &Status) -> Option<(String, String)> {
    let info = status.get_details_error_info()?;
    let waits = info.reason == HostCode::LedgerFailed.as_str() && status.get_details_retry_info().is_some();
    let code = if waits { HostCode::LedgerWaits.to_string() } else { info.reason };
    (info.domain == ERROR_DOMAIN).then(|| (code, status.message().to_owned()))
}

fn words(status: &Status) -> String {
    if let Some(why) = not_connected(status) {
        return why;
    }
    match std::error::Error::source(status) {
        Some(source) => format!("{:?}: {}: {}", status.code(), status.message(), causes(source)),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}

/// Why there was no connection, if that is the cause of an error.
fn not_connected(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return Some(error.to_string());
        }
        next = error.source();
    }
    None
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}
