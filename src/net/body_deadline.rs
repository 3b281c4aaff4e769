//! The body of a request that must arrive in time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::Sleep;

/// Why a request body failed.
#[derive(Debug, Error)]
pub enum BodyError<E> {
    /// It was not complete in time.
    #[error("the body of the request did not arrive in time")]
    Timeout,
    #[error(transparent)]
    Body(#[from] E),
}

/// A body that fails when it is not complete in time. The time runs from when it is first polled.
#[derive(Debug)]
pub struct BodyDeadline<B> {
    body: B,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> BodyDeadline<B> {
    /// `patience`: how long the whole body may take.
    pub const fn new(body: B, patience: Duration) -> Self {
        Self { body, patience, deadline: None }
    }
}

impl<B: Body + Unpin> Body for BodyDeadline<B>
where
    B::Error: std::error::Error,
{
    type Data = B::Data;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Body)));
        }
        let patience = self.patience;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::Timeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::StreamExt;
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;

    const PATIENCE: Duration = Duration::from_secs(15);

    /// Frames that come one after the other with `pause` before each.
    fn body(frames: usize, pause: Duration) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frames = stream::iter(0..frames).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Frame::data(Bytes::from_static(b"x")))
        });
        StreamBody::new(Box::pin(frames))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time_as_a_whole() {
        let in_time = BodyDeadline::new(body(14, Duration::from_secs(1)), PATIENCE);
        assert_eq!(in_time.collect().await.unwrap().to_bytes().len(), 14);
        let late = BodyDeadline::new(body(100, Duration::from_secs(1)), PATIENCE);
        assert!(matches!(late.collect().await.unwrap_err(), BodyError::Timeout));
        let never = BodyDeadline::new(body(1, Duration::from_secs(100_000)), PATIENCE);
        assert!(matches!(never.collect().await.unwrap_err(), BodyError::Timeout));
    }
}
