//! The freeze before a stop: after STOP SERVER and before the end of the process, waited for by its checkpoints, and what
//! becomes of a stop whose freeze fails.

use http::Method;
use obsteward::clock::monotonic_now;
use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Fault, FaultKind, Kind, Signal};
use serde_json::json;

use crate::support::refusal::error_info;
use crate::support::{PATIENCE, Stage, all, assert_unbroken, quick, task_error};

const FREEZE: &str = "ALTER SYSTEM MINOR FREEZE";

/// A freeze gives up after three seconds, and a statement after one.
fn short(config: &mut Config) {
    config.stop.freeze_seconds = 3;
    config.stop.effect_timeout_seconds = 1;
}

async fn frozen(stage: &Stage, force: bool) -> v1::StopServerRequest {
    v1::StopServerRequest { freeze_before_stop: true, force, ..stage.request(2).await }
}

/// Numbers in the cluster's record of what happened to a server, oldest first.
fn sequence(stage: &Stage, kind: Kind) -> Vec<u64> {
    stage.sim.recorded(kind).iter().filter(|one| one.server == Some(2)).map(|one| one.sequence).collect()
}

/// Marked, frozen until every checkpoint has passed the freeze, ended: in this order, each once.
fn assert_frozen_then_ended(stage: &Stage) {
    let order = [Kind::MarkSet, Kind::MinorFreeze, Kind::ProcessEnded].map(|kind| sequence(stage, kind));
    assert!(order.iter().all(|one| one.len() == 1) && order.is_sorted(), "{order:?}");
    let asked_at = stage.sim.recorded(Kind::MinorFreeze)[0].at;
    let checkpoints: Vec<i64> = stage.sim.look(|cluster| {
        let replicas = cluster.log_streams.iter().filter_map(|ls| ls.replica(2));
        replicas.map(|replica| replica.checkpoint).collect()
    });
    assert!(!checkpoints.is_empty() && checkpoints.iter().all(|checkpoint| *checkpoint >= asked_at));
    let ended_at = stage.sim.recorded(Kind::ProcessEnded)[0].at;
    let lasted = i64::try_from(quick().durations.minor_freeze.as_micros()).unwrap();
    assert!(ended_at >= asked_at + lasted, "ended {} us after the freeze was asked for", ended_at - asked_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_frozen_between_its_mark_and_its_end() {
    let stage = Stage::new().await;
    let request = frozen(&stage, false).await;
    let task = stage.stop_as(request).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(task.freeze_before_stop && task.overrides.is_empty() && task.warnings.is_empty(), "{task:#?}");
    assert_frozen_then_ended(&stage);
    let events = stage.clients.events(task.id).await;
    assert_unbroken(&events);
    let intents: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Event::IntentRecorded(intent)) => Some(intent.description.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(intents.len(), 3, "{intents:?}");
    assert_eq!(intents[1], format!("{FREEZE} SERVER = ('{}')", stage.info(2).address()));
}

/// A freeze as a task of its own: the server serves on, by its checkpoints it is done, and undoing one that hung changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_frozen_while_it_serves() {
    let stage = Stage::with(quick(), |config| {
        short(config);
        config.rest.listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let (pid, v1::StopServerRequest { cluster_id, server_id, .. }) = (stage.info(2).pid, stage.request(2).await);
    let freeze = || async {
        let request = v1::FreezeServerRequest { cluster_id, server_id, ..Default::default() };
        let task = stage.clients.servers.clone().freeze_server(request).await.unwrap().into_inner().task.unwrap();
        stage.clients.at_rest(task.id).await
    };
    let task = freeze().await;
    assert_eq!((task.name.as_str(), task.state()), ("Freeze OB server", v1::TaskState::Successful), "{task:#?}");
    assert_unbroken(&stage.clients.events(task.id).await);
    let asked_at = stage.sim.recorded(Kind::MinorFreeze)[0].at;
    let passed = stage.sim.look(|cluster| {
        let mut replicas = cluster.log_streams.iter().filter_map(|ls| ls.replica(2));
        replicas.all(|replica| replica.checkpoint >= asked_at)
    });
    assert!(passed && stage.is_free().await);

    let path = format!("/api/v2/ob/clusters/{cluster_id}/servers/{server_id}/freeze");
    let answer = stage.rest().send(Method::POST, &path, &[], Vec::new()).await;
    let task = stage.clients.at_rest(answer.data()["id"].as_i64().unwrap()).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");

    let stuck = stage.sim.inject(Fault::on(FaultKind::CheckpointStuck, 2));
    let task = freeze().await;
    let (reason, message) = task_error(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Failed, "FREEZE_FAILED"), "{task:#?}");
    assert!(message.ends_with("look at its compactions and retry") && !message.contains("process"), "{message}");
    let rollback = v1::RollbackTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().rollback_task(rollback).await.unwrap();
    assert_eq!(stage.closed(task.id).await.state(), v1::TaskState::RolledBack);
    stage.sim.clear(stuck);

    let kinds = [Kind::MinorFreeze, Kind::MarkSet, Kind::ProcessEnded].map(|kind| sequence(&stage, kind).len());
    assert_eq!((kinds, stage.info(2).pid), ([3, 0, 0], pid));
    assert_eq!(stage.server(2).await.status(), v1::ServerStatus::Running);
}

/// There is nothing left that could be waited for: the freeze says so as soon as the cluster does.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_while_it_is_frozen_is_not_waited_for() {
    let stage = Stage::new().await;
    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    stage.sim.inject(Fault::on(FaultKind::CheckpointStuck, 2));
    let request = v1::FreezeServerRequest { cluster_id, server_id, ..Default::default() };
    let task = stage.clients.servers.clone().freeze_server(request).await.unwrap().into_inner().task.unwrap();
    stage.clients.waits_for(task.id, "MINOR FREEZE of").await;
    stage.sim.kill_process(2, Signal::KILL).unwrap();
    let task = stage.clients.at_rest(task.id).await;
    let (reason, message) = task_error(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Failed, "DOES_NOT_SERVE"), "{message}");
}

/// The same over the gateway, in the query and in the body.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_freezes_too() {
    all(
        [("?freezeServer=true", json!({})), ("", json!({"freezeServer": true, "type": "STOP_PROCESS"}))],
        |asked| async move {
            let (query, body) = asked;
            let stage = Stage::with(quick(), |config| config.rest.listen = Some(([127, 0, 0, 1], 0).into())).await;
            let server = stage.server(2).await.id;
            let path = format!("/api/v2/ob/clusters/{}/servers/{server}/stop{query}", stage.cluster_id);
            let json = [("content-type", "application/json")];
            let answer = stage.rest().send(Method::POST, &path, &json, body.to_string().into_bytes()).await;
            let task = stage.clients.at_rest(answer.data()["id"].as_i64().unwrap()).await;
            assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
            assert_frozen_then_ended(&stage);
        },
    )
    .await;
}

/// Checkpoints that do not move: the task says how far they are, fails without ending the process, and a retry freezes anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_hangs_ends_no_process() {
    let stage = Stage::with(quick(), short).await;
    let stuck = stage.sim.inject(Fault::on(FaultKind::CheckpointStuck, 2));
    let pid = stage.info(2).pid;
    let request = frozen(&stage, false).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    let progress = stage.wait_progress(id, "log streams have their checkpoint beyond the freeze").await;
    let total = stage.sim.look(|cluster| cluster.log_streams.len()) as i64;
    assert_eq!((progress.done, progress.total), (Some(0), Some(total)), "{progress:?}");
    assert!(progress.message.contains(&format!(": 0 of {total} log streams")), "{progress:?}");
    let task = stage.clients.at_rest(id).await;
    assert_eq!((task.state(), task_error(&task).0.as_str()), (v1::TaskState::Failed, "FREEZE_FAILED"), "{task:#?}");
    let (_, metadata) = error_info(&task);
    assert!(metadata["waited_for"].contains(&format!("0 of {total} log streams")), "{metadata:?}");
    assert_eq!((stage.info(2).pid, sequence(&stage, Kind::Signal)), (pid, vec![]));

    stage.sim.clear(stuck);
    stage.retry(id).await.unwrap();
    let task = stage.closed(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!((sequence(&stage, Kind::MinorFreeze).len(), sequence(&stage, Kind::ProcessEnded).len()), (2, 1));
}

/// A freeze that is refused fails at once; with force a failed freeze is overridden and recorded, whatever failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_freeze_is_overridden_by_force_alone() {
    let refused = Fault::from(FaultKind::Refused { number: 4263, text: "minor freeze not allowed".to_owned() });
    let refused = refused.for_statement(FREEZE);
    let stage = Stage::new().await;
    stage.sim.inject(refused.clone());
    let request = frozen(&stage, false).await;
    let (pid, began) = (stage.info(2).pid, monotonic_now());
    let task = stage.stop_as(request).await;
    let (reason, message) = task_error(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Failed, "FREEZE_FAILED"), "{task:#?}");
    assert!(message.contains("refused (4263): minor freeze not allowed"), "{message}");
    assert!(stage.info(2).pid == pid && began.elapsed() < PATIENCE / 2);

    all([(refused, "(4263)"), (Fault::on(FaultKind::CheckpointStuck, 2), "0 of ")], |(fault, words)| async move {
        let stage = Stage::with(quick(), short).await;
        stage.sim.inject(fault);
        let request = frozen(&stage, true).await;
        let task = stage.stop_as(request).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
        assert_eq!(task.overrides.len(), 1, "{task:#?}");
        let overridden = &task.overrides[0];
        assert_eq!((overridden.check.as_str(), overridden.overridden_by()), ("FREEZE", v1::OverriddenBy::Force));
        assert!(overridden.evidence.contains(words) && overridden.principal == task.creator, "{overridden:?}");
    })
    .await;
}

/// An answer that is lost is looked into, and the freeze asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_without_an_answer_is_asked_for_again() {
    let stage = Stage::with(quick(), |config| config.stop.effect_timeout_seconds = 1).await;
    stage.sim.inject(Fault::from(FaultKind::Hang).times(1).for_statement(FREEZE));
    let request = frozen(&stage, false).await;
    let task = stage.stop_as(request).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_frozen_then_ended(&stage);
    let events = stage.clients.events(task.id).await;
    let unknown = |event: &v1::TaskEvent| matches!(&event.kind, Some(Event::IntentSettled(settled)) if settled.outcome() == v1::IntentOutcome::Unknown);
    assert_eq!(events.iter().filter(|event| unknown(event)).count(), 1, "{events:#?}");
}
