//! Tasks as operations: for clients that know how to wait for one and not what a task is.

use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::domain::decide::VerbRequest;
use obsteward::proto::longrunning::operation::Result as Outcome;
use obsteward::proto::longrunning::operations_client::OperationsClient;
use obsteward::proto::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest, Operation,
    WaitOperationRequest,
};
use obsteward::proto::v1;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Fixture;
use crate::support::stored_tasks::{asks, cluster_id, task_id};

fn client(fixture: &Fixture) -> OperationsClient<Channel> {
    OperationsClient::new(fixture.channel.clone())
}

async fn get(fixture: &Fixture, name: &str) -> Result<Operation, Status> {
    Ok(client(fixture).get_operation(GetOperationRequest { name: name.to_owned() }).await?.into_inner())
}

fn wait(seconds: i64) -> WaitOperationRequest {
    WaitOperationRequest { name: "operations/1".to_owned(), timeout: Some(prost_types::Duration { seconds, nanos: 0 }) }
}

fn shown(operation: &Operation) -> v1::Task {
    let metadata = operation.metadata.as_ref().unwrap();
    assert_eq!(metadata.type_url, "type.googleapis.com/obsteward.v1.Task");
    v1::Task::decode(metadata.value.as_slice()).unwrap()
}

#[tokio::test]
async fn an_operation_is_done_when_its_task_is_closed() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    let running = get(&fixture, "operations/1").await.unwrap();
    assert_eq!((running.name.as_str(), running.done, &running.result), ("operations/1", false, &None));
    assert_eq!(shown(&running).state(), v1::TaskState::Running);

    // It ends with its time, and says what is so then; a task at rest is not done, a person has to say how it goes on.
    let began = monotonic_now();
    assert!(!client(&fixture).wait_operation(wait(1)).await.unwrap().into_inner().done);
    assert!(began.elapsed() >= Duration::from_secs(1));
    fixture.store.fail(task_id(1), 1);
    let rests = client(&fixture).wait_operation(wait(0)).await.unwrap().into_inner();
    assert_eq!((rests.done, shown(&rests).state()), (false, v1::TaskState::Failed));

    // It ends when the task is closed, not before.
    let mut waiting = client(&fixture);
    let waits = tokio::spawn(async move { waiting.wait_operation(wait(60)).await });
    let asked = VerbRequest::GiveUp { found: Vec::new() };
    fixture.store.decide(task_id(1), asks(asked));
    let closed = waits.await.unwrap().unwrap().into_inner();
    assert_eq!((closed.done, shown(&closed).state()), (true, v1::TaskState::GivenUp));
    let Some(Outcome::Error(error)) = closed.result else { panic!("{:?}", closed.result) };
    assert_eq!(error, shown(&get(&fixture, "operations/1").await.unwrap()).error.unwrap(), "the task's own");
}

#[tokio::test]
async fn what_was_reached_is_the_response() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    for subtask in 1..=3 {
        fixture.store.dispatch(task_id(1));
        fixture.store.succeed(task_id(1), subtask);
    }
    let done = client(&fixture).wait_operation(wait(60)).await.unwrap().into_inner();
    let Some(Outcome::Response(response)) = &done.result else { panic!("{done:?}") };
    assert!(done.done && Some(response) == done.metadata.as_ref());
    assert_eq!(shown(&done).state(), v1::TaskState::Successful);

    for number in 2..=4 {
        fixture.store.create(task_id(number), cluster_id(number));
    }
    let list = ListOperationsRequest { name: "operations".to_owned(), page_size: 2, ..Default::default() };
    let first = client(&fixture).list_operations(list.clone()).await.unwrap().into_inner();
    let names = |operations: &[Operation]| operations.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first.operations), ["operations/4", "operations/3"]);
    let next = ListOperationsRequest { page_token: first.next_page_token, ..list };
    let second = client(&fixture).list_operations(next).await.unwrap().into_inner();
    assert_eq!(names(&second.operations), ["operations/2", "operations/1"]);
    assert_eq!(second.next_page_token, "");
}

/// The answer is there before the caller has gone, although the wait that was asked for is longer.
#[tokio::test]
async fn a_wait_ends_before_its_callers_deadline() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    let mut request = tonic::Request::new(wait(60));
    request.set_timeout(Duration::from_secs(2));
    let operation = client(&fixture).wait_operation(request).await.unwrap().into_inner();
    assert_eq!((operation.done, shown(&operation).state()), (false, v1::TaskState::Running));
}

#[tokio::test]
async fn what_is_wrong_is_told_by_the_operations_own_names() {
    let fixture = Fixture::new().await;
    let field = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        status.get_details_bad_request().unwrap().field_violations[0].field.clone()
    };
    for name in [
        "",
        "1",
        "operations/",
        "operations/0",
        "operations/-1",
        "operations/+1",
        "operations/01",
        "operations/1/2",
        "tasks/1",
    ] {
        assert_eq!(field(get(&fixture, name).await.unwrap_err()), "name", "{name}");
    }
    assert_eq!(field(client(&fixture).wait_operation(wait(-1)).await.unwrap_err()), "timeout");
    let other = ListOperationsRequest { name: "users/1/operations".to_owned(), ..Default::default() };
    assert_eq!(field(client(&fixture).list_operations(other).await.unwrap_err()), "name");
    let filtered = ListOperationsRequest { filter: "done=true".to_owned(), ..Default::default() };
    assert_eq!(field(client(&fixture).list_operations(filtered).await.unwrap_err()), "filter");
    let gone = get(&fixture, "operations/9").await.unwrap_err();
    assert_eq!(gone.get_details_error_info().unwrap().reason, "TASK_NOT_FOUND");
    let name = "operations/1".to_owned();
    let deleted = client(&fixture).delete_operation(DeleteOperationRequest { name: name.clone() }).await.unwrap_err();
    assert_eq!(deleted.code(), Code::Unimplemented);
    assert!(deleted.metadata().contains_key(obsteward::api::grpc::TRACE_ID), "{deleted:?}");
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    client(&fixture).cancel_operation(CancelOperationRequest { name }).await.unwrap();
    assert_eq!(fixture.service.last_call(), "CANCEL_TASK task 1: if_revision= expire_time=");
}
