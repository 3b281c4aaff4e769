//! The connections of one listener: accepted, bounded in number, taken through the PROXY header of a trusted proxy and the TLS
//! handshake, and ready to be served by either face. What one client does or fails to do here never holds up another.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tracing::{debug, info, warn};

use crate::clock::monotonic_now;
use crate::net::bounds::ListenerLimits;
use crate::net::peer::Peer;
use crate::net::preface_timeout::PrefaceTimeout;
use crate::net::proxies::Proxies;
use crate::net::proxy_protocol;
use crate::net::tls::Tls;
use crate::net::write_timeout::WriteTimeout;

/// How long nothing is accepted after accept failed for lack of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// The same error is logged at most once in this time.
const LOG_AGAIN: Duration = Duration::from_secs(10);
/// TCP finds a machine that vanished after about two minutes, whatever protocol runs over the connection.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// The connections of a listener, as a stream that never ends. Dropping it closes the listener and ends the handshakes;
/// connections that were handed out go on.
pub struct Connections {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    proxies: Option<Arc<Proxies>>,
    bounds: ListenerLimits,
    places: Arc<Semaphore>,
    handshakes: JoinSet<Result<Connection, HandshakeFailure>>,
    breath: Option<Pin<Box<Sleep>>>,
    turned_away: LogThrottle,
    failed: LogThrottle,
    no_handshake: LogThrottle,
}

/// A client that did not get through what comes before the first request.
struct HandshakeFailure {
    address: SocketAddr,
    error: io::Error,
}

impl Connections {
    /// `tls`: `None` serves plaintext.
    pub fn new(listener: TcpListener, tls: Option<Arc<Tls>>, bounds: ListenerLimits) -> Self {
        Self {
            listener,
            tls,
            proxies: None,
            bounds,
            places: Arc::new(Semaphore::new(bounds.connections)),
            handshakes: JoinSet::new(),
            breath: None,
            turned_away: LogThrottle::default(),
            failed: LogThrottle::default(),
            no_handshake: LogThrottle::default(),
        }
    }

    /// Sets the proxies before the listener whose PROXY header is believed.
    #[must_use]
    pub fn behind(self, proxies: Option<Proxies>) -> Self {
        Self { proxies: proxies.map(Arc::new), ..self }
    }

    /// Handles a new connection: returns it when it is ready; `None`: it was closed, or is still in its handshake.
    fn receive(&mut self, stream: TcpStream, address: SocketAddr) -> Option<Connection> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            if let Some(times) = self.turned_away.count() {
                warn!(limit = self.bounds.connections, times, "too many connections, new ones are closed");
            }
            return None;
        };
        prepare(&stream);
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let (stream, bounds) = (WriteTimeout::new(stream, self.bounds.write_timeout), self.bounds);
        let peer = Peer { proxies: self.proxies.clone(), ..Peer::plaintext(address) };
        let proxy_protocol = self.proxies.as_ref().is_some_and(|proxies| proxies.requires_proxy_header(address.ip()));
        let acceptor = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current()));
        if acceptor.is_none() && !proxy_protocol {
            return Some(Connection::new(Transport::Plain(stream), peer, bounds, place));
        }
        self.handshakes.spawn(async move {
            let begun = tokio::time::timeout(bounds.arrival, begin(stream, peer, proxy_protocol, acceptor)).await;
            let begun = begun.unwrap_or_else(|_| {
                let error = format!("it took longer than {} s", bounds.arrival.as_secs_f32());
                Err(io::Error::new(io::ErrorKind::TimedOut, error))
            });
            let (transport, peer) = begun.map_err(|error| HandshakeFailure { address, error })?;
            Ok(Connection::new(transport, peer, bounds, place))
        });
        None
    }
}

impl Stream for Connections {
    type Item = Result<Connection, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            while let Poll::Ready(Some(ended)) = this.handshakes.poll_join_next(context) {
                match ended {
                    Ok(Ok(connection)) => return Poll::Ready(Some(Ok(connection))),
                    // A port scan must not fill the log; whoever wonders why a client cannot connect must find it there.
                    Ok(Err(HandshakeFailure { address, error })) => match this.no_handshake.count() {
                        Some(times) => info!(%address, %error, times, "no TLS handshake or no PROXY header"),
                        None => debug!(%address, %error, "no TLS handshake or no PROXY header"),
                    },
                    Err(error) => warn!(%error, "the beginning of a connection ended badly"),
                }
            }
            if let Some(breath) = &mut this.breath {
                ready!(breath.as_mut().poll(context));
                this.breath = None;
            }
            match ready!(this.listener.poll_accept(context)) {
                Ok((stream, address)) => {
                    if let Some(connection) = this.receive(stream, address) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                // The client left before it was its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if let Some(times) = this.failed.count() {
                        warn!(%error, times, "connections cannot be accepted");
                    }
                    this.breath = Some(Box::pin(tokio::time::sleep(ACCEPT_BACKOFF)));
                }
            }
        }
    }
}

/// What comes before the first request: the header of a proxy, and TLS.
async fn begin(
    mut stream: WriteTimeout<TcpStream>,
    mut peer: Peer,
    proxy_protocol: bool,
    acceptor: Option<TlsAcceptor>,
) -> io::Result<(Transport, Peer)> {
    if proxy_protocol {
        peer.address = proxy_protocol::read(&mut stream).await?.unwrap_or(peer.address);
    }
    let Some(acceptor) = acceptor else { return Ok((Transport::Plain(stream), peer)) };
    let stream = acceptor.accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    peer.certificate = shown.map(|certificate| Arc::new(certificate.clone().into_owned()));
    Ok((Transport::Tls(Box::new(stream)), peer))
}

/// None of these is worth losing a connection for.
fn prepare(stream: &TcpStream) {
    let prepared = stream.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
        Ok(sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?)
    });
    if let Err(error) = prepared {
        debug!(%error, "a socket does not take its options");
    }
}

/// Counts what happens often, and says when it is time to log it.
#[derive(Default)]
struct LogThrottle {
    times: u64,
    said: Option<Instant>,
}

impl LogThrottle {
    /// Counts one more. Returns how many there were since it was last logged, when it is time again.
    fn count(&mut self) -> Option<u64> {
        self.times += 1;
        let now = monotonic_now();
        if self.said.is_some_and(|said| now.duration_since(said) < LOG_AGAIN) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

pub struct Connection {
    transport: Transport,
    /// `None`: the client has sent enough to tell HTTP/2 from HTTP/1.
    preface_timeout: Option<PrefaceTimeout>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

enum Transport {
    Plain(WriteTimeout<TcpStream>),
    Tls(Box<TlsStream<WriteTimeout<TcpStream>>>),
}

impl Connection {
    fn new(transport: Transport, peer: Peer, bounds: ListenerLimits, place: OwnedSemaphorePermit) -> Self {
        Self { transport, preface_timeout: Some(PrefaceTimeout::new(bounds.arrival)), peer, _place: place }
    }

    pub const fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Transport {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { transport, preface_timeout, .. } = self.get_mut();
        let Some(begun) = preface_timeout else { return transport.poll_read(context, buffer) };
        if ready!(begun.poll(context, buffer, |context, buffer| transport.poll_read(context, buffer)))? {
            *preface_timeout = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
