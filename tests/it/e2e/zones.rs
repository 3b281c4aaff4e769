//! Stopping, starting and restarting a zone of two servers: the documented graphs with a branch for each server, through the
//! MySQL protocol, real processes and the agents.

use std::time::Duration;

use http::Method;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind, Signal, SimOptions};
use serde_json::json;
use tonic::{Code, Status};

use crate::support::refusal::status_info;
use crate::support::{PATIENCE, Stage, assert_unbroken, is_alive, quick, task_error};

const ZONE: &str = "zone2";
/// Its servers, by the simulator's numbers.
const SERVERS: [i64; 2] = [2, 5];

/// As with real servers, one that is ACTIVE is not yet in service.
fn pairs() -> SimOptions {
    let mut options = SimOptions { servers_per_zone: 2, ..quick() };
    options.durations.start_service = Duration::from_millis(800);
    options
}

fn asked(stage: &Stage) -> v1::StopZoneRequest {
    v1::StopZoneRequest { cluster_id: stage.cluster_id, zone: ZONE.to_owned(), ..Default::default() }
}

async fn stop_as(stage: &Stage, request: v1::StopZoneRequest) -> Result<v1::Task, Status> {
    let task = stage.clients.zones.clone().stop_zone(request).await?.into_inner().task.unwrap();
    Ok(stage.clients.at_rest(task.id).await)
}

async fn start(stage: &Stage) -> Result<v1::Task, Status> {
    let request = v1::StartZoneRequest { cluster_id: stage.cluster_id, zone: ZONE.to_owned(), ..Default::default() };
    let task = stage.clients.zones.clone().start_zone(request).await?.into_inner().task.unwrap();
    Ok(stage.clients.at_rest(task.id).await)
}

fn is_active(stage: &Stage) -> bool {
    stage.sim.look(|cluster| cluster.zone(ZONE).unwrap().active)
}

fn pids(stage: &Stage) -> [Option<u32>; 2] {
    SERVERS.map(|server| stage.info(server).pid.filter(|pid| is_alive(*pid)))
}

async fn assert_serves(stage: &Stage) {
    assert!(is_active(stage) && pids(stage).iter().all(Option::is_some), "{:?}", pids(stage));
    for server in SERVERS {
        let server = stage.server(server).await;
        assert_eq!((server.status(), server.service_state()), (v1::ServerStatus::Running, v1::ServiceState::Serving));
    }
    assert!(stage.is_free().await);
}

async fn assert_stopped(stage: &Stage) {
    assert!(!is_active(stage));
    assert_eq!(pids(stage), [None, None]);
    for server in SERVERS {
        let server_id = stage.server(server).await.id;
        let request = v1::GetServerRequest { cluster_id: stage.cluster_id, server_id };
        let server = stage.clients.servers.clone().get_server(request).await.unwrap().into_inner().server.unwrap();
        assert_eq!(server.status(), v1::ServerStatus::Stopped);
        assert!(server.safe_to_power_off, "{server:#?}");
    }
    assert!(stage.is_free().await);
}

/// How often each name stands in the graph, one behind the other.
fn names(task: &v1::Task) -> Vec<(&str, usize)> {
    let mut names: Vec<(&str, usize)> = Vec::new();
    for subtask in &task.subtasks {
        match names.last_mut() {
            Some((last, count)) if *last == subtask.name => *count += 1,
            Some(_) | None => names.push((&subtask.name, 1)),
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_stopped_and_started() {
    let stage = Stage::over(pairs()).await;
    let task = stop_as(&stage, asked(&stage)).await.unwrap();
    assert_eq!((task.name.as_str(), task.state()), ("Stop OB zone", v1::TaskState::Successful), "{task:#?}");
    let twice = ["Prepare stop observer", "Stop observer process", "Update observer status"];
    assert!(names(&task).iter().all(|(name, count)| *count == if twice.contains(name) { 2 } else { 1 }));
    assert_eq!(names(&task).len(), 10, "{:?}", names(&task));
    let Some(v1::task::Target::Zone(zone)) = &task.target else { panic!("{task:#?}") };
    assert_eq!((zone.name.as_str(), task.context["zone_name"].as_str()), (ZONE, ZONE));
    assert_unbroken(&stage.clients.events(task.id).await);
    assert_stopped(&stage).await;
    // No mark but the zone's, and one end of each process.
    assert!(stage.sim.recorded(Kind::MarkSet).is_empty());
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded).len(), 2);

    let again = stop_as(&stage, asked(&stage)).await.unwrap_err();
    assert_eq!((again.code(), status_info(&again).0.as_str()), (Code::FailedPrecondition, "ZONE_STATE_NOT_ADMITTED"));

    let task = start(&stage).await.unwrap();
    assert_eq!((task.name.as_str(), task.state()), ("Start OB zone", v1::TaskState::Successful), "{task:#?}");
    assert_serves(&stage).await;
    // The zones take turns again.
    assert_eq!(stage.stop(3).await.state(), v1::TaskState::Successful);
    let other = stop_as(&stage, asked(&stage)).await.unwrap();
    let (reason, message) = task_error(&other);
    assert_eq!((other.state(), reason.as_str()), (v1::TaskState::Refused, "OTHER_ZONE_STOPPED"), "{message}");
    assert_serves(&stage).await;
}

/// A server that was dead before is neither ended nor brought back, and no undo waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_keeps_its_zone_from_nothing() {
    let stage = Stage::over(pairs()).await;
    // The agents see both run, and know from then on how each is started.
    let request = v1::PlanStopZoneRequest { cluster_id: stage.cluster_id, zone: ZONE.to_owned(), ..Default::default() };
    stage.clients.zones.clone().plan_stop_zone(request).await.unwrap();
    stage.sim.kill_process(SERVERS[1], Signal::KILL).unwrap();
    assert!(stage.sim.wait_until(PATIENCE, |cluster| !cluster.server(SERVERS[1]).unwrap().alive()).await);
    let stuck = stage.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    let task = stage.clients.zones.clone().stop_zone(asked(&stage)).await.unwrap().into_inner().task.unwrap();
    stage.clients.waits_for(task.id, "leaders still on").await;
    let cancel = v1::CancelTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().cancel_task(cancel).await.unwrap();
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Cancelled);
    stage.sim.clear(stuck);
    let undone = start(&stage).await.unwrap();
    assert_eq!((undone.id, stage.closed(task.id).await.state()), (task.id, v1::TaskState::RolledBack), "{undone:#?}");
    assert!(is_active(&stage) && pids(&stage)[0].is_some() && pids(&stage)[1].is_none());

    let task = stop_as(&stage, asked(&stage)).await.unwrap();
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_stopped(&stage).await;
    let task = start(&stage).await.unwrap();
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_serves(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_restarted() {
    let stage = Stage::over(pairs()).await;
    let before = pids(&stage);
    let request = v1::RestartZoneRequest { cluster_id: stage.cluster_id, zone: ZONE.to_owned(), ..Default::default() };
    let task = stage.clients.zones.clone().restart_zone(request).await.unwrap().into_inner().task.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!((task.name.as_str(), task.state()), ("Restart OB zone", v1::TaskState::Successful), "{task:#?}");
    assert_serves(&stage).await;
    assert!(pids(&stage).iter().zip(before).all(|(now, before)| *now != before));
}

/// A server that does not start fails its branch and no other; the task says which stands where, is retried, and undone.
#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_fails_undoes_no_other() {
    let stage = Stage::over(pairs()).await;
    let dies = stage.sim.inject(Fault::on(FaultKind::DiesAtStart, SERVERS[1]).times(9));
    let request = v1::RestartZoneRequest { cluster_id: stage.cluster_id, zone: ZONE.to_owned(), ..Default::default() };
    let task = stage.clients.zones.clone().restart_zone(request).await.unwrap().into_inner().task.unwrap();
    let assert_failed = |task: &v1::Task| {
        let started = |server: i64| {
            let address = stage.info(server).address();
            let of_server = |subtask: &&v1::Subtask| {
                subtask.name == "Start observer process"
                    && subtask.server.as_ref().is_some_and(|server| server.address == address)
            };
            task.subtasks.iter().find(of_server).unwrap().state()
        };
        assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
        assert_eq!(SERVERS.map(started), [v1::SubtaskState::Successful, v1::SubtaskState::Failed]);
        assert_eq!(task_error(task).0, "OBSERVER_DIED");
        assert!(pids(&stage)[0].is_some() && pids(&stage)[1].is_none() && !is_active(&stage));
    };
    assert_failed(&stage.clients.at_rest(task.id).await);
    let running = pids(&stage)[0];
    let retry = v1::RetryTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().retry_task(retry).await.unwrap();
    assert_failed(&stage.clients.at_rest(task.id).await);
    assert_eq!(pids(&stage)[0], running);
    stage.sim.clear(dies);
    // A start of the zone is the rollback of what stopped it.
    let undone = start(&stage).await.unwrap();
    assert_eq!((undone.id, stage.closed(task.id).await.state()), (task.id, v1::TaskState::RolledBack), "{undone:#?}");
    assert_serves(&stage).await;
    assert_eq!(pids(&stage)[0], running);
}

/// Somebody starts the zone while its processes are being ended: none is ended any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_somebody_started_keeps_its_processes() {
    let stage = Stage::with(pairs(), |config| config.stop.gate_seconds = 2).await;
    stage.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    let task = stage.clients.zones.clone().stop_zone(asked(&stage)).await.unwrap().into_inner().task.unwrap();
    stage.clients.waits_for(task.id, "leaders still on").await;
    stage.sim.third_party(&format!("ALTER SYSTEM START ZONE {ZONE}"));
    let task = stage.clients.at_rest(task.id).await;
    let (reason, message) = task_error(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Failed, "ZONE_STARTED"), "{message}");
    assert!(pids(&stage).iter().all(Option::is_some) && is_active(&stage));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_a_zone_and_what_is_wrong_with_a_request() {
    let stage = Stage::with(pairs(), |config| config.rest.listen = Some(([127, 0, 0, 1], 0).into())).await;
    let request = v1::PlanStopZoneRequest { cluster_id: stage.cluster_id, zone: ZONE.to_owned(), ..Default::default() };
    let plan = stage.clients.zones.clone().plan_stop_zone(request).await.unwrap().into_inner().plan.unwrap();
    assert!(plan.allowed && plan.server_id == 0 && plan.zone == ZONE, "{plan:#?}");
    let of_hosts = plan.checks.iter().filter(|check| check.name == "HOST_PROCESS");
    let named = |check: &v1::PlanCheck| SERVERS.iter().any(|it| check.evidence.starts_with(&stage.info(*it).address()));
    assert!(of_hosts.clone().count() == 2 && of_hosts.clone().all(named), "{plan:#?}");

    for (zone, code, reason) in [
        ("", Code::InvalidArgument, "INVALID_ARGUMENT"),
        ("zone 2", Code::InvalidArgument, "INVALID_ARGUMENT"),
        ("zone9", Code::NotFound, "ZONE_NOT_FOUND"),
    ] {
        let request = v1::StopZoneRequest { zone: zone.to_owned(), ..asked(&stage) };
        let refused = stop_as(&stage, request).await.unwrap_err();
        assert_eq!((refused.code(), status_info(&refused).0.as_str()), (code, reason), "{zone:?}");
    }

    let path = format!("/api/v2/ob/clusters/{}/zones/{ZONE}/stop", stage.cluster_id);
    let answer = stage.rest().send(Method::POST, &path, &[], Vec::new()).await;
    let data = answer.data();
    assert_eq!((answer.status.as_u16(), &data["name"]), (200, &json!("Stop OB zone")), "{}", answer.text);
    let task = stage.clients.at_rest(data["id"].as_i64().unwrap()).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_stopped(&stage).await;
}
