//! What is asked of clusters and of the hosts of their servers.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Histograms, declare, declare_seconds};

/// An answer has seconds; the end of a process its grace, and a start what it is watched for.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// The outcome of what went well.
const OK: &str = "ok";

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct QuestionLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct FailureLabels {
    cluster: String,
    outcome: &'static str,
}

#[derive(Clone, Debug)]
pub struct ClusterMetrics {
    calls: Histograms<QuestionLabels>,
    failures: Family<FailureLabels, Counter>,
}

impl Default for ClusterMetrics {
    fn default() -> Self {
        let calls = Histograms::new_with_constructor(|| Histogram::new(BUCKETS));
        Self { calls, failures: Family::default() }
    }
}

impl ClusterMetrics {
    /// `cluster`: its name; `None`: it is not known yet. `failed`: the class of its error.
    pub fn answered(&self, cluster: Option<&str>, call: &'static str, failed: Option<&'static str>, took: Duration) {
        let labels = QuestionLabels { call, outcome: failed.unwrap_or(OK) };
        self.calls.get_or_create(&labels).observe(took.as_secs_f64());
        if let (Some(cluster), Some(outcome)) = (cluster, failed) {
            self.failures.get_or_create(&FailureLabels { cluster: cluster.to_owned(), outcome }).inc();
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Calls to clusters: sessions that are opened, and what is asked over them";
        declare_seconds(registry, "obsteward_cluster_call_duration", help, self.calls.clone());
        let help = "Calls to a cluster that failed, by the class of their error";
        declare(registry, "obsteward_cluster_call_failures", help, self.failures.clone());
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct HostLabels {
    call: &'static str,
    transport: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug)]
pub struct HostMetrics(Histograms<HostLabels>);

impl Default for HostMetrics {
    fn default() -> Self {
        Self(Histograms::new_with_constructor(|| Histogram::new(BUCKETS)))
    }
}

impl HostMetrics {
    pub fn answered(&self, call: &'static str, transport: &'static str, failed: Option<&'static str>, took: Duration) {
        let labels = HostLabels { call, transport, outcome: failed.unwrap_or(OK) };
        self.0.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Calls to the agents on hosts, by how they are reached";
        declare_seconds(registry, "obsteward_host_call_duration", help, self.0.clone());
    }
}
