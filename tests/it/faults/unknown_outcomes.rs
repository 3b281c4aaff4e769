//! Done, refused or unknown: a statement whose outcome is lost is looked into, and never reported as what it is not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Fault, FaultKind, Kind};

use crate::support::refusal::error_info;
use crate::support::{Before, PATIENCE, Stage, all, assert_unbroken, is_alive, quick, task_error};

const STOP: &str = "ALTER SYSTEM STOP SERVER";

/// A statement may take a second: with the cluster's two and the margin, its horizon is 3.5 s away.
fn short_effects(config: &mut Config) {
    config.stop.effect_timeout_seconds = 1;
}

fn on_stop(kind: FaultKind) -> Fault {
    Fault::from(kind).times(1).for_statement(STOP)
}

fn refused(number: u16, text: &str) -> Fault {
    on_stop(FaultKind::Refused { number, text: text.to_owned() })
}

fn intents(events: &[v1::TaskEvent]) -> Vec<&v1::IntentRecorded> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Event::IntentRecorded(intent)) if intent.connection_id.is_some() => Some(intent),
            _ => None,
        })
        .collect()
}

/// Whatever becomes of the first statement, the task ends in the truth, with one mark on one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_outcome_is_looked_into() {
    let failover = |number, marked| on_stop(FaultKind::RootServiceFailover { number, marked });
    let cases = [
        on_stop(FaultKind::CutBeforeMark),
        on_stop(FaultKind::CutAfterMark),
        on_stop(FaultKind::LateMark { delay_ms: 700 }),
        on_stop(FaultKind::Hang),
        on_stop(FaultKind::TimeoutAfterMark),
        on_stop(FaultKind::LeaderWaitTimeout),
        refused(4751, "wait arbitration service degradation timeout"),
        failover(None, false),
        failover(None, true),
        failover(Some(4638), false),
        failover(Some(4638), true),
    ];
    all(cases, |fault| async move {
        let stage = Stage::with(quick(), short_effects).await;
        let before = Before::of(&stage.sim);
        stage.sim.inject(fault.clone());
        let task = stage.stop(2).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "{fault:?}: {task:#?}");
        assert_eq!(stage.sim.recorded(Kind::FaultUsed).len(), 1, "{fault:?}");
        before.assert_only_stopped(&stage.sim, 2);
        assert_unbroken(&stage.clients.events(task.id).await);
        assert!(stage.is_free().await);
    })
    .await;
}

/// The first statement is lost and never takes effect, the second is refused: REFUSED, but not before the first can no longer
/// take effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_behind_an_unknown_waits_for_the_horizon() {
    let stage = Stage::with(quick(), short_effects).await;
    let before = Before::of(&stage.sim);
    stage.sim.inject(on_stop(FaultKind::CutBeforeMark));
    stage.sim.inject(refused(4179, "Tenant(1002) locality is changing, stop server not allowed").after(
        Kind::ConnectionCut,
        STOP,
        1,
    ));
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Refused, "{task:#?}");
    let (reason, message) = task_error(&task);
    assert_eq!(reason, "REFUSED_BY_ROOT_SERVICE");
    assert!(message.contains("locality is changing"), "{message}");
    let events = stage.clients.events(task.id).await;
    let intents = intents(&events);
    assert_eq!(intents.len(), 2, "{events:#?}");
    let (horizon, end) = (intents[0].horizon.unwrap(), task.finish_time.unwrap());
    assert!((end.seconds, end.nanos) >= (horizon.seconds, horizon.nanos), "{end:?} is before {horizon:?}");
    assert_eq!(stage.sim.recorded(Kind::MarkSet), []);
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded), []);
    before.assert_others_live(&stage.sim, 0);
    assert_eq!(stage.server(2).await.status(), v1::ServerStatus::Running);
    assert!(stage.is_free().await);
}

/// The same, but the first statement's mark comes after the second was refused: the task does not close on the refusal, and
/// goes on from the mark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_mark_behind_a_refusal_is_found() {
    let stage = Stage::with(quick(), short_effects).await;
    let before = Before::of(&stage.sim);
    stage.sim.inject(on_stop(FaultKind::LateMark { delay_ms: 1_500 }));
    let text = "Tenant(1002) LS(1001) log not sync, stop server not allowed";
    stage.sim.inject(refused(4179, text).after(Kind::ConnectionCut, STOP, 1));
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(stage.sim.recorded(Kind::FaultUsed).len(), 2);
    before.assert_only_stopped(&stage.sim, 2);
}

/// A service that ends while it waits for a horizon: the next one waits on, and does not close the task before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_horizon_outlives_the_service() {
    let mut stage = Stage::with(quick(), short_effects).await;
    stage.sim.inject(on_stop(FaultKind::LateMark { delay_ms: 2_500 }));
    let refusal = refused(4660, "cannot stop server or stop zone in multiple zones");
    stage.sim.inject(refusal.times(9).after(Kind::ConnectionCut, STOP, 1));
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    stage.clients.waits_for(id, "can no longer take effect").await;
    let before = Before::of(&stage.sim);
    stage.restart().await;
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    before.assert_only_stopped(&stage.sim, 2);
}

/// A cluster whose root service nobody reaches for a while keeps the task waiting, in words, and then it ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_come_and_go_are_waited_for() {
    let stage = Stage::with(quick(), short_effects).await;
    let before = Before::of(&stage.sim);
    stage.sim.inject(on_stop(FaultKind::CutAfterMark));
    let gone = stage.sim.inject(Fault::from(FaultKind::RefuseConnections).after(Kind::MarkSet, "", 1));
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    stage.clients.waits_for(id, "no endpoint answers").await;
    stage.sim.clear(gone);
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    before.assert_only_stopped(&stage.sim, 2);
}

/// What the root service refuses for a while it never says: the task says it by its own reading, and nothing is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_root_service_does_not_say_is_read() {
    let stage = Stage::with(quick(), short_effects).await;
    let before = stage.snapshot().await.without_statements();
    // From the statement on, so that the checks of Prepare pass.
    let lags = FaultKind::ReplicaLagging { lag_ms: 60_000 };
    stage.sim.inject(Fault::on(lags, 3).after(Kind::Statement, STOP, 1));
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    stage.clients.waits_for(id, "LOG_IN_SYNC blocks it").await;
    let task = stage.clients.at_rest(id).await;
    let (reason, metadata) = error_info(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Refused, "LOG_IN_SYNC"), "{task:#?}");
    assert_eq!(metadata["root_service"], "-4179: Tenant(1) LS(1) log not sync, stop server not allowed");
    assert_eq!(stage.statements_that_act().len(), 1, "nothing is sent again that would be refused again");
    stage.sim.clear_all();
    assert_eq!(stage.snapshot().await.without_statements(), before);
}

/// A statement of the gate that is not answered once, behind the armed ticket, ends no stop: it is read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reading_of_the_gate_may_fail() {
    const JOINED: &str = "SELECT a.tenant_id AS tenant_id";
    // The last whole reading before the end of the process is the one behind the ticket.
    let good = Stage::new().await;
    assert_eq!(good.stop(2).await.state(), v1::TaskState::Successful);
    let ended = good.sim.recorded(Kind::ProcessEnded)[0].sequence;
    let answered = good.sim.recorded(Kind::Answered).into_iter();
    let before = answered.filter(|line| line.sequence < ended && line.text.starts_with(JOINED)).count();
    drop(good);

    let stage = Stage::new().await;
    let others = Before::of(&stage.sim);
    let refused = FaultKind::Refused { number: 4012, text: "Timeout".to_owned() };
    let earlier = u32::try_from(before - 1).unwrap();
    // Another endpoint is asked at once, and has no better answer.
    stage.sim.inject(Fault::from(refused).times(2).for_statement(JOINED).after(Kind::Answered, JOINED, earlier));
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    others.assert_only_stopped(&stage.sim, 2);
    let process = task.subtasks.iter().find(|subtask| subtask.name == "Stop observer process").unwrap();
    let events = stage.clients.events(task.id).await;
    let answers = events.into_iter().filter_map(|event| match event.kind? {
        Event::IntentSettled(settled) if settled.subtask_id == process.id => Some(settled.message),
        _ => None,
    });
    let answers: Vec<String> = answers.collect();
    assert!(answers.len() == 2 && answers[0].contains("the gate could not be read"), "{answers:?}");
}

/// `obsteward agent` on the address of a simulated server.
struct AgentProcess(Child, u16);

impl AgentProcess {
    fn start(ip: &str, port: u16, directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_obsteward"))
            .args(["agent", "--one-end-per", "0", "--listen", &format!("{ip}:{port}"), "--state-directory"])
            .arg(directory)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
        let address: std::net::SocketAddr = listening.expect("the agent did not start").parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, address.port())
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent of the host dies between SIGTERM and SIGKILL: what became of the process is not known until an agent answers
/// again, and then it is looked into.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_lost_between_sigterm_and_sigkill() {
    let stage = Stage::new().await;
    let before = Before::of(&stage.sim);
    let directory = tempfile::tempdir().unwrap();
    let ip = stage.info(2).ip;
    let agent = AgentProcess::start(&ip, 0, directory.path());
    let port = agent.1;
    let request = v1::UpdateClusterRequest {
        cluster_id: stage.cluster_id,
        default_host: Some(v1::DefaultHost {
            transport: v1::HostTransport::Grpc as i32,
            agent_port: Some(port.into()),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["default_host".into()] }),
        ..Default::default()
    };
    stage.clients.clusters.clone().update_cluster(request).await.unwrap();
    stage.sim.inject(Fault::on(FaultKind::IgnoreSigterm, 2));
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::Signal, "SIGTERM ignored").await);
    drop(agent);
    stage.clients.waits_for(id, "does not answer").await;
    assert!(is_alive(before.pid(2)));
    let _agent = AgentProcess::start(&ip, port, directory.path());
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    before.assert_only_stopped(&stage.sim, 2);
    let unknown = |event: &v1::TaskEvent| matches!(&event.kind, Some(Event::IntentSettled(settled)) if settled.outcome() == v1::IntentOutcome::Unknown);
    let events = stage.clients.events(id).await;
    assert_eq!(events.iter().filter(|event| unknown(event)).count(), 1, "{events:#?}");
}
