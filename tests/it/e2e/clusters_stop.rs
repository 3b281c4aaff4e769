//! Stopping, starting and restarting a whole cluster: every server frozen, every process ended behind the gate of a whole cluster,
//! and brought back through its hosts, because nobody can read it meanwhile.

use http::Method;
use obsteward::proto::v1;
use obsteward::proto::v1::get_cluster_request::By;
use obsteward::sim::{Fault, FaultKind, Kind, Signal};
use serde_json::json;
use tonic::{Code, Status};

use crate::support::harness::Harness;
use crate::support::hosts::by_grpc;
use crate::support::refusal::status_info;
use crate::support::{Clients, PATIENCE, Stage, assert_unbroken, is_alive, quick, task_error};

const SERVERS: [i64; 3] = [1, 2, 3];

fn asked(cluster_id: i64) -> v1::StopClusterRequest {
    v1::StopClusterRequest { cluster_id, accept_risks: vec![v1::Risk::ServiceLoss.into()], ..Default::default() }
}

async fn ask(clients: &Clients, request: v1::StopClusterRequest) -> Result<v1::Task, Status> {
    Ok(clients.clusters.clone().stop_cluster(request).await?.into_inner().task.unwrap())
}

async fn stop(stage: &Stage) -> v1::Task {
    let task = ask(&stage.clients, asked(stage.cluster_id)).await.unwrap();
    stage.clients.at_rest(task.id).await
}

async fn start(clients: &Clients, cluster_id: i64) -> Result<v1::Task, Status> {
    let request = v1::StartClusterRequest { cluster_id, ..Default::default() };
    let task = clients.clusters.clone().start_cluster(request).await?.into_inner().task.unwrap();
    Ok(clients.at_rest(task.id).await)
}

fn pids(stage: &Stage) -> [Option<u32>; 3] {
    SERVERS.map(|server| stage.info(server).pid.filter(|pid| is_alive(*pid)))
}

async fn cluster(stage: &Stage) -> v1::Cluster {
    let request = v1::GetClusterRequest { by: Some(By::ClusterId(stage.cluster_id)) };
    stage.clients.clusters.clone().get_cluster(request).await.unwrap().into_inner().cluster.unwrap()
}

async fn assert_serves(stage: &Stage) {
    assert!(pids(stage).iter().all(Option::is_some), "{:?}", pids(stage));
    let sync = v1::SyncClusterRequest { cluster_id: stage.cluster_id, ..Default::default() };
    stage.clients.clusters.clone().sync_cluster(sync).await.unwrap();
    assert_eq!(cluster(stage).await.status(), v1::ClusterStatus::Running);
    for server in SERVERS {
        let server = stage.server(server).await;
        assert_eq!((server.status(), server.service_state()), (v1::ServerStatus::Running, v1::ServiceState::Serving));
    }
    assert!(stage.is_free().await);
}

async fn assert_stopped(stage: &Stage) {
    assert_eq!(pids(stage), [None; 3]);
    assert_eq!(cluster(stage).await.status(), v1::ClusterStatus::Stopped);
    for server in SERVERS {
        let server_id = stage.server(server).await.id;
        let server = stage.clients.get_server(stage.cluster_id, server_id).await;
        assert_eq!((server.status(), server.service_state()), (v1::ServerStatus::Stopped, v1::ServiceState::Lost));
        assert!(server.safe_to_power_off, "{server:#?}");
    }
    assert!(stage.is_free().await);
}

/// The state of each server's subtask of this name.
fn of_each(stage: &Stage, task: &v1::Task, name: &str) -> [v1::SubtaskState; 3] {
    SERVERS.map(|server| {
        let address = stage.info(server).address();
        let is_it = |subtask: &&v1::Subtask| {
            subtask.name == name && subtask.server.as_ref().is_some_and(|server| server.address == address)
        };
        task.subtasks.iter().find(is_it).unwrap().state()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_stopped_and_started() {
    let stage = Stage::new().await;
    let task = stop(&stage).await;
    assert_eq!((task.name.as_str(), task.state()), ("Stop OB cluster", v1::TaskState::Successful), "{task:#?}");
    assert_eq!(task.target, Some(v1::task::Target::WholeCluster(v1::WholeCluster {})));
    assert_unbroken(&stage.clients.events(task.id).await);
    assert_stopped(&stage).await;
    // Nothing is marked; each is frozen, and before the first process ends.
    assert!(stage.sim.recorded(Kind::MarkSet).is_empty() && stage.sim.recorded(Kind::ZoneStopped).is_empty());
    let record = stage.sim.record();
    let of_kind = |kind: Kind| record.iter().enumerate().filter(move |(_, it)| it.kind == kind).map(|(at, _)| at);
    assert_eq!((of_kind(Kind::MinorFreeze).count(), of_kind(Kind::ProcessEnded).count()), (3, 3));
    assert!(of_kind(Kind::MinorFreeze).max() < of_kind(Kind::ProcessEnded).min(), "{record:#?}");
    // That service ends is on record, with who accepted it.
    assert!(task.overrides.iter().any(|check| check.overridden_by() == v1::OverriddenBy::ServiceLoss));
    assert!(task.warnings.is_empty(), "{:#?}", task.warnings);

    let again = ask(&stage.clients, asked(stage.cluster_id)).await.unwrap_err();
    assert_eq!(
        (again.code(), status_info(&again).0.as_str()),
        (Code::FailedPrecondition, "CLUSTER_STATE_NOT_ADMITTED")
    );

    let task = start(&stage.clients, stage.cluster_id).await.unwrap();
    assert_eq!((task.name.as_str(), task.state()), ("Start OB cluster", v1::TaskState::Successful), "{task:#?}");
    assert_serves(&stage).await;
    let again = start(&stage.clients, stage.cluster_id).await.unwrap_err();
    assert_eq!(status_info(&again).0, "CLUSTER_STATE_NOT_ADMITTED");
    // As before everything.
    assert_eq!(stage.stop(2).await.state(), v1::TaskState::Successful);
}

/// A server that was down before is warned of, and comes up with the others; one that was stopped on its own serves again.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_restarted_with_all_its_servers() {
    let stage = Stage::new().await;
    assert_eq!(stage.stop(3).await.state(), v1::TaskState::Successful);
    let before = pids(&stage);
    let request = v1::RestartClusterRequest {
        cluster_id: stage.cluster_id,
        accept_risks: vec![v1::Risk::ServiceLoss.into()],
        ..Default::default()
    };
    let task = stage.clients.clusters.clone().restart_cluster(request).await.unwrap().into_inner().task.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!((task.name.as_str(), task.state()), ("Restart OB cluster", v1::TaskState::Successful), "{task:#?}");
    let not_frozen = task.warnings.iter().filter(|warning| warning.code == "NOT_FROZEN").count();
    assert_eq!(not_frozen, 1, "{:#?}", task.warnings);
    assert_serves(&stage).await;
    assert!(pids(&stage).iter().zip(before).all(|(now, before)| *now != before));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ends_service_without_saying_so() {
    let stage = Stage::with(quick(), |config| config.rest.listen = Some(([127, 0, 0, 1], 0).into())).await;
    let plain = v1::StopClusterRequest { cluster_id: stage.cluster_id, ..Default::default() };
    let refused = ask(&stage.clients, plain.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), status_info(&refused).0.as_str()),
        (Code::FailedPrecondition, "SERVICE_LOSS_NOT_ACCEPTED")
    );
    assert!(refused.message().contains("SERVICE_LOSS") && refused.message().contains("every tenant"), "{refused:?}");
    let request = v1::StopClusterRequest { force: true, ..plain.clone() };
    assert_eq!(status_info(&ask(&stage.clients, request).await.unwrap_err()).0, "SERVICE_LOSS_NOT_ACCEPTED");
    let restart = v1::RestartClusterRequest { cluster_id: stage.cluster_id, force: true, ..Default::default() };
    let refused = stage.clients.clusters.clone().restart_cluster(restart).await.unwrap_err();
    assert_eq!(status_info(&refused).0, "SERVICE_LOSS_NOT_ACCEPTED");
    // What makes no sense for a cluster, and SERVICE_LOSS for less than one.
    let quorum = v1::StopClusterRequest { accept_risks: vec![v1::Risk::QuorumLoss.into()], ..plain.clone() };
    assert_eq!(ask(&stage.clients, quorum).await.unwrap_err().code(), Code::InvalidArgument);
    let loss = vec![v1::Risk::ServiceLoss.into()];
    let server = v1::StopServerRequest { accept_risks: loss.clone(), ..stage.request(2).await };
    assert_eq!(stage.clients.stop_with(server).await.unwrap_err().code(), Code::InvalidArgument);
    let zone = v1::StopZoneRequest {
        cluster_id: stage.cluster_id,
        zone: "zone2".to_owned(),
        accept_risks: loss,
        ..Default::default()
    };
    assert_eq!(stage.clients.zones.clone().stop_zone(zone).await.unwrap_err().code(), Code::InvalidArgument);
    let named = v1::StopClusterRequest { expected_name: "other".to_owned(), ..asked(stage.cluster_id) };
    assert_eq!(status_info(&ask(&stage.clients, named).await.unwrap_err()).0, "EXPECTED_CLUSTER_MISMATCH");
    let path = format!("/api/v2/ob/clusters/{}/stop", stage.cluster_id);
    let body = json!({"acceptRisks": ["SERVICE_LOSS"]}).to_string();
    let headers = [("content-type", "application/json")];
    let answer = stage.rest().send(Method::POST, &path, &headers, body.into_bytes()).await;
    assert_eq!(answer.status.as_u16(), 403, "the gateway is not configured for it: {}", answer.text);
    // The plan says what it means, and what it needs.
    let plan = |accept_risks: Vec<i32>| {
        let request = v1::PlanStopClusterRequest { cluster_id: stage.cluster_id, accept_risks, ..Default::default() };
        let mut clusters = stage.clients.clusters.clone();
        async move { clusters.plan_stop_cluster(request).await.unwrap().into_inner().plan.unwrap() }
    };
    let blocked = plan(Vec::new()).await;
    let loss = blocked.checks.iter().find(|check| check.name == "SERVICE_LOSS").unwrap();
    assert!(!blocked.allowed && loss.verdict() == v1::Verdict::Block, "{blocked:#?}");
    assert_eq!((loss.overridden_by(), blocked.zone.as_str()), (v1::OverriddenBy::ServiceLoss, ""));
    let open = plan(vec![v1::Risk::ServiceLoss.into()]).await;
    assert!(open.allowed && open.checks.iter().filter(|check| check.name == "FREEZE").count() == 3, "{open:#?}");
    assert!(stage.clients.list().await.is_empty());
    assert_serves(&stage).await;
}

/// A freeze that fails keeps every process, until force goes on without it; and no skip does.
#[tokio::test(flavor = "multi_thread")]
async fn no_process_ends_before_every_freeze() {
    let stage = Stage::with(quick(), |config| config.stop.freeze_seconds = 1).await;
    let stuck = stage.sim.inject(Fault::on(FaultKind::CheckpointStuck, 2));
    let task = stop(&stage).await;
    let (reason, message) = task_error(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Failed, "FREEZE_FAILED"), "{message}");
    assert_eq!(of_each(&stage, &task, "Freeze server")[1], v1::SubtaskState::Failed);
    assert_eq!(of_each(&stage, &task, "Stop observer process"), [v1::SubtaskState::Pending; 3]);
    let failed = task.subtasks.iter().find(|subtask| subtask.state() == v1::SubtaskState::Failed).unwrap();
    let skip = v1::SkipSubtaskRequest { task_id: task.id, subtask_id: failed.id, ..Default::default() };
    let refused = stage.clients.tasks.clone().skip_subtask(skip).await.unwrap_err();
    assert_eq!(status_info(&refused).0, "SUBTASK_NOT_SKIPPABLE");
    // The start of a cluster is the rollback of what stopped it.
    let undone = start(&stage.clients, stage.cluster_id).await.unwrap();
    assert_eq!((undone.id, undone.state()), (task.id, v1::TaskState::RolledBack), "{undone:#?}");
    assert!(stage.sim.recorded(Kind::ProcessEnded).is_empty());
    assert_serves(&stage).await;

    let request = v1::StopClusterRequest { force: true, ..asked(stage.cluster_id) };
    let task = ask(&stage.clients, request).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(task.overrides.iter().any(|check| check.check == "FREEZE"));
    stage.sim.clear(stuck);
    assert_stopped(&stage).await;
}

/// A host that does not answer refuses a stop; a start brings up the others and fails with that one, and is retried.
#[tokio::test(flavor = "multi_thread")]
async fn one_silent_host() {
    let stage = Stage::with(quick(), |config| config.start.watch_seconds = 5).await;
    stage.reach(3, by_grpc("127.0.0.1:1")).await;
    let task = stop(&stage).await;
    let (reason, message) = task_error(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Refused, "SERVER_STATE"), "{message}");
    assert!(message.contains("HOST_UNREACHABLE"), "{message}");
    assert_serves(&stage).await;

    let local = v1::Host { transport: v1::HostTransport::Local.into(), ..Default::default() };
    stage.reach(3, local.clone()).await;
    assert_eq!(stop(&stage).await.state(), v1::TaskState::Successful);
    stage.sim.inject(Fault::on(FaultKind::DiesAtStart, 3).times(1));
    let task = start(&stage.clients, stage.cluster_id).await.unwrap();
    assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
    assert_eq!(task_error(&task).0, "OBSERVER_DIED");
    // How far the others came when the third failed is a race; that they were started is not.
    assert_eq!(
        of_each(&stage, &task, "Start observer process"),
        [v1::SubtaskState::Successful, v1::SubtaskState::Successful, v1::SubtaskState::Failed]
    );
    assert_eq!(of_each(&stage, &task, "Wait observer accessible")[2], v1::SubtaskState::Pending);
    assert!(pids(&stage)[0].is_some() && pids(&stage)[1].is_some() && pids(&stage)[2].is_none());
    let running = pids(&stage)[0];
    stage.clients.retry(task.id).await;
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(pids(&stage)[0], running);
    assert_serves(&stage).await;
}

/// What could not be started is rolled back to nothing: the processes that run stay.
#[tokio::test(flavor = "multi_thread")]
async fn no_rollback_of_a_start_ends_service() {
    let stage = Stage::with(quick(), |config| config.start.watch_seconds = 5).await;
    assert_eq!(stop(&stage).await.state(), v1::TaskState::Successful);
    stage.sim.inject(Fault::on(FaultKind::DiesAtStart, 3).times(9));
    let task = start(&stage.clients, stage.cluster_id).await.unwrap();
    assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
    let rollback = v1::RollbackTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().rollback_task(rollback).await.unwrap();
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::RolledBack);
    assert!(pids(&stage)[0].is_some() && pids(&stage)[1].is_some() && pids(&stage)[2].is_none());
}

/// Of a cluster that lost its majority what is left is stopped only by who accepts both.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_cluster_is_stopped_unread() {
    let stage = Stage::with(quick(), |config| config.stop.reading_seconds = 2).await;
    let plan = v1::PlanStopClusterRequest { cluster_id: stage.cluster_id, ..Default::default() };
    stage.clients.clusters.clone().plan_stop_cluster(plan).await.unwrap();
    for server in [2, 3] {
        stage.sim.kill_process(server, Signal::KILL).unwrap();
    }
    assert!(stage.sim.wait_until(PATIENCE, |cluster| cluster.root_service().is_none()).await);
    let accept_risks = vec![v1::Risk::ServiceLoss.into(), v1::Risk::ClusterUnreachable.into()];
    let request = v1::StopClusterRequest { accept_risks, ..asked(stage.cluster_id) };
    let task = ask(&stage.clients, request).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_stopped(&stage).await;
    let task = start(&stage.clients, stage.cluster_id).await.unwrap();
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_serves(&stage).await;
}

/// One process that is not ended fails its branch and no other; the task says which stand where, is retried, and undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_server_that_fails_undoes_no_other() {
    for retried in [true, false] {
        let harness = Harness::registered().await;
        let service = harness.serve(&[("OBSTEWARD_FAIL_STEP", "Stop observer process")]).await;
        let cluster_id = harness.cluster_id(&service.clients).await;
        let task = ask(&service.clients, asked(cluster_id)).await.unwrap();
        let task = service.clients.at_rest(task.id).await;
        assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
        let of_stop = task.subtasks.iter().filter(|subtask| subtask.name == "Stop observer process");
        let count = |state| of_stop.clone().filter(|subtask| subtask.state() == state).count();
        assert_eq!((count(v1::SubtaskState::Successful), count(v1::SubtaskState::Failed)), (2, 1), "{task:#?}");
        let alive = || SERVERS.iter().filter(|it| harness.sim.server(**it).unwrap().pid.is_some_and(is_alive)).count();
        assert_eq!(alive(), 1);
        if retried {
            service.clients.retry(task.id).await;
            let task = service.clients.at_rest(task.id).await;
            assert_eq!((task.state(), alive()), (v1::TaskState::Successful, 0), "{task:#?}");
            assert_eq!(harness.sim.recorded(Kind::ProcessEnded).len(), 3);
            continue;
        }
        let undone = start(&service.clients, cluster_id).await.unwrap();
        assert_eq!((undone.id, undone.state(), alive()), (task.id, v1::TaskState::RolledBack, 3), "{undone:#?}");
        assert_eq!(harness.sim.recorded(Kind::ProcessEnded).len(), 2);
    }
}

/// `kill -9` between the end of the first process and that of the last: the next owner goes on where nobody can read the cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_in_the_middle_is_taken_over() {
    for permit in ["2", "4", "5", "6"] {
        let harness = Harness::registered().await;
        harness.sim.inject(Fault::on(FaultKind::ExitSlowly { delay_ms: 300 }, 2));
        let mut service = harness.serve(&[("OBSTEWARD_CRASH_AT_PERMIT", permit)]).await;
        let cluster_id = harness.cluster_id(&service.clients).await;
        let task = ask(&service.clients, asked(cluster_id)).await.unwrap();
        assert!(service.ended().await.is_some(), "three freezes and three ends need six permits");
        drop(service);
        let service = harness.serve(&[]).await;
        let done = service.clients.at_rest(task.id).await;
        assert_eq!(done.state(), v1::TaskState::Successful, "crashed at permit {permit}: {done:#?}");
        assert_unbroken(&service.clients.events(task.id).await);
        assert!(SERVERS.iter().all(|it| !harness.sim.server(*it).unwrap().pid.is_some_and(is_alive)));
        let started = start(&service.clients, cluster_id).await.unwrap();
        assert_eq!(started.state(), v1::TaskState::Successful, "{started:#?}");
    }
}

/// A second task is refused while one holds the cluster, and a cancelled stop is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_stop_keeps_the_cluster_until_it_is_undone() {
    let stage = Stage::new().await;
    let stuck = stage.sim.inject(Fault::on(FaultKind::CheckpointStuck, 1));
    let task = ask(&stage.clients, asked(stage.cluster_id)).await.unwrap();
    stage.clients.waits_for(task.id, "MINOR FREEZE").await;
    let request = stage.request(2).await;
    assert_eq!(status_info(&stage.clients.stop_with(request).await.unwrap_err()).0, "OPERATION_IN_PROGRESS");
    let cancel = v1::CancelTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().cancel_task(cancel).await.unwrap();
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Cancelled);
    stage.sim.clear(stuck);
    let give_up = v1::GiveUpTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().give_up_task(give_up).await.unwrap();
    assert_serves(&stage).await;
}
