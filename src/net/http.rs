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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceExt};
use tracing::debug;

use crate::net::bounds::Bounds;
use crate::net::connections::{Connection, Connections};
use crate::net::in_flight::InFlight;
use crate::net::lingering::Lingering;

/// Headers of an HTTP/1 request, in number.
const MOST_HEADERS: usize = 100;
/// A connection whose other end is gone is found so, and one whose other end stops in the middle of a frame.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `shutdown`; then requests in flight are answered, as [`InFlight`] says, and what is left is cut off.
/// Every request carries the [`crate::net::peer::Peer`] of its connection among its extensions.
pub async fn serve<S, B>(connections: Connections, service: S, bounds: Bounds, shutdown: CancellationToken)
where
    S: Service<Request<Lingering>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let in_flight = InFlight::default();
    let service = in_flight.layer(service);
    let builder = builder(bounds);
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
            open.spawn(converse(connection, service.clone(), &builder, &ending));
        }
    }
    drop(service);
    tokio::select! {
        () = ending.shutdown() => {}
        () = in_flight.ended() => debug!("connections with nothing in flight are cut off"),
    }
    open.shutdown().await;
}

fn builder(bounds: Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.arrival)
        // Who says that he sends nothing more still waits for his answer. (Over HTTP/2 a stream has its own end for that, and a
        // connection that is half closed is over: RFC 9113 knows none.)
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
    builder
}

fn converse<S, B>(
    connection: Connection,
    service: S,
    builder: &Builder<TokioExecutor>,
    ending: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<S, B>
where
    S: Service<Request<Lingering>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let peer = connection.peer().clone();
    let address = peer.address;
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        service.clone().oneshot(Lingering::around(request))
    });
    let conversation = builder.serve_connection(TokioIo::new(connection), answer).into_owned();
    let conversation = ending.watcher().watch(conversation);
    async move {
        if let Err(error) = conversation.await {
            debug!(%address, error, "a connection ended badly");
        }
    }
}
