//! The trace that a request belongs to: its caller's, when that sends a valid `traceparent`, otherwise a new one. It has the same
//! id whether or not spans are sent anywhere.

use http::{HeaderMap, Method, StatusCode};
use tonic::Code;
use tracing::{Span, field, info_span};
use uuid::Uuid;

use crate::domain::trace::TraceContext;
use crate::telemetry::traces::{self, SPAN};

/// The header of W3C Trace Context, on both faces.
const TRACEPARENT: &str = "traceparent";

/// What stands for a call of gRPC. `path`: `/package.Service/Method`; `None`: it leads nowhere, and callers may invent paths.
pub fn of_call(path: Option<&str>) -> Span {
    let path = path.unwrap_or("/_OTHER/_OTHER").trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap_or((path, ""));
    info_span!(
        target: SPAN,
        "call",
        otel.name = path,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
    )
}

/// Says how a call of gRPC has ended. What its caller did wrong is no error of ours.
pub fn call_ended(span: &Span, code: Code) {
    if span.is_disabled() {
        return;
    }
    span.record("rpc.grpc.status_code", i64::from(i32::from(code)));
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => {
            span.record("otel.status_code", "ERROR");
        }
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => {}
    }
    // A span lasts until it is left for the last time.
    span.in_scope(|| ());
}

/// What stands for a request over HTTP. `route`: as in a table of routes; empty: it has none.
pub fn of_request(method: &Method, route: &str) -> Span {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::CONNECT,
        Method::PATCH,
        Method::TRACE,
    ];
    let method = if KNOWN.contains(method) { method.as_str() } else { "_OTHER" };
    info_span!(
        target: SPAN,
        "request",
        otel.name = %format_args!("{method}{}{route}", if route.is_empty() { "" } else { " " }),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
    )
}

/// Says how such a request was answered.
pub fn request_ended(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// The trace of a request that arrives now; `span` is what is to stand for it, and is not entered yet. What is wrong with the header is
/// no reason to refuse anything: then it counts as missing.
pub fn arrived(headers: &HeaderMap, span: &Span) -> TraceContext {
    let given = given(headers);
    traces::begin(span, given.map(|given| given.to_string()).as_deref())
        .and_then(|own| TraceContext::parse(&own))
        .or(given)
        .unwrap_or_else(new)
}

/// A trace of nobody else's.
pub fn new() -> TraceContext {
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let ((high, _), (_, low)) = (one.as_u64_pair(), other.as_u64_pair());
    // Each holds fixed bits; they are at different places here, and their sums have none.
    let trace = one.as_u128() ^ other.as_u128().rotate_left(64);
    TraceContext::of_random(trace, high ^ low)
}

fn given(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    match (given.next(), given.next()) {
        (Some(given), None) => TraceContext::parse(given.to_str().ok()?),
        (_, Some(_)) | (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_callers_trace_counts_when_it_is_one_and_said_once() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
            }
            arrived(&headers, &Span::none())
        };
        assert_eq!(of(&[GIVEN]).to_string(), GIVEN);
        for wrong in [&[][..], &[""], &["00-00-00-00"], &[GIVEN, GIVEN], &["\u{e9}"]] {
            let (one, other) = (of(wrong), of(wrong));
            assert_ne!(one.trace_id(), other.trace_id(), "{wrong:?}");
            assert_ne!(one.trace_id().to_string(), GIVEN[3..35]);
        }
    }
}
