//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::net::proxies::Proxies;

/// The other end of a connection. Both faces find it among the extensions of a request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, or that of the client for which a trusted proxy opened the connection.
    pub address: SocketAddr,
    /// Proxies whose headers are believed.
    pub proxies: Option<Arc<Proxies>>,
    /// Its own certificate, verified against the client authorities of the listener; `None`: it showed none, or there is no
    /// TLS.
    pub certificate: Option<Arc<CertificateDer<'static>>>,
}

impl Peer {
    pub const fn plaintext(address: SocketAddr) -> Self {
        Self { address, proxies: None, certificate: None }
    }

    /// Whether a trusted proxy there says that its client spoke TLS to it.
    pub fn is_behind_https(&self, headers: &HeaderMap) -> bool {
        self.proxies.as_ref().is_some_and(|proxies| proxies.says_https(self.address, headers))
    }

    /// The client that sent a request with these headers over the connection: the other end, or the one that a trusted
    /// proxy there names.
    pub fn client(&self, headers: &HeaderMap) -> SocketAddr {
        self.proxies.as_ref().map_or(self.address, |proxies| proxies.client(self.address, headers))
    }
}
