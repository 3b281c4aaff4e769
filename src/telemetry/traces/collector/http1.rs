//! OTLP over HTTP/1.1, in protobuf.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;

use super::SendError;
use super::connection::Connector;

/// Where a collector takes traces, below its URL.
const PATH: &str = "/v1/traces";
/// Longest answer that is read; it says little.
const LONGEST_ANSWER: usize = 64 << 10;

pub(super) struct HttpCollector {
    connector: Connector,
    headers: HeaderMap,
    /// `None`: it is closed.
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpCollector {
    pub const fn new(connector: Connector, headers: HeaderMap) -> Self {
        Self { connector, headers, connection: None }
    }

    pub async fn send(&mut self, batch: &ExportTraceServiceRequest) -> Result<ExportTraceServiceResponse, SendError> {
        // Taken, so that a connection on which something went wrong, or that was given up, is not used again.
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await.map_err(broken)?;
        let answer = connection.send_request(self.request(batch)).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await.map_err(broken)?.to_bytes();
        if !status.is_success() {
            return Err(SendError::Http(status));
        }
        self.connection = Some(connection);
        // What cannot be read says nothing of the spans: they were taken.
        Ok(ExportTraceServiceResponse::decode(body).unwrap_or_default())
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let stream = self.connector.connect().await.map_err(broken)?;
        let (sender, connection) = http1::handshake(stream).await.map_err(broken)?;
        // It ends with its sender; whoever sends hears what went wrong.
        tokio::spawn(async move { _ = connection.await });
        Ok(sender)
    }

    fn request(&self, batch: &ExportTraceServiceRequest) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(batch.encode_to_vec())));
        *request.method_mut() = Method::POST;
        // What was a URL has a path that is one.
        *request.uri_mut() = format!("{}{PATH}", self.connector.path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        if let Ok(host) = HeaderValue::from_str(&self.connector.authority()) {
            headers.insert(HOST, host);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("obsteward/", env!("CARGO_PKG_VERSION"))));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        request
    }
}

fn broken(error: impl std::fmt::Display) -> SendError {
    SendError::Broken(error.to_string())
}
