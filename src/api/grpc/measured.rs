//! A call that is measured from its head to the end of its answer, under the code that it ends with. One whose client goes away
//! before that counts as CANCELLED.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::api::trace;
use crate::clock::monotonic_now;
use crate::telemetry::metrics::{CallMetrics, MethodMetrics};

/// What health and reflection, and paths that lead nowhere, are counted as: a caller may invent methods.
const OTHER: &str = "_OTHER";

/// The metrics of each method, by its path.
pub(super) struct MeasuredMethods {
    known: HashMap<String, Arc<MethodMetrics>>,
    other: Arc<MethodMetrics>,
}

impl MeasuredMethods {
    pub fn new<'a>(metrics: &CallMetrics, paths: impl Iterator<Item = &'a String>) -> Self {
        let of = |path: &String| (path.clone(), Arc::new(metrics.method(path.trim_start_matches('/'))));
        Self { known: paths.map(of).collect(), other: Arc::new(metrics.method(OTHER)) }
    }

    /// `span`: what stands for the call in its trace.
    pub fn begin(&self, path: &str, span: Span) -> MeasuredCall {
        let method = Arc::clone(self.known.get(path).unwrap_or(&self.other));
        MeasuredCall { method, began: monotonic_now(), code: Code::Cancelled, span }
    }
}

/// Measured when it is dropped.
pub struct MeasuredCall {
    method: Arc<MethodMetrics>,
    began: Instant,
    code: Code,
    span: Span,
}

impl MeasuredCall {
    /// The answer, which ends the call when it ends.
    pub(super) fn answer(mut self, response: Response<Body>) -> Response<MeasuredBody> {
        // A refusal says its code there, and nothing follows.
        self.ends(response.headers());
        response.map(|body| MeasuredBody { body, call: self })
    }

    fn ends(&mut self, with: &HeaderMap) {
        if let Some(code) = with.get("grpc-status") {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }
}

impl Drop for MeasuredCall {
    fn drop(&mut self) {
        self.method.answered(self.code, monotonic_now() - self.began);
        trace::call_ended(&self.span, self.code);
    }
}

/// The body of an answer, whose last frame says how the call has ended.
pub struct MeasuredBody {
    body: Body,
    call: MeasuredCall,
}

impl HttpBody for MeasuredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.ends(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => self.call.code = status.code(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
