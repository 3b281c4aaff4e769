//! The REST face: the OCP v2 API over the same use cases as gRPC. Translates and decides nothing. `openapi.yaml` describes
//! it and is served with it; docs/ocp-v2.md says what OCP documents and where the choice is ours.

mod about;
mod answer;
mod call;
mod events;
mod inputs;
mod inventory;
mod inventory_body;
mod json;
mod language;
mod log_body;
mod moments;
mod operate;
mod routes;
mod task_body;
mod task_page;
mod task_words;
mod tasks;

use std::sync::Arc;

use axum::Router;

use crate::api::auth::Gatekeeper;
use crate::config::RestConfig;
use crate::service::use_cases::UseCases;
use crate::watch::Hub;

pub use answer::{REASON, TRACE_ID};
pub use language::Language;
pub use moments::{Moments, UnknownTimeZone};
pub use routes::{Method, Operation, ROUTES, Route};

/// The description of the face, as served.
pub const OPENAPI: &str = include_str!("openapi.yaml");

/// What the face stands on.
pub struct Rest {
    /// The use cases.
    pub use_cases: Arc<dyn UseCases>,
    /// For streams of events.
    pub hub: Arc<Hub>,
    /// Proves callers.
    pub gatekeeper: Arc<Gatekeeper>,
    /// Shapes and names.
    pub config: RestConfig,
    /// Bytes that a body may have.
    pub body_bytes: u64,
    /// Seconds in which it must arrive.
    pub arrival_seconds: u64,
}

/// Every route. Requests carry a [`crate::net::peer::Peer`] among their extensions. A time zone that is not known is told in
/// the log and answered with UTC: ask [`Moments::named`] first to refuse it.
pub fn router(rest: Rest) -> Router {
    routes::router(Arc::new(call::Face::new(rest)))
}
