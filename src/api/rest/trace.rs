//! The outermost layer: a request gets its trace and its span, and its answer a line in the log. One that changes something
//! is worked on to its end although its client may go away: a task must not be recorded and never begun.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::ALLOW;
use http::{HeaderValue, Response};
use tower::{Layer, Service, ServiceExt};
use tracing::{Instrument, Span, debug, error_span, field, info, warn};

use crate::api::rest::request_meta::RequestMeta;
use crate::api::rest::response_format::REASON;
use crate::api::rest::routes::Target;
use crate::api::rest::state::RestState;
use crate::api::trace;
use crate::clock::monotonic_now;
use crate::domain::refusal::Refusal;

/// A request with its trace.
pub struct TracedRequest {
    pub meta: Arc<RequestMeta>,
    pub request: Request,
}

#[derive(Clone)]
pub struct TraceLayer {
    pub state: Arc<RestState>,
    pub target: Target,
    /// Its path in the table of routes; empty: it has none.
    pub route: &'static str,
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { layer: self.clone(), inner }
    }
}

/// A service whose requests are traced.
#[derive(Clone)]
pub struct Trace<S> {
    layer: TraceLayer,
    inner: S,
}

impl<S> Service<Request> for Trace<S>
where
    S: Service<TracedRequest, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { layer: TraceLayer { state, target, route }, inner } = self.clone();
        // Who asks for health every second would fill a collector with it.
        let span = if target.is_open() { Span::none() } else { trace::of_request(request.method(), route) };
        let trace = trace::arrived(request.headers(), &span);
        let meta = Arc::new(RequestMeta::new(request.headers(), target.object(), trace));
        let (began, method, metrics) = (monotonic_now(), request.method().clone(), state.rest.metrics.clone());
        let work = traced(inner, target, TracedRequest { meta: Arc::clone(&meta), request });
        let work = async move {
            let answered = work.await;
            if let Ok(response) = &answered {
                metrics.answered(&method, route, response.status().as_u16(), monotonic_now() - began);
                trace::request_ended(&Span::current(), response.status());
            }
            answered
        };
        let work = work.instrument(span);
        if !target.changes() {
            return work.boxed();
        }
        let to_its_end = async move {
            tokio::spawn(work).await.unwrap_or_else(|_| {
                // Panics are caught within: the runtime ends.
                let why = "the service is ending".to_owned();
                let refusal = Refusal::Unavailable { why, retry_after_millis: 1000 };
                Ok(state.format.response(&meta, Err(refusal.into()), None))
            })
        };
        to_its_end.boxed()
    }
}

async fn traced<S>(inner: S, target: Target, traced: TracedRequest) -> Result<Response<Body>, Infallible>
where
    S: Service<TracedRequest, Response = Response<Body>, Error = Infallible>,
{
    // At this level whatever the filter says: lines of any level bear the trace.
    let span = error_span!(
        "rest",
        operation = traced.meta.object,
        trace_id = %traced.meta.trace.trace_id(),
        principal = field::Empty,
        address = field::Empty,
    );
    let mut response = inner.oneshot(traced).instrument(span.clone()).await?;
    let status = response.status();
    let reason = response.headers().get(REASON).and_then(|reason| reason.to_str().ok()).unwrap_or_default();
    span.in_scope(|| match status.as_u16() {
        500.. => warn!(%status, reason, "failed"),
        400.. => info!(%status, reason, "refused"),
        _ => debug!(%status, "answered"),
    });
    if let Target::WrongMethod(allowed) = target {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    Ok(response)
}
