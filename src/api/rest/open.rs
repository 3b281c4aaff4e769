//! What is answered whoever asks: load balancers, and clients that look whether there is an OCP, ask before they say who they
//! are. Who asks counts as a stranger.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use http::Response;

use crate::api::rest::answer::Failure;
use crate::api::rest::panics::caught;
use crate::api::rest::routes::OpenHandler;
use crate::api::rest::state::RestState;
use crate::api::rest::stranger::Stranger;
use crate::api::rest::trace::TracedRequest;

/// Nothing of the request decides what the answer says.
pub async fn open(
    state: Arc<RestState>,
    answer: OpenHandler,
    TracedRequest { meta, request }: TracedRequest,
) -> Result<Response<Body>, Infallible> {
    let stranger = Stranger::of(&request);
    let outcome = caught(async { Ok::<_, Failure>(answer(&state).await) }).await;
    let response = state.format.response(&meta, outcome, None);
    Ok(stranger.answered(&state.format, &meta, response))
}
