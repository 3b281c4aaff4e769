//! The REST face: the OCP v2 API over the same use cases as gRPC. Translates and decides nothing.

use std::sync::Arc;

use axum::Router;

use crate::api::auth::Gatekeeper;
use crate::config::RestConfig;
use crate::service::use_cases::UseCases;
use crate::watch::Hub;

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

/// Every route. Requests carry a [`crate::net::peer::Peer`] among their extensions.
pub fn router(_rest: Rest) -> Router {
    Router::new()
}
