//! `obsteward agent` as a process: this test executable, told to run the ignored test below.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use clap::Parser;

use super::*;
use crate::proto::agent_v1 as pb;
use crate::proto::agent_v1::host_agent_service_client::HostAgentServiceClient;

const STATE: &str = "OBSTEWARD_TEST_AGENT_STATE";

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: AgentArgs,
}

fn args(line: &[&str]) -> AgentArgs {
    Line::try_parse_from([&["agent"], line].concat()).unwrap().args
}

#[test]
#[ignore = "is run by other tests as a process of its own"]
fn be_an_agent() {
    let Ok(state) = std::env::var(STATE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let args = args(&["--listen", "127.0.0.1:0", "--exit-with-stdin", "--state-directory", &state]);
    runtime.block_on(run(args)).unwrap();
}

/// An agent, and where it listens.
fn start(state: &std::path::Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "agent::command::tests::be_an_agent", "--ignored", "--nocapture"])
        .env(STATE, state)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned)).unwrap();
    // Keeps its standard error open, so that it can go on speaking.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}

async fn serves(address: &str) {
    let mut client = HostAgentServiceClient::connect(format!("http://{address}")).await.unwrap();
    let status = client.find_observer(pb::FindObserverRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn serves_until_its_standard_input_ends_or_sigterm() {
    let state = tempfile::tempdir().unwrap();
    let (mut child, address) = start(state.path());
    serves(&address).await;
    drop(child.stdin.take());
    assert!(tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap().success());

    let (mut child, address) = start(state.path());
    serves(&address).await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn an_open_listener_is_refused_and_trust_needs_no_listener() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_str().unwrap();
    let open = args(&["--listen", "0.0.0.0:0", "--state-directory", directory]);
    let refused = run(open).await;
    assert!(matches!(refused, Err(AgentError::Listen(ListenError::Unprotected { .. }))), "{refused:?}");

    for given in [&["--listen", "127.0.0.1:0"][..], &["--insecure-listen"], &["--exit-with-stdin"]] {
        let refused = Line::try_parse_from([&["agent", "--stdio"], given].concat()).unwrap_err();
        assert_eq!(refused.kind(), clap::error::ErrorKind::ArgumentConflict, "{given:?}");
    }
    let half = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--client-ca", "ca.pem"];
    for given in [&half[..], &half[..2], &half[2..], &["--client-name", "DNS:a"]] {
        let refused = Line::try_parse_from([&["agent"], given].concat()).unwrap_err();
        assert_eq!(refused.kind(), clap::error::ErrorKind::MissingRequiredArgument, "{given:?}");
    }
    let unnamed = args(&[&half[..], &["--client-name", "obsteward", "--state-directory", directory]].concat());
    let refused = run(unnamed).await;
    assert!(matches!(refused, Err(AgentError::ClientName(_))), "{refused:?}");

    run(args(&["trust", "store-b", "--state-directory", directory])).await.unwrap();
    let trusted = trust::Trusted::read(state.path()).unwrap();
    assert_eq!((trusted.latest(), trusted.granted_after("store-b", 0)), (1, Some(1)));
    assert!(matches!(run(args(&["trust", "", "--state-directory", directory])).await, Err(AgentError::StoreId(_))));
}
