//! The calls that an agent has begun: each runs to its end, also when its caller goes away, and whoever wants to end the agent
//! can wait for that.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tower::{Layer, Service};

/// As a `tower` layer it tracks every call of a server.
#[derive(Clone, Debug)]
pub struct Calls {
    running: TaskTracker,
    begun: Arc<Notify>,
}

impl Calls {
    pub fn new() -> Self {
        let running = TaskTracker::new();
        // So that waiting for none to run ends whenever none does.
        running.close();
        Self { running, begun: Arc::default() }
    }

    /// Waits until none runs.
    pub async fn ended(&self) {
        self.running.wait().await;
    }

    /// Waits until none has begun for so long and none runs.
    pub async fn idle(&self, time: Duration) {
        while timeout(time, self.begun.notified()).await.is_ok() || !self.running.is_empty() {}
    }
}

impl<S> Layer<S> for Calls {
    type Service = RunToCompletion<S>;

    fn layer(&self, inner: S) -> RunToCompletion<S> {
        RunToCompletion { inner, calls: self.clone() }
    }
}

/// A service whose calls are carried to their end.
#[derive(Clone, Debug)]
pub struct RunToCompletion<S> {
    inner: S,
    calls: Calls,
}

impl<S, R, B> Service<R> for RunToCompletion<S>
where
    S: Service<R, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Default + Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.calls.begun.notify_one();
        let call = self.calls.running.spawn(self.inner.call(request));
        let cut_off = |error| Ok(Status::internal(format!("the call was cut off: {error}")).into_http());
        call.map(move |ended| ended.unwrap_or_else(cut_off)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::oneshot;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_outlives_its_caller_and_is_waited_for() {
        let calls = Calls::new();
        calls.ended().await;
        calls.idle(Duration::from_secs(60)).await;

        let (end, ends) = oneshot::channel::<()>();
        let (ended, has_ended) = oneshot::channel();
        let mut both = Some((ends, ended));
        let service = calls.layer(service_fn(move |(): ()| {
            let (ends, ended) = both.take().unwrap();
            async move {
                ends.await.unwrap();
                ended.send(()).unwrap();
                Ok::<_, Infallible>(Response::new(()))
            }
        }));
        let caller = tokio::spawn(service.oneshot(()));
        tokio::task::yield_now().await;
        caller.abort();
        let long = Duration::from_secs(3600);
        assert!(timeout(long, calls.ended()).await.is_err(), "the call ended with its caller");
        assert!(timeout(long, calls.idle(Duration::from_secs(60))).await.is_err(), "a call runs");
        end.send(()).unwrap();
        calls.ended().await;
        has_ended.await.unwrap();
        calls.idle(Duration::from_secs(60)).await;
    }
}
