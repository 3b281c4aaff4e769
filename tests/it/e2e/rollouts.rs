//! Rollouts over a cluster of three zones with two servers each: in order, behind health gates, paused, ill, and refused.

use std::time::Duration;

use obsteward::proto::v1;
use obsteward::proto::v1::rollout_scope::Scope;
use obsteward::sim::{Fault, FaultKind, Kind, Signal, SimOptions};
use tonic::{Code, Status};

use crate::support::refusal::status_info;
use crate::support::{PATIENCE, Stage, assert_unbroken, is_alive, quick, task_error};

fn pairs() -> SimOptions {
    let mut options = SimOptions { servers_per_zone: 2, ..quick() };
    options.durations.start_service = Duration::from_millis(300);
    options
}

fn all() -> Option<v1::RolloutScope> {
    Some(v1::RolloutScope { scope: Some(Scope::All(v1::AllServers {})) })
}

fn restart(stage: &Stage) -> v1::StartRolloutRequest {
    let action = v1::RolloutAction::Restart.into();
    v1::StartRolloutRequest { cluster_id: stage.cluster_id, scope: all(), action, ..Default::default() }
}

async fn ask(stage: &Stage, request: v1::StartRolloutRequest) -> Result<v1::Task, Status> {
    Ok(stage.clients.rollouts.clone().start_rollout(request).await?.into_inner().task.unwrap())
}

fn pids(stage: &Stage) -> Vec<u32> {
    (1..=6).map(|server| stage.info(server).pid.filter(|pid| is_alive(*pid)).unwrap_or_default()).collect()
}

/// The servers whose processes ended, by the simulator's numbers, in order.
fn ended(stage: &Stage) -> Vec<i64> {
    stage.sim.recorded(Kind::ProcessEnded).into_iter().filter_map(|recorded| recorded.server).collect()
}

fn progress(task: &v1::Task) -> &v1::RolloutProgress {
    task.rollout.as_ref().unwrap()
}

/// No log stream lost its majority, and nothing is stopped.
async fn assert_healthy(stage: &Stage) {
    assert_eq!(stage.sim.recorded(Kind::MajorityLost), []);
    assert!(pids(stage).iter().all(|pid| *pid != 0), "{:?}", pids(stage));
    for server in 1..=6 {
        let server = stage.server(server).await;
        assert_eq!((server.status(), server.service_state()), (v1::ServerStatus::Running, v1::ServiceState::Serving));
    }
    assert!(stage.is_free().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_is_restarted_zone_by_zone_and_the_root_services_last() {
    let stage = Stage::over(pairs()).await;
    let before = pids(&stage);
    let root = stage.info(stage.sim.look(|cluster| cluster.root_service()).unwrap()).zone;
    let request = v1::PlanRolloutRequest {
        cluster_id: stage.cluster_id,
        scope: all(),
        action: v1::RolloutAction::Restart.into(),
        ..Default::default()
    };
    let plan = stage.clients.rollouts.clone().plan_rollout(request).await.unwrap().into_inner();
    assert!(plan.allowed && plan.plans.len() == 6, "{plan:#?}");
    let zones: Vec<&str> = plan.batches.iter().map(|batch| batch.servers[0].zone.as_str()).collect();
    assert_eq!((zones.len(), zones[4], zones[5]), (6, root.as_str(), root.as_str()));

    let task = ask(&stage, restart(&stage)).await.unwrap();
    assert_eq!(progress(&task).batches, plan.batches);
    // Another operation meanwhile is refused, and hears which task is in its way.
    let second = ask(&stage, restart(&stage)).await.unwrap_err();
    assert_eq!((second.code(), status_info(&second).0.as_str()), (Code::Aborted, "OPERATION_IN_PROGRESS"));
    assert!(second.message().contains(&task.id.to_string()), "{second:?}");
    let stop = stage.clients.stop_with(stage.request(1).await).await.unwrap_err();
    assert_eq!(stop.code(), Code::Aborted);

    let task = stage.clients.at_rest(task.id).await;
    assert_eq!((task.name.as_str(), task.state()), ("Restart OB servers", v1::TaskState::Successful), "{task:#?}");
    assert_eq!((progress(&task).servers_done, progress(&task).servers_total), (6, 6));
    assert_unbroken(&stage.clients.events(task.id).await);
    assert_healthy(&stage).await;
    assert!(pids(&stage).iter().zip(&before).all(|(now, before)| now != before));
    // One at a time, in the order of the plan.
    let order: Vec<String> = ended(&stage).into_iter().map(|server| stage.info(server).address()).collect();
    let planned: Vec<&str> = plan.batches.iter().map(|batch| batch.servers[0].address.as_str()).collect();
    assert_eq!(order, planned);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_of_a_zone_are_out_at_once_and_a_pause_lets_them_finish() {
    let stage = Stage::over(pairs()).await;
    let request = v1::StartRolloutRequest { max_parallel: 2, pause_after: 1, ..restart(&stage) };
    let task = ask(&stage, request).await.unwrap();
    stage.clients.waits_for(task.id, "pauses behind its first 2 servers").await;
    let paused = stage.clients.task(task.id).await;
    assert!(progress(&paused).paused_since.is_some() && progress(&paused).paused_by.is_empty(), "{paused:#?}");
    assert!(paused.allowed_verbs().any(|verb| verb == v1::TaskVerb::Resume));
    assert_eq!((ended(&stage).len(), paused.state()), (2, v1::TaskState::Running));
    let resume = || v1::ResumeRolloutRequest { task_id: task.id, ..Default::default() };
    stage.clients.rollouts.clone().resume_rollout(resume()).await.unwrap();

    // Asked while the second batch is out.
    stage
        .clients
        .events_until(task.id, paused.revision, |event| crate::support::begins(event, "Stop server"))
        .await
        .1
        .unwrap();
    let pause = v1::PauseRolloutRequest { task_id: task.id, ..Default::default() };
    let pausing = stage.clients.rollouts.clone().pause_rollout(pause).await.unwrap().into_inner().task.unwrap();
    assert_eq!(progress(&pausing).paused_by, "anonymous");
    stage.clients.waits_for(task.id, "ResumeRollout, anonymous paused it").await;
    assert_eq!(ended(&stage).len(), 4);
    stage.clients.rollouts.clone().resume_rollout(resume()).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_healthy(&stage).await;
    let again = stage.clients.rollouts.clone().resume_rollout(resume()).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
}

/// A server of another zone is lost in the middle: no further server is taken out, and when it is back a retry goes on behind
/// what is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_gets_ill_stops_the_rollout_before_the_next_server() {
    let stage = Stage::over(pairs()).await;
    let task = ask(&stage, v1::StartRolloutRequest { pause_after: 1, ..restart(&stage) }).await.unwrap();
    stage.clients.waits_for(task.id, "pauses behind its first 1 servers").await;
    let first = ended(&stage)[0];
    let lost = (1..=6).find(|server| stage.info(*server).zone != stage.info(first).zone).unwrap();
    stage.sim.kill_process(lost, Signal::KILL).unwrap();
    assert!(stage.sim.wait_until(PATIENCE, |cluster| !cluster.server(lost).unwrap().alive()).await);
    let resume = v1::ResumeRolloutRequest { task_id: task.id, ..Default::default() };
    stage.clients.rollouts.clone().resume_rollout(resume).await.unwrap();
    stage.clients.waits_for(task.id, "is INACTIVE since the rollout began").await;
    let cancel = v1::CancelTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().cancel_task(cancel).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Cancelled, "{task:#?}");
    assert_eq!(stage.sim.recorded(Kind::MarkSet).len(), 1);

    stage.sim.start_server_process(lost).await.unwrap();
    assert!(stage.sim.wait_until(PATIENCE, |cluster| cluster.server(lost).unwrap().alive()).await);
    stage.clients.retry(task.id).await;
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_healthy(&stage).await;
    // None was restarted twice.
    assert_eq!(stage.sim.recorded(Kind::MarkSet).len(), 6);
}

/// A server that does not start stops the rollout; undone, it is back, and what was done before stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_half_way_stops_the_rollout_and_only_it_is_undone() {
    let stage = Stage::over(pairs()).await;
    let task = ask(&stage, v1::StartRolloutRequest { pause_after: 1, stop_after: 3, ..restart(&stage) }).await.unwrap();
    stage.clients.waits_for(task.id, "pauses behind its first 1 servers").await;
    let second = progress(&stage.clients.task(task.id).await).batches[1].servers[0].address.clone();
    let second = (1..=6).find(|server| stage.info(*server).address() == second).unwrap();
    let dies = stage.sim.inject(Fault::on(FaultKind::DiesAtStart, second).times(9));
    let resume = v1::ResumeRolloutRequest { task_id: task.id, ..Default::default() };
    stage.clients.rollouts.clone().resume_rollout(resume).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!((task.state(), task_error(&task).0.as_str()), (v1::TaskState::Failed, "OBSERVER_DIED"), "{task:#?}");
    assert_eq!((progress(&task).servers_done, progress(&task).servers_total), (1, 6));
    let first = pids(&stage);
    stage.sim.clear(dies);
    let rollback = v1::RollbackTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().rollback_task(rollback).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::RolledBack, "{task:#?}");
    assert_healthy(&stage).await;
    let same = pids(&stage).iter().zip(&first).filter(|(now, then)| now == then).count();
    assert_eq!(same, 5);
}

/// A server that nothing was done to is passed over when the caller said so; the task says which, and does not run again.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_were_not_touched_are_passed_over() {
    let stage = Stage::over(pairs()).await;
    let second = 5;
    stage.sim.inject(Fault::on(FaultKind::Refused { number: 4179, text: "not now".to_owned() }, second).times(99));
    let request = v1::StartRolloutRequest { stop_after: 2, ..restart(&stage) };
    let task = ask(&stage, request).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(
        (task.state(), task_error(&task).0.as_str()),
        (v1::TaskState::Failed, "SERVERS_PASSED_OVER"),
        "{task:#?}"
    );
    assert_eq!((progress(&task).servers_done, progress(&task).servers_passed_over), (5, 1));
    let retry = v1::RetryTaskRequest { task_id: task.id, ..Default::default() };
    let refused = stage.clients.tasks.clone().retry_task(retry).await.unwrap_err();
    assert_eq!(status_info(&refused).0, "NOTHING_TO_DO");
    let give_up = v1::GiveUpTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().give_up_task(give_up).await.unwrap();
    assert_healthy(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_refused_before_anything_is_recorded() {
    let stage = Stage::over(pairs()).await;
    let servers = |ids: Vec<i64>| Some(v1::RolloutScope { scope: Some(Scope::Servers(v1::ServerIds { ids })) });
    let zones = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Some(v1::RolloutScope { scope: Some(Scope::Zones(v1::ZoneNames { names })) })
    };
    let base = || restart(&stage);
    let one = stage.server(1).await.id;
    let past = Some(prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 });
    let hold = |seconds| v1::StartRolloutRequest {
        action: v1::RolloutAction::Hold.into(),
        hold: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..restart(&stage)
    };
    let cases: [(v1::StartRolloutRequest, &str, &str); 12] = [
        (v1::StartRolloutRequest { scope: None, ..base() }, "INVALID_ARGUMENT", "scope"),
        (v1::StartRolloutRequest { scope: servers(vec![]), ..base() }, "INVALID_ARGUMENT", "scope.servers.ids"),
        (v1::StartRolloutRequest { scope: servers(vec![one, one]), ..base() }, "INVALID_ARGUMENT", "twice"),
        (
            v1::StartRolloutRequest { scope: servers((1..=1001).collect()), ..base() },
            "INVALID_ARGUMENT",
            "at most 1000",
        ),
        (v1::StartRolloutRequest { scope: servers(vec![one, 999_999]), ..base() }, "SERVER_NOT_FOUND", "999999"),
        (v1::StartRolloutRequest { scope: zones(&["zone1", "zone9"]), ..base() }, "ZONE_NOT_FOUND", "zone9"),
        (v1::StartRolloutRequest { action: 0, ..base() }, "INVALID_ARGUMENT", "action"),
        (v1::StartRolloutRequest { deadline: past, ..base() }, "INVALID_ARGUMENT", "deadline"),
        (v1::StartRolloutRequest { pause_after: 6, ..base() }, "INVALID_ARGUMENT", "pause_after"),
        (v1::StartRolloutRequest { max_parallel: -1, ..base() }, "INVALID_ARGUMENT", "max_parallel"),
        (v1::StartRolloutRequest { action: v1::RolloutAction::Restart.into(), ..hold(60) }, "INVALID_ARGUMENT", "hold"),
        (hold(3600), "HOLD_TOO_LONG", "3600"),
    ];
    for (request, reason, words) in cases {
        let refused = ask(&stage, request.clone()).await.unwrap_err();
        assert_eq!(status_info(&refused).0, reason, "{request:?}: {refused:?}");
        assert!(refused.message().contains(words), "{words}: {refused:?}");
    }
    assert_eq!(stage.clients.list().await, []);
    assert!(stage.is_free().await);
}
