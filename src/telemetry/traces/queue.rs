//! Spans on their way to the collector. Whoever ends a span only queues it; one task sends them, in batches. What does not fit is lost
//! and counted. A collector that takes nothing is asked ever more rarely, and said once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::{Notify, watch};

use crate::telemetry::metrics::TraceMetrics;
use crate::telemetry::traces::collector::{Collector, SendError};

/// Spans that wait at most: some ten megabytes.
const MOST: usize = 8192;
/// Spans of one message at most.
const BATCH: usize = 512;
/// How long spans gather before they are sent.
const GATHERING: Duration = Duration::from_secs(1);
/// Longest pause before a collector that takes nothing is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Queue {
    spans: Mutex<VecDeque<SpanData>>,
    /// There is enough for a batch.
    enough: Notify,
    /// The process is about to end: what is there is sent at once, and tried once.
    ending: watch::Sender<bool>,
    /// Everything was sent or given up, behind that.
    ended: watch::Sender<bool>,
    metrics: TraceMetrics,
}

impl Queue {
    pub fn new(metrics: TraceMetrics) -> Arc<Self> {
        let (ending, ended) = (watch::Sender::new(false), watch::Sender::new(false));
        Arc::new(Self { spans: Mutex::default(), enough: Notify::new(), ending, ended, metrics })
    }

    fn push(&self, span: SpanData) {
        let mut spans = self.lock();
        if spans.len() >= MOST {
            drop(spans);
            return self.metrics.lost(1);
        }
        spans.push_back(span);
        if spans.len() == BATCH {
            drop(spans);
            self.enough.notify_one();
        }
    }

    fn take(&self) -> Vec<SpanData> {
        let mut spans = self.lock();
        let many = spans.len().min(BATCH);
        spans.drain(..many).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SpanData>> {
        // Only an allocation can panic while the lock is held, and every change is complete.
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn flush(&self, limit: Duration) {
        let mut ended = self.ended.subscribe();
        self.ending.send_replace(true);
        if tokio::time::timeout(limit, ended.wait_for(|ended| *ended)).await.is_err() {
            let left = self.lock().len();
            tracing::warn!(
                "the collector of traces is too slow for the end of the process, {left} spans and a batch are lost"
            );
        }
    }

    async fn told_to_end(&self) {
        // It fails when the queue is gone, which the caller holds.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }
}

/// Takes spans that end into the queue.
#[derive(Debug)]
pub(super) struct Enqueue(pub Arc<Queue>);

impl SpanProcessor for Enqueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends what is queued, until the process ends.
pub(super) async fn send(queue: Arc<Queue>, mut collector: Collector, resource: Resource) {
    let resource = ResourceAttributesWithSchema::from(&resource);
    let mut telling = Telling::default();
    loop {
        tokio::select! {
            biased;
            () = queue.told_to_end() => {}
            () = queue.enough.notified() => {}
            () = tokio::time::sleep(GATHERING) => {}
        }
        // Seen before the queue is emptied, so that nothing which was there then is forgotten.
        let ending = queue.is_ending();
        loop {
            let batch = queue.take();
            if batch.is_empty() {
                break;
            }
            let many = batch.len();
            let resource_spans = group_spans_by_resource_and_scope(batch, &resource);
            let sent =
                deliver(&queue, &mut collector, ExportTraceServiceRequest { resource_spans }, &mut telling).await;
            let rejected = sent.map_or(many, |rejected| rejected.min(many));
            queue.metrics.lost(rejected);
            queue.metrics.sent(many - rejected);
            if sent.is_none() && queue.is_ending() {
                // Who took nothing now takes nothing in time.
                let left = std::mem::take(&mut *queue.lock()).len();
                queue.metrics.lost(left);
                break;
            }
        }
        if ending {
            queue.ended.send_replace(true);
            return;
        }
    }
}

/// Sends a batch until it is taken; how many of its spans were not. `None`: none of them will be.
async fn deliver(
    queue: &Queue,
    collector: &mut Collector,
    batch: ExportTraceServiceRequest,
    telling: &mut Telling,
) -> Option<usize> {
    let mut pause = GATHERING;
    loop {
        let failed = match collector.send(batch.clone()).await {
            Ok(rejected) => {
                telling.worked(collector);
                return Some(rejected);
            }
            Err(failed) => failed,
        };
        telling.failed(collector, &failed);
        if !failed.passes() || queue.is_ending() {
            return None;
        }
        tokio::select! {
            biased;
            () = queue.told_to_end() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// What was said of the collector.
#[derive(Default)]
struct Telling {
    failing: bool,
}

impl Telling {
    fn failed(&mut self, collector: &Collector, error: &SendError) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                "spans of traces are not taken by {collector}: {error}; up to {MOST} wait for it, others are lost, which is said once"
            );
        }
    }

    fn worked(&mut self, collector: &Collector) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("spans of traces are taken by {collector} again");
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;
    use crate::config::TracesConfig;
    use crate::telemetry::metrics::{Exposition, Metrics, Snapshot};

    fn provider(queue: &Arc<Queue>) -> SdkTracerProvider {
        SdkTracerProvider::builder().with_span_processor(Enqueue(Arc::clone(queue))).build()
    }

    fn told(metrics: TraceMetrics) -> String {
        let metrics = Metrics { traces: metrics, ..Metrics::default() };
        metrics.told(Snapshot::default(), Exposition::OpenMetrics).unwrap()
    }

    /// Nobody sends: whoever ends spans does not notice.
    #[test]
    fn what_does_not_fit_is_lost_and_counted() {
        let queue = Queue::new(TraceMetrics::default());
        let provider = provider(&queue);
        let tracer = provider.tracer("test");
        for _ in 0..MOST + 7 {
            drop(tracer.start("span"));
        }
        assert_eq!((queue.take().len(), queue.lock().len()), (BATCH, MOST - BATCH));
        let told = told(queue.metrics.clone());
        assert!(told.contains("obsteward_trace_spans_total{outcome=\"lost\"} 7"), "{told}");
    }

    /// Time is paused: pauses cost nothing. The port is closed.
    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_process_does_not_wait_for_a_collector_that_is_not_there() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = TracesConfig { endpoint: Some(format!("http://{closed}")), ..TracesConfig::default() };
        let collector = Collector::of(&config).unwrap().unwrap();
        let queue = Queue::new(TraceMetrics::default());
        let provider = provider(&queue);
        tokio::spawn(send(Arc::clone(&queue), collector, Resource::builder().build()));
        for _ in 0..3 {
            drop(provider.tracer("test").start("span"));
        }
        queue.flush(Duration::from_secs(60)).await;
        let told = told(queue.metrics.clone());
        assert!(told.contains("obsteward_trace_spans_total{outcome=\"lost\"} 3"), "{told}");
        assert!(!told.contains("outcome=\"sent\""), "{told}");
    }
}
