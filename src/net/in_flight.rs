//! What a server has begun and not ended: when the server is told to end it waits for that, and not for clients that
//! only hold a connection open. As a layer it counts every request of a server, and ends the streams that a client
//! could hold open for ever.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;
use tower::{Layer, Service};
use tracing::warn;

/// How long calls may take until their answer begins, once the server was told to end.
pub const LAST_CALLS: Duration = Duration::from_secs(5);
/// How long answers and watches may take from there: a client that reads is done at once, and one that does not is not
/// waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long connections with nothing in flight may take to close cleanly.
const LAST_CONNECTIONS: Duration = Duration::from_millis(50);
/// Health and reflection: streams under this prefix stay open as long as their client likes.
const LONG_LIVED_PREFIX: &str = "/grpc.";

#[derive(Clone, Debug)]
pub struct InFlight {
    calls: TaskTracker,
    answers: TaskTracker,
    ending: CancellationToken,
}

impl Default for InFlight {
    fn default() -> Self {
        let (calls, answers) = (TaskTracker::new(), TaskTracker::new());
        // So that `ended` returns at once while nothing runs.
        calls.close();
        answers.close();
        Self { calls, answers, ending: CancellationToken::new() }
    }
}

impl InFlight {
    /// Ends the streams of `LONG_LIVED_PREFIX`, and returns when nothing has to be waited for any more: what is still
    /// open then may be cut.
    pub async fn ended(&self) {
        self.ending.cancel();
        let ended = async {
            if timeout(LAST_CALLS, self.calls.wait()).await.is_err() {
                return warn!(calls = self.calls.len(), seconds = LAST_CALLS.as_secs(), "calls did not end in time");
            }
            if timeout(LAST_ANSWERS, self.answers.wait()).await.is_err() {
                warn!(answers = self.answers.len(), "answers and watches that nobody reads are left");
            }
        };
        ended.await;
        tokio::time::sleep(LAST_CONNECTIONS).await;
    }
}

impl<S> Layer<S> for InFlight {
    type Service = TrackedService<S>;

    fn layer(&self, inner: S) -> TrackedService<S> {
        TrackedService { inner, in_flight: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub struct TrackedService<S> {
    inner: S,
    in_flight: InFlight,
}

impl<S, R, B> Service<Request<R>> for TrackedService<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let InFlight { calls, answers, ending } = &self.in_flight;
        let (call, counted) = (calls.token(), answers.token());
        let conversation = request.uri().path().starts_with(LONG_LIVED_PREFIX);
        let ending = conversation.then(|| Box::pin(ending.clone().cancelled_owned()));
        let answering = self.inner.call(request);
        async move {
            let response = answering.await?;
            drop(call);
            Ok(response.map(|body| Answer { body, ending, _counted: counted }))
        }
        .boxed()
    }
}

/// The body of an answer, which is in flight until it is dropped.
#[derive(Debug)]
pub struct Answer<B> {
    body: B,
    /// `None`: its end is not forced, or has come.
    ending: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _counted: TaskTrackerToken,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let Some(ending) = &mut self.ending else { return Poll::Pending };
        ready!(ending.as_mut().poll(context));
        self.ending = None;
        let mut trailers = HeaderMap::new();
        let _ = Status::unavailable("the service ends").add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
