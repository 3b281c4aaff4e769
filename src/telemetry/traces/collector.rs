//! A collector of spans, and the two ways to it: OTLP over gRPC, and OTLP over HTTP/1.1 in protobuf. Each keeps one connection and opens
//! another when that is lost. No redirect is followed and no proxy is asked.

mod connection;
mod http1;

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use thiserror::Error;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::config::{TracesConfig, TracesProtocol};
use crate::telemetry::traces::{TracesError, headers};
use connection::Connector;
use http1::HttpCollector;

/// Why a batch was not taken.
#[derive(Debug, Error)]
pub(super) enum SendError {
    #[error("{}", words(.0))]
    Grpc(Status),
    #[error("it answered {0}")]
    Http(StatusCode),
    #[error("{0}")]
    Broken(String),
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

impl SendError {
    /// Whether the same batch may be taken later (OTLP 1.8, "Failures").
    pub fn passes(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Late(_) => true,
            Self::Http(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Grpc(status) => match status.code() {
                Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
                | Code::ResourceExhausted
                // A connection that broke off.
                | Code::Unknown => true,
                Code::Ok
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::Internal
                | Code::Unauthenticated => false,
            },
        }
    }
}

enum Way {
    Grpc { client: TraceServiceClient<Channel>, metadata: MetadataMap },
    Http(HttpCollector),
}

pub(super) struct Collector {
    /// As it is shown: without what may be a secret.
    shown: String,
    way: Way,
    timeout: Duration,
}

impl Collector {
    /// `None`: there is none. Reads the files that belong to it, once. Call it within a runtime.
    pub fn of(config: &TracesConfig) -> Result<Option<Self>, TracesError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let connector = Connector::of(endpoint, config)?;
        let headers = match &config.headers_file {
            None => HeaderMap::new(),
            Some(path) => headers::read(path).map_err(TracesError::Headers)?,
        };
        let shown = connector.to_string();
        let way = match config.protocol {
            TracesProtocol::HttpProtobuf => Way::Http(HttpCollector::new(connector, headers)),
            TracesProtocol::Grpc => {
                // TLS is the connector's; an endpoint that knew of it would insist on its own.
                let origin = connector.origin().map_err(|()| TracesError::Endpoint(endpoint.clone()))?;
                let channel = Endpoint::from_static("http://collector")
                    .origin(origin)
                    .connect_with_connector_lazy(connector.into_service());
                Way::Grpc { client: TraceServiceClient::new(channel), metadata: MetadataMap::from_headers(headers) }
            }
        };
        Ok(Some(Self { shown, way, timeout: config.timeout() }))
    }

    /// How many of the spans it refused.
    pub async fn send(&mut self, batch: ExportTraceServiceRequest) -> Result<usize, SendError> {
        let timeout = self.timeout;
        let sending = async {
            match &mut self.way {
                Way::Http(collector) => collector.send(&batch).await,
                Way::Grpc { client, metadata } => {
                    let request = Request::from_parts(metadata.clone(), http::Extensions::default(), batch);
                    client.export(request).await.map(tonic::Response::into_inner).map_err(SendError::Grpc)
                }
            }
        };
        let answer = tokio::time::timeout(timeout, sending).await.unwrap_or(Err(SendError::Late(timeout)))?;
        Ok(rejected(&answer))
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

fn rejected(answer: &ExportTraceServiceResponse) -> usize {
    let rejected = answer.partial_success.as_ref().map_or(0, |partial| partial.rejected_spans);
    usize::try_from(rejected).unwrap_or_default()
}

fn words(status: &Status) -> String {
    let mut words = format!("{:?}: {}", status.code(), status.message());
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        // Each may say what the one below it says.
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(&format!(": {cause_words}"));
        }
        source = cause.source();
    }
    words
}
