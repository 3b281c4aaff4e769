//! One request to a target, over a connection of its own, in HTTP/1.1 and bounded in time and size. No redirect is followed and no
//! proxy is asked: what is sent goes where the configuration says, or nowhere.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::net::client_tls;
use crate::net::tls::TlsError;
use crate::notify::endpoint::Endpoint;

/// Why a target was not reached, or did not take what was sent. Shows neither its URL nor what was sent.
#[derive(Debug, Error)]
pub enum SendError {
    #[error("{0} cannot be reached: {1}")]
    Connect(Endpoint, io::Error),
    #[error("no TLS with {0}: {1}")]
    Tls(Endpoint, io::Error),
    #[error("{0} did not answer within {seconds} s", seconds = .1.as_secs_f32())]
    Late(Endpoint, Duration),
    #[error("{0} broke off: {1}")]
    Broken(Endpoint, hyper::Error),
    #[error("{0} answered {1}")]
    Refused(Endpoint, StatusCode),
    #[error("{0} answered with more than {1} bytes")]
    TooLong(Endpoint, usize),
    #[error("{0} answered what cannot be read: {1}")]
    Unreadable(Endpoint, String),
}

/// The way to a target.
#[derive(Clone)]
pub struct HttpClient {
    pub endpoint: Endpoint,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    timeout: Duration,
}

/// What is asked of a target.
pub struct Asked {
    pub method: Method,
    /// Below the URL of the target; empty: that itself.
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
    /// How much of an answer is read; 0: only its status.
    pub largest_answer: usize,
}

impl HttpClient {
    /// `ca_file`: authorities of its certificate, those of the system without it; read once. Blocks while it reads.
    pub fn new(endpoint: Endpoint, ca_file: Option<&Path>, timeout: Duration) -> Result<Self, TlsError> {
        let tls = match ServerName::try_from(endpoint.host.clone()) {
            Ok(name) if endpoint.tls => Some((client_tls::trusting(ca_file, client_tls::HTTP_1)?, name)),
            // A host that is no name of a certificate is one that nobody can be connected with.
            Ok(_) | Err(_) => None,
        };
        Ok(Self { endpoint, tls, timeout })
    }

    /// The body of a whole answer whose status says that it was done.
    pub async fn send(&self, asked: Asked) -> Result<Bytes, SendError> {
        let late = || SendError::Late(self.endpoint.clone(), self.timeout);
        tokio::time::timeout(self.timeout, self.exchange(asked)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, asked: Asked) -> Result<Bytes, SendError> {
        let failed = |error| SendError::Connect(self.endpoint.clone(), error);
        let stream = TcpStream::connect((self.endpoint.host.as_str(), self.endpoint.port)).await.map_err(failed)?;
        match (&self.tls, self.endpoint.tls) {
            (Some((config, name)), _) => {
                let shaken = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
                self.converse(shaken.map_err(|error| SendError::Tls(self.endpoint.clone(), error))?, asked).await
            }
            (None, false) => self.converse(stream, asked).await,
            (None, true) => Err(SendError::Tls(
                self.endpoint.clone(),
                io::Error::new(io::ErrorKind::InvalidInput, "its host is no name of a certificate"),
            )),
        }
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin, asked: Asked) -> Result<Bytes, SendError> {
        let broken = |error| SendError::Broken(self.endpoint.clone(), error);
        let largest = asked.largest_answer;
        let request = self.request(asked);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let conversation = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            if !answer.status().is_success() {
                return Err(SendError::Refused(self.endpoint.clone(), answer.status()));
            }
            if largest == 0 {
                return Ok(Bytes::new());
            }
            let body = Limited::new(answer.into_body(), largest).collect().await;
            let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => broken(*error),
                Err(_) => SendError::TooLong(self.endpoint.clone(), largest),
            })?;
            Ok(body.to_bytes())
        };
        tokio::pin!(conversation);
        tokio::select! {
            biased;
            answered = &mut conversation => answered,
            // The connection has ended, behind an answer or without one: the conversation knows which.
            _ = connection => conversation.await,
        }
    }

    fn request(&self, asked: Asked) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(asked.body)));
        *request.method_mut() = asked.method;
        // What was a URL has a path that is one; what is below it is ours.
        *request.uri_mut() = self.endpoint.path(&asked.path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.endpoint.authority()) {
            headers.insert(HOST, host);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("obsteward/", env!("CARGO_PKG_VERSION"))));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(asked.headers);
        request
    }
}
