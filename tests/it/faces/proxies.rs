//! Proxies before a listener that pass bytes on: the PROXY protocol, before TLS and without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::routing::get;
use obsteward::config::LimitsConfig;
use obsteward::net::bounds::ListenerLimits;
use obsteward::net::connections::Connections;
use obsteward::net::http::serve;
use obsteward::net::listener::bind_plaintext;
use obsteward::net::peer::Peer;
use obsteward::net::proxies::Proxies;
use obsteward::net::tls::{Protocols, Tls};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::PATIENCE;
use crate::support::certificates::{Authority, ServerFiles, secure};
use crate::support::http::{request, until_closed};

/// A connection for 203.0.113.9:54321.
const PASSED_ON: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\xd4\x31\x1f\x90";
/// The proxy looks whether we live.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const PROXY: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.2";

/// Answers with the address that it takes its client for.
async fn listen(tls: Option<Arc<Tls>>, arrival: Duration) -> (SocketAddr, DropGuard) {
    let config = toml::from_str("networks = [\"127.0.0.1\"]\nproxy_protocol = true").unwrap();
    let bounds = ListenerLimits { arrival, ..ListenerLimits::from(&LimitsConfig::default()) };
    let (listener, address) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let connections = Connections::new(listener, tls, bounds).behind(Some(Proxies::new(&config)));
    let router = Router::new().route("/", get(async |Extension(peer): Extension<Peer>| peer.address.ip().to_string()));
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(connections, router, Protocols::Rest, bounds, shutdown.clone()));
    (address, shutdown.drop_guard())
}

async fn connect(from: &str, to: SocketAddr, first: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

/// Whom the listener takes its client for; `None`: it says nothing or 400, and closes.
async fn taken_for(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let answer = tokio::time::timeout(PATIENCE, request(stream, "GET", "/", &[], "")).await.expect("no answer comes");
    answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.body)
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_connects_and_nobody_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let files = ServerFiles::new(directory.path(), &authority.server());
    let tls = Tls::open(&files.config, Protocols::Rest).unwrap();
    let (plain, _plain) = listen(None, PATIENCE).await;
    let (encrypted, _encrypted) = listen(Some(tls), PATIENCE).await;
    let version_1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 54321 8080\r\n".as_slice();
    for (from, first, expected) in [
        (PROXY, PASSED_ON, Some("203.0.113.9")),
        (PROXY, LOCAL, Some(PROXY)),
        (PROXY, b"", None),
        (PROXY, version_1, None),
        (STRANGER, b"", Some(STRANGER)),
        (STRANGER, PASSED_ON, None),
        (STRANGER, version_1, None),
    ] {
        let mut stream = connect(from, plain, first).await;
        assert_eq!(taken_for(&mut stream).await.as_deref(), expected, "{from} {first:?}");
        let stream = connect(from, encrypted, first).await;
        let taken = match secure(stream, &authority, None, b"http/1.1").await {
            Ok(mut stream) => taken_for(&mut stream).await,
            Err(_) => None,
        };
        assert_eq!(taken.as_deref(), expected, "TLS, {from} {first:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_in_time_is_cut_off() {
    let (address, _end) = listen(None, Duration::from_millis(300)).await;
    for first in [&[][..], &PASSED_ON[..20]] {
        let mut stream = connect(PROXY, address, first).await;
        let came = tokio::time::timeout(PATIENCE, until_closed(&mut stream)).await.expect("it is not cut off");
        assert!(came.is_empty(), "{came:?}");
    }
}
