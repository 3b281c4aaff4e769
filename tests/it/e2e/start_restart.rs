//! Starting a server again, and restarting one: the documented graphs, through the MySQL protocol, real processes and the
//! agent.

use obsteward::domain::facts::ShownFact;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind};
use tonic::{Code, Status};

use crate::support::refusal::{error_info, status_info};
use crate::support::{Stage, assert_unbroken, graphs, in_order, is_alive};

async fn start(stage: &Stage) -> Result<v1::Task, Status> {
    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let request = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
    Ok(stage.clients.servers.clone().start_server(request).await?.into_inner().task.unwrap())
}

async fn restart(stage: &Stage) -> Result<v1::Task, Status> {
    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let request = v1::RestartServerRequest { cluster_id, server_id, ..Default::default() };
    Ok(stage.clients.servers.clone().restart_server(request).await?.into_inner().task.unwrap())
}

async fn assert_serves(stage: &Stage) {
    let server = stage.server(2).await;
    assert_eq!((server.status(), server.service_state()), (v1::ServerStatus::Running, v1::ServiceState::Serving));
    assert!(stage.info(2).pid.is_some_and(is_alive) && stage.is_free().await);
    let marked = stage.sim.look(|cluster| cluster.server(2).unwrap().stop_time != 0);
    assert!(!marked);
}

fn names(task: &v1::Task) -> Vec<String> {
    in_order(task).into_iter().map(|(name, _)| name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_started() {
    let stage = Stage::new().await;
    let pid = stage.info(2).pid;
    assert_eq!(stage.stop(2).await.state(), v1::TaskState::Successful);
    let task = start(&stage).await.unwrap();
    assert_eq!((task.name.as_str(), task.stop_type()), ("Start OB server", v1::StopType::Unspecified));
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(names(&task), *graphs::START);
    assert_serves(&stage).await;
    assert_ne!(stage.info(2).pid, pid);
    // Which process was there and which was started is for the steps only.
    let shown = ShownFact::ALL.iter().map(|fact| fact.as_str());
    assert!(task.context.keys().all(|key| shown.clone().any(|fact| fact == key)), "{:?}", task.context);
    assert!(!task.context.contains_key("process_before") && task.context["zone_name"] == "zone2");
    assert_unbroken(&stage.clients.events(task.id).await);
    // The zones take turns again.
    assert_eq!(stage.stop(3).await.state(), v1::TaskState::Successful);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_serves_is_not_started() {
    let stage = Stage::new().await;
    let refused = start(&stage).await.unwrap_err();
    assert_eq!(
        (refused.code(), status_info(&refused).0.as_str()),
        (Code::FailedPrecondition, "SERVER_STATE_NOT_ADMITTED")
    );
    assert!(refused.message().contains("a server that does not serve"), "{}", refused.message());
}

/// Only the service was stopped: the process is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_started_on_the_process_that_runs() {
    let stage = Stage::new().await;
    let pid = stage.info(2).pid;
    let service = v1::StopServerRequest { r#type: v1::StopType::Service as i32, ..stage.request(2).await };
    let stopped = stage.clients.stop_with(service).await.unwrap();
    assert_eq!(stage.clients.at_rest(stopped.id).await.state(), v1::TaskState::Successful);
    let task = start(&stage).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_serves(&stage).await;
    assert_eq!(stage.info(2).pid, pid);
    let step = task.subtasks.iter().find(|subtask| subtask.name == "Start observer process").unwrap();
    assert_eq!(step.effect(), v1::Effect::AlreadySo);
}

/// The observer dies at once: the task is refused with its last words, and the server is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_process_dies_reports_its_last_words() {
    let stage = Stage::new().await;
    assert_eq!(stage.stop(2).await.state(), v1::TaskState::Successful);
    let dies = stage.sim.inject(Fault { count: None, ..Fault::on(FaultKind::DiesAtStart, 2) });
    let task = start(&stage).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Refused, "{task:#?}");
    let (reason, message) = (error_info(&task).0, task.error.as_ref().unwrap().message.clone());
    assert!(reason == "OBSERVER_DIED" && message.contains("its last words:"), "{reason}: {message}");
    let last = std::fs::read_to_string(stage.info(2).home.join("log/observer.log")).unwrap();
    let last = last.lines().last().unwrap().to_owned();
    assert!(message.contains(&last), "{message} has not {last:?}");
    assert_eq!(stage.server(2).await.status(), v1::ServerStatus::Stopped);
    assert!(stage.is_free().await);

    stage.sim.clear(dies);
    let task = start(&stage).await.unwrap();
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Successful);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_restarted() {
    let stage = Stage::new().await;
    let pid = stage.info(2).pid;
    let task = restart(&stage).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(task.name, "Restart OB server");
    assert_eq!(names(&task), *graphs::RESTART);
    assert_serves(&stage).await;
    assert_ne!(stage.info(2).pid, pid);
    let kinds = [Kind::MarkSet, Kind::ProcessEnded, Kind::MarkCleared].map(|kind| stage.sim.recorded(kind).len());
    assert_eq!(kinds, [1, 1, 1]);
}

/// The new process does not come up: the retry starts it and ends none, because what was ended was meant to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_failed_in_the_middle_goes_on_from_there() {
    let stage = Stage::new().await;
    let dies = stage.sim.inject(Fault { count: None, ..Fault::on(FaultKind::DiesAtStart, 2) });
    let task = restart(&stage).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!((task.state(), error_info(&task).0.as_str()), (v1::TaskState::Failed, "OBSERVER_DIED"), "{task:#?}");
    assert_eq!(stage.server(2).await.status(), v1::ServerStatus::Restarting);
    stage.sim.clear(dies);
    stage.clients.retry(task.id).await;
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_serves(&stage).await;
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded).len(), 1);
}

/// START SERVER is refused: the restart is undone, that is, the server is brought back as far as it lets itself be.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_undone_to_a_server_that_serves() {
    let stage = Stage::new().await;
    let text = "The target server may encounter device failures. START SERVER is not allowed".to_owned();
    let refuses = stage.sim.inject(
        Fault { count: None, ..Fault::from(FaultKind::Refused { number: 4179, text }) }
            .for_statement("ALTER SYSTEM START SERVER"),
    );
    let task = restart(&stage).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(
        (task.state(), error_info(&task).0.as_str()),
        (v1::TaskState::Failed, "REFUSED_BY_ROOT_SERVICE"),
        "{task:#?}"
    );
    stage.sim.clear(refuses);
    let request = v1::RollbackTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().rollback_task(request).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::RolledBack, "{task:#?}");
    assert_serves(&stage).await;
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded).len(), 1);
}

/// A task that starts the process holds the server: nobody pulls the plug because the process is absent just then, nor while
/// the task rests and a retry would start it.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_not_safe_to_power_off_while_a_task_may_start_the_process() {
    let stage = Stage::new().await;
    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let dies = stage.sim.inject(Fault { count: None, ..Fault::on(FaultKind::DiesAtStart, 2) });
    let task = stage.clients.at_rest(restart(&stage).await.unwrap().id).await;
    assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
    let server = stage.clients.get_server(cluster_id, server_id).await;
    let absent = server.process_state() == v1::ProcessState::Absent && server.stop_time.is_some();
    let reason =
        format!("task {} (Restart OB server) rests as FAILED and may start the process when it is retried", task.id);
    assert!(absent && !server.safe_to_power_off && server.not_safe_reason.starts_with(&reason), "{server:#?}");
    stage.sim.clear(dies);
    let request = v1::GiveUpTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().give_up_task(request).await.unwrap();
    let server = stage.clients.get_server(cluster_id, server_id).await;
    assert!(server.safe_to_power_off && server.not_safe_reason.is_empty(), "{server:#?}");
}
