//! Undoing a stop: in reverse order, only what this task did, each undo looking before it acts. The server is as it was, or the
//! task says how far it came.

use std::collections::HashMap;

use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind, Signal, SimCluster};
use tonic::{Code, Status};

use crate::support::refusal::{error_info, status_info};
use crate::support::{PATIENCE, Stage, assert_unbroken, in_order, is_alive, quick};

const STUCK: FaultKind = FaultKind::LeaderSwitchStuck { tenant: None, ls: None };

async fn rollback(stage: &Stage, task_id: i64) -> Result<v1::Task, Status> {
    let request = v1::RollbackTaskRequest { task_id, ..Default::default() };
    Ok(stage.clients.tasks.clone().rollback_task(request).await?.into_inner().task.unwrap())
}

async fn skip(stage: &Stage, task_id: i64, subtask_id: i64) -> Result<v1::Task, Status> {
    let request = v1::SkipSubtaskRequest { task_id, subtask_id, if_revision: None, ..Default::default() };
    Ok(stage.clients.tasks.clone().skip_subtask(request).await?.into_inner().task.unwrap())
}

async fn cancelled(stage: &Stage, task_id: i64, while_it_waits_for: &str) -> v1::Task {
    stage.clients.waits_for(task_id, while_it_waits_for).await;
    let request = v1::CancelTaskRequest { task_id, if_revision: None, ..Default::default() };
    stage.clients.tasks.clone().cancel_task(request).await.unwrap();
    let task = stage.clients.at_rest(task_id).await;
    assert_eq!(task.state(), v1::TaskState::Cancelled, "{task:#?}");
    task
}

fn subtask<'a>(task: &'a v1::Task, name: &str) -> &'a v1::Subtask {
    task.subtasks.iter().find(|subtask| subtask.name == name).unwrap()
}

fn marked(sim: &SimCluster) -> bool {
    sim.look(|cluster| cluster.server(2).unwrap().stop_time != 0)
}

fn count(sim: &SimCluster, kind: Kind) -> usize {
    sim.recorded(kind).len()
}

/// Every status as a fresh reading finds it, and the cluster free.
async fn assert_as_before(stage: &Stage, task: &v1::Task) {
    assert_eq!((task.state(), task.operation()), (v1::TaskState::RolledBack, v1::TaskOperation::Rollback), "{task:#?}");
    assert!(in_order(task).iter().all(|(_, state)| *state == v1::SubtaskState::Pending), "{task:#?}");
    let server = stage.server(2).await;
    assert_eq!((server.status(), server.service_state()), (v1::ServerStatus::Running, v1::ServiceState::Serving));
    assert!(stage.is_free().await);
    assert_unbroken(&stage.clients.events(task.id).await);
}

/// The leaders stay, the stop fails and keeps the cluster; undone, the server serves with the process that it had, and can
/// be stopped again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_whose_leaders_stay_is_undone() {
    let stage = Stage::with(quick(), |config| config.stop.leader_wait_seconds = 1).await;
    let stuck = stage.sim.inject(Fault::on(STUCK, 2));
    let pid = stage.info(2).pid;
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Failed);
    use v1::TaskVerb::{GiveUp, Retry, Rollback, SkipSubtask};
    assert_eq!(task.allowed_verbs().collect::<Vec<_>>(), [Retry, Rollback, SkipSubtask, GiveUp], "{task:#?}");
    let step = subtask(&task, "Stop server");
    assert_eq!(step.allowed_verbs().collect::<Vec<_>>(), [Retry, SkipSubtask], "{step:#?}");

    let going = rollback(&stage, task.id).await.unwrap();
    assert_eq!(going.operation(), v1::TaskOperation::Rollback);
    let task = stage.clients.at_rest(task.id).await;
    assert_as_before(&stage, &task).await;
    assert!(task.allowed_verbs.is_empty());
    assert_eq!((count(&stage.sim, Kind::MarkSet), count(&stage.sim, Kind::MarkCleared)), (1, 1));
    assert_eq!((stage.info(2).pid, marked(&stage.sim)), (pid, false));
    let refused = rollback(&stage, task.id).await.unwrap_err();
    assert_eq!((refused.code(), status_info(&refused).0.as_str()), (Code::FailedPrecondition, "VERB_NOT_ALLOWED"));

    stage.sim.clear(stuck);
    assert_eq!(stage.stop(2).await.state(), v1::TaskState::Successful);
}

/// Cancelled behind the end of the process: that is started again first, then the server.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_process_is_started_again() {
    let stage = Stage::new().await;
    let pid = stage.info(2).pid;
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    let task = cancelled(&stage, id, "STATUS INACTIVE").await;
    assert_eq!(subtask(&task, "Stop observer process").effect(), v1::Effect::Done);
    rollback(&stage, id).await.unwrap();
    let task = stage.clients.at_rest(id).await;
    assert_as_before(&stage, &task).await;
    let now = stage.info(2).pid;
    assert!(now.is_some_and(is_alive) && now != pid, "{pid:?} {now:?}");
    assert_eq!((count(&stage.sim, Kind::ProcessEnded), count(&stage.sim, Kind::MarkCleared)), (1, 1));
}

/// How long a stop waits for leaders says nothing of how long the server's replicas need when it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_has_time_of_its_own() {
    let stage = Stage::with(quick(), |config| config.stop.leader_wait_seconds = 1).await;
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    cancelled(&stage, id, "STATUS INACTIVE").await;
    let lagging = stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 2));
    rollback(&stage, id).await.unwrap();
    let progress = stage.wait_progress(id, "replicas caught up").await;
    let (until, now) = (progress.deadline.unwrap(), progress.update_time.unwrap());
    assert!(until.seconds - now.seconds > 60, "{progress:?}");
    stage.sim.clear(lagging);
    let task = stage.clients.at_rest(id).await;
    assert!(task.warnings.iter().all(|warning| warning.code != "NOT_CAUGHT_UP"), "{task:#?}");
    assert_as_before(&stage, &task).await;
}

/// The mark was somebody else's: the process comes back, the mark stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_somebody_else_stays() {
    let stage = Stage::new().await;
    stage.sim.third_party(&format!("ALTER SYSTEM STOP SERVER '{}'", stage.info(2).address()));
    assert!(stage.sim.wait_until(crate::support::PATIENCE, |cluster| cluster.server(2).unwrap().stop_time != 0).await);
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    let task = cancelled(&stage, id, "STATUS INACTIVE").await;
    assert_eq!(subtask(&task, "Stop server").effect(), v1::Effect::AlreadySo);
    rollback(&stage, id).await.unwrap();
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::RolledBack, "{task:#?}");
    assert!(marked(&stage.sim) && stage.info(2).pid.is_some());
    assert_eq!(count(&stage.sim, Kind::MarkCleared), 0);
    assert_eq!(stage.server(2).await.status(), v1::ServerStatus::Stopped);
}

/// An undo that fails says where, with the observer's last words; it does not go forward again, goes on when it is asked for
/// again, and a person can count the step as undone.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_fails_says_how_far_it_came_and_goes_on() {
    let stage = Stage::new().await;
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    cancelled(&stage, id, "STATUS INACTIVE").await;
    let dies = stage.sim.inject(Fault { count: None, ..Fault::on(FaultKind::DiesAtStart, 2) });
    rollback(&stage, id).await.unwrap();
    let task = stage.clients.at_rest(id).await;
    assert_eq!((task.state(), task.operation()), (v1::TaskState::Failed, v1::TaskOperation::Rollback), "{task:#?}");
    let (reason, _) = error_info(&task);
    let message = &task.error.as_ref().unwrap().message;
    assert!(reason == "OBSERVER_DIED" && message.contains("its last words:"), "{reason}: {message}");
    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let server = stage.clients.get_server(cluster_id, server_id).await;
    let absent = server.process_state() == v1::ProcessState::Absent && server.stop_time.is_some();
    assert!(absent && !server.safe_to_power_off && server.not_safe_reason.contains("may start"), "{server:#?}");
    let states: HashMap<String, v1::SubtaskState> = in_order(&task).into_iter().collect();
    assert_eq!(states["Wait observer stop"], v1::SubtaskState::Pending);
    assert_eq!(states["Stop observer process"], v1::SubtaskState::Failed);
    assert_eq!(states["Stop server"], v1::SubtaskState::Successful);
    use v1::TaskVerb::{GiveUp, Rollback, SkipSubtask};
    assert_eq!(task.allowed_verbs().collect::<Vec<_>>(), [Rollback, SkipSubtask, GiveUp], "{task:#?}");
    let process = subtask(&task, "Stop observer process");
    assert_eq!(process.allowed_verbs().collect::<Vec<_>>(), [SkipSubtask], "{process:#?}");
    let refused = stage.clients.tasks.clone();
    let refused = { refused }.retry_task(v1::RetryTaskRequest { task_id: id, ..Default::default() }).await.unwrap_err();
    assert_eq!(status_info(&refused).0, "ROLLBACK_UNFINISHED");

    stage.sim.clear(dies);
    rollback(&stage, id).await.unwrap();
    let task = stage.clients.at_rest(id).await;
    assert_as_before(&stage, &task).await;
}

/// A start of the server whose stop rests is what the caller means: the stop is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_a_server_whose_stop_rests_rolls_it_back() {
    let stage = Stage::new().await;
    let stuck = stage.sim.inject(Fault::on(STUCK, 2));
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request.clone()).await.unwrap().id;
    let (cluster_id, server_id) = (request.cluster_id, request.server_id);
    let start = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
    let mut servers = stage.clients.servers.clone();
    stage.clients.waits_for(id, "leaders still on zone2").await;
    let refused = servers.start_server(start.clone()).await.unwrap_err();
    assert_eq!(status_info(&refused).0, "OPERATION_IN_PROGRESS", "it runs");
    cancelled(&stage, id, "leaders still on zone2").await;

    let start = v1::StartServerRequest { request_id: uuid::Uuid::new_v4().to_string(), ..start };
    let task = servers.start_server(start.clone()).await.unwrap().into_inner().task.unwrap();
    assert_eq!((task.id, task.operation()), (id, v1::TaskOperation::Rollback));
    assert_eq!(servers.start_server(start).await.unwrap().into_inner().task.unwrap().id, id, "the repeat");
    let task = stage.clients.at_rest(id).await;
    assert_as_before(&stage, &task).await;
    stage.sim.clear(stuck);
    let mut admin = stage.clients.admin.clone();
    let records = admin.list_audit_records(v1::ListAuditRecordsRequest::default()).await.unwrap().into_inner().records;
    let started = records.iter().filter(|r| r.operation == "START_OB_SERVER").filter_map(|r| r.task_id);
    let started: Vec<i64> = started.collect();
    assert!(started.contains(&id), "{records:#?}");
}

/// A failed step that a person vouches for: the task goes on behind it, and the gate still judges. What prepares cannot be
/// skipped.
#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_step_skips_no_gate() {
    let stage = Stage::with(quick(), |config| config.stop.leader_wait_seconds = 1).await;
    let stuck = stage.sim.inject(Fault::on(STUCK, 2));
    let task = stage.stop(2).await;
    let stop_server = subtask(&task, "Stop server").id;
    let prepare = subtask(&task, "Prepare stop observer").id;
    let refused = skip(&stage, task.id, prepare).await.unwrap_err();
    assert_eq!((refused.code(), status_info(&refused).0.as_str()), (Code::FailedPrecondition, "SUBTASK_NOT_SKIPPABLE"));
    let refused = skip(&stage, task.id, 1).await.unwrap_err();
    assert_eq!((refused.code(), status_info(&refused).0.as_str()), (Code::NotFound, "SUBTASK_NOT_FOUND"));

    skip(&stage, task.id, stop_server).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
    let step = subtask(&task, "Stop server");
    assert_eq!((step.state(), step.operation()), (v1::SubtaskState::Successful, v1::SubtaskOperation::Skip));
    assert_eq!(error_info(&task).0, "LEADERS_LEFT");
    assert_eq!(count(&stage.sim, Kind::Signal), 0);
    assert!(task.warnings.iter().any(|warning| warning.code == "SUBTASK_SKIPPED"), "{:?}", task.warnings);

    stage.sim.clear(stuck);
    stage.clients.retry(task.id).await;
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Successful);
}

/// Giving up leaves everything as it is, says what that is, and frees the cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_given_up_names_what_it_leaves() {
    let stage = Stage::new().await;
    stage.sim.inject(Fault::on(STUCK, 2));
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    cancelled(&stage, id, "leaders still on zone2").await;
    let request = v1::GiveUpTaskRequest { task_id: id, if_revision: None, ..Default::default() };
    let task = stage.clients.tasks.clone().give_up_task(request).await.unwrap().into_inner().task.unwrap();
    assert_eq!(task.state(), v1::TaskState::GivenUp);
    let said = task.warnings.iter().map(|warning| warning.text.as_str()).collect::<Vec<_>>().join("\n");
    let address = stage.info(2).address();
    assert!(said.contains(&format!("STOP_TIME of {address} is set since")), "{said}");
    assert!(said.contains(&format!("the process of {address} runs: pid {}", stage.info(2).pid.unwrap())), "{said}");
    assert!(stage.is_free().await);
    assert_eq!(stage.server(2).await.status(), v1::ServerStatus::Stopped, "as a reading finds it");
}

/// START SERVER asks the server, which is dead: that is said before anything is sent, and undone once it lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_is_not_asked_to_start() {
    let stage = Stage::with(quick(), |config| config.stop.leader_wait_seconds = 1).await;
    stage.sim.inject(Fault::on(STUCK, 2));
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
    stage.sim.kill_process(2, Signal::KILL).unwrap();
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::ServerOffline, "").await);
    rollback(&stage, task.id).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!((task.state(), error_info(&task).0.as_str()), (v1::TaskState::Failed, "PROCESS_GONE"), "{task:#?}");
    assert_eq!(stage.statements_that_act().len(), 1, "no START SERVER was sent");

    stage.sim.clear_all();
    stage.sim.start_server_process(2).await.unwrap();
    rollback(&stage, task.id).await.unwrap();
    assert_as_before(&stage, &stage.clients.at_rest(task.id).await).await;
    assert_eq!(stage.statements_that_act().len(), 2);
}
