//! `GET /metrics` for Prometheus, on an address of its own and without authentication. It changes nothing, and tells names of
//! clusters, addresses of servers and numbers.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::access::password;
use crate::clock::{Clock, Timestamp};
use crate::service::{AwayServer, HeldServer, OpenTask, Overview, ReadCluster, Service};
use crate::telemetry::metrics::{
    ClusterLabels, Exposition, Metrics, OpenTaskLabels, RestingTaskLabels, ServerLabels, Snapshot,
};
use crate::watch::Hub;

/// What is told of.
pub struct Measured {
    pub metrics: Metrics,
    pub service: Service,
    /// The clock by which holds end.
    pub clock: Clock,
    /// Unset before the service serves.
    pub hub: Arc<OnceLock<Arc<Hub>>>,
    /// By their names: whose threads may be busy.
    pub runtimes: Vec<(&'static str, Handle)>,
}

struct Told {
    measured: Measured,
    /// One answer at a time: each reads every open task, and anybody may ask.
    turn: Mutex<()>,
}

/// Answers `GET /metrics`.
pub fn router(measured: Measured) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(Told { measured, turn: Mutex::default() }))
}

async fn metrics(
    State(told): State<Arc<Told>>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], String), StatusCode> {
    let _turn = told.turn.lock().await;
    let Measured { metrics, service, clock, hub, runtimes } = &told.measured;
    let overview = service.overview().await.map_err(|refusal| {
        tracing::warn!("metrics cannot be told, the store does not answer: {refusal:?}");
        StatusCode::SERVICE_UNAVAILABLE
    })?;
    let snapshot = snapshot(&overview, clock.now());
    if let Some(hub) = hub.get() {
        snapshot.watches(hub.watchers(), hub.lag());
    }
    let passwords = password::load();
    snapshot.passwords(passwords.computing, passwords.unknown);
    for (name, runtime) in runtimes {
        snapshot.runtime(name, &runtime.metrics());
    }
    let exposition = exposition(&headers);
    let text = metrics.told(snapshot, exposition).map_err(|error| {
        tracing::error!("metrics cannot be written: {error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    Ok(([(CONTENT_TYPE, exposition.content_type())], text))
}

/// Prometheus says which texts it knows. Whoever says nothing reads with tools for the older one.
fn exposition(headers: &HeaderMap) -> Exposition {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
    if accepted.any(|accepted| accepted.contains("application/openmetrics-text")) {
        Exposition::OpenMetrics
    } else {
        Exposition::PrometheusText
    }
}

fn snapshot(overview: &Overview, now: Timestamp) -> Snapshot {
    let Overview { tasks, held, away, clusters, driven, live_replicas, lease_left, leases_lost } = overview;
    let snapshot = Snapshot::default();
    for OpenTask { cluster_name, task, name, state, resting_since } in tasks {
        let (cluster, name, state) = (cluster_name.clone(), name.clone(), state.as_str());
        snapshot.open_task(&OpenTaskLabels { cluster: cluster.clone(), task: name.clone(), state });
        if let Some(since) = resting_since {
            let labels = RestingTaskLabels { cluster, task: name, state, task_id: task.get() };
            snapshot.resting(&labels, seconds(*since, now));
        }
    }
    let of_server = |cluster: &String, server: &dyn ToString, task_id| ServerLabels {
        cluster: cluster.clone(),
        server: server.to_string(),
        task_id,
    };
    for HeldServer { cluster_name, server, task, since, until } in held {
        snapshot.held(&of_server(cluster_name, server, task.get()), seconds(*since, now), seconds(now, *until));
    }
    for AwayServer { cluster_name, server, task, permanent_offline_at } in away {
        let labels = of_server(cluster_name, server, task.get());
        snapshot.permanent_offline(&labels, seconds(now, *permanent_offline_at));
    }
    for ReadCluster { name, observed_at, failed } in clusters {
        let labels = ClusterLabels { cluster: name.clone() };
        snapshot.cluster(&labels, observed_at.map(|at| seconds(at, now)), *failed);
    }
    let lease = lease_left.map(|left| left.as_secs_f64());
    snapshot.replica(*driven, *live_replicas, lease, *leases_lost);
    snapshot
}

/// From one moment to another; below zero when that has passed.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a time of centuries in microseconds fits")]
    let micros = (to.as_micros() - from.as_micros()) as f64;
    micros / 1e6
}
