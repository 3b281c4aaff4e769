//! A server that is held out of service: completed, forgotten, on a dead host, started by somebody, and after a crash.

use std::time::Duration;

use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::Kind;
use tonic::Code;

use crate::support::hosts::by_grpc;
use crate::support::refusal::status_info;
use crate::support::{Stage, begins, is_alive, quick};

async fn held(stage: &Stage, seconds: u64) -> v1::Task {
    let until = stage.clock.now().plus(Duration::from_secs(seconds));
    let hold_until = Some(obsteward::watch::encode::timestamp(until));
    let request = v1::StopServerRequest { hold_until, ..stage.request(2).await };
    let task = stage.clients.stop_with(request).await.unwrap();
    assert_eq!(task.name, "Hold OB server");
    stage.clients.events_until(task.id, 0, |event| begins(event, "Hold observer")).await.1.unwrap();
    let task = stage.clients.task(task.id).await;
    let [one] = &task.held[..] else { panic!("{task:#?}") };
    assert_eq!(one.server.as_ref().unwrap().address, stage.info(2).address());
    assert_eq!((one.until, task.state()), (hold_until, v1::TaskState::Running));
    task
}

async fn get(stage: &Stage) -> v1::ObServer {
    let server_id = stage.server(2).await.id;
    stage.clients.get_server(stage.cluster_id, server_id).await
}

/// How long it is yet for the only server that is held.
fn remaining(metrics: &str, until: &str) -> Option<f64> {
    let name = format!("obsteward_{until}_remaining_seconds{{");
    let line = metrics.lines().find(|line| line.starts_with(&name))?;
    Some(line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

async fn complete(stage: &Stage, task_id: i64) -> Result<(), tonic::Status> {
    let request = v1::CompleteHoldRequest { task_id, ..Default::default() };
    stage.clients.tasks.clone().complete_hold(request).await.map(drop)
}

async fn assert_back(stage: &Stage, task: i64) -> v1::Task {
    let task = stage.clients.at_rest(task).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let server = get(stage).await;
    assert_eq!((server.status(), server.service_state()), (v1::ServerStatus::Running, v1::ServiceState::Serving));
    assert!(stage.info(2).pid.is_some_and(is_alive) && server.held_until.is_none() && !server.safe_to_power_off);
    assert!(stage.is_free().await);
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_server_is_safe_to_power_off_until_the_hold_is_completed() {
    let loopback = |config: &mut Config| config.metrics.listen = Some(([127, 0, 0, 1], 0).into());
    let mut stage = Stage::with(quick(), loopback).await;
    assert_eq!(remaining(&stage.metrics().await, "held_server"), None);
    let task = held(&stage, 1800).await;
    let server = get(&stage).await;
    assert!(server.safe_to_power_off && server.held_until == task.held[0].until, "{server:#?}");
    assert_eq!(server.operating_task_id, Some(task.id));
    // How long yet, for whoever watches by numbers.
    let metrics = stage.metrics().await;
    let left = remaining(&metrics, "held_server").unwrap();
    assert!((1500.0..=1800.0).contains(&left), "{metrics}");
    assert!(
        metrics.contains(&format!("server=\"{}\",task_id=\"{}\"}}", stage.info(2).address(), task.id)),
        "{metrics}"
    );
    let at_earliest = remaining(&metrics, "permanent_offline").unwrap();
    let sync = v1::SyncClusterRequest { cluster_id: stage.cluster_id, ..Default::default() };
    stage.clients.clusters.clone().sync_cluster(sync).await.unwrap();
    let metrics = stage.metrics().await;
    let given_up =
        get(&stage).await.permanent_offline_at.map(|at| at.seconds - stage.clock.now().as_micros() / 1_000_000);
    let told = remaining(&metrics, "permanent_offline").unwrap();
    #[allow(clippy::cast_precision_loss)]
    let differs = told - given_up.unwrap() as f64;
    assert!(differs.abs() < 30.0 && (told - at_earliest).abs() < 60.0, "{at_earliest} and then {metrics}");
    // The cluster stays held.
    let other = stage.clients.stop_with(stage.request(3).await).await.unwrap_err();
    assert_eq!((other.code(), status_info(&other).0.as_str()), (Code::Aborted, "OPERATION_IN_PROGRESS"));
    assert!(other.message().contains("free it with CompleteHold"), "{other:?}");
    // A service that is restarted meanwhile goes on holding, however long the hold has lasted.
    stage.clock.advance(Duration::from_secs(1200));
    stage.restart().await;
    stage.clients.waits_for(task.id, "held since").await;
    assert!(get(&stage).await.safe_to_power_off);
    complete(&stage, task.id).await.unwrap();
    let task = assert_back(&stage, task.id).await;
    assert_eq!(task.warnings, []);
    assert_eq!(remaining(&stage.metrics().await, "held_server"), None);
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded).len(), 1);
    let again = complete(&stage, task.id).await.unwrap_err();
    assert_eq!(status_info(&again).0, "VERB_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_hold_brings_its_server_back_and_says_so() {
    let stage = Stage::new().await;
    let early = stage.clients.stop_with(stage.request(2).await).await.unwrap();
    let nothing = complete(&stage, early.id).await.unwrap_err();
    assert!(["NOTHING_TO_DO", "VERB_NOT_ALLOWED"].contains(&status_info(&nothing).0.as_str()), "{nothing:?}");
    stage.clients.at_rest(early.id).await;
    let request = v1::StartServerRequest {
        cluster_id: stage.cluster_id,
        server_id: stage.server(2).await.id,
        ..Default::default()
    };
    let start = stage.clients.servers.clone().start_server(request).await.unwrap().into_inner().task.unwrap();
    assert_back(&stage, start.id).await;

    let task = held(&stage, 1800).await;
    stage.clock.advance(Duration::from_secs(1801));
    let task = assert_back(&stage, task.id).await;
    assert_eq!(task.warnings[0].code, "HOLD_NOT_COMPLETED", "{task:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_outlives_the_replicas_is_refused_unless_that_is_accepted() {
    let stage = Stage::new().await;
    let until =
        |seconds| Some(obsteward::watch::encode::timestamp(stage.clock.now().plus(Duration::from_secs(seconds))));
    let ask = async |hold_until, accept_risks| {
        let request = v1::StopServerRequest { hold_until, accept_risks, ..stage.request(2).await };
        stage.clients.stop_with(request).await
    };
    // One hour, minus ten minutes for the start.
    let refused = ask(until(3100), Vec::new()).await.unwrap_err();
    assert_eq!((refused.code(), status_info(&refused).0.as_str()), (Code::FailedPrecondition, "HOLD_TOO_LONG"));
    let past = Some(prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 });
    let refused = ask(past, Vec::new()).await.unwrap_err();
    assert_eq!((refused.code(), status_info(&refused).0.as_str()), (Code::InvalidArgument, "INVALID_ARGUMENT"));
    let without = ask(None, vec![v1::Risk::PermanentOffline.into()]).await.unwrap_err();
    assert_eq!(without.code(), Code::InvalidArgument);
    assert_eq!(stage.clients.list().await, []);
    let task = ask(until(7200), vec![v1::Risk::PermanentOffline.into()]).await.unwrap();
    stage.clients.events_until(task.id, 0, |event| begins(event, "Hold observer")).await.1.unwrap();
    assert_eq!(stage.clients.task(task.id).await.held.len(), 1);
    complete(&stage, task.id).await.unwrap();
    assert_back(&stage, task.id).await;
}

/// Held servers of a rollout come one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_holds_each_server_in_turn() {
    let stage = Stage::new().await;
    let scope = v1::rollout_scope::Scope::Zones(v1::ZoneNames { names: vec!["zone2".to_owned(), "zone3".to_owned()] });
    let request = v1::StartRolloutRequest {
        cluster_id: stage.cluster_id,
        scope: Some(v1::RolloutScope { scope: Some(scope) }),
        action: v1::RolloutAction::Hold.into(),
        ..Default::default()
    };
    let task = stage.clients.rollouts.clone().start_rollout(request).await.unwrap().into_inner().task.unwrap();
    let mut after = 0;
    for server in [2, 3] {
        let (events, ended) = stage.clients.events_until(task.id, after, |event| begins(event, "Hold observer")).await;
        ended.unwrap();
        after = events.last().unwrap().revision;
        let held = stage.clients.task(task.id).await.held;
        assert_eq!(held[0].server.as_ref().unwrap().address, stage.info(server).address(), "{held:#?}");
        complete(&stage, task.id).await.unwrap();
    }
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(stage.sim.recorded(Kind::MajorityLost), []);
}

/// The hold is over and its host does not answer: that is said, and the server is brought back once it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_on_a_dead_host_is_said_and_ends_when_the_host_answers() {
    let stage = Stage::new().await;
    let task = held(&stage, 1800).await;
    stage.reach(2, by_grpc("127.0.0.1:1")).await;
    stage.clients.waits_for(task.id, "its host does not answer").await;
    let server = get(&stage).await;
    assert!(!server.safe_to_power_off && server.not_safe_reason.contains("does not answer"), "{server:#?}");
    stage.clock.advance(Duration::from_secs(1801));
    stage.clients.waits_for(task.id, "it is started once its host answers").await;
    assert_eq!(stage.clients.task(task.id).await.state(), v1::TaskState::Running);
    stage.reach(2, v1::Host { transport: v1::HostTransport::Local as i32, ..Default::default() }).await;
    let task = assert_back(&stage, task.id).await;
    assert_eq!(task.warnings[0].code, "HOLD_NOT_COMPLETED", "{task:#?}");
}
