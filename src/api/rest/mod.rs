//! The REST face: the OCP v2 API over the same service as gRPC. Translates and decides nothing. `openapi.yaml` describes
//! it and is served with it; docs/ocp-v2.md says what OCP documents and where the choice is ours.

mod about;
mod answer;
mod authentication;
pub(super) mod body;
mod events;
mod inputs;
mod inventory;
mod inventory_body;
mod json;
mod language;
mod log_body;
mod open;
mod operate;
pub(super) mod panics;
mod parsed_request;
mod request_meta;
mod response_format;
mod routes;
mod state;
pub(super) mod stranger;
mod task_body;
mod task_page;
mod task_words;
mod tasks;
mod timestamp_format;
mod trace;

use std::sync::Arc;

use axum::Router;

use crate::api::auth::Gatekeeper;
use crate::api::probes::Readiness;
use crate::config::RestConfig;
use crate::service::Guarded;
use crate::telemetry::metrics::RequestMetrics;
use crate::watch::Hub;

pub use answer::Failure;
pub use language::Language;
pub use request_meta::RequestMeta;
pub use response_format::{REASON, ResponseFormat, TRACE_ID};
pub use routes::{Method, OperationId, ROUTES, Route};
pub use timestamp_format::{TimestampFormat, UnknownTimeZone};

/// The description of the face, as served.
pub const OPENAPI: &str = include_str!("openapi.yaml");

/// What the face stands on.
pub struct Rest {
    pub guarded: Guarded,
    /// For streams of events.
    pub hub: Arc<Hub>,
    pub gatekeeper: Arc<Gatekeeper>,
    pub config: RestConfig,
    /// Bytes that a body may have.
    pub body_bytes: u64,
    /// Seconds in which it must arrive.
    pub arrival_seconds: u64,
    pub metrics: RequestMetrics,
    pub readiness: Arc<Readiness>,
}

/// Every route. Requests carry a [`crate::net::peer::Peer`] among their extensions. A time zone that is not known is told in
/// the log and answered with UTC: ask [`TimestampFormat::named`] first to refuse it.
pub fn router(rest: Rest) -> Router {
    routes::router(&Arc::new(state::RestState::new(rest)))
}
