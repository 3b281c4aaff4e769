//! A collector of spans as others see one: OTLP over gRPC and over HTTP, on a loopback address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::ServerTlsConfig;
use tonic::{Request, Response, Status};

use super::PATIENCE;
use super::certificates::Identity;

/// A span that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// `service.name`.
    pub service: String,
    /// `process.pid`.
    pub pid: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty: it is a root.
    pub parent: String,
    pub kind: SpanKind,
    pub failed: bool,
    pub attributes: BTreeMap<String, String>,
}

impl Caught {
    /// An attribute that it has.
    #[track_caller]
    pub fn of(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).unwrap_or_else(|| panic!("no {attribute} in {self:?}"))
    }
}

/// Takes whatever is sent to it.
#[derive(Clone)]
pub struct Collector {
    pub address: SocketAddr,
    /// What a call must have in its header `authorization`; `None`: anything.
    wanted: Option<&'static str>,
    caught: Arc<watch::Sender<Vec<Caught>>>,
}

impl Collector {
    pub async fn over_grpc() -> Self {
        let (collector, listener) = Self::bind().await;
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        collector
    }

    /// The same over TLS, for whoever says this in the header `authorization`.
    pub async fn over_tls(identity: &Identity, authorization: &'static str) -> Self {
        let (collector, listener) = Self::bind().await;
        let collector = Self { wanted: Some(authorization), ..collector };
        let service = TraceServiceServer::new(collector.clone());
        let tls = ServerTlsConfig::new().identity(identity.tonic());
        let server = tonic::transport::Server::builder().tls_config(tls).unwrap().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        collector
    }

    /// Below a path of its own, as a proxy in front of one may have it.
    pub async fn over_http() -> Self {
        let (collector, listener) = Self::bind().await;
        let answer = async |State(collector): State<Self>, body: Bytes| {
            collector.catch(ExportTraceServiceRequest::decode(body).unwrap());
            ExportTraceServiceResponse::default().encode_to_vec()
        };
        let router = axum::Router::new().route("/below/v1/traces", post(answer)).with_state(collector.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        collector
    }

    async fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Self { address: listener.local_addr().unwrap(), wanted: None, caught: Arc::default() }, listener)
    }

    /// Everything that was sent once that is enough.
    pub async fn until(&self, enough: impl Fn(&[Caught]) -> bool) -> Vec<Caught> {
        let mut caught = self.caught.subscribe();
        let found = tokio::time::timeout(PATIENCE, caught.wait_for(|caught| enough(caught))).await;
        match found {
            Ok(found) => found.unwrap().clone(),
            Err(_) => panic!("not enough was sent: {:#?}", self.caught.borrow()),
        }
    }

    fn catch(&self, request: ExportTraceServiceRequest) {
        self.caught.send_modify(|caught| {
            for of_resource in request.resource_spans {
                let resource = texts(of_resource.resource.unwrap().attributes);
                for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
                    caught.push(one(&resource, span));
                }
            }
        });
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let said = request.metadata().get("authorization").and_then(|said| said.to_str().ok());
        if self.wanted.is_some_and(|wanted| said != Some(wanted)) {
            return Err(Status::unauthenticated("who are you"));
        }
        self.catch(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn one(resource: &BTreeMap<String, String>, span: Span) -> Caught {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
    Caught {
        service: resource["service.name"].clone(),
        pid: resource["process.pid"].clone(),
        kind: span.kind(),
        failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        attributes: texts(span.attributes),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}
