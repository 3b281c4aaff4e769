//! The layer that proves the caller of a request before anything behind it sees the request. What stands behind it serves
//! [`Authenticated`], which only this file can make: nothing that takes one can be put into a router without the layer.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use tower::{Layer, Service, ServiceExt};
use tracing::{Span, field};

use crate::api::auth::{Admitted, Denied, Rate, peer};
use crate::api::headers::for_one_host;
use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::body::read_body;
use crate::api::rest::panics::caught;
use crate::api::rest::request_meta::RequestMeta;
use crate::api::rest::state::RestState;
use crate::api::rest::stranger::Stranger;
use crate::api::rest::trace::TracedRequest;
use crate::service::Caller;

/// A request whose caller is proven.
pub struct Authenticated {
    caller: Caller,
    meta: Arc<RequestMeta>,
    request: Request,
}

impl Authenticated {
    /// The request as it came; its body is bounded by nothing yet.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    pub fn into_parts(self) -> (Caller, Arc<RequestMeta>, Request) {
        (self.caller, self.meta, self.request)
    }
}

#[derive(Clone)]
pub struct AuthenticationLayer {
    pub state: Arc<RestState>,
}

impl<S> Layer<S> for AuthenticationLayer {
    type Service = Authentication<S>;

    fn layer(&self, inner: S) -> Authentication<S> {
        Authentication { state: Arc::clone(&self.state), inner }
    }
}

/// A service that only proven callers reach.
#[derive(Clone)]
pub struct Authentication<S> {
    state: Arc<RestState>,
    inner: S,
}

impl<S> Service<TracedRequest> for Authentication<S>
where
    S: Service<Authenticated, Response = Reply, Error = Failure, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, TracedRequest { meta, request }: TracedRequest) -> Self::Future {
        let Self { state, inner } = self.clone();
        let answer = async move {
            let stranger = Stranger::of(&request);
            Ok(match caught(authenticate(&state, Arc::clone(&meta), request)).await {
                Ok((request, rate)) => {
                    let outcome = caught(inner.oneshot(request)).await;
                    state.format.response(&meta, outcome, rate)
                }
                Err(Denied { refusal, rate }) => {
                    let response = state.format.response(&meta, Err(refusal.into()), rate);
                    stranger.answered(&state.format, &meta, response)
                }
            })
        };
        answer.boxed()
    }
}

/// The request with its caller, and how much of the caller's rate is left.
async fn authenticate(
    state: &RestState,
    meta: Arc<RequestMeta>,
    request: Request,
) -> Result<(Authenticated, Option<Rate>), Denied> {
    let (parts, body) = request.into_parts();
    for_one_host(parts.version, &parts.uri, &parts.headers)?;
    let gatekeeper = &state.rest.gatekeeper;
    // A stranger's body is read only where its signature is about it.
    let (signed, body) = match gatekeeper.needs_body(&parts.headers, &peer(&parts.extensions), meta.trace)? {
        true => {
            let read = read_body(state.rest.body_bytes, state.rest.arrival_seconds, &parts.headers, body).await?;
            (read.clone(), Body::from(read))
        }
        false => (Bytes::new(), body),
    };
    let Admitted { caller, rate } = gatekeeper.admit_request(&parts, Some(&signed), meta.trace).await?;
    let span = Span::current();
    span.record("principal", field::display(&caller.principal));
    span.record("address", field::display(&caller.address));
    Ok((Authenticated { caller, meta, request: Request::from_parts(parts, body) }, rate))
}
