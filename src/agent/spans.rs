//! What the agent does, in its log and in the trace that its caller makes the call for.

use std::future::Future;

use tonic::{Code, Request, Response, Status};
use tracing::{Instrument, Span, error_span, field, info_span};

use crate::agent::grpc::TRACEPARENT;
use crate::domain::trace::TraceContext;
use crate::telemetry::traces::{self, SPAN};

/// Answers a call as a span of its caller's trace.
pub(super) async fn answered<Q, A>(
    method: &'static str,
    request: Request<Q>,
    answer: impl AsyncFnOnce(Q) -> Result<Response<A>, Status>,
) -> Result<Response<A>, Status> {
    let given = request.metadata().get(TRACEPARENT).and_then(|given| given.to_str().ok());
    let given = given.and_then(TraceContext::parse);
    let span = info_span!(
        target: SPAN,
        "call",
        otel.name = %format_args!("obsteward.agent.v1.HostAgentService/{method}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = "obsteward.agent.v1.HostAgentService",
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
    );
    // Who sends no place in a trace wants no spans: the agent begins none.
    let span = if given.is_some() { span } else { Span::none() };
    let lines = given.map_or_else(Span::none, |given| {
        if !span.is_disabled() {
            traces::follow(&span, &given.to_string());
        }
        // At this level whatever the filter says: lines of any level bear the trace.
        error_span!("call", rpc = method, trace_id = %given.trace_id())
    });
    let answered = answer(request.into_inner()).instrument(lines).instrument(span.clone()).await;
    if !span.is_disabled() {
        let code = answered.as_ref().err().map_or(Code::Ok, Status::code);
        span.record("rpc.grpc.status_code", i64::from(i32::from(code)));
        if code == Code::Internal {
            span.record("otel.status_code", "ERROR");
        }
    }
    answered
}

/// A signal, and the wait for the end of the process.
pub(super) async fn signal<T>(signal: &'static str, pid: u32, sent: impl Future<Output = T>) -> T {
    let span = info_span!(target: SPAN, "signal", otel.name = signal, process.pid = pid);
    sent.instrument(span).await
}

/// The launch of an observer, until it is seen to run.
pub(super) fn of_launch() -> Span {
    info_span!(target: SPAN, "launch")
}
