//! Proofs and limits on the gRPC face, over a real connection.

use std::sync::Arc;

use obsteward::api::auth::Gatekeeper;
use obsteward::api::grpc;
use obsteward::clock::Clock;
use obsteward::config::{AuthConfig, LimitsConfig};
use obsteward::net::bounds::ListenerLimits;
use obsteward::proto::v1;
use obsteward::proto::v1::task_service_client::TaskServiceClient;
use obsteward::store::access::AccessChange;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::security::access::{basic, cheap_hash};
use crate::support::guarded;
use crate::support::stored_rows::users;
use crate::support::stored_tasks::{cluster_id, task_id};

/// The face over task 1, for those whom a gatekeeper lets in.
async fn serve(fixture: guarded::Fixture, gatekeeper: Gatekeeper) -> (TaskServiceClient<Channel>, DropGuard) {
    fixture.store.create(task_id(1), cluster_id(1));
    let shutdown = CancellationToken::new();
    let (address, _) = fixture.serve(gatekeeper, ListenerLimits::from(&LimitsConfig::default()), &shutdown).await;
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (TaskServiceClient::new(channel), shutdown.drop_guard())
}

fn get_task(user: &str, password: &str) -> Request<v1::GetTaskRequest> {
    let metadata = MetadataMap::from_headers(basic(user, password));
    Request::from_parts(metadata, tonic::Extensions::default(), v1::GetTaskRequest { task_id: 1 })
}

fn rate(metadata: &MetadataMap) -> Option<(&str, &str)> {
    let value = |name| metadata.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(value("ratelimit-limit").is_some(), value("ratelimit-reset").is_some());
    Some((value("ratelimit-limit")?, value("ratelimit-remaining")?))
}

#[tokio::test]
async fn a_caller_proves_itself_by_basic_and_waits_after_failures() {
    let mut access = users(&[("reader", &["TASK:1:READ"])]);
    let Some(AccessChange::CreateUser(reader)) = access.last_mut() else { panic!("{access:?}") };
    reader.password_hash = Some(cheap_hash("hunter22"));
    let fixture = guarded::Fixture::over(access, [1]).await;
    let limits = LimitsConfig { login_failures: 2, requests_per_10_seconds: 0, ..LimitsConfig::default() };
    let gatekeeper = Gatekeeper::new(Arc::clone(&fixture.directory), Clock::system(), &AuthConfig::default(), &limits);
    let (mut tasks, _serving) = serve(fixture, gatekeeper).await;

    let status = tasks.get_task(v1::GetTaskRequest { task_id: 1 }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let answer = tasks.get_task(get_task("reader", "hunter22")).await.unwrap();
    assert_eq!(rate(answer.metadata()), None, "there is no limit");
    for _ in 0..2 {
        let status = tasks.get_task(get_task("reader", "hunter23")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.metadata().get(grpc::TRACE_ID).is_some());
    }
    let status = tasks.get_task(get_task("reader", "hunter22")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "LOGIN_THROTTLED");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test]
async fn the_rate_is_told_with_every_answer() {
    let limits = LimitsConfig { requests_per_10_seconds: 0, requests_per_day: 2, ..LimitsConfig::default() };
    let fixture = guarded::Fixture::empty(&[], 1).await;
    let (mut tasks, _serving) = serve(fixture, Gatekeeper::open_within(&limits)).await;
    let answer = tasks.get_task(v1::GetTaskRequest { task_id: 1 }).await.unwrap();
    assert_eq!(rate(answer.metadata()), Some(("2", "1")));
    let status = tasks.get_task(v1::GetTaskRequest { task_id: 9 }).await.unwrap_err();
    assert_eq!((status.code(), rate(status.metadata())), (Code::NotFound, Some(("2", "0"))));
    let status = tasks.get_task(v1::GetTaskRequest { task_id: 1 }).await.unwrap_err();
    assert_eq!((status.code(), rate(status.metadata())), (Code::ResourceExhausted, Some(("2", "0"))));
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test]
async fn a_watch_gives_its_place_back_when_it_ends() {
    let limits = LimitsConfig { watches_per_principal: 1, ..LimitsConfig::default() };
    let fixture = guarded::Fixture::empty(&[], 1).await;
    let store = Arc::clone(&fixture.store);
    let (mut tasks, _serving) = serve(fixture, Gatekeeper::open_within(&limits)).await;
    let asked = || v1::WatchTaskRequest { task_id: 1, ..Default::default() };
    let mut first = tasks.watch_task(asked()).await.unwrap().into_inner();
    let status = tasks.watch_task(asked()).await.unwrap_err();
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "TOO_MANY_WATCHES");
    store.dispatch(task_id(1));
    (1..=3).for_each(|number| store.succeed(task_id(1), number));
    while first.message().await.unwrap().is_some() {}
    let again = tasks.watch_task(asked()).await;
    assert!(again.is_ok(), "{:?}", again.err());
}
