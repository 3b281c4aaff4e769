//! What is measured, for Prometheus: the one place where metrics have their names, helps, units and labels. Whoever measures has
//! one of the handles below, which is cheap to clone and counts whether or not somebody asks; what can be read when somebody
//! asks is counted by nobody and comes as a [`Snapshot`]. Nothing here is global, and nothing decides by it.
//!
//! Values of labels are few: words of our own tables, codes, names of clusters. Only what is there now, and gone from the next
//! answer when it is not, may name a task or a server.

mod calls;
mod remote;
mod snapshot;
mod store;
mod tasks;
mod traces;

use std::fmt::{self, Debug};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use calls::{CallMetrics, MethodMetrics, RequestMetrics, word as code_word};
pub use remote::{ClusterMetrics, HostMetrics};
pub use snapshot::{ClusterLabels, OpenTaskLabels, RestingTaskLabels, RuntimeLabels, ServerLabels, Snapshot};
pub use store::StoreMetrics;
pub use tasks::TaskMetrics;
pub use traces::TraceMetrics;

/// In which text an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// For who asks for it, as Prometheus does.
    OpenMetrics,
    /// For everybody else.
    PrometheusText,
}

impl Exposition {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// All that is counted while the service works.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub calls: CallMetrics,
    pub requests: RequestMetrics,
    pub tasks: TaskMetrics,
    pub store: StoreMetrics,
    pub clusters: ClusterMetrics,
    pub hosts: HostMetrics,
    pub traces: TraceMetrics,
}

impl Metrics {
    /// What was counted so far, and what is so now.
    pub fn told(&self, snapshot: Snapshot, exposition: Exposition) -> Result<String, fmt::Error> {
        let Self { calls, requests, tasks, store, clusters, hosts, traces } = self;
        let mut registry = Registry::default();
        calls.register(&mut registry);
        requests.register(&mut registry);
        tasks.register(&mut registry);
        store.register(&mut registry);
        clusters.register(&mut registry);
        hosts.register(&mut registry);
        traces.register(&mut registry);
        snapshot.register(&mut registry);
        let mut told = String::new();
        match exposition {
            Exposition::OpenMetrics => text::encode(&mut told, &registry)?,
            Exposition::PrometheusText => prometheus_text::encode(&mut told, &registry)?,
        }
        Ok(told)
    }
}

/// Histograms of one name.
type Histograms<L> = Family<L, Histogram>;

/// Is told with its name and help even while it has no sample, so that any answer shows what there is.
#[derive(Debug)]
struct Declared<M>(M);

impl<M: EncodeMetric> EncodeMetric for Declared<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

/// Declares what has no unit.
fn declare(registry: &mut Registry, name: &str, help: &str, metric: impl EncodeMetric + Debug + Send + Sync + 'static) {
    registry.register(name, help, Declared(metric));
}

/// Declares what is measured in seconds; the name gets `_seconds`.
fn declare_seconds(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: impl EncodeMetric + Debug + Send + Sync + 'static,
) {
    registry.register_with_unit(name, help, Unit::Seconds, Declared(metric));
}
