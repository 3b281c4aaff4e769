//! Refusals: each in the root service's own words, as PlanStopServer foretold it, with the cluster free and unchanged.

use std::os::unix::process::CommandExt;

use obsteward::proto::v1;
use obsteward::sim::state::{Cluster, ServerStatus};
use obsteward::sim::{Fault, FaultKind, Kind, Signal};
use tonic::Code;

use crate::support::refusal::{error_info, status_info};
use crate::support::{PATIENCE, Stage, in_order, quick};

/// Long enough ago for any rule.
const MARK: i64 = 1_700_000_000_000_000;

/// What the root service would refuse is refused before anything is sent, in its words.
#[tokio::test(flavor = "multi_thread")]
async fn each_rule_of_the_root_service_refuses_in_its_words() {
    let stage = Stage::new().await;
    let request = stage.request(2).await;
    let other_zone = "-4660: cannot stop server or stop zone in multiple zones";

    stage.sim.set_stop_time(1, MARK);
    stage.assert_refused(request.clone(), "OTHER_ZONE_STOPPED", other_zone).await;
    // Not with force either: only the risk by name.
    let forced = v1::StopServerRequest { force: true, ..request.clone() };
    stage.assert_refused(forced, "OTHER_ZONE_STOPPED", other_zone).await;
    stage.sim.set_stop_time(1, 0);

    stage.sim.set_zone_active("zone3", false);
    stage.assert_refused(request.clone(), "OTHER_ZONE_STOPPED", other_zone).await;
    stage.sim.set_zone_active("zone3", true);

    let lagging = stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3));
    let words = "-4179: Tenant(1) LS(1) log not sync, stop server not allowed";
    stage.assert_refused(request.clone(), "LOG_IN_SYNC", words).await;
    stage.sim.clear(lagging);

    let tenant = stage.sim.look(|cluster| cluster.tenants.last().unwrap().id);
    stage.sim.set_previous_locality(tenant, "FULL{1}@zone1");
    // Its META tenant changes with it and comes first.
    let words = format!("-4179: Tenant({}) locality is changing, stop server not allowed", tenant - 1);
    stage.assert_refused(request.clone(), "LOCALITY_STABLE", &words).await;
    stage.sim.set_previous_locality(tenant, "");

    let stuck = stage.sim.remove_leader(tenant, 1);
    let words = format!("-4179: Tenant({tenant}) LS(1) has no leader, stop server not allowed");
    stage.assert_refused(request.clone(), "LEADER_PRESENT", &words).await;
    stage.sim.clear(stuck);
    let led = |cluster: &Cluster| cluster.log_streams.iter().all(|ls| ls.leader.is_some());
    assert!(stage.sim.wait_until(PATIENCE, led).await);

    let (address, ls) = ("10.9.9.9:2882".to_owned(), Some(1));
    let unknown = stage.sim.inject(FaultKind::UnknownMember { address, tenant: Some(tenant), ls });
    stage.assert_refused(request.clone(), "MEMBERS_KNOWN", "-4018: Entry not exist").await;
    let forced = v1::StopServerRequest { force: true, ..request.clone() };
    let task = stage.assert_refused(forced, "MEMBERS_KNOWN", "-4018: Entry not exist").await;
    assert!(error_info(&task).1["evidence"].contains("member 10.9.9.9:2882 is not in DBA_OB_SERVERS"), "{task:#?}");
    stage.sim.clear(unknown);

    stage.sim.kill_process(3, Signal::KILL).unwrap();
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::ServerOffline, "").await);
    assert!(stage.sim.wait_until(PATIENCE, led).await);
    let words = "-4179: Tenant(1) LS(1) has no enough valid paxos member after stop server, stop server not allowed";
    stage.assert_refused(request, "MEMBER_MAJORITY", words).await;
}

/// What the root service does not look at refuses too; force goes over what only makes trouble.
#[tokio::test(flavor = "multi_thread")]
async fn rules_of_our_own_refuse_before_anything_is_sent() {
    let stage = Stage::new().await;
    let request = stage.request(2).await;
    let forced = v1::StopServerRequest { force: true, ..request.clone() };
    let tenant = stage.sim.look(|cluster| cluster.tenants.last().unwrap().id);

    stage.sim.set_upgrade_mode(true);
    stage.assert_refused(request.clone(), "UPGRADE_MODE", "enable_upgrade_mode is True").await;
    assert!(stage.plan(&forced).await.allowed);
    stage.sim.set_upgrade_mode(false);

    stage.sim.set_server_status(2, ServerStatus::Deleting);
    stage.assert_refused(forced.clone(), "SERVER_STATE", "LEAVING").await;
    stage.sim.set_server_status(2, ServerStatus::Active);

    stage.sim.set_replicas(tenant, &[2], false);
    let task = stage.assert_refused(forced, "MEMBER_MAJORITY", "-4179").await;
    assert!(error_info(&task).1["checks_that_block"].contains("SINGLE_REPLICA_TENANTS"), "{task:#?}");
    stage.sim.set_replicas(tenant, &[1, 2, 3], false);

    stage.sim.set_unit_migration(tenant, 1, 2);
    stage.assert_refused(request.clone(), "UNIT_MIGRATION", "moves from").await;

    stage.sim.delete_server(2);
    stage.assert_refused(request, "WRONG_CLUSTER", "sync the cluster").await;
    assert_eq!(stage.statements_that_act(), Vec::<String>::new());
}

/// Recorded state refuses only after one more look: a server that somebody started again is stopped again.
#[tokio::test(flavor = "multi_thread")]
async fn recorded_state_alone_refuses_nothing() {
    let stage = Stage::new().await;
    assert_eq!(stage.stop(2).await.state(), v1::TaskState::Successful);
    stage.sim.start_server_process(2).await.unwrap();
    stage.sim.third_party(&format!("ALTER SYSTEM START SERVER '{}'", stage.info(2).address()));
    let serves = |cluster: &Cluster| cluster.server(2).is_some_and(|server| server.in_service() && server.alive());
    assert!(stage.sim.wait_until(PATIENCE, serves).await);
    let server = stage.server(2).await;
    assert_eq!(server.status(), v1::ServerStatus::Stopped, "as recorded");
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(stage.statements_that_act().len(), 2);
}

/// What passes the precheck and is refused by the root service alone: its words are the task's, statuses are restored.
#[tokio::test(flavor = "multi_thread")]
async fn the_root_service_alone_may_refuse() {
    let stage = Stage::new().await;
    let before = stage.snapshot().await;
    let words = "Tenant(1002) LS(1001) has no leader, stop server not allowed";
    let refused = FaultKind::Refused { number: 4179, text: words.to_owned() };
    stage.sim.inject(Fault::from(refused).for_statement("ALTER SYSTEM STOP SERVER"));
    let request = stage.request(2).await;
    assert!(stage.plan(&request).await.allowed);
    let task = stage.stop_as(request).await;
    assert_eq!(task.state(), v1::TaskState::Refused, "{task:#?}");
    let (reason, metadata) = error_info(&task);
    assert_eq!((reason.as_str(), metadata["ob_errno"].as_str()), ("REFUSED_BY_ROOT_SERVICE", "-4179"));
    assert_eq!(metadata["root_service"], format!("-4179: {words}"), "in the same form as a precheck's");
    assert!(task.error.as_ref().unwrap().message.contains(words));
    assert_eq!(in_order(&task)[1], ("Stop server".to_owned(), v1::SubtaskState::Failed));
    assert_eq!(task.subtasks.iter().filter(|subtask| subtask.effect() == v1::Effect::Done).count(), 0);
    assert_eq!(stage.statements_that_act().len(), 1);
    let after = stage.snapshot().await;
    assert_eq!(after.without_statements(), before.without_statements());
    // The cluster is free indeed.
    assert_eq!(stage.stop(2).await.state(), v1::TaskState::Successful);
}

/// No leader at the moment: an election is waited for, as the root service does, and the stop goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_may_pass_by_itself_is_waited_for() {
    let stage = Stage::with(quick(), |config| config.stop.precheck_seconds = 30).await;
    let tenant = stage.sim.look(|cluster| cluster.tenants.last().unwrap().id);
    let missing = stage.sim.remove_leader(tenant, 1);
    let task = stage.clients.stop_with(stage.request(2).await).await.unwrap();
    stage.wait_progress(task.id, "has no leader").await;
    stage.sim.clear(missing);
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
}

/// One zone with one server: StopServer itself refuses.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_server_of_a_cluster_is_not_stopped() {
    let mut options = quick();
    options.zones = 1;
    let stage = Stage::over(options).await;
    let before = stage.snapshot().await;
    for force in [false, true] {
        let accept_risks = vec![v1::Risk::QuorumLoss as i32, v1::Risk::ClusterUnreachable as i32];
        let request = v1::StopServerRequest { force, accept_risks, ..stage.request(1).await };
        let plan = stage.plan(&request).await;
        let single = plan.checks.iter().find(|check| check.name == "SINGLE_SERVER").unwrap();
        assert!(!plan.allowed && single.verdict() == v1::Verdict::Block && !single.overridden, "{plan:#?}");
        let status = stage.clients.stop_with(request).await.unwrap_err();
        assert_eq!(
            (status.code(), status_info(&status).0.as_str()),
            (Code::FailedPrecondition, "SINGLE_SERVER_CLUSTER")
        );
    }
    assert_eq!(stage.snapshot().await, before);
    assert_eq!(stage.tasks().await.len(), 0);
}

/// Service stopped and process absent: nothing is left to stop, for either type.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_not_stopped_again() {
    let stage = Stage::new().await;
    assert_eq!(stage.stop(2).await.state(), v1::TaskState::Successful);
    let before = stage.snapshot().await;
    for stop_type in [v1::StopType::Process, v1::StopType::Service] {
        let request = v1::StopServerRequest { r#type: stop_type as i32, ..stage.request(2).await };
        let plan = stage.plan(&request).await;
        assert!(!plan.allowed);
        let state = plan.checks.iter().find(|check| check.name == "SERVER_STATE").unwrap();
        assert!(state.verdict() == v1::Verdict::Block && state.evidence.contains("STOPPED"), "{state:#?}");
        let status = stage.clients.stop_with(request).await.unwrap_err();
        let (reason, metadata) = status_info(&status);
        assert_eq!((status.code(), reason.as_str()), (Code::FailedPrecondition, "SERVER_STATE_NOT_ADMITTED"));
        assert_eq!((metadata["service_state"].as_str(), metadata["process_state"].as_str()), ("STOPPED", "ABSENT"));
    }
    assert_eq!(stage.snapshot().await, before);
    assert_eq!(stage.tasks().await.len(), 1);
}

/// A living obshell that was told to keep the observer would start it again: the process is left alone, the service is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_supervised_process_is_not_ended() {
    let stage = Stage::new().await;
    let obshell = Obshell::watching(&stage.info(2).home, &["server", "--ob"]);
    let request = v1::StopServerRequest { force: true, ..stage.request(2).await };
    let task = stage.assert_refused(request.clone(), "SUPERVISED", "obshell").await;
    assert!(error_info(&task).1["remedy"].contains("STOP_SERVICE"));
    let service = v1::StopServerRequest { r#type: v1::StopType::Service as i32, force: false, ..request };
    let task = stage.stop_as(service).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(stage.sim.recorded(Kind::Signal), []);
    drop(obshell);
}

/// The obshell that obd starts in every home keeps nothing: plan and log name it, and the stop and the start go through.
#[tokio::test(flavor = "multi_thread")]
async fn an_obshell_beside_the_observer_is_said_and_stops_nothing() {
    let stage = Stage::new().await;
    let obshell = Obshell::watching(&stage.info(2).home, &["server", "--ip", "127.0.0.1", "--port", "2886"]);
    let request = stage.request(2).await;
    let plan = stage.plan(&request).await;
    let row = plan.checks.iter().find(|check| check.name == "SUPERVISED").unwrap();
    assert!(plan.allowed && row.verdict() == v1::Verdict::Info, "{plan:#?}");
    let seen = format!("obshell (pid {}) runs in its home", obshell.0.id());
    assert!(row.evidence.contains(&seen), "{row:#?}");
    let v1::StopServerRequest { cluster_id, server_id, .. } = request.clone();
    let task = stage.stop_as(request).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(log(&stage, &task, "Prepare stop observer").await.contains(&format!("beside it: {seen}")));
    let start = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
    let task = stage.clients.servers.clone().start_server(start).await.unwrap().into_inner().task.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    drop(obshell);
}

async fn log(stage: &Stage, task: &v1::Task, name: &str) -> String {
    let subtask_id = task.subtasks.iter().find(|subtask| subtask.name == name).unwrap().id;
    let request = v1::GetSubtaskLogRequest { task_id: task.id, subtask_id: Some(subtask_id), ..Default::default() };
    let mut messages = stage.clients.tasks.clone().get_subtask_log(request).await.unwrap().into_inner();
    let mut text = String::new();
    while let Some(message) = messages.message().await.unwrap() {
        message.lines.iter().for_each(|line| text.push_str(&format!("{}\n", line.text)));
    }
    text
}

/// A process called obshell whose id the observer's home notes.
struct Obshell(std::process::Child);

impl Obshell {
    fn watching(home: &std::path::Path, arguments: &[&str]) -> Self {
        let mut command = std::process::Command::new("sh");
        // It waits for the end of its input, which comes with our own.
        command.arg0("obshell").args(["-c", "read line", "obshell"]).args(arguments);
        let child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::fs::write(home.join("run/obshell.pid"), child.id().to_string()).unwrap();
        Self(child)
    }
}

impl Drop for Obshell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Another cluster behind the endpoints: nothing is sent to it, whatever was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_left_alone() {
    let stage = Stage::new().await;
    stage.sim.inject(FaultKind::WrongIdentity { cluster_name: "other".to_owned(), cluster_id: 7 });
    let accept_risks = vec![v1::Risk::QuorumLoss as i32, v1::Risk::ClusterUnreachable as i32];
    let request = v1::StopServerRequest { force: true, accept_risks, ..stage.request(2).await };
    stage.assert_refused(request, "WRONG_CLUSTER", "other").await;
    assert_eq!(stage.statements_that_act(), Vec::<String>::new());
}

/// What is wrong with the request itself is said at once and leaves no trace in the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_request_leaves_no_trace() {
    let stage = Stage::new().await;
    let before = (stage.snapshot().await, stage.head().await);
    let good = stage.request(2).await;
    let past = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let cases: [(v1::StopServerRequest, Code, &str); 9] = [
        (v1::StopServerRequest { cluster_id: 999_999, ..good.clone() }, Code::NotFound, "CLUSTER_NOT_FOUND"),
        (v1::StopServerRequest { server_id: 999_999, ..good.clone() }, Code::NotFound, "SERVER_NOT_FOUND"),
        (v1::StopServerRequest { cluster_id: 0, ..good.clone() }, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (v1::StopServerRequest { server_id: -1, ..good.clone() }, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (v1::StopServerRequest { r#type: 77, ..good.clone() }, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (v1::StopServerRequest { accept_risks: vec![77], ..good.clone() }, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (
            v1::StopServerRequest { request_id: "not-a-uuid".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (v1::StopServerRequest { expire_time: past, ..good.clone() }, Code::InvalidArgument, "EXPIRE_TIME_PASSED"),
        (
            v1::StopServerRequest { expected_server: stage.info(3).address(), ..good.clone() },
            Code::FailedPrecondition,
            "EXPECTED_SERVER_MISMATCH",
        ),
    ];
    for (request, code, reason) in cases {
        let status = stage.clients.stop_with(request.clone()).await.unwrap_err();
        assert_eq!((status.code(), status_info(&status).0.as_str()), (code, reason), "{request:?}");
    }
    assert_eq!((stage.snapshot().await, stage.head().await), before);
    assert_eq!(stage.tasks().await.len(), 0);
    // The same address as expected is no mismatch.
    let right = v1::StopServerRequest { expected_server: stage.info(2).address(), ..good };
    assert_eq!(stage.stop_as(right).await.state(), v1::TaskState::Successful);
}

/// Many at once: one task, whether they are repeats of one request or requests of their own.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_one_is_accepted() {
    let stage = Stage::new().await;
    let stuck = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let request_id = "6d0c2a51-58a5-4b0c-8f57-5d4f8a1f7f10".to_owned();
    let one = v1::StopServerRequest { request_id, ..stage.request(2).await };
    let repeats = futures::future::join_all((0..8).map(|_| stage.clients.stop_with(one.clone()))).await;
    let ids: Vec<i64> = repeats.into_iter().map(|task| task.unwrap().id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    stage.sim.clear(stuck);
    assert_eq!(stage.clients.at_rest(ids[0]).await.state(), v1::TaskState::Successful);

    let stage = Stage::new().await;
    let stuck = stage.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    let own = [stage.request(1).await, stage.request(2).await, stage.request(3).await];
    let answers = futures::future::join_all(own.into_iter().map(|request| stage.clients.stop_with(request))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((accepted.len(), refused.len()), (1, 2));
    for status in refused {
        assert_eq!(status_info(&status.unwrap_err()).0, "OPERATION_IN_PROGRESS");
    }
    stage.sim.clear(stuck);
    let task = accepted.into_iter().next().unwrap().unwrap();
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Successful);
    let marks = stage.sim.recorded(Kind::MarkSet);
    assert_eq!(marks.len(), 1, "{marks:?}");
}

/// While a task is open a second request hears who holds the cluster; a repeat of the first gets the task itself.
#[tokio::test(flavor = "multi_thread")]
async fn one_task_at_a_time_and_a_repeat_is_the_same_task() {
    let stage = Stage::new().await;
    let stuck = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let request_id = "0b0e8b5e-7e63-4b8e-9f5e-2a3c4d5e6f70".to_owned();
    let request = v1::StopServerRequest { request_id, ..stage.request(2).await };
    let task = stage.clients.stop_with(request.clone()).await.unwrap();
    // The statement does not answer yet: the wait is not a silent one all the same.
    let progress = stage.wait_progress(task.id, "leaders still on zone2").await;
    assert!(progress.total() > 0 && progress.done() < progress.total() && progress.deadline.is_some(), "{progress:?}");
    let head = stage.head().await;

    for other in [2, 3] {
        let status = stage.clients.stop_with(stage.request(other).await).await.unwrap_err();
        let (reason, metadata) = status_info(&status);
        assert_eq!((status.code(), reason.as_str()), (Code::Aborted, "OPERATION_IN_PROGRESS"));
        assert_eq!(metadata["task_id"], task.id.to_string());
        assert_eq!(metadata["cluster_id"], stage.cluster_id.to_string());
        assert_eq!((metadata["state"].as_str(), metadata["task_name"].as_str()), ("RUNNING", "Stop OB server"));
        assert_eq!((metadata["target"].clone(), metadata["verbs"].as_str()), (stage.info(2).address(), ""));
        assert!(metadata.contains_key("since") && metadata.contains_key("principal"));
    }
    let again = stage.clients.stop_with(request.clone()).await.unwrap();
    assert_eq!((again.id, again.state()), (task.id, v1::TaskState::Running));
    for other in [
        v1::StopServerRequest { force: true, ..request.clone() },
        v1::StopServerRequest { server_id: stage.server(3).await.id, ..request.clone() },
    ] {
        let status = stage.clients.stop_with(other).await.unwrap_err();
        assert_eq!((status.code(), status_info(&status).0.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    }
    assert_eq!(stage.head().await, head, "nobody but the task writes, and it waits");
    assert_eq!(stage.tasks().await.len(), 1);

    stage.sim.clear(stuck);
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Successful);
    let after = stage.clients.stop_with(request).await.unwrap();
    assert_eq!((after.id, after.state()), (task.id, v1::TaskState::Successful));
}
