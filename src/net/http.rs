//! Serves HTTP/1.1 and HTTP/2 over the connections of a listener. What is not HTTP at all, or has headers that are too large,
//! is answered by hyper itself, with an empty 400 or 431: no service sees such a request, and no envelope is around the
//! answer.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceExt};
use tracing::debug;

use crate::net::bounds::ListenerLimits;
use crate::net::connections::{Connection, Connections};
use crate::net::draining_body::DrainingBody;
use crate::net::in_flight::InFlight;
use crate::net::streams::{Streams, TrackedBody};
use crate::net::tls::Protocols;
use crate::net::unauthenticated::{ConnectionGuard, UnauthenticatedLimit};

/// Number of headers of an HTTP/1 request.
const MOST_HEADERS: usize = 100;
/// Finds a connection whose other end is gone, or stops in the middle of a frame.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `shutdown`; then requests in flight are answered, as [`InFlight`] says, and what is left is cut off.
/// Every request carries the [`crate::net::peer::Peer`] and the [`ConnectionGuard`] of its connection among its extensions.
pub async fn serve<S, B>(
    connections: Connections,
    service: S,
    protocols: Protocols,
    bounds: ListenerLimits,
    shutdown: CancellationToken,
) where
    S: Service<Request<DrainingBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send + Unpin,
{
    let in_flight = InFlight::default();
    let service = in_flight.layer(service);
    let unauthenticated = UnauthenticatedLimit::new(bounds);
    let ending = GracefulShutdown::new();
    let mut open = JoinSet::new();
    {
        // Dropped before the wait for what is in flight, so that nobody connects to what is ending.
        let mut connections = pin!(connections);
        loop {
            let connection = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(Ok(connection)) = connections.next() => connection,
                Some(_) = open.join_next() => continue,
            };
            let guard = unauthenticated.guard(connection.peer().address.ip());
            open.spawn(converse(connection, guard, service.clone(), protocols, bounds, &ending));
        }
    }
    drop(service);
    tokio::select! {
        () = ending.shutdown() => {}
        () = in_flight.ended() => debug!("connections with nothing in flight are cut off"),
    }
    open.shutdown().await;
}

fn builder(streams: Streams, protocols: Protocols, bounds: ListenerLimits) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.arrival)
        // A client that closes its sending side still waits for its answer. (Over HTTP/2 a stream has its own end for
        // that, and a connection that is half closed is over: RFC 9113 knows none.)
        .half_close(true)
        .max_headers(MOST_HEADERS)
        .max_buf_size(usize::try_from(bounds.header_bytes).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(bounds.header_bytes)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    match protocols {
        Protocols::Grpc => builder.http2_only(),
        Protocols::Rest => builder,
    }
}

fn converse<S, B>(
    connection: Connection,
    guard: ConnectionGuard,
    service: S,
    protocols: Protocols,
    bounds: ListenerLimits,
    ending: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<S, B>
where
    S: Service<Request<DrainingBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send + Unpin,
{
    let peer = connection.peer().clone();
    let address = peer.address;
    let streams = Streams::new(bounds.write_timeout);
    let builder = builder(streams.clone(), protocols, bounds);
    let asking = guard.clone();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(asking.clone());
        let (answered, asked) = (service.clone().oneshot(DrainingBody::around(request)), asking.asks());
        async move { answered.await.map(|response| response.map(|body| TrackedBody::new(body, asked))) }
    });
    let conversation = builder.serve_connection(TokioIo::new(connection), answer).into_owned();
    let conversation = ending.watcher().watch(conversation);
    async move {
        tokio::select! {
            ended = conversation => if let Err(error) = ended {
                debug!(%address, error, "a connection ended badly");
            },
            () = streams.watch() => debug!(%address, "a connection whose client leaves the rest of an answer is cut off"),
            () = guard.idle(bounds.arrival) => debug!(%address, "a connection on which nobody is known and nothing is asked ends"),
        }
    }
}
