//! `force` and the risks accepted by name: what each lets through, and how it is recorded.

use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind, SimOptions};

use crate::support::refusal::{error_info, status_info};
use crate::support::{PATIENCE, Stage, in_order, quick};

const QUORUM_LOSS: i32 = v1::Risk::QuorumLoss as i32;
const CLUSTER_UNREACHABLE: i32 = v1::Risk::ClusterUnreachable as i32;
const NO_LEADER_MOVES: FaultKind = FaultKind::LeaderSwitchStuck { tenant: None, ls: None };

fn service_only(request: v1::StopServerRequest) -> v1::StopServerRequest {
    v1::StopServerRequest { r#type: v1::StopType::Service as i32, ..request }
}

fn forced(request: v1::StopServerRequest, risks: &[i32]) -> v1::StopServerRequest {
    v1::StopServerRequest { force: true, accept_risks: risks.to_vec(), ..request }
}

/// `check overridden_by`, each once, in the order of recording; every one has evidence and the caller's name.
fn overrides(task: &v1::Task) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in &task.overrides {
        assert!(!entry.evidence.is_empty() && entry.principal == task.creator, "{entry:?}");
        let by = entry.overridden_by().as_str_name().trim_start_matches("OVERRIDDEN_BY_");
        let line = format!("{} {by}", entry.check);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn gone(pid: Option<u32>) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.unwrap())).unwrap_or_default();
    stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// A second zone while one is stopped: force alone is refused. The risk by name is enough where no leader has to leave.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_zone_needs_the_risk_by_name() {
    let stage = Stage::over(SimOptions { zones: 5, ..quick() }).await;
    let task = stage.stop_as(service_only(stage.request(1).await)).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let words = "-4660: cannot stop server or stop zone in multiple zones";
    stage.assert_refused(forced(stage.request(2).await, &[]), "OTHER_ZONE_STOPPED", words).await;

    // Leaders do not leave a server that the root service does not mark, and nobody forces them.
    let by_name = v1::StopServerRequest { accept_risks: vec![QUORUM_LOSS], ..stage.request(2).await };
    let before = stage.snapshot().await.without_statements();
    let task = stage.stop_as(by_name.clone()).await;
    assert_eq!(error_info(&task).0, "LEADERS_LEFT", "{task:#?}");
    assert_eq!(task.state(), v1::TaskState::Refused);
    assert_eq!(stage.snapshot().await.without_statements(), before);

    let led: Vec<(i64, i64)> = stage.sim.look(|cluster| {
        cluster.log_streams.iter().filter(|ls| ls.leader == Some(2)).map(|ls| (ls.tenant, ls.id)).collect()
    });
    for (tenant, ls) in led {
        stage.sim.set_leader(tenant, ls, 3);
    }
    let pid = stage.info(2).pid;
    let task = stage.stop_as(by_name).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid));
    let recorded = overrides(&task);
    for line in ["OTHER_ZONE_STOPPED QUORUM_LOSS", "ROOT_SERVICE QUORUM_LOSS", "GATE_NOT_STOPPED QUORUM_LOSS"] {
        assert!(recorded.contains(&line.to_owned()), "{line} not in {recorded:?}");
    }
    let evidence = &task.overrides.iter().find(|entry| entry.check == "OTHER_ZONE_STOPPED").unwrap().evidence;
    assert!(evidence.contains(&stage.info(1).address()), "{evidence}");
    assert!(task.warnings.iter().any(|warning| warning.text.contains("STOP_TIME")), "{:?}", task.warnings);
    assert_eq!(task.context["stop_time"], "REFUSED");
}

/// The majority itself is given up: force, because leaders cannot leave, and the risk by name.
#[tokio::test(flavor = "multi_thread")]
async fn a_majority_is_given_up_only_by_name() {
    let stage = Stage::new().await;
    let task = stage.stop_as(service_only(stage.request(1).await)).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let words = "-4660: cannot stop server or stop zone in multiple zones";
    stage.assert_refused(stage.request(2).await, "OTHER_ZONE_STOPPED", words).await;
    stage.assert_refused(forced(stage.request(2).await, &[]), "OTHER_ZONE_STOPPED", words).await;
    let pid = stage.info(2).pid;
    let task = stage.stop_as(forced(stage.request(2).await, &[QUORUM_LOSS])).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid));
    assert!(task.force && task.accepted_risks == [QUORUM_LOSS]);
    let recorded = overrides(&task);
    for line in ["OTHER_ZONE_STOPPED QUORUM_LOSS", "MEMBER_MAJORITY QUORUM_LOSS", "ROOT_SERVICE QUORUM_LOSS"] {
        assert!(recorded.contains(&line.to_owned()), "{line} not in {recorded:?}");
    }
}

/// With the majority the root service goes: the process is ended, the task ends, and says what nobody can see any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_its_majority_is_said_to_be_unknown() {
    let stage = Stage::with(quick(), |config| config.stop.reading_seconds = 2).await;
    assert_eq!(stage.stop(1).await.state(), v1::TaskState::Successful);
    let pid = stage.info(2).pid;
    let task = stage.stop_as(forced(stage.request(2).await, &[QUORUM_LOSS])).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid) && stage.is_free().await);
    assert_eq!((task.context["cluster_state"].as_str(), task.context["process_state"].as_str()), ("UNKNOWN", "ABSENT"));
    assert!(task.warnings.iter().any(|warning| warning.text.contains("STATUS was not seen")), "{:?}", task.warnings);
}

/// Log not in sync: the plain statement first. The root service never says what it refused, only 4012: FORCE STOP follows when
/// our own reading finds nothing else, and the plain one can no longer take effect.
#[tokio::test(flavor = "multi_thread")]
async fn force_sends_the_plain_stop_first() {
    let stage = Stage::with(quick(), |config| config.stop.effect_timeout_seconds = 1).await;
    stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3));
    let words = "-4179: Tenant(1) LS(1) log not sync, stop server not allowed";
    stage.assert_refused(stage.request(2).await, "LOG_IN_SYNC", words).await;
    assert_eq!(stage.statements_that_act(), Vec::<String>::new());

    let task = stage.stop_as(forced(stage.request(2).await, &[])).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let target = format!("SERVER '{}' ZONE 'zone2'", stage.info(2).address());
    assert_eq!(
        stage.statements_that_act(),
        [format!("ALTER SYSTEM STOP {target}"), format!("ALTER SYSTEM FORCE STOP {target}")]
    );
    assert_eq!(overrides(&task), ["LOG_IN_SYNC FORCE", "GATE_PRECHECK_BLOCKS FORCE"]);

    // Nothing to force: one statement, nothing overridden.
    let stage = Stage::new().await;
    let task = stage.stop_as(forced(stage.request(2).await, &[])).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(stage.statements_that_act().len(), 1);
    assert_eq!(overrides(&task), Vec::<String>::new());
}

/// A stage in which no leader leaves server 2 and the wait for them is short.
async fn stuck() -> (Stage, obsteward::sim::FaultId) {
    let stage = Stage::with(quick(), |config| config.stop.leader_wait_seconds = 1).await;
    let stuck = stage.sim.inject(Fault::on(NO_LEADER_MOVES, 2));
    (stage, stuck)
}

/// Leaders stay to the end of the wait: the task rests, the mark stays, and a retry goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_stay_stop_the_stop_until_a_retry() {
    let (stage, stuck) = stuck().await;
    let pid = stage.info(2).pid;
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
    let (reason, metadata) = error_info(&task);
    assert_eq!(reason, "SUBTASK_TIMEOUT");
    assert!(metadata["waited_for"].contains("leaders still on zone2"), "{metadata:?}");
    use v1::TaskVerb::{GiveUp, Retry, Rollback, SkipSubtask};
    assert_eq!(task.allowed_verbs().collect::<Vec<_>>(), [Retry, Rollback, SkipSubtask, GiveUp]);
    assert!(task.resting_since.is_some());
    let stop_server = task.subtasks.iter().find(|subtask| subtask.name == "Stop server").unwrap();
    assert_eq!((stop_server.state(), stop_server.effect()), (v1::SubtaskState::Failed, v1::Effect::Done));
    assert_eq!((stage.info(2).pid, stage.sim.recorded(Kind::Signal)), (pid, vec![]));
    assert!(stage.sim.look(|cluster| cluster.server(2).unwrap().stop_time != 0));
    assert!(!stage.is_free().await);

    stage.sim.clear(stuck);
    stage.retry(task.id).await.unwrap();
    let task = stage.closed(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid) && stage.is_free().await);
    assert_eq!(stage.statements_that_act().len(), 1, "a retry looks, and finds the mark");
}

/// Giving up frees the cluster and says what stays.
#[tokio::test(flavor = "multi_thread")]
async fn giving_up_frees_the_cluster_and_says_what_stays() {
    let (stage, stuck) = stuck().await;
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Failed, "{task:#?}");
    let task = stage.give_up(task.id).await.unwrap();
    assert_eq!(task.state(), v1::TaskState::GivenUp, "{task:#?}");
    let statement = format!("ALTER SYSTEM STOP SERVER '{}'", stage.info(2).address());
    assert!(task.warnings.iter().any(|warning| warning.text.contains(&statement)), "{:?}", task.warnings);
    assert!(stage.is_free().await);
    let status = stage.retry(task.id).await.unwrap_err();
    assert_eq!(status_info(&status).0, "VERB_NOT_ALLOWED");
    let server = stage.clients.get_server(stage.cluster_id, stage.server(2).await.id).await;
    assert_eq!((server.status(), server.process_state()), (v1::ServerStatus::Stopped, v1::ProcessState::Running));

    // Another task may go on where this one ended.
    stage.sim.clear(stuck);
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(stage.statements_that_act().len(), 1);
}

/// With force the stop goes on, because every log stream keeps a synced majority without the server.
#[tokio::test(flavor = "multi_thread")]
async fn force_leaves_leaders_behind_where_a_synced_majority_stays() {
    let (stage, _) = stuck().await;
    let pid = stage.info(2).pid;
    let task = stage.stop_as(forced(stage.request(2).await, &[])).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid));
    assert_eq!(overrides(&task), ["LEADERS_LEFT FORCE", "GATE_LEADERS_LEFT FORCE"]);
}

/// With force and a replica that lags: the leaders that stay are the only synced ones, and the stop ends there.
#[tokio::test(flavor = "multi_thread")]
async fn force_does_not_end_what_a_majority_needs() {
    let (stage, _) = stuck().await;
    stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3));
    let pid = stage.info(2).pid;
    let task = stage.stop_as(forced(stage.request(2).await, &[])).await;
    assert_eq!((task.state(), error_info(&task).0.as_str()), (v1::TaskState::Failed, "LEADERS_LEFT"), "{task:#?}");
    assert_eq!((stage.info(2).pid, stage.sim.recorded(Kind::Signal)), (pid, vec![]));
}

/// No endpoint answers: refused without the risk, and with it the proven process is ended and the result says what is not
/// known.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_cluster_is_accepted_by_name_only() {
    let stage = Stage::new().await;
    stage.sim.inject(FaultKind::RefuseConnections);
    let pid = stage.info(2).pid;
    let request = forced(stage.request(2).await, &[QUORUM_LOSS]);
    let plan = stage.plan(&request).await;
    assert!(!plan.allowed && plan.checks[0].verdict() == v1::Verdict::Block, "{plan:#?}");
    let task = stage.stop_as(request.clone()).await;
    assert_eq!((task.state(), error_info(&task).0), (v1::TaskState::Refused, plan.checks[0].name.clone()), "{task:#?}");
    assert_eq!((stage.info(2).pid, stage.statements_that_act().len()), (pid, 0));

    let task = stage.stop_as(forced(request, &[CLUSTER_UNREACHABLE])).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid));
    assert_eq!((task.context["cluster_state"].as_str(), task.context["process_state"].as_str()), ("UNKNOWN", "ABSENT"));
    assert_eq!(overrides(&task)[0], format!("{} CLUSTER_UNREACHABLE", plan.checks[0].name));
    let warned = |word: &str| task.warnings.iter().any(|warning| warning.text.contains(word));
    assert!(warned("the cluster's state is not known") && warned("STOP SERVER was not sent"), "{:?}", task.warnings);
    assert!(stage.is_free().await);
    let server = stage.clients.get_server(stage.cluster_id, stage.server(2).await.id).await;
    assert!(!server.safe_to_power_off, "{server:#?}");
}

/// A refused login is a cluster that cannot be read; another cluster at its endpoints is not, at no step.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_an_unknown_state_and_no_other_cluster() {
    let stage = Stage::new().await;
    let request = forced(stage.request(2).await, &[CLUSTER_UNREACHABLE]);
    // Prepare finds no endpoint, the next step another cluster.
    stage.sim.inject(Fault::from(FaultKind::RefuseConnections).times(3));
    let other = stage.sim.inject(FaultKind::WrongIdentity { cluster_name: "other".to_owned(), cluster_id: 7 });
    let before = stage.sim.servers();
    let task = stage.stop_as(request.clone()).await;
    assert_eq!((task.state(), error_info(&task).0.as_str()), (v1::TaskState::Refused, "WRONG_CLUSTER"), "{task:#?}");
    stage.sim.clear(other);
    // The cluster answers again at the gate, and its service was not stopped.
    stage.sim.inject(Fault::from(FaultKind::RefuseConnections).times(6));
    let task = stage.stop_as(request.clone()).await;
    assert_eq!(
        (task.state(), error_info(&task).0.as_str()),
        (v1::TaskState::Refused, "SERVICE_NOT_STOPPED"),
        "{task:#?}"
    );
    assert_eq!((stage.sim.servers(), stage.statements_that_act().len()), (before, 0));

    // A session that is open already stays so.
    stage.sim.inject(FaultKind::LoginRefused);
    stage.sim.cut_sessions();
    let task = stage.stop_as(forced(stage.request(2).await, &[])).await;
    assert_eq!(
        (task.state(), error_info(&task).0.as_str()),
        (v1::TaskState::Refused, "CLUSTER_AUTH_FAILED"),
        "{task:#?}"
    );
    let pid = stage.info(2).pid;
    let task = stage.stop_as(request).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid));
}

/// A cluster that hangs does not answer either: every look at it is bounded, the one behind the armed ticket too.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_hangs_is_refused_in_bounded_time_or_accepted() {
    let stage = Stage::with(quick(), |config| config.stop.reading_seconds = 1).await;
    stage.sim.inject(Fault::from(FaultKind::Hang).times(u32::MAX));
    let pid = stage.info(2).pid;
    let plan = stage.plan(&forced(stage.request(2).await, &[])).await;
    assert!(!plan.allowed && plan.checks[0].name == "CLUSTER_UNREACHABLE", "{plan:#?}");
    let task = stage.stop_as(forced(stage.request(2).await, &[QUORUM_LOSS])).await;
    assert_eq!((task.state(), error_info(&task).0.as_str()), (v1::TaskState::Refused, "CLUSTER_UNREACHABLE"));
    assert_eq!(stage.info(2).pid, pid);
    let task = stage.stop_as(forced(stage.request(2).await, &[CLUSTER_UNREACHABLE])).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(gone(pid));
    assert_eq!(task.context["cluster_state"], "UNKNOWN");
}

/// The service alone: six subtasks, the process stays. Then its process: the gate and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_first_and_the_process_later() {
    let stage = Stage::new().await;
    let pid = stage.info(2).pid;
    let task = stage.stop_as(service_only(stage.request(2).await)).await;
    let names = [
        "Prepare stop observer service",
        "Stop observer service",
        "Update observer status",
        "Update zone status",
        "Sync cluster info",
        "Update OB cluster status",
    ];
    let expected: Vec<_> = names.iter().map(|name| ((*name).to_owned(), v1::SubtaskState::Successful)).collect();
    assert_eq!((task.state(), in_order(&task)), (v1::TaskState::Successful, expected));
    assert_eq!((stage.info(2).pid, stage.sim.recorded(Kind::Signal)), (pid, vec![]));
    let server = stage.clients.get_server(stage.cluster_id, stage.server(2).await.id).await;
    assert_eq!((server.status(), server.inner_status()), (v1::ServerStatus::Stopped, v1::ServerInnerStatus::Active));
    assert_eq!((server.process_state(), server.safe_to_power_off), (v1::ProcessState::Running, false));
    let status = stage.clients.stop_with(service_only(stage.request(2).await)).await.unwrap_err();
    assert_eq!(status_info(&status).0, "SERVER_STATE_NOT_ADMITTED");

    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let effect = |name: &str| task.subtasks.iter().find(|subtask| subtask.name == name).unwrap().effect();
    assert_eq!(effect("Stop server"), v1::Effect::AlreadySo);
    assert_eq!(effect("Stop observer process"), v1::Effect::Done);
    assert_eq!(stage.statements_that_act().len(), 1);
    assert!(gone(pid) && stage.sim.wait_recorded(PATIENCE, Kind::ServerOffline, "").await);
}
