//! One connection to an agent that listens, up to the first bytes that the agent sends, and every reason why there is
//! none. Until then no request was sent, so that a stop that fails here has surely not begun.
//!
//! An agent speaks first: HTTP/2 lets a server send its settings at once, and ours does. What keeps silent is not an
//! agent, or one that hangs, and over TLS 1.3 only those bytes show that our own certificate was accepted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

use crate::host::ssh_error::SshError;
use crate::net::client_tls::ClientTls;
use crate::net::tls::TlsError;

/// Longest wait for a connection.
pub const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for the first bytes of an agent in plaintext, before it is tested for expecting TLS.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(1);
/// How HTTP/2 begins. A server that expects TLS answers it with an alert, which gives it away.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// First byte of a TLS record that is an alert; an HTTP/2 server's first byte is 0.
const TLS_ALERT: u8 = 0x15;

/// Why there is no connection. No request was sent.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Our own certificate files.
    #[error("the service's own TLS files cannot be used: {0}")]
    Files(#[from] TlsError),
    /// No TCP connection.
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    #[error("no connection within {CONNECT:?}")]
    Late,
    /// The connection was accepted, and nothing was sent on it.
    #[error("it takes connections and says nothing, look whether it is an agent and whether it hangs")]
    Silent,
    /// We speak plaintext and the agent expects TLS.
    #[error(
        "it expects TLS and the service speaks plaintext, give the service an [agents] section with its certificate"
    )]
    ExpectsTls,
    /// We speak TLS and the agent does not.
    #[error(
        "it does not speak TLS, start it with --tls-cert, --tls-key, --client-ca and --client-name; with an [agents] section \
         the service speaks to no agent in plaintext"
    )]
    NoTls,
    /// Its certificate is of an authority that we do not trust.
    #[error("its certificate is not signed by an authority in {0} (agents.ca_file)")]
    UnknownAuthority(String),
    /// Its certificate is for another name.
    #[error("its certificate is not for {host}, which agent addresses name: {error}")]
    WrongName {
        /// The host part of the agent's address.
        host: String,
        /// What the TLS library says.
        error: CertificateError,
    },
    /// Its certificate has another fault.
    #[error("its certificate cannot be accepted: {0}")]
    Certificate(CertificateError),
    /// It does not accept our certificate.
    #[error("it refuses the certificate of the service, {cert_file} (agents.cert_file): {}", why(.alert))]
    ClientRefused {
        /// Our certificate's file.
        cert_file: String,
        /// What it answered.
        alert: AlertDescription,
    },
    /// TLS, but not HTTP/2 in it.
    #[error("it speaks TLS and no HTTP/2 in it, so it is no agent")]
    NoHttp2,
    #[error("no TLS with it: {0}")]
    Tls(io::Error),
    #[error(transparent)]
    Ssh(#[from] SshError),
}

fn why(alert: &AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "its --client-ca does not have the authority that signed it".to_owned(),
        AlertDescription::CertificateExpired => "it is not valid at this time".to_owned(),
        alert => format!("{alert:?}"),
    }
}

/// Why a text is not the address of an agent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Neither a name nor an IP.
    #[error("it has no host")]
    Host,
    #[error("it has no port")]
    Port,
}

/// Bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// How to connect to an agent that listens.
#[derive(Clone, Debug)]
pub struct TcpTransport {
    host: String,
    port: u16,
    /// The name that the certificate must be for.
    tls: Option<(ClientTls, ServerName<'static>)>,
}

impl TcpTransport {
    /// `address`: `host:port`, `[v6]:port`; over TLS or in plaintext, never one instead of the other.
    pub fn to(address: &str, tls: Option<&ClientTls>) -> Result<Self, AddressError> {
        let authority: http::uri::Authority = address.parse().map_err(|_| AddressError::Host)?;
        let port = authority.port_u16().ok_or(AddressError::Port)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let named = |tls: &ClientTls| Ok((tls.clone(), ServerName::try_from(host.clone())?));
        let tls: Result<_, rustls::pki_types::InvalidDnsNameError> = tls.map(named).transpose();
        let tls = tls.map_err(|_| AddressError::Host)?;
        Ok(Self { host, port, tls })
    }

    pub const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects, and waits for the first bytes, all within [`CONNECT`].
    pub async fn open(&self) -> Result<Box<dyn ByteStream>, ConnectError> {
        let open = async {
            let stream = self.connect().await?;
            let wire: Box<dyn ByteStream> = match &self.tls {
                None => Box::new(wait_for_first_bytes(stream).await?),
                Some((tls, name)) => Box::new(self.shake_hands(stream, tls, name).await?),
            };
            Ok(wire)
        };
        timeout(CONNECT, open).await.unwrap_or(Err(ConnectError::Late))
    }

    /// Each address of the host gets its share of the time: the first of them may lead nowhere.
    async fn connect(&self) -> Result<TcpStream, ConnectError> {
        let host = (self.host.as_str(), self.port);
        let addresses: Vec<SocketAddr> = lookup_host(host).await.map_err(ConnectError::Tcp)?.collect();
        let share = CONNECT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = ConnectError::Late;
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = ConnectError::Tcp(error),
                Err(_) => {}
            }
        }
        Err(last)
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        tls: &ClientTls,
        name: &ServerName<'static>,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
        let reading = tls.clone();
        let config = tokio::task::spawn_blocking(move || reading.configure()).await;
        let config = config.map_err(|error| ConnectError::Tls(io::Error::other(error)))??;
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        let handshake = connector.connect(name.clone(), stream).await;
        let mut stream = handshake.map_err(|error| self.no_tls(error, tls))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectError::NoHttp2);
        }
        match stream.fill_buf().await {
            Ok([]) => Err(ConnectError::Silent),
            Ok(_) => Ok(stream),
            Err(error) => Err(self.no_tls(error, tls)),
        }
    }

    fn no_tls(&self, error: io::Error, tls: &ClientTls) -> ConnectError {
        let files = tls.files();
        let Some(said) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return ConnectError::Tls(error);
        };
        match said {
            rustls::Error::InvalidMessage(_) => ConnectError::NoTls,
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                ConnectError::UnknownAuthority(files.ca_file.display().to_string())
            }
            rustls::Error::InvalidCertificate(
                error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
            ) => ConnectError::WrongName { host: self.host.clone(), error: error.clone() },
            rustls::Error::InvalidCertificate(error) => ConnectError::Certificate(error.clone()),
            rustls::Error::AlertReceived(alert) if is_of_our_certificate(*alert) => {
                ConnectError::ClientRefused { cert_file: files.cert_file.display().to_string(), alert: *alert }
            }
            _ => ConnectError::Tls(error),
        }
    }
}

/// Alerts with which a server rejects a client's certificate (RFC 8446, section 6.2).
const fn is_of_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

/// Waits until an agent in plaintext has sent something, and does not consume it.
async fn wait_for_first_bytes(mut stream: TcpStream) -> Result<TcpStream, ConnectError> {
    let mut first = [0];
    let spoken = match timeout(FIRST_BYTES_TIMEOUT, stream.peek(&mut first)).await {
        Ok(spoken) => spoken,
        Err(_) => {
            stream.write_all(PREFACE).await.map_err(ConnectError::Tcp)?;
            let asked = timeout(FIRST_BYTES_TIMEOUT / 2, stream.peek(&mut first)).await;
            return Err(match asked {
                Ok(Ok(1)) if first[0] == TLS_ALERT => ConnectError::ExpectsTls,
                Ok(_) | Err(_) => ConnectError::Silent,
            });
        }
    };
    match spoken {
        Ok(0) => Err(ConnectError::Silent),
        Ok(_) => Ok(stream),
        Err(error) => Err(ConnectError::Tcp(error)),
    }
}
