//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;

/// The other end of a connection. Both faces find it among the extensions of a request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its own certificate, verified against the client authorities of the listener; `None`: it showed none, or there is no
    /// TLS.
    pub certificate: Option<Arc<CertificateDer<'static>>>,
}

impl Peer {
    /// Over a connection without TLS.
    pub const fn plaintext(address: SocketAddr) -> Self {
        Self { address, certificate: None }
    }
}
