//! The right process and no other, and only while the server is stopped: whatever somebody else does meanwhile, nothing is
//! ended that was not proven and consented to.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use obsteward::agent::{Agent, AgentConfig, grpc};
use obsteward::proto::agent_v1 as agent;
use obsteward::proto::agent_v1::host_agent_service_client::HostAgentServiceClient;
use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Fault, FaultKind, Kind, Signal, SimCluster, SimOptions};

use crate::support::{Before, PATIENCE, Stage, is_alive, quick, reason, task_error};

/// A gate that stays closed once the leaders have left: of the two others one lags.
fn close_the_gate(stage: &Stage) {
    let fault = Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3);
    stage.sim.inject(fault.after(Kind::Answered, "ALTER SYSTEM STOP SERVER", 1));
}

async fn with_patient_gate() -> Stage {
    Stage::with(quick(), |config| config.stop.gate_seconds = 60).await
}

fn start_sql(stage: &Stage, id: i64) -> String {
    let server = stage.info(id);
    format!("ALTER SYSTEM START SERVER '{}' ZONE '{}'", server.address(), server.zone)
}

async fn begin(stage: &Stage) -> i64 {
    let request = stage.request(2).await;
    stage.clients.stop_with(request).await.unwrap().id
}

/// The messages with which effects of a task were settled.
async fn settled(stage: &Stage, id: i64) -> Vec<String> {
    let events = stage.clients.events(id).await;
    let message = |event: v1::TaskEvent| match event.kind {
        Some(Event::IntentSettled(settled)) => Some(settled.message),
        _ => None,
    };
    events.into_iter().filter_map(message).collect()
}

/// Waits until the intent to end the process is recorded: from there on it is armed, gated and fired.
async fn is_about_to_end_the_process(stage: &Stage, id: i64) {
    let about = |event: &v1::TaskEvent| matches!(&event.kind, Some(Event::IntentRecorded(intent)) if intent.connection_id.is_none());
    stage.clients.events_until(id, 0, about).await.1.unwrap();
}

/// Somebody ends the observer and starts it again; the new pid.
async fn restart_by_somebody(stage: &Stage, id: i64) -> u32 {
    stage.sim.kill_process(id, Signal::KILL).unwrap();
    let gone =
        |cluster: &obsteward::sim::state::Cluster| cluster.server(id).is_some_and(|server| server.process.is_none());
    assert!(stage.sim.wait_until(PATIENCE, gone).await);
    stage.sim.start_server_process(id).await.unwrap()
}

/// A process that ignores SIGTERM is ended by SIGKILL after the grace, and the task says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ignored() {
    let stage = Stage::new().await;
    let before = Before::of(&stage.sim);
    stage.sim.inject(Fault::on(FaultKind::IgnoreSigterm, 2));
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(stage.sim.recorded(Kind::Signal).iter().any(|recorded| recorded.text == "SIGTERM ignored"));
    let settled = settled(&stage, task.id).await;
    assert!(settled.iter().any(|message| message.contains("SIGKILL")), "{settled:?}");
    before.assert_only_stopped(&stage.sim, 2);
}

/// START SERVER by somebody else while the task waits at the gate, and in the very moment between arming and firing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn started_by_somebody_between_look_and_kill() {
    let at_gate = async {
        let stage = with_patient_gate().await;
        close_the_gate(&stage);
        let id = begin(&stage).await;
        stage.clients.waits_for(id, "the gate is closed").await;
        stage.sim.third_party(&start_sql(&stage, 2));
        (stage, id)
    };
    let armed = async {
        let stage = Stage::new().await;
        // The gate behind the arming takes long enough.
        stage.sim.inject(Fault::from(FaultKind::Slow { delay_ms: 50 }).for_statement("SELECT"));
        let id = begin(&stage).await;
        is_about_to_end_the_process(&stage, id).await;
        stage.sim.third_party(&start_sql(&stage, 2));
        (stage, id)
    };
    let (at_gate, armed) = tokio::join!(at_gate, armed);
    for (stage, id) in [at_gate, armed] {
        let task = stage.clients.at_rest(id).await;
        let (reason, message) = task_error(&task);
        assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Failed, "STOP_TIME_CLEARED"), "{task:#?}");
        assert!(message.contains(&stage.info(2).address()) || message.contains("STOP_TIME"), "{message}");
        assert_eq!(stage.sim.recorded(Kind::ProcessEnded), []);
        assert_eq!(stage.sim.recorded(Kind::MarkSet).len(), 1, "stopped again in silence");
        assert!(stage.info(2).pid.is_some_and(is_alive));
        // A person's retry stops it again and ends it.
        stage.sim.clear_all();
        stage.clients.retry(id).await;
        let task = stage.clients.at_rest(id).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    }
}

/// START SERVER while the leaders are still leaving, after an answer that said nothing: it is not stopped again in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn started_by_somebody_after_an_unknown_outcome() {
    let stage = Stage::new().await;
    stage.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    stage.sim.inject(FaultKind::LeaderWaitTimeout);
    let id = begin(&stage).await;
    stage.clients.waits_for(id, "leaders still on").await;
    stage.sim.third_party(&start_sql(&stage, 2));
    let task = stage.clients.at_rest(id).await;
    assert_eq!((task.state(), task_error(&task).0.as_str()), (v1::TaskState::Failed, "STOP_TIME_CLEARED"), "{task:#?}");
    assert_eq!(stage.sim.recorded(Kind::MarkSet).len(), 1);
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded), []);
}

/// The observer is another process than Prepare found, or than was armed: the new one is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn restarted_by_somebody_before_the_kill() {
    let waiting = async {
        let stage = with_patient_gate().await;
        close_the_gate(&stage);
        let id = begin(&stage).await;
        stage.clients.waits_for(id, "the gate is closed").await;
        let pid = restart_by_somebody(&stage, 2).await;
        stage.sim.clear_all();
        (stage, id, pid)
    };
    let armed = async {
        let stage = Stage::new().await;
        stage.sim.inject(Fault::from(FaultKind::Slow { delay_ms: 50 }).for_statement("SELECT"));
        let id = begin(&stage).await;
        is_about_to_end_the_process(&stage, id).await;
        let pid = restart_by_somebody(&stage, 2).await;
        (stage, id, pid)
    };
    let (waiting, armed) = tokio::join!(waiting, armed);
    for (stage, id, pid) in [waiting, armed] {
        let task = stage.clients.at_rest(id).await;
        let (reason, _) = task_error(&task);
        let expected = ["RESTARTED_BY_OTHER", "IDENTITY_CHANGED"];
        assert!(task.state() == v1::TaskState::Failed && expected.contains(&reason.as_str()), "{task:#?}");
        assert!(is_alive(pid), "the new process was ended");
        assert_eq!(stage.sim.recorded(Kind::ProcessEnded).len(), 1);
        assert_eq!(stage.info(2).pid, Some(pid));
    }
}

/// Started again after we ended it: somebody wants it to run, so it is not ended a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_by_somebody_after_the_kill() {
    let stage = Stage::new().await;
    let before = Before::of(&stage.sim);
    stage.sim.inject(Fault::on(FaultKind::RestartAfterExit { delay_ms: 300 }, 2));
    let task = stage.stop(2).await;
    assert_eq!(
        (task.state(), task_error(&task).0.as_str()),
        (v1::TaskState::Failed, "RESTARTED_BY_OTHER"),
        "{task:#?}"
    );
    let pid = stage.info(2).pid.expect("the new process was ended");
    assert!(pid != before.pid(2) && is_alive(pid));
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded).len(), 1);
    before.assert_others_live(&stage.sim, 2);
}

/// A program called `observer` in the observer's home, which ends with the test.
struct Stranger(Child);

impl Stranger {
    fn in_home(home: &std::path::Path) -> Self {
        let program = home.join("run/observer");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let start = || {
            let mut command = Command::new(&program);
            command.arg0("bin/observer").arg("600").current_dir(home).stdin(Stdio::null()).spawn()
        };
        // Another thread's fork may still hold the file that was written.
        let child = (0..100).find_map(|_| {
            let started = start();
            if started.is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
            started.ok()
        });
        Self(child.expect("no second process"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two processes of one home: which of them is the server is not proven, so neither is signalled, and nothing is stopped
/// before; nor when the second comes while the task waits at the gate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_of_the_home() {
    let stage = with_patient_gate().await;
    let before = Before::of(&stage.sim);
    let stranger = Stranger::in_home(&stage.info(2).home);
    let task = stage.stop(2).await;
    assert_eq!(
        (task.state(), task_error(&task).0.as_str()),
        (v1::TaskState::Refused, "PROCESS_AMBIGUOUS"),
        "{task:#?}"
    );
    assert_eq!(stage.sim.recorded(Kind::MarkSet), []);
    assert!(is_alive(stranger.0.id()) && is_alive(before.pid(2)));
    drop(stranger);
    close_the_gate(&stage);
    let id = begin(&stage).await;
    stage.clients.waits_for(id, "the gate is closed").await;
    let stranger = Stranger::in_home(&stage.info(2).home);
    let task = stage.clients.at_rest(id).await;
    assert_eq!((task.state(), task_error(&task).0.as_str()), (v1::TaskState::Failed, "PROCESS_AMBIGUOUS"), "{task:#?}");
    assert!(is_alive(stranger.0.id()) && is_alive(before.pid(2)));
    assert_eq!(stage.sim.recorded(Kind::ProcessEnded), []);
}

/// A StopObserver that was under way when another owner came: the agent refuses the old fence, whatever ticket it carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_stop_with_an_old_fence_is_refused() {
    let options = SimOptions { zones: 1, ..quick() };
    let cluster_name = options.cluster_name.clone();
    let sim = SimCluster::start(options).await.unwrap();
    let server = sim.server(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let host = Agent::new(AgentConfig::new(directory.path())).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(grpc::serve(host, listener, std::future::pending()));
    let mut client = HostAgentServiceClient::connect(address).await.unwrap();
    let target = Some(agent::ObserverTarget {
        svr_ip: server.ip.clone(),
        rpc_port: server.rpc_port.into(),
        sql_port: server.sql_port.into(),
        cluster_name,
        ob_cluster_id: 1,
    });
    let fence = |fence| Some(agent::CallerFence { store_id: "store".into(), cluster_key: "demo/1/x".into(), fence });
    let arm = |number| agent::FindObserverRequest {
        target: target.clone(),
        arm: true,
        fence: fence(number),
        fence_only: false,
    };
    let old = client.find_observer(arm(5)).await.unwrap().into_inner();
    let new = client.find_observer(arm(6)).await.unwrap().into_inner();
    assert!(!old.ticket.is_empty() && old.identity == new.identity);
    let stop = |armed: &agent::FindObserverResponse, number, token: &str| agent::StopObserverRequest {
        target: target.clone(),
        identity: armed.identity.clone(),
        ticket: armed.ticket.clone(),
        token: token.into(),
        fence: fence(number),
        grace_millis: 1_000,
    };
    for (delayed, expected) in [
        (stop(&old, 5, "1/1/1/1"), "FENCED"),
        (stop(&new, 5, "1/1/1/2"), "FENCED"),
        (stop(&old, 6, "1/1/1/3"), "TICKET_MISMATCH"),
    ] {
        let status = client.stop_observer(delayed).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{status:?}");
        assert!(is_alive(server.pid.unwrap()));
    }
    assert_eq!(sim.recorded(Kind::ProcessEnded), []);
    let ended = client.stop_observer(stop(&new, 6, "1/1/1/4")).await.unwrap().into_inner();
    assert_eq!(ended.outcome(), agent::StopOutcome::Terminated, "{ended:?}");
    assert!(!is_alive(server.pid.unwrap()));
    serving.abort();
}
