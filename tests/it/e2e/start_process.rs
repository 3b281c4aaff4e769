//! A host starts an observer: the right one, where and as it ran before, once, and it lives on by itself. Over the processes of
//! a simulated cluster; what an agent refuses is tested beside it, in `src/agent/start_tests.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use obsteward::agent::{Agent, AgentConfig, AgentRefusal, Launcher, StartRequest, Started, StopRequest, Stopped};
use obsteward::domain::host::{CallerFence, Finding, ObserverIdentity, ObserverTarget};
use obsteward::domain::ids::{ClusterKey, Fence};
use obsteward::proto::agent_v1 as pb;
use obsteward::proto::agent_v1::host_agent_service_client::HostAgentServiceClient;
use obsteward::sim::{Fault, FaultKind, Kind, Signal, SimCluster};
use rustix::process::{Pid, Resource, Rlimit};
use tonic::transport::Channel;

use crate::support::program::{Started as Program, obsteward};
use crate::support::{PATIENCE, is_alive, quick};

const WAIT: Duration = Duration::from_secs(30);

/// A simulated cluster, and an agent on its host.
struct Harness {
    sim: SimCluster,
    cluster_name: String,
    directory: tempfile::TempDir,
    agent: Agent,
}

impl Harness {
    async fn new() -> Self {
        let options = quick();
        let cluster_name = options.cluster_name.clone();
        let sim = SimCluster::start(options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let agent = agent(directory.path(), Vec::new());
        Self { sim, cluster_name, directory, agent }
    }

    fn target(&self, id: i64) -> ObserverTarget {
        let server = self.sim.server(id).unwrap();
        ObserverTarget {
            address: server.address().parse().unwrap(),
            sql_port: server.sql_port,
            cluster_name: self.cluster_name.clone(),
            ob_cluster_id: 1,
        }
    }

    fn fence(&self, fence: i64) -> CallerFence {
        let cluster = ClusterKey::from_stored(format!("{}/1/x", self.cluster_name));
        CallerFence { store_id: "store".to_owned(), cluster, fence: Fence::new(fence) }
    }

    fn request(&self, id: i64, token: &str, wait: Duration) -> StartRequest {
        StartRequest { target: self.target(id), token: token.to_owned(), fence: self.fence(1), wait, ticket: None }
    }

    async fn start(&self, id: i64, token: &str) -> Result<Started, AgentRefusal> {
        self.agent.start(self.request(id, token, WAIT)).await
    }

    /// The agent sees it run, and then somebody ends it.
    async fn end_after_a_look(&self, id: i64) {
        let found = self.agent.find(&self.target(id)).await.unwrap();
        assert!(matches!(found.finding, Finding::Running(_)), "{found:?}");
        self.end(id).await;
    }

    async fn end(&self, id: i64) {
        let pid = self.sim.server(id).unwrap().pid.unwrap();
        self.sim.kill_process(id, Signal::KILL).unwrap();
        let gone = |cluster: &obsteward::sim::state::Cluster| cluster.server(id).unwrap().process.is_none();
        assert!(self.sim.wait_until(PATIENCE, gone).await);
        assert!(!is_alive(pid));
    }

    /// Waits until the server serves again, and in the eyes of the cluster too.
    async fn serves(&self, id: i64) {
        let serves = |cluster: &obsteward::sim::state::Cluster| {
            let server = cluster.server(id).unwrap();
            let runs = server.process.is_some() && server.alive();
            runs && server.in_service() && server.status == obsteward::sim::state::ServerStatus::Active
        };
        assert!(self.sim.wait_until(PATIENCE, serves).await);
        let server = self.sim.server(id).unwrap();
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname(&server.ip)
            .tcp_port(server.sql_port)
            .user(Some("root@sys"))
            .prefer_socket(false);
        mysql_async::Conn::new(options).await.unwrap().disconnect().await.unwrap();
    }

    fn starts(&self, id: i64) -> usize {
        let started = self.sim.recorded(Kind::ProcessStarted);
        started.iter().filter(|recorded| recorded.server == Some(id)).count()
    }
}

fn agent(directory: &Path, homes: Vec<PathBuf>) -> Agent {
    let launcher = Launcher::obsteward(env!("CARGO_BIN_EXE_obsteward"));
    Agent::new(AgentConfig { homes, launcher, ..AgentConfig::new(directory) }).unwrap()
}

#[track_caller]
fn started(result: Result<Started, AgentRefusal>) -> ObserverIdentity {
    match result {
        Ok(Started::Started { identity, listens: true, .. }) => identity,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_refused(result: &Result<Started, AgentRefusal>, reason: &str) {
    assert!(matches!(result, Err(refusal) if refusal.reason() == reason), "{result:?}");
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    String::from_utf8(bytes).unwrap().trim_end_matches('\0').replace('\0', " ")
}

fn limits(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap()
}

/// State, parent, process group and session of a process.
fn stat(pid: u32) -> (String, u32, u32) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (rest[0].to_owned(), rest[1].parse().unwrap(), rest[3].parse().unwrap())
}

/// Children of this process that ended and that nobody waited for.
fn zombies() -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let ours = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(&format!("Z {} ", std::process::id())))
    };
    pids.filter(ours).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_by_the_agent_and_started_again_it_serves_as_before() {
    let harness = Harness::new().await;
    let before = harness.sim.server(2).unwrap();
    let pid = before.pid.unwrap();
    // Limits that nothing here has by itself.
    let few = Rlimit { current: Some(1_234), maximum: Some(2_345) };
    rustix::process::prlimit(Pid::from_raw(pid.cast_signed()), Resource::Nofile, few).unwrap();
    let limits_before = limits(pid);
    harness.sim.third_party(&format!("ALTER SYSTEM STOP SERVER '{}'", before.address()));
    let stop_time = harness.sim.look(|cluster| cluster.server(2).unwrap().stop_time);
    assert_ne!(stop_time, 0);
    assert!(command_line(pid).contains(" -z "), "{}", command_line(pid));

    let (target, fence) = (harness.target(2), harness.fence(1));
    let (found, ticket) = harness.agent.arm(&target, &fence).await.unwrap();
    let Finding::Running(identity) = found.finding else { panic!("{found:?}") };
    let grace = Duration::from_secs(5);
    let stop =
        StopRequest { target, identity: identity.clone(), ticket: ticket.unwrap(), token: "1".into(), fence, grace };
    assert!(matches!(harness.agent.stop(stop).await, Ok(Stopped::Ended { .. })));
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::ServerOffline, "").await);

    let again = started(harness.start(2, "2").await);
    assert_eq!((&again.home, again.uid, &again.cluster_name), (&identity.home, identity.uid, &identity.cluster_name));
    assert_ne!(again.pid, pid);
    assert_eq!(command_line(again.pid), format!("bin/observer -p {} -I {}", before.sql_port, before.ip));
    assert_eq!(limits(again.pid), limits_before);
    harness.serves(2).await;
    assert_eq!(harness.sim.server(2).unwrap().pid, Some(again.pid));
    assert_eq!(
        harness.sim.look(|cluster| cluster.server(2).unwrap().stop_time),
        stop_time,
        "nobody started the service"
    );

    // It belongs to nobody here, and its first process was waited for.
    let (state, parent, session) = stat(again.pid);
    assert!(state != "Z" && parent != std::process::id() && session != stat(std::process::id()).2);
    assert_eq!(zombies(), [] as [u32; 0]);

    // A repeat is answered from the record, and a new call sees that it runs.
    assert_eq!(started(harness.start(2, "2").await), again);
    let running = harness.start(2, "3").await;
    assert!(matches!(&running, Ok(Started::AlreadyRunning { identity, .. }) if *identity == again), "{running:?}");
    harness.end(2).await;
    assert_eq!(started(harness.start(2, "2").await), again, "a token that was answered starts nothing");
    assert_eq!((harness.starts(2), harness.sim.server(2).unwrap().pid), (2, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_starts_at_the_same_time_one_starts() {
    let harness = Harness::new().await;
    harness.end_after_a_look(2).await;
    let (one, two) = tokio::join!(harness.start(2, "1"), harness.start(2, "2"));
    let (first, second) = if matches!(one, Ok(Started::Started { .. })) { (one, two) } else { (two, one) };
    let identity = started(first);
    match &second {
        // It may not listen yet when the second looks.
        Err(refusal) => assert_eq!(refusal.reason(), "AMBIGUOUS"),
        Ok(Started::AlreadyRunning { identity: seen, .. }) => assert_eq!(*seen, identity),
        Ok(_) => panic!("{second:?}"),
    }
    harness.serves(2).await;
    assert_eq!(harness.starts(2), 2, "more than its first start and one more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_dies_at_its_start_is_told_with_what_it_logged() {
    let harness = Harness::new().await;
    harness.end_after_a_look(2).await;
    harness.sim.inject(Fault::on(FaultKind::DiesAtStart, 2));
    let died = harness.start(2, "1").await;
    let Ok(Started::Died { last_log_lines, evidence }) = &died else { panic!("{died:?}") };
    assert!(last_log_lines.iter().any(|line| line.contains("ERROR") && line.contains("failed to init")), "{died:?}");
    assert!(last_log_lines.last().unwrap().contains("observer init fail"), "{died:?}");
    assert!(evidence.contains("bin/observer -p 2881 -I"), "{evidence}");
    assert_eq!(harness.starts(2), 1);
    // Its log is there still; only what the next one writes is told of that.
    harness.sim.inject(Fault::on(FaultKind::DiesAtStart, 2));
    let Ok(Started::Died { last_log_lines: again, .. }) = harness.start(2, "2").await else { panic!("it did not die") };
    assert_eq!(again.len(), last_log_lines.len());
    assert_eq!(harness.start(2, "1").await, died, "a repeat is answered from the record");
    started(harness.start(2, "3").await);
    harness.serves(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_listen_in_time_is_still_starting() {
    let harness = Harness::new().await;
    harness.end_after_a_look(2).await;
    harness.sim.inject(Fault::on(FaultKind::StartsSlowly { delay_ms: 3_000 }, 2));
    let slow = harness.agent.start(harness.request(2, "1", Duration::from_millis(300))).await;
    let Ok(Started::Started { identity, listens: false, .. }) = &slow else { panic!("{slow:?}") };
    assert_eq!(Path::new(&identity.home), harness.sim.server(2).unwrap().home);
    assert_refused(&harness.start(2, "2").await, "AMBIGUOUS");
    harness.serves(2).await;
    assert_eq!(harness.sim.server(2).unwrap().pid, Some(identity.pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_was_named_is_enough_and_a_taken_port_is_too_much() {
    let harness = Harness::new().await;
    harness.end(2).await;
    assert_refused(&harness.start(2, "1").await, "HOME_UNKNOWN");
    // Its neighbours' homes are of the same cluster and port; only one is of its address.
    let homes = harness.sim.servers().into_iter().map(|server| server.home).collect();
    let directory = tempfile::tempdir().unwrap();
    let told = agent(directory.path(), homes);
    let server = harness.sim.server(2).unwrap();
    let taken = std::net::TcpListener::bind(server.endpoint()).unwrap();
    assert_refused(&told.start(harness.request(2, "2", WAIT)).await, "PORT_TAKEN");
    drop(taken);
    let identity = started(told.start(harness.request(2, "3", WAIT)).await);
    assert_eq!(
        (Path::new(&identity.home), command_line(identity.pid).as_str()),
        (server.home.as_path(), "bin/observer")
    );
    harness.serves(2).await;

    // The home of another cluster is not its home, whatever address that cluster has.
    let other = Harness::new().await;
    let directory = tempfile::tempdir().unwrap();
    let misled = agent(directory.path(), vec![other.sim.server(1).unwrap().home]);
    harness.end(1).await;
    let target = ObserverTarget { address: other.target(1).address, ..harness.target(1) };
    other.end(1).await;
    let request = StartRequest { target, ..harness.request(1, "4", WAIT) };
    let refused = misled.start(request).await;
    assert_refused(&refused, "HOME_UNKNOWN");
    assert!(refused.unwrap_err().to_string().contains(&other.cluster_name));
    assert_eq!((harness.sim.server(1).unwrap().pid, other.sim.server(1).unwrap().pid), (None, None));
}

/// `obsteward agent`, to be killed.
async fn agent_program(state: &Path) -> (Program, HostAgentServiceClient<Channel>) {
    let line = format!("agent --listen 127.0.0.1:0 --state-directory {}", state.display());
    let mut program = Program::of(obsteward(&line));
    let said = program.err_until(|line| line.starts_with("listening on ")).await;
    let address = said.last().unwrap().strip_prefix("listening on ").unwrap();
    (program, HostAgentServiceClient::connect(format!("http://{address}")).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_observer_outlives_a_killed_agent_and_the_next_agent_knows_how_to_start_it() {
    let harness = Harness::new().await;
    let server = harness.sim.server(2).unwrap();
    let state = harness.directory.path().join("program");
    let (program, mut client) = agent_program(&state).await;
    let target = Some(pb::ObserverTarget {
        svr_ip: server.ip.clone(),
        rpc_port: server.rpc_port.into(),
        sql_port: server.sql_port.into(),
        cluster_name: harness.cluster_name.clone(),
        ob_cluster_id: 1,
    });
    let fence = Some(pb::CallerFence { store_id: "store".into(), cluster_key: "demo/1/x".into(), fence: 1 });
    let start = |token: &str| pb::StartObserverRequest {
        target: target.clone(),
        token: token.to_owned(),
        fence: fence.clone(),
        wait_millis: 30_000,
        ticket: None,
    };
    let find = || pb::FindObserverRequest { target: target.clone(), ..Default::default() };
    assert_eq!(client.find_observer(find()).await.unwrap().into_inner().finding(), pb::Finding::Running);
    harness.end(2).await;
    let answer = client.start_observer(start("1")).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), pb::StartOutcome::Started, "{answer:?}");
    let identity = answer.identity.clone().unwrap();
    program.signal(Signal::KILL);
    program.ended().await;
    harness.serves(2).await;
    assert_eq!(harness.sim.server(2).unwrap().pid.map(i64::from), Some(identity.pid));

    // The next agent has the record, and knows how it was launched, though it never saw it run.
    let (program, mut client) = agent_program(&state).await;
    harness.end(2).await;
    assert_eq!(client.start_observer(start("1")).await.unwrap().into_inner(), answer);
    assert_eq!(harness.sim.server(2).unwrap().pid, None);

    // This one is killed while it watches: the observer comes up, and nobody starts it a second time.
    harness.sim.inject(Fault::on(FaultKind::StartsSlowly { delay_ms: 2_000 }, 2));
    let starting = tokio::spawn({
        let (mut client, start) = (client.clone(), start("2"));
        async move { client.start_observer(start).await }
    });
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::FaultUsed, "starts_slowly").await);
    program.signal(Signal::KILL);
    program.ended().await;
    assert!(starting.await.unwrap().is_err());
    let (_program, mut client) = agent_program(&state).await;
    let unknown = client.start_observer(start("2")).await.unwrap().into_inner();
    assert_eq!(unknown.outcome(), pb::StartOutcome::Unknown, "{unknown:?}");
    harness.serves(2).await;
    assert_eq!(harness.starts(2), 3);
    let running = client.start_observer(start("3")).await.unwrap().into_inner();
    assert_eq!(running.outcome(), pb::StartOutcome::AlreadyRunning, "{running:?}");
    let again = running.identity.unwrap();
    assert_eq!(command_line(u32::try_from(again.pid).unwrap()), format!("bin/observer -p 2881 -I {}", server.ip));
}
