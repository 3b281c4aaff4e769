//! `grpc.health.v1.Health` as it is specified: a watch of an unknown service answers SERVICE_UNKNOWN and goes on, where
//! tonic's own refuses it; a watch ends once its service has stopped serving, because then the whole process ends.

use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

/// The reporter that sets the status of services, and the service that answers with it.
pub fn health() -> (HealthReporter, HealthServer<HealthWatch>) {
    let reporter = HealthReporter::new();
    let told = HealthWatch(HealthService::from_health_reporter(reporter.clone()));
    (reporter, HealthServer::new(told))
}

#[derive(Debug)]
pub struct HealthWatch(HealthService);

type Answers = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for HealthWatch {
    type WatchStream = Answers;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Answers>, Status> {
        match self.0.watch(request).await {
            Ok(answers) => Ok(Response::new(Box::pin(until_it_stops(answers.into_inner())))),
            Err(status) if status.code() == Code::NotFound => {
                // No service is added later: nothing follows, until all of them end.
                let whole = self.0.watch(Request::new(HealthCheckRequest::default())).await?.into_inner();
                let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
                let end = until_it_stops(whole).filter_map(|_| std::future::ready(None));
                Ok(Response::new(Box::pin(stream::once(std::future::ready(Ok(unknown))).chain(end))))
            }
            Err(status) => Err(status),
        }
    }
}

/// The answers up to the first that is not SERVING, and that one.
fn until_it_stops<S>(answers: S) -> impl Stream<Item = S::Item>
where
    S: Stream<Item = Result<HealthCheckResponse, Status>> + Unpin,
{
    stream::unfold(Some(answers), |answers| async {
        let mut answers = answers?;
        let answer = answers.next().await?;
        let serves = answer.as_ref().is_ok_and(|answer| answer.status() == ServingStatus::Serving);
        Some((answer, serves.then_some(answers)))
    })
}
