//! Hosts that do not answer, or not clearly: a dead server on one can be stopped, a living one cannot, and a process that is
//! not proven is never signalled.

use std::os::unix::process::CommandExt;
use std::path::Path;

use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind, Signal};

use crate::support::hosts::by_grpc;
use crate::support::refusal::error_info;
use crate::support::{PATIENCE, Stage};

/// Server 2's host gets an agent to which nobody listens.
async fn unreachable_host() -> Stage {
    let stage = Stage::new().await;
    stage.reach(2, by_grpc("127.0.0.1:1")).await;
    stage
}

/// Dead server, dead host: marked, so that leaders stay off it when it returns, without force; the result says what is not
/// known.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_on_a_dead_host_is_stopped() {
    let stage = unreachable_host().await;
    stage.sim.kill_process(2, Signal::KILL).unwrap();
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::ServerOffline, "").await);
    let request = stage.request(2).await;
    assert!(stage.plan(&request).await.allowed);
    let task = stage.stop_as(request).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(task.context["process_state"], "UNKNOWN");
    assert!(
        task.warnings.iter().any(|warning| warning.text.contains("its process is not known")),
        "{:?}",
        task.warnings
    );
    assert_eq!(task.overrides, []);
    assert!(stage.sim.look(|cluster| cluster.server(2).unwrap().stop_time != 0));
    let server = stage.clients.get_server(stage.cluster_id, stage.server(2).await.id).await;
    assert_eq!((server.status(), server.inner_status()), (v1::ServerStatus::Stopped, v1::ServerInnerStatus::Inactive));
    assert_eq!((server.process_state(), server.safe_to_power_off), (v1::ProcessState::HostUnreachable, false));
    assert!(stage.is_free().await);
}

/// Its leaders may be where nobody can end the process: refused before any SQL. Its service can be stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_living_server_behind_an_unreachable_host_is_not_stopped() {
    let stage = unreachable_host().await;
    let risks = vec![v1::Risk::QuorumLoss as i32, v1::Risk::ClusterUnreachable as i32];
    for (force, accept_risks) in [(false, Vec::new()), (true, risks)] {
        let request = v1::StopServerRequest { force, accept_risks, ..stage.request(2).await };
        stage.assert_refused(request, "SERVER_STATE", "HOST_UNREACHABLE").await;
    }
    assert_eq!(stage.statements_that_act(), Vec::<String>::new());
    let service = v1::StopServerRequest { r#type: v1::StopType::Service as i32, ..stage.request(2).await };
    assert_eq!(stage.stop_as(service).await.state(), v1::TaskState::Successful);
    // Stopped, beating, and nobody can end it.
    stage.assert_refused(stage.request(2).await, "SERVER_STATE", "HOST_UNREACHABLE").await;
}

/// Neither cluster nor host answers: there is nothing that could be ended, whatever was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ended_where_neither_cluster_nor_host_answers() {
    let stage = unreachable_host().await;
    stage.sim.inject(FaultKind::RefuseConnections);
    let risks = vec![v1::Risk::QuorumLoss as i32, v1::Risk::ClusterUnreachable as i32];
    let request = v1::StopServerRequest { force: true, accept_risks: risks, ..stage.request(2).await };
    stage.assert_refused(request, "HOST_UNREACHABLE", "neither the cluster nor the host answers").await;
}

/// Two processes could be the server's: refused in Prepare; one that comes later stops the task at the process step, and
/// neither is ever signalled.
#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_process_is_never_signalled() {
    let stage = Stage::new().await;
    let home = stage.info(2).home;
    let cluster = stage.sim.look(|cluster| cluster.name.clone());
    let twin = Twin::of(&home, &cluster);
    let request = v1::StopServerRequest { force: true, ..stage.request(2).await };
    stage.assert_refused(request.clone(), "PROCESS_AMBIGUOUS", "a second observer of the same home").await;
    drop(twin);

    let stuck = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let task = stage.clients.stop_with(stage.request(2).await).await.unwrap();
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::MarkSet, "").await);
    let twin = Twin::of(&home, &cluster);
    stage.sim.clear(stuck);
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!((task.state(), error_info(&task).0.as_str()), (v1::TaskState::Failed, "PROCESS_AMBIGUOUS"), "{task:#?}");
    assert_eq!(stage.sim.recorded(Kind::Signal), []);
    assert!(std::path::Path::new(&format!("/proc/{}", stage.info(2).pid.unwrap())).exists());

    drop(twin);
    stage.retry(task.id).await.unwrap();
    let task = stage.closed(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
}

/// A second process of the same home and cluster that is called observer.
struct Twin {
    child: std::process::Child,
    _program: tempfile::TempDir,
}

impl Twin {
    fn of(home: &Path, cluster: &str) -> Self {
        let program = tempfile::tempdir().unwrap();
        // A shell that waits: `sleep` would not take an observer's arguments.
        let observer = program.path().join("observer");
        std::fs::copy("/bin/sh", &observer).unwrap();
        let mut command = std::process::Command::new(&observer);
        let child = command
            .arg0("bin/observer")
            .args(["-c", "read line; :", "-n", cluster])
            .current_dir(home)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, _program: program }
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
