//! Hosts over ssh, with a real sshd: a server is stopped, each way of failing is told apart, callers share one agent whose
//! record outlives their connections, a lost connection is never taken for a refusal, and no process is left behind.

use std::process::Stdio;
use std::sync::Arc;

use obsteward::agent::{Agent, AgentConfig};
use obsteward::app::App;
use obsteward::clock::Clock;
use obsteward::config::{Config, SshConfig};
use obsteward::domain::host::{CallerFence, Finding, ObserverTarget};
use obsteward::domain::ids::{ClusterKey, Fence};
use obsteward::domain::ssh::SshDestination;
use obsteward::host::{AgentHosts, Host, HostAddress, HostError, Hosts};
use obsteward::net::listener::bind_plaintext;
use obsteward::proto::agent_v1 as agent;
use obsteward::proto::agent_v1::host_agent_service_client::HostAgentServiceClient;
use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Fault, FaultKind, Kind, SimCluster, SimOptions};
use tokio::io::AsyncReadExt;
use tonic::transport::{Channel, Endpoint};

use crate::security::agent_tls::client_files;
use crate::support::certificates::Authority;
use crate::support::hosts::look;
use crate::support::program::{Started, end_of, obsteward};
use crate::support::sshd::{Sshd, client};
use crate::support::{Before, PATIENCE, Stage, begins, config, is_alive, quick, reason};

/// The way to a destination, with an ssh of its own.
fn host(config: SshConfig, destination: &SshDestination) -> Arc<dyn Host> {
    AgentHosts::new(None).with_ssh(client(config)).host(&HostAddress::Ssh(destination.clone()))
}

/// A cluster and a service that reaches the host of server 2 over ssh.
async fn stage(sshd: &Sshd, change: impl FnOnce(&mut Config)) -> Stage {
    let stage = Stage::with(quick(), |config| {
        config.ssh = sshd.config();
        change(config);
    })
    .await;
    let (transport, ssh_destination) = (v1::HostTransport::Ssh as i32, sshd.destination().to_string());
    stage.reach(2, v1::Host { transport, ssh_destination, ..Default::default() }).await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_stopped_over_ssh_and_nothing_is_left_behind() {
    let sshd = Sshd::start().await;
    // TLS towards agents that listen does not concern those over ssh.
    let (agents, services) = (Authority::new("agents"), Authority::new("services"));
    let tls = client_files(&sshd.path("tls"), &agents, &services.client("obsteward.example.com"));
    let mut stage = stage(&sshd, |config| config.agents = Some(tls)).await;
    let before = Before::of(&stage.sim);
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    before.assert_only_stopped(&stage.sim, 2);
    let record = std::fs::read_to_string(sshd.path("state/ledger.json")).unwrap();
    assert!(record.contains("\"terminated\""), "another agent ended it: {record}");
    let server = stage.clients.get_server(stage.cluster_id, stage.server(2).await.id).await;
    assert!(server.safe_to_power_off, "{}", server.not_safe_reason);
    // The connection for looks is kept; that of the stop is gone.
    let kept = sshd.processes();
    assert_eq!(kept.iter().filter(|(_, line)| line.contains("BatchMode")).count(), 1, "{kept:#?}");
    stage.end_service().await;
    sshd.all_gone(&kept).await;
    assert!(!sshd.path("state/agent.sock").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_of_failing_is_told_apart_and_ends_in_time() {
    let sshd = Sshd::start().await;
    let good = sshd.config();
    sshd.make_key("other_key").await;
    std::fs::write(sshd.path("other_hosts"), sshd.known("other_key")).unwrap();
    std::fs::write(sshd.path("no_hosts"), "").unwrap();
    std::fs::create_dir(sshd.path("damaged")).unwrap();
    std::fs::write(sshd.path("damaged/ledger.json"), "{").unwrap();
    // `obsteward agent` as a service: it keeps its record to itself.
    let _kept = Agent::new(AgentConfig::new(sshd.path("kept"))).unwrap();
    let (_mute, mute) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let here = sshd.destination();
    let there = |text: &str| text.parse::<SshDestination>().unwrap();
    let with = |change: &dyn Fn(&mut SshConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    let in_state = |name: &str| with(&|config| config.agent_command[4] = sshd.path(name).display().to_string());
    let running =
        |words: &[&str]| with(&|config| config.agent_command = words.iter().map(ToString::to_string).collect());
    let silent = SshConfig { connect_timeout_seconds: 1, ..running(&["cat"]) };
    let chatty = format!("echo Welcome to db-2; exec {}", good.agent_command.join(" "));
    assert_eq!(look(&*host(good.clone(), &here)).await, Ok(()));
    let failures = [
        (
            with(&|config| config.program = "/nonexistent/ssh".into()),
            here.clone(),
            "the ssh program /nonexistent/ssh cannot be run",
        ),
        (with(&|_| {}), there(&"a".repeat(64)), "its name has no address"),
        (with(&|_| {}), there("127.0.0.1:1"), "port 1: Connection refused"),
        (
            with(&|config| config.connect_timeout_seconds = 1),
            there(&mute.to_string()),
            "Connection timed out during banner exchange",
        ),
        (
            with(&|config| config.known_hosts_file = Some(sshd.path("no_hosts"))),
            here.clone(),
            "its host key is not known",
        ),
        (
            with(&|config| config.known_hosts_file = Some(sshd.path("other_hosts"))),
            here.clone(),
            "its host key has CHANGED",
        ),
        (
            with(&|config| config.identity_file = Some(sshd.path("other_key"))),
            here.clone(),
            "it does not let the service in",
        ),
        (
            running(&["/nonexistent/obsteward", "agent", "--stdio"]),
            here.clone(),
            "it cannot run /nonexistent/obsteward",
        ),
        (in_state("damaged"), here.clone(), "ledger.json is not a record of this agent"),
        (in_state("kept"), here.clone(), "ledger.lock is locked by an agent that does not share it"),
        (running(&["sh", "-c", &chatty]), here.clone(), "writes to standard output before the agent does"),
        (silent, here.clone(), "ssh did not get to an agent within 5s"),
        (running(&["sh", "-c", "exit 3"]), here.clone(), "the agent there ended with exit code 3 and said nothing"),
    ];
    let words: Vec<&str> = failures.iter().map(|(_, _, words)| *words).collect();
    let looks = failures.map(async |(config, destination, words)| {
        let said = look(&*host(config, &destination)).await.unwrap_err();
        (destination, words, said)
    });
    for (destination, expected, said) in futures::future::join_all(looks).await {
        let others = words.iter().filter(|words| said.contains(**words)).count();
        assert!(said.contains(expected) && others == 1, "{expected:?} alone is not in {said:?}");
        assert!(said.starts_with(&format!("agent ssh:{destination}: ")), "{said}");
    }
    let hosts = std::fs::read_to_string(sshd.path("no_hosts")).unwrap();
    assert_eq!(hosts, "", "a host key was trusted at first sight");
    sshd.all_gone(&[]).await;
}

/// Hosts that are not named one by one are reached at the address of each server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ssh_by_default_goes_to_the_address_of_the_server() {
    let stage = Stage::with(quick(), |config| config.ssh.config_file = Some("/dev/null".into())).await;
    let default_host = v1::DefaultHost {
        transport: v1::HostTransport::Ssh as i32,
        ssh_user: "nobody".to_owned(),
        ssh_port: Some(1),
        ..Default::default()
    };
    let request = v1::UpdateClusterRequest {
        cluster_id: stage.cluster_id,
        default_host: Some(default_host.clone()),
        update_mask: Some(prost_types::FieldMask { paths: vec!["default_host".to_owned()] }),
        ..Default::default()
    };
    let updated = stage.clients.clusters.clone().update_cluster(request).await.unwrap().into_inner();
    assert_eq!(updated.cluster.unwrap().default_host, Some(default_host));
    let ip = stage.info(2).ip;
    let expected = format!("agent ssh:nobody@{ip}:1: ssh cannot connect: ssh: connect to host {ip} port 1: ");
    let server = stage.clients.get_server(stage.cluster_id, stage.server(2).await.id).await;
    assert!(server.not_safe_reason.contains(&expected), "{}", server.not_safe_reason);
}

/// An agent on a state directory, whose standard input is ours.
fn agent_on(state: &std::path::Path) -> tokio::process::Child {
    let mut command = obsteward(&format!("agent --stdio --state-directory {}", state.display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Waits until an agent has spoken; from then on others find it.
async fn speaks(agent: &mut tokio::process::Child) {
    let mut head = [0; 9];
    let read = agent.stdout.as_mut().unwrap().read_exact(&mut head);
    tokio::time::timeout(PATIENCE, read).await.expect("the agent says nothing").unwrap();
    assert_eq!((head[3], &head[4..]), (4, &[0; 5][..]), "not a SETTINGS frame: {head:?}");
}

async fn ends_well(agent: tokio::process::Child) {
    let output =
        tokio::time::timeout(PATIENCE, agent.wait_with_output()).await.expect("the agent does not end").unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test]
async fn an_agent_on_standard_input_and_output_ends_with_its_caller() {
    let directory = tempfile::tempdir().unwrap();
    let (state, socket) = (directory.path(), directory.path().join("agent.sock"));
    let mut first = agent_on(state);
    speaks(&mut first).await;
    let mut second = agent_on(state);
    speaks(&mut second).await;
    // The first one's caller goes, and it stays for the second.
    drop(first.stdin.take());
    let mut third = agent_on(state);
    speaks(&mut third).await;
    assert!(first.try_wait().unwrap().is_none() && socket.exists());
    drop((second.stdin.take(), third.stdin.take()));
    for agent in [second, third, first] {
        ends_well(agent).await;
    }
    assert!(!socket.exists());

    // One that is killed takes those with it whose callers it served, and is in nobody's way.
    let mut killed = agent_on(state);
    speaks(&mut killed).await;
    let mut orphan = agent_on(state);
    speaks(&mut orphan).await;
    killed.kill().await.unwrap();
    ends_well(orphan).await;
    let mut next = agent_on(state);
    speaks(&mut next).await;
    let pid = rustix::process::Pid::from_raw(next.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    ends_well(next).await;

    // `obsteward agent` that listens shares its record with nobody, and is left alone.
    let line = format!("agent --listen 127.0.0.1:0 --state-directory {}", state.display());
    let mut listening = Started::of(obsteward(&line));
    listening.err_until(|line| line.starts_with("listening on ")).await;
    let refused = end_of(obsteward(&format!("agent --stdio --state-directory {}", state.display()))).await;
    assert!(refused.err.contains("reach the host through that one (grpc), or end it"), "{}", refused.err);
    assert_ne!(refused.code, Some(0));
    assert_eq!(refused.out, "");
}

#[tokio::test]
async fn a_command_without_words_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.ssh.agent_command.clear();
    let refused = App::build(&config, Clock::shifted()).await.err().unwrap().to_string();
    assert!(refused.starts_with("ssh.agent_command has no words, "), "{refused}");
}

fn fence(number: i64) -> CallerFence {
    CallerFence {
        store_id: "store".to_owned(),
        cluster: ClusterKey::from_stored("demo/1/x".to_owned()),
        fence: Fence::new(number),
    }
}

/// A simulated cluster of one server, as an agent looks for it.
async fn one_server() -> (SimCluster, ObserverTarget) {
    let options = SimOptions { zones: 1, ..quick() };
    let cluster_name = options.cluster_name.clone();
    let sim = SimCluster::start(options).await.unwrap();
    let server = sim.server(1).unwrap();
    let address = server.address().parse().unwrap();
    (sim, ObserverTarget { address, sql_port: server.sql_port, cluster_name, ob_cluster_id: 1 })
}

/// Two services, and two looks of each, at the same time: all go to one agent, and it stays for as long as one of them is
/// there, whoever started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_callers_have_one_agent() {
    let sshd = Sshd::start().await;
    let (sim, target) = one_server().await;
    let pid = sim.server(1).unwrap().pid.unwrap();
    let [one, other] = [(), ()].map(|()| host(sshd.config(), &sshd.destination()));
    let looks = [&one, &one, &other, &other].map(|host| host.find(&target));
    for found in futures::future::join_all(looks).await {
        let found = found.unwrap();
        assert!(matches!(&found.finding, Finding::Running(identity) if identity.pid == pid), "{found:?}");
    }
    // A fence that one brought holds for the other.
    assert!(one.arm(&target, &fence(8)).await.unwrap().1.is_some());
    let refused = other.arm(&target, &fence(7)).await;
    assert!(matches!(&refused, Err(HostError::Refused { code, .. }) if code == "FENCED"), "{refused:?}");

    let all = sshd.processes();
    let ssh = all.iter().filter(|(_, line)| line.contains("BatchMode")).count();
    assert_eq!((ssh, all.len()), (2, 4), "{all:#?}");
    for (first, second) in [(one, other)] {
        // One of the two agents serves both; whichever it is, the other caller goes on.
        drop(first);
        let gone = async {
            while sshd.processes().iter().filter(|(_, line)| line.contains("BatchMode")).count() > 1 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("the ssh of who has gone is still there");
        let refused = second.arm(&target, &fence(7)).await;
        assert!(matches!(&refused, Err(HostError::Refused { code, .. }) if code == "FENCED"), "{refused:?}");
        drop(second);
    }
    sshd.all_gone(&all).await;
}

/// A client of tonic's own over an ssh of its own.
async fn raw(sshd: &Sshd) -> (HostAgentServiceClient<Channel>, tokio::process::Child) {
    let mut command = client(sshd.config()).to(&sshd.destination());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut wire = Some(tokio::io::join(child.stdout.take().unwrap(), child.stdin.take().unwrap()));
    let connector = tower::service_fn(move |_: http::Uri| {
        let wire = wire.take().ok_or_else(|| std::io::Error::other("the connection was lost"));
        async move { wire.map(hyper_util::rt::TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://ssh").connect_with_connector(connector).await.unwrap();
    (HostAgentServiceClient::new(channel), child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_the_agent_outlives_its_connections() {
    let sshd = Sshd::start().await;
    let (sim, target) = one_server().await;
    let target = Some(agent::ObserverTarget {
        svr_ip: target.address.ip().to_string(),
        rpc_port: target.address.rpc_port().into(),
        sql_port: target.sql_port.into(),
        cluster_name: target.cluster_name,
        ob_cluster_id: 1,
    });
    let fence = |fence| Some(agent::CallerFence { store_id: "store".into(), cluster_key: "demo/1/x".into(), fence });
    let arm = |number| agent::FindObserverRequest {
        target: target.clone(),
        arm: true,
        fence: fence(number),
        fence_only: false,
    };
    let (mut caller, ssh) = raw(&sshd).await;
    let armed = caller.find_observer(arm(7)).await.unwrap().into_inner();
    let stop = agent::StopObserverRequest {
        target: target.clone(),
        identity: armed.identity,
        ticket: armed.ticket,
        token: "1/1/1/1".into(),
        fence: fence(7),
        grace_millis: 1_000,
    };
    // The ticket is good over another connection, as that of a stop is.
    let (mut other, other_ssh) = raw(&sshd).await;
    let ended = other.stop_observer(stop.clone()).await.unwrap().into_inner();
    assert_eq!(ended.outcome(), agent::StopOutcome::Terminated, "{ended:?}");
    let all = sshd.processes();
    drop((caller, other, ssh, other_ssh));
    sshd.all_gone(&all).await;
    let pid = sim.start_server_process(1).await.unwrap();

    let (mut caller, _ssh) = raw(&sshd).await;
    let refused = caller.find_observer(arm(6)).await.unwrap_err();
    assert_eq!(reason(&refused), "FENCED", "{refused:?}");
    assert_eq!(caller.stop_observer(stop).await.unwrap().into_inner(), ended, "the answer of the call was forgotten");
    assert!(is_alive(pid), "the call was made again");
}

/// How the effects on the process were settled.
async fn outcomes(stage: &Stage, task: i64) -> Vec<v1::IntentOutcome> {
    let events = stage.clients.events(task).await;
    let process = |event: &v1::TaskEvent| match &event.kind {
        Some(Event::IntentRecorded(intent)) if intent.connection_id.is_none() => Some(intent.intent),
        _ => None,
    };
    let intents: Vec<i32> = events.iter().filter_map(process).collect();
    let outcome = |event: &v1::TaskEvent| match &event.kind {
        Some(Event::IntentSettled(settled)) if intents.contains(&settled.intent) => Some(settled.outcome()),
        _ => None,
    };
    events.iter().filter_map(outcome).collect()
}

/// All of sshd dies between SIGTERM and SIGKILL: what became of the process is not known, and is looked for once sshd is back.
/// The agent had carried the stop to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_whose_connection_is_lost_is_unknown_and_looked_into() {
    let mut sshd = Sshd::start().await;
    let stage = stage(&sshd, |config| config.stop.grace_seconds = 3).await;
    let before = Before::of(&stage.sim);
    stage.sim.inject(Fault::on(FaultKind::IgnoreSigterm, 2));
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::Signal, "SIGTERM ignored").await);
    sshd.kill().await;
    stage.clients.waits_for(id, "does not answer").await;
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::ProcessEnded, "").await, "half a stop was left behind");
    sshd.start_again().await;
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    before.assert_only_stopped(&stage.sim, 2);
    assert_eq!(outcomes(&stage, id).await, [v1::IntentOutcome::Unknown, v1::IntentOutcome::Done]);
    let record = std::fs::read_to_string(sshd.path("state/ledger.json")).unwrap();
    assert!(record.contains("\"killed\""), "the answer was not recorded: {record}");
}

/// Looks go on over the connection that is there, and the stop finds nobody to connect to: nothing was sent, the task says so
/// and waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_cannot_connect_was_not_sent_and_waits() {
    let mut sshd = Sshd::start().await;
    let stage = stage(&sshd, |_| {}).await;
    let before = Before::of(&stage.sim);
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    stage.clients.events_until(id, 0, |event| begins(event, "Stop server")).await.1.unwrap();
    sshd.stop_listening().await;
    let progress = stage.wait_progress(id, "nothing was sent").await;
    assert!(progress.message.contains("Connection refused"), "{progress:?}");
    assert!(is_alive(before.pid(2)));
    sshd.start_again().await;
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(outcomes(&stage, id).await, [v1::IntentOutcome::Refused, v1::IntentOutcome::Done]);
    before.assert_only_stopped(&stage.sim, 2);
}
