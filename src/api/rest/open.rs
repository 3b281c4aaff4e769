//! What is answered whoever asks: load balancers, and clients that look whether there is an OCP, ask before they say who they
//! are. Who asks counts as a stranger.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use tower::Service;

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::panics::caught;
use crate::api::rest::state::RestState;
use crate::api::rest::stranger::Stranger;
use crate::api::rest::trace::TracedRequest;

/// See the module's head.
#[derive(Clone)]
pub struct Open {
    pub state: Arc<RestState>,
    /// Nothing of the request decides what it says.
    pub answer: fn(&RestState) -> Reply,
}

impl Service<TracedRequest> for Open {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, TracedRequest { meta, request }: TracedRequest) -> Self::Future {
        let Self { state, answer } = self.clone();
        let answer = async move {
            let stranger = Stranger::of(&request);
            let outcome = caught(async { Ok::<_, Failure>(answer(&state)) }).await;
            let response = state.format.response(&meta, outcome, None);
            Ok(stranger.answered(&state.format, &meta, response))
        };
        answer.boxed()
    }
}
