//! What brings a server back and what is asked of a task: translation there and back, and what a task says can be asked.

use obsteward::domain::decide::VerbRequest;
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;

use tonic_types::StatusExt;

use super::Fixture;
use crate::support::stored_tasks::{asks, cluster_id, subtask_id, task_id};

#[tokio::test]
async fn what_brings_a_server_back_is_translated_both_ways() {
    let fixture = Fixture::new().await;
    let request_id = "123e4567-e89b-42d3-a456-426614174000".to_owned();
    let expected_server = "10.0.3.7:2882".to_owned();
    // Of cluster 3 nothing serves.
    let start =
        v1::StartServerRequest { cluster_id: 3, server_id: 27, request_id, expected_server, ..Default::default() };
    let task = fixture.servers().start_server(start.clone()).await.unwrap().into_inner().task.unwrap();
    assert_eq!((task.name.as_str(), task.cluster.unwrap().id), ("Start OB server", 3));
    assert_eq!(
        fixture.service.last_call(),
        "START_OB_SERVER cluster 3 server 27 (10.0.3.7:2882): cluster_id=3 server_id=27 expected_server=10.0.3.7:2882"
    );
    let again = fixture.servers().start_server(start).await.unwrap().into_inner().task.unwrap();
    assert_eq!(again.id, task.id, "the request id is known");

    let restart = v1::RestartServerRequest {
        cluster_id: 1,
        server_id: 7,
        force: true,
        accept_risks: vec![v1::Risk::QuorumLoss.into()],
        freeze_before_stop: true,
        ..Default::default()
    };
    let task = fixture.servers().restart_server(restart).await.unwrap().into_inner().task.unwrap();
    assert_eq!((task.name.as_str(), task.force, task.freeze_before_stop), ("Restart OB server", true, true));
    assert_eq!(
        fixture.service.last_call(),
        "RESTART_OB_SERVER cluster 1 server 7 (10.0.1.7:2882): cluster_id=1 server_id=7 force=true accept_risks=QUORUM_LOSS \
         expected_server= expire_time= freeze_before_stop=true"
    );

    let id = task_id(1);
    fixture.store.create(id, cluster_id(2));
    fixture.store.dispatch(id);
    fixture.store.succeed(id, 1);
    fixture.store.fail(id, 2);
    let revision = fixture.store.log().last().unwrap().revision.get();
    let moment = |seconds| Some(prost_types::Timestamp { seconds, nanos: 8_000 });
    let (task_id, if_revision) = (1, Some(revision));
    let late =
        v1::RetryTaskRequest { task_id, if_revision: Some(revision - 1), expire_time: moment(7), ..Default::default() };
    let refused = fixture.tasks().retry_task(late).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "TASK_MOVED");
    let asked = format!("if_revision={} expire_time=7000008", revision - 1);
    assert_eq!(fixture.service.last_call(), format!("RETRY_TASK task 1: {asked}"));
    let skip = v1::SkipSubtaskRequest { task_id, subtask_id: 102, if_revision, ..Default::default() };
    let skipped = fixture.tasks().skip_subtask(skip).await.unwrap().into_inner().task.unwrap();
    assert_eq!((skipped.id, skipped.state()), (1, v1::TaskState::Running));
    assert_eq!(fixture.service.last_call(), format!("SKIP_SUBTASK task 1 subtask 102: if_revision={revision}"));
    fixture.store.dispatch(id);
    fixture.store.fail(id, 3);
    let rollback = v1::RollbackTaskRequest {
        task_id,
        if_revision: None,
        expire_time: moment(4_000_000_000),
        ..Default::default()
    };
    let undone = fixture.tasks().rollback_task(rollback).await.unwrap().into_inner().task.unwrap();
    assert_eq!((undone.id, undone.state()), (1, v1::TaskState::Running));
    assert_eq!(fixture.service.last_call(), "ROLLBACK_TASK task 1: if_revision= expire_time=4000000000000008");
}

/// What a program need not work out by itself: the verbs in order, and which of them reach which subtask.
#[tokio::test]
async fn a_task_says_what_can_be_asked_of_it_and_of_its_subtasks() {
    use v1::TaskVerb::{Cancel, GiveUp, Retry, Rollback, SkipSubtask};
    let fixture = Fixture::new().await;
    let id = task_id(1);
    fixture.store.create(id, cluster_id(1));
    let shown = async || {
        let request = v1::GetTaskRequest { task_id: 1 };
        let task = fixture.tasks().get_task(request).await.unwrap().into_inner().task.unwrap();
        let verbs: Vec<v1::TaskVerb> = task.allowed_verbs().collect();
        let of = |verb: v1::TaskVerb| task.subtasks.iter().position(|one| one.allowed_verbs().any(|it| it == verb));
        assert_eq!([of(Rollback), of(GiveUp)], [None, None], "what is only of the whole task");
        (verbs, [of(SkipSubtask), of(Retry), of(Cancel)])
    };
    assert_eq!(shown().await, (vec![], [None, None, None]));
    fixture.store.dispatch(id);
    assert_eq!(shown().await, (vec![Cancel], [None, None, Some(0)]));
    fixture.store.succeed(id, 1);
    fixture.store.fail(id, 2);
    assert_eq!(shown().await, (vec![Retry, Rollback, SkipSubtask, GiveUp], [Some(1), Some(1), None]));
    let asked = VerbRequest::Rollback { expire_time: None };
    fixture.store.decide(id, asks(asked));
    fixture.store.dispatch(id);
    assert_eq!(shown().await, (vec![Cancel], [None, None, Some(1)]));
    fixture.store.fail(id, 2);
    assert_eq!(shown().await, (vec![Rollback, SkipSubtask, GiveUp], [Some(1), None, None]));
    let asked = VerbRequest::SkipSubtask { subtask: subtask_id(id, 2) };
    fixture.store.decide(id, asks(asked));
    let watch = v1::WatchTaskRequest { task_id: 1, after_revision: Some(0), ..Default::default() };
    let mut events = fixture.tasks().watch_task(watch).await.unwrap().into_inner();
    let mut asked = Vec::new();
    while asked.len() < 2 {
        if let Some(Kind::Event(event)) = events.message().await.unwrap().unwrap().kind
            && let Some(v1::task_event::Kind::VerbRequested(verb)) = event.kind
        {
            asked.push((verb.verb(), verb.subtask_id));
        }
    }
    assert_eq!(asked, [(Rollback, None), (SkipSubtask, Some(subtask_id(id, 2).get()))]);
}
