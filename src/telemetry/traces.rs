//! Traces: spans as OpenTelemetry has them, sent over OTLP to a collector. Whoever works on something says so with spans of `tracing`
//! under the target [`SPAN`]; this makes them spans of a trace, queues them ([`queue`]) and sends them ([`collector`]). Nothing else in
//! the program knows of OpenTelemetry.
//!
//! Without a collector these spans are disabled where they stand, and cost a look at a flag. A place in a trace goes in and out as text,
//! as `traceparent` has it.

mod collector;
mod headers;
mod queue;
mod sampling;

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing::{Instrument, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TracesConfig;
use crate::net::tls::TlsError;
use crate::telemetry::metrics::TraceMetrics;
use collector::Collector;
use queue::{Enqueue, Queue};
use sampling::sampler;

/// The target of spans that belong into traces and not into the log.
pub const SPAN: &str = "obsteward::trace";

/// Why traces cannot be sent as they are configured.
#[derive(Debug, Error)]
pub enum TracesError {
    #[error("traces.endpoint: {0:?} is no collector, write http://host:port or https://host:port")]
    Endpoint(String),
    #[error("traces.headers_file: {0}")]
    Headers(String),
    #[error("traces.ca_file: {0}")]
    Tls(#[from] TlsError),
}

/// Set once spans of this process are sent. The provider lasts as long as the process: without it nothing is queued any more.
static SENDING: OnceLock<(Arc<Queue>, SdkTracerProvider)> = OnceLock::new();

/// Of this process, as its log.
static METRICS: LazyLock<TraceMetrics> = LazyLock::new(TraceMetrics::default);

/// What was sent and what was lost.
pub fn metrics() -> TraceMetrics {
    METRICS.clone()
}

/// What makes spans of a trace of those under [`SPAN`], and sends them from here on; `None`: there is no collector. Call it within a
/// runtime, which sends them.
pub(super) fn layer<S>(
    config: &TracesConfig,
    service: &'static str,
) -> Result<Option<Box<dyn Layer<S> + Send + Sync>>, TracesError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let Some(collector) = Collector::of(config)? else { return Ok(None) };
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    // Who configures the process from outside knows better what it is called.
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => resource,
        None => resource.with_service_name(service),
    };
    let resource = resource.build();
    let queue = Queue::new(metrics());
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Enqueue(Arc::clone(&queue)))
        .with_sampler(sampler(config.sample_ratio))
        .with_resource(resource.clone())
        .build();
    let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
    if SENDING.set((Arc::clone(&queue), provider)).is_ok() {
        tokio::spawn(queue::send(queue, collector, resource));
    }
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    Ok(Some(Box::new(layer.with_filter(filter_fn(is_span).with_max_level_hint(LevelFilter::INFO)))))
}

/// Whether something is one of the spans of traces.
pub(super) fn is_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == SPAN
}

/// Begins a span below `parent`, or in a new trace; it must not have been entered. Returns its own place; `None`: no spans are made.
pub fn begin(span: &Span, parent: Option<&str>) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    if let Some(parent) = parent {
        follow(span, parent);
    }
    traceparent(&span.context())
}

/// Puts a span below a place that a process told, this one or another; it must not have been entered.
pub fn follow(span: &Span, parent: &str) {
    if !span.is_disabled()
        && let Some(parent) = parsed(parent)
    {
        // It fails for spans of other subscribers, which are in no trace.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Where the present work is in its trace, for whoever works on it elsewhere; `None`: it is in none.
pub fn current() -> Option<String> {
    traceparent(&Context::current())
}

/// Works within a span of a trace without entering it: the present span stays that of the log, which what is [`carried`] from there
/// needs. The span lasts as long as its handles.
pub fn within<F: Future>(span: &Span, work: F) -> impl Future<Output = F::Output> {
    let place = if span.is_disabled() { Context::current() } else { span.context() };
    work.with_context(place)
}

/// What is done on a task of its own, for who is here: its lines and its spans are as if it was done here.
pub fn carried<F: Future + Send>(work: F) -> impl Future<Output = F::Output> + Send
where
    F::Output: Send,
{
    // Neither alone would do: a span of the log is none of a trace, and the other way round.
    work.in_current_span().with_context(Context::current())
}

/// Sends what is queued, and waits so long for it at most. Call it before the process ends.
pub async fn flush(limit: Duration) {
    if let Some((queue, _)) = SENDING.get() {
        queue.flush(limit).await;
    }
}

/// The ids of the present span, for a line of the log: of its trace and its own.
pub(super) fn ids() -> Option<(String, String)> {
    SENDING.get()?;
    let context = Context::current();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
}

fn traceparent(context: &Context) -> Option<String> {
    let span = context.span();
    let span = span.span_context();
    let flags = u8::from(span.is_sampled());
    span.is_valid().then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}

fn parsed(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let sampled = u8::from_str_radix(parts.next()?, 16).ok()? & 1 == 1;
    let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}
