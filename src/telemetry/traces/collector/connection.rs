//! Connections to a collector, over TLS when its URL says so.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::{Service, service_fn};

use crate::config::{TracesConfig, TracesProtocol};
use crate::net::client_tls;
use crate::telemetry::traces::TracesError;

/// Bytes in both directions.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

pub(super) type Connecting = BoxFuture<'static, io::Result<TokioIo<Box<dyn ByteStream>>>>;

/// Shown as the URL without its path.
#[derive(Clone)]
pub(super) struct Connector {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Of the URL, without a slash at its end.
    pub path: String,
}

impl Connector {
    pub fn of(endpoint: &str, config: &TracesConfig) -> Result<Self, TracesError> {
        let wrong = || TracesError::Endpoint(without_user(endpoint));
        let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
        let (scheme, authority) = (uri.scheme_str().ok_or_else(wrong)?, uri.authority().ok_or_else(wrong)?);
        if authority.as_str().contains('@') {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match scheme {
            "http" => None,
            "https" => {
                let spoken = match config.protocol {
                    TracesProtocol::Grpc => client_tls::HTTP_2,
                    TracesProtocol::HttpProtobuf => client_tls::HTTP_1,
                };
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
                Some((client_tls::trusting(config.ca_file.as_deref(), spoken)?, name))
            }
            _ => return Err(wrong()),
        };
        let port = authority.port_u16().unwrap_or(config.protocol.port());
        Ok(Self { host, port, tls, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Value of the header `Host`.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    pub fn origin(&self) -> Result<Uri, ()> {
        self.to_string().parse().map_err(|_| ())
    }

    pub async fn connect(&self) -> io::Result<TokioIo<Box<dyn ByteStream>>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn ByteStream> = match &self.tls {
            None => Box::new(stream),
            Some((config, name)) => {
                Box::new(TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?)
            }
        };
        Ok(TokioIo::new(stream))
    }

    /// Opens a connection whenever tonic needs one.
    pub fn into_service(
        self,
    ) -> impl Service<Uri, Response = TokioIo<Box<dyn ByteStream>>, Error = io::Error, Future = Connecting> + Send + 'static
    {
        service_fn(move |_: Uri| -> Connecting {
            let connector = self.clone();
            Box::pin(async move { connector.connect().await })
        })
    }
}

impl fmt::Display for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.authority())
    }
}

/// What may be a password is not shown.
fn without_user(endpoint: &str) -> String {
    match endpoint.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_with_a_port_of_its_protocol() {
        let of = |endpoint: &str, protocol| {
            let config = TracesConfig { protocol, ..TracesConfig::default() };
            Connector::of(endpoint, &config).map(|connector| (connector.to_string(), connector.path))
        };
        for (endpoint, protocol, shown, path) in [
            ("http://otel.example.com", TracesProtocol::Grpc, "http://otel.example.com:4317", ""),
            ("http://[fd00::1]/", TracesProtocol::HttpProtobuf, "http://[fd00::1]:4318", ""),
            ("http://h:80/otlp/", TracesProtocol::HttpProtobuf, "http://h:80", "/otlp"),
        ] {
            assert_eq!(of(endpoint, protocol).unwrap(), (shown.to_owned(), path.to_owned()));
        }
        for endpoint in ["", "otel:4317", "ftp://h", "http://", "http://me:s3cret@h"] {
            let said = of(endpoint, TracesProtocol::Grpc).unwrap_err().to_string();
            assert!(said.contains("write http://host:port") && !said.contains("s3cret"), "{said}");
        }
    }
}
