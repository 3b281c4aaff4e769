//! How a connection to an agent is opened: the same calls go over each kind.

use std::fmt;

use http::Uri;

use crate::host::connection::{AddressError, ByteStream, ConnectError, TcpTransport};
use crate::host::ssh::SshTransport;
use crate::net::client_tls::ClientTls;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Searches, of which a task makes several a second: an attempt that failed just now need not be repeated.
    Looks,
    /// A single call.
    OneCall,
}

/// Displayed, it names the agent.
#[derive(Debug)]
pub enum Transport {
    /// An agent that listens, in plaintext or over TLS.
    Tcp {
        /// `host:port`.
        address: String,
        /// The same with its scheme.
        origin: Uri,
        transport: TcpTransport,
    },
    /// An agent that ssh starts.
    Ssh(SshTransport),
}

impl Transport {
    /// `address`: `host:port`, over TLS if `tls` is given.
    pub fn tcp(address: &str, tls: Option<&ClientTls>) -> Result<Self, AddressError> {
        let transport = TcpTransport::to(address, tls)?;
        let scheme = if transport.is_tls() { "https" } else { "http" };
        let origin = format!("{scheme}://{address}").parse().map_err(|_| AddressError::Host)?;
        Ok(Self::Tcp { address: address.to_owned(), origin, transport })
    }

    /// The scheme and authority of requests.
    pub fn origin(&self) -> Uri {
        match self {
            Self::Tcp { origin, .. } => origin.clone(),
            // The destination may be a name that only ssh understands, and the agent does not care.
            Self::Ssh(_) => Uri::from_static("http://ssh"),
        }
    }

    /// Opens a connection, in bounded time. An error means that no request was sent on it.
    pub async fn open(&self, purpose: Purpose) -> Result<Box<dyn ByteStream>, ConnectError> {
        match (self, purpose) {
            (Self::Tcp { transport, .. }, Purpose::Looks | Purpose::OneCall) => transport.open().await,
            (Self::Ssh(transport), Purpose::Looks) => Ok(transport.open_with_backoff().await?),
            (Self::Ssh(transport), Purpose::OneCall) => Ok(transport.open().await?),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, .. } => formatter.write_str(address),
            Self::Ssh(transport) => write!(formatter, "ssh:{}", transport.destination()),
        }
    }
}
