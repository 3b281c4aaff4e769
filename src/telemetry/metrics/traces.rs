//! Spans of traces: those that a collector took, and those that were lost.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::declare;

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct SpanLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct TraceMetrics(Family<SpanLabels, Counter>);

impl TraceMetrics {
    /// So many were taken by the collector.
    pub fn sent(&self, spans: usize) {
        self.count("sent", spans);
    }

    /// So many never will be: there was no room for them, or it refused them.
    pub fn lost(&self, spans: usize) {
        self.count("lost", spans);
    }

    fn count(&self, outcome: &'static str, spans: usize) {
        if spans > 0 {
            self.0.get_or_create(&SpanLabels { outcome }).inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Spans of traces that the collector took, or that were lost on the way to it";
        declare(registry, "obsteward_trace_spans", help, self.0.clone());
    }
}
