//! What is so at the moment at which somebody asks. It is made anew for each answer, so that what is over is gone from the next.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{declare, declare_seconds};

/// A number of seconds, also a negative one.
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
pub struct OpenTaskLabels {
    pub cluster: String,
    pub task: String,
    pub state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
pub struct RestingTaskLabels {
    pub cluster: String,
    pub task: String,
    pub state: &'static str,
    pub task_id: i64,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
pub struct ServerLabels {
    pub cluster: String,
    pub server: String,
    pub task_id: i64,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
pub struct ClusterLabels {
    pub cluster: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
pub struct RuntimeLabels {
    pub runtime: &'static str,
}

#[derive(Debug, Default)]
pub struct Snapshot {
    open_tasks: Family<OpenTaskLabels, Gauge>,
    resting_age: Family<RestingTaskLabels, Seconds>,
    held_age: Family<ServerLabels, Seconds>,
    held_remaining: Family<ServerLabels, Seconds>,
    permanent_offline: Family<ServerLabels, Seconds>,
    reading_age: Family<ClusterLabels, Seconds>,
    reading_failed: Family<ClusterLabels, Gauge>,
    driven_tasks: Gauge,
    watchers: Gauge,
    watch_lag: Gauge,
    /// Without one when the lease never ends.
    lease_remaining: Family<[(&'static str, &'static str); 0], Seconds>,
    leases_lost: Counter,
    live_replicas: Gauge,
    passwords_computed: Gauge,
    passwords_unknown: Gauge,
    workers: Family<RuntimeLabels, Gauge>,
    busy: Family<RuntimeLabels, Counter<f64, AtomicU64>>,
    runtime_tasks: Family<RuntimeLabels, Gauge>,
    runtime_queue: Family<RuntimeLabels, Gauge>,
}

impl Snapshot {
    /// One more open task.
    pub fn open_task(&self, labels: &OpenTaskLabels) {
        self.open_tasks.get_or_create(labels).inc();
    }

    /// For how long it has rested.
    pub fn resting(&self, labels: &RestingTaskLabels, age: f64) {
        self.resting_age.get_or_create(labels).set(age);
    }

    /// For how long the server has been held, and how long it is yet.
    pub fn held(&self, labels: &ServerLabels, age: f64, remaining: f64) {
        self.held_age.get_or_create(labels).set(age);
        self.held_remaining.get_or_create(labels).set(remaining);
    }

    /// Until the cluster gives up the replicas of a server.
    pub fn permanent_offline(&self, labels: &ServerLabels, remaining: f64) {
        self.permanent_offline.get_or_create(labels).set(remaining);
    }

    /// `age`: since the last reading that succeeded; `None`: there was none.
    pub fn cluster(&self, labels: &ClusterLabels, age: Option<f64>, failed: bool) {
        if let Some(age) = age {
            self.reading_age.get_or_create(labels).set(age);
        }
        self.reading_failed.get_or_create(labels).set(i64::from(failed));
    }

    /// `lag`: events that were committed and not passed on yet.
    pub fn watches(&self, watchers: usize, lag: i64) {
        self.watchers.set(count(watchers));
        self.watch_lag.set(lag);
    }

    /// Tasks that this replica drives, and who drives others. `lease`: what is left of its own; `None`: it never ends.
    pub fn replica(&self, driven: usize, live: usize, lease: Option<f64>, leases_lost: u64) {
        self.driven_tasks.set(count(driven));
        self.live_replicas.set(count(live));
        if let Some(lease) = lease {
            self.lease_remaining.get_or_create(&[]).set(lease);
        }
        self.leases_lost.inc_by(leases_lost);
    }

    /// What is computed now, and how many callers that are not known yet stand in line for it.
    pub fn passwords(&self, computed: usize, unknown: usize) {
        self.passwords_computed.set(count(computed));
        self.passwords_unknown.set(count(unknown));
    }

    /// How busy the threads of a runtime are.
    pub fn runtime(&self, runtime: &'static str, told: &tokio::runtime::RuntimeMetrics) {
        let labels = RuntimeLabels { runtime };
        let workers = told.num_workers();
        let busy: f64 = (0..workers).map(|worker| told.worker_total_busy_duration(worker).as_secs_f64()).sum();
        self.workers.get_or_create(&labels).set(count(workers));
        self.busy.get_or_create(&labels).inc_by(busy);
        self.runtime_tasks.get_or_create(&labels).set(count(told.num_alive_tasks()));
        self.runtime_queue.get_or_create(&labels).set(count(told.global_queue_depth()));
    }

    pub(super) fn register(self, registry: &mut Registry) {
        let help = "Tasks that move or rest";
        declare(registry, "obsteward_open_tasks", help, self.open_tasks);
        let help = "Since a task came to rest and waits for a person";
        declare_seconds(registry, "obsteward_resting_task_age", help, self.resting_age);
        let help = "Since a server is held out of service";
        declare_seconds(registry, "obsteward_held_server_age", help, self.held_age);
        let help = "Until a held server is brought back if nobody completes its hold";
        declare_seconds(registry, "obsteward_held_server_remaining", help, self.held_remaining);
        let help =
            "Until the cluster gives up the replicas of a server that is held or of a task at rest, at the earliest";
        declare_seconds(registry, "obsteward_permanent_offline_remaining", help, self.permanent_offline);
        let help = "Since a cluster was last read";
        declare_seconds(registry, "obsteward_cluster_reading_age", help, self.reading_age);
        let help = "Whether the last reading of a cluster failed";
        declare(registry, "obsteward_cluster_reading_failed", help, self.reading_failed);
        declare(registry, "obsteward_driven_tasks", "Tasks that this replica drives", self.driven_tasks);
        declare(registry, "obsteward_watchers", "Watches that are open", self.watchers);
        let help = "Events that were committed and not passed on to watches yet";
        declare(registry, "obsteward_watch_lag_events", help, self.watch_lag);
        let help = "Until the lease of this replica ends if it is not renewed; none of the only replica";
        declare_seconds(registry, "obsteward_lease_remaining", help, self.lease_remaining);
        let help = "Leases of this replica that ended: others took over its tasks";
        declare(registry, "obsteward_leases_lost", help, self.leases_lost);
        declare(registry, "obsteward_live_replicas", "Replicas that renew their lease", self.live_replicas);
        let help = "Passwords that are computed now, of two at a time";
        declare(registry, "obsteward_passwords_computed", help, self.passwords_computed);
        let help = "Callers that have not logged in from there before, and wait for that or are computed; of 256";
        declare(registry, "obsteward_passwords_queued", help, self.passwords_unknown);
        declare(registry, "obsteward_runtime_workers", "Threads of a runtime", self.workers);
        let help = "Time that the threads of a runtime worked, together";
        declare_seconds(registry, "obsteward_runtime_busy", help, self.busy);
        declare(registry, "obsteward_runtime_tasks", "Futures that a runtime holds", self.runtime_tasks);
        let help = "Futures that could go on and wait for a thread";
        declare(registry, "obsteward_runtime_queued_tasks", help, self.runtime_queue);
    }
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
