//! What brings a server back and what is asked of a task: translation there and back, and what a task says can be asked.

use obsteward::domain::decide::{Asked, Input};
use obsteward::domain::ids::Principal;
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;

use super::Fixture;
use crate::fake_store::{cluster_id, subtask_id, task_id};

#[tokio::test]
async fn what_brings_a_server_back_is_translated_both_ways() {
    let fixture = Fixture::new().await;
    let request_id = "123e4567-e89b-42d3-a456-426614174000".to_owned();
    let expected_server = "10.0.0.2:2882".to_owned();
    let start = v1::StartServerRequest { cluster_id: 1, server_id: 7, request_id, expected_server };
    let task = fixture.servers().start_server(start).await.unwrap().into_inner().task.unwrap();
    assert_eq!(task.id, 1);
    assert_eq!(
        fixture.last_call(),
        "StartServer { cluster: ClusterId(1), server: ServerId(7), request_id: \
         Some(123e4567-e89b-42d3-a456-426614174000), repeat_by_arguments: false, expected_server: \
         Some(ServerAddr { ip: 10.0.0.2, rpc_port: 2882 }) }"
    );
    let rollback = v1::RollbackTaskRequest {
        task_id: 1,
        if_revision: Some(4),
        expire_time: Some(prost_types::Timestamp { seconds: 7, nanos: 8_000 }),
    };
    assert_eq!(fixture.tasks().rollback_task(rollback).await.unwrap().into_inner().task.unwrap().id, 1);
    assert_eq!(
        fixture.last_call(),
        "rollback TaskRequest { task: TaskId(1), if_revision: Some(Revision(4)), expire_time: Some(Timestamp(7000008)) }"
    );
    let skip = v1::SkipSubtaskRequest { task_id: 1, subtask_id: 102, if_revision: None };
    assert_eq!(fixture.tasks().skip_subtask(skip).await.unwrap().into_inner().task.unwrap().id, 1);
    assert_eq!(fixture.last_call(), "SkipSubtask { task: TaskId(1), subtask: SubtaskId(102), if_revision: None }");
    let fixture = Fixture::new().await;
    let restart = v1::RestartServerRequest {
        cluster_id: 1,
        server_id: 7,
        force: true,
        accept_risks: vec![v1::Risk::QuorumLoss.into()],
        freeze_before_stop: true,
        ..Default::default()
    };
    assert_eq!(fixture.servers().restart_server(restart).await.unwrap().into_inner().task.unwrap().id, 1);
    assert_eq!(
        fixture.last_call(),
        "RestartServer { cluster: ClusterId(1), server: ServerId(7), force: true, accepted_risks: [QuorumLoss], \
         freeze_before_stop: true, request_id: None, repeat_by_arguments: false, expected_server: None, expire_time: None }"
    );
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
    let asked = Asked::Rollback { expire_time: None };
    fixture.store.decide(id, Input::Requested { asked, principal: Principal::new("eve"), if_revision: None });
    fixture.store.dispatch(id);
    assert_eq!(shown().await, (vec![Cancel], [None, None, Some(1)]));
    fixture.store.fail(id, 2);
    assert_eq!(shown().await, (vec![Rollback, SkipSubtask, GiveUp], [Some(1), None, None]));
    let asked = Asked::SkipSubtask { subtask: subtask_id(id, 2) };
    fixture.store.decide(id, Input::Requested { asked, principal: Principal::new("eve"), if_revision: None });
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
