//! A target on a loopback address that behaves as a test says, one request per connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;

use crate::support::PATIENCE;
use crate::support::certificates::Identity;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Arrived {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer(u16, String),
    /// Nothing is answered, and the connection stays open.
    Hang,
    BreakOff,
}

/// Dropping it closes everything.
pub struct Receiver {
    pub address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Arrived>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub async fn new(reply: impl FnMut(&Arrived) -> Reply + Send + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), reply).await
    }

    /// With this certificate.
    pub async fn tls(identity: &Identity, reply: impl FnMut(&Arrived) -> Reply + Send + 'static) -> Self {
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![identity.certificate.clone()];
        let config = config.with_no_client_auth().with_single_cert(chain, identity.key_der()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::over(SocketAddr::from(([127, 0, 0, 1], 0)), Some(acceptor), reply).await
    }

    pub async fn at(address: SocketAddr, reply: impl FnMut(&Arrived) -> Reply + Send + 'static) -> Self {
        Self::over(address, None, reply).await
    }

    async fn over(
        address: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        mut reply: impl FnMut(&Arrived) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrived) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut hanging = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream: Box<dyn Stream> = match &acceptor {
                    None => Box::new(stream),
                    // Whoever does not trust the certificate sends nothing.
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => continue,
                    },
                };
                // Whoever gives up in the middle of a request is no failure of the test.
                let Ok(request) = read(&mut stream).await else { continue };
                let reply = reply(&request);
                let _ = sender.send(request);
                match reply {
                    Reply::Answer(status, body) => {
                        let text = format!(
                            "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                            body.len()
                        );
                        let _ = stream.write_all(text.as_bytes()).await;
                        let _ = stream.shutdown().await;
                    }
                    Reply::Hang => hanging.push(stream),
                    Reply::BreakOff => drop(stream),
                }
            }
        });
        Self { address, arrived, _serving: serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn next(&mut self) -> Arrived {
        tokio::time::timeout(PATIENCE, self.arrived.recv()).await.expect("nothing arrives").unwrap()
    }
}

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn read(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> io::Result<Arrived> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    Ok(Arrived { method, path, headers, body })
}
