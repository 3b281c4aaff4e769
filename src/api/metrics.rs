//! What is measured, for Prometheus: `GET /metrics` in the text of OpenMetrics, on an address of its own and without
//! authentication. It changes nothing, and tells names of clusters, addresses of servers and numbers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderName, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;

use crate::clock::{Clock, Timestamp};
use crate::service::{HeldServer, Service};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of whom a measure is.
#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct HeldLabels {
    cluster: String,
    server: String,
    task_id: i64,
}

type Seconds = Family<HeldLabels, Gauge<f64, AtomicU64>>;

#[derive(Clone)]
struct Measured {
    service: Service,
    clock: Clock,
    /// One answer at a time: each reads every open task, and anybody may ask.
    turn: Arc<Mutex<()>>,
}

/// Answers `GET /metrics`; `clock`: the one by which holds end.
pub fn router(service: Service, clock: Clock) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(Measured { service, clock, turn: Arc::default() })
}

async fn metrics(State(measured): State<Measured>) -> Result<([(HeaderName, &'static str); 1], String), StatusCode> {
    let Measured { service, clock, turn } = measured;
    let _turn = turn.lock().await;
    let held = service.held_servers().await.map_err(|refusal| {
        tracing::warn!("metrics cannot be told, the store does not answer: {refusal:?}");
        StatusCode::SERVICE_UNAVAILABLE
    })?;
    let text = told(&held, clock.now()).map_err(|fmt::Error| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text))
}

fn told(held: &[HeldServer], now: Timestamp) -> Result<String, fmt::Error> {
    let (until, permanent_offline) = (Seconds::default(), Seconds::default());
    for server in held {
        let labels = HeldLabels {
            cluster: server.cluster_name.clone(),
            server: server.server.to_string(),
            task_id: server.task.get(),
        };
        until.get_or_create(&labels).set(seconds(now, server.hold.until));
        if let Some(at) = server.hold.permanent_offline_at {
            permanent_offline.get_or_create(&labels).set(seconds(now, at));
        }
    }
    let mut registry = Registry::with_prefix("obsteward_held_server");
    registry.register_with_unit(
        "remaining",
        "Until the server is brought back if nobody completes its hold",
        Unit::Seconds,
        until,
    );
    registry.register_with_unit(
        "permanent_offline_remaining",
        "Until the cluster gives up the replicas of the server, at the earliest",
        Unit::Seconds,
        permanent_offline,
    );
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// From one moment to another; below zero when that has passed.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a time of centuries in microseconds fits")]
    let micros = (to.as_micros() - from.as_micros()) as f64;
    micros / 1e6
}
