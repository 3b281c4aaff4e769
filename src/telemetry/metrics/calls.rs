//! Calls of the faces, under the names of OpenTelemetry's conventions: `rpc.server.call.duration` for gRPC,
//! `http.server.request.duration` for REST.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::{Histograms, declare_seconds};

/// What the conventions advise, in seconds.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// `OK` is 0 and `UNAUTHENTICATED` is 16.
const CODES: usize = 17;

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct CallLabels {
    rpc_system_name: &'static str,
    rpc_method: Arc<str>,
    rpc_response_status_code: &'static str,
}

/// Calls of the gRPC face.
#[derive(Clone, Debug)]
pub struct CallMetrics(Histograms<CallLabels>);

impl Default for CallMetrics {
    fn default() -> Self {
        Self(Histograms::new_with_constructor(|| Histogram::new(BUCKETS)))
    }
}

impl CallMetrics {
    /// Those of one method, `package.Service/Method`.
    pub fn method(&self, name: &str) -> MethodMetrics {
        MethodMetrics { calls: self.clone(), method: name.into(), by_code: Default::default() }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Calls of the gRPC face, from their head to the end of the answer; a watch is one call";
        declare_seconds(registry, "rpc_server_call_duration", help, self.0.clone());
    }
}

/// Calls of one method: a code is looked up when it is answered first.
#[derive(Debug)]
pub struct MethodMetrics {
    calls: CallMetrics,
    method: Arc<str>,
    by_code: [OnceLock<Histogram>; CODES],
}

impl MethodMetrics {
    pub fn answered(&self, code: Code, took: Duration) {
        let looked_up = || {
            let labels = CallLabels {
                rpc_system_name: "grpc",
                rpc_method: Arc::clone(&self.method),
                rpc_response_status_code: word(code),
            };
            self.calls.0.get_or_create_owned(&labels)
        };
        if let Some(of_code) = usize::try_from(i32::from(code)).ok().and_then(|code| self.by_code.get(code)) {
            of_code.get_or_init(looked_up).observe(took.as_secs_f64());
        }
    }
}

/// The word of a gRPC code, as its documentation and the conventions write it.
pub const fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct RequestLabels {
    http_request_method: &'static str,
    http_route: &'static str,
    http_response_status_code: u16,
}

/// Requests of the REST face.
#[derive(Clone, Debug)]
pub struct RequestMetrics(Histograms<RequestLabels>);

impl Default for RequestMetrics {
    fn default() -> Self {
        Self(Histograms::new_with_constructor(|| Histogram::new(BUCKETS)))
    }
}

impl RequestMetrics {
    /// `route`: its path in the table of routes, parameters in braces; empty: there is no such route.
    pub fn answered(&self, method: &http::Method, route: &'static str, status: u16, took: Duration) {
        let http_request_method = match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            // The conventions' word: a caller may invent methods.
            _ => "_OTHER",
        };
        let labels = RequestLabels { http_request_method, http_route: route, http_response_status_code: status };
        self.0.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests of the REST face, until the answer begins";
        declare_seconds(registry, "http_server_request_duration", help, self.0.clone());
    }
}
