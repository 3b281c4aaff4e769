//! How much of a stop's time is ours: what passes while neither the cluster works on a statement, nor leaders move, nor the lease of the
//! ended process lasts. By the simulated cluster's own record, which is real processes and ports; polls are as by default.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement may stop where it is")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::process::Stdio;
use std::time::Duration;

use obsteward::proto::v1;
use obsteward::proto::v1::cluster_service_client::ClusterServiceClient;
use obsteward::proto::v1::ob_server_service_client::ObServerServiceClient;
use obsteward::proto::v1::task_service_client::TaskServiceClient;
use obsteward::sim::record::{Kind, Recorded};
use obsteward::sim::{Durations, SimCluster, SimOptions};
use server::Server;
use support::{amount, figure, rounded};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

const AGENT_PORT: u16 = 62888;
/// A real cluster has 10 s.
const LEASE_TIME: Duration = Duration::from_secs(2);
const PROGRAM: &str = env!("CARGO_BIN_EXE_obsteward");

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let durations = Durations { lease_time: LEASE_TIME, ..Durations::default() };
        let options = SimOptions { zones: 3, servers_per_zone: 2, durations, ..SimOptions::new(PROGRAM) };
        let cluster = SimCluster::start(options).await.unwrap();
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut agents = Vec::new();
        for server in cluster.servers() {
            agents.push(agent(&server.ip, directory.path()).await);
        }
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[auth]\nenabled = false\n[store]\npath = {:?}\n",
            directory.path().join("store.db")
        );
        let service = Server::obsteward(directory.path(), &config);
        let channel = service.channels(1).await.remove(0);
        let cluster_id = register(&channel, &cluster).await;
        let mut stops = Vec::new();
        for number in 0..amount(6, 2) {
            // One that leads something, and another one each time.
            let server = cluster.servers().swap_remove(5 - number % 2);
            stops.push(stop(&channel, &cluster, cluster_id, server.id).await);
            let request = v1::StartServerRequest { cluster_id, server_id: server.id, ..Default::default() };
            let started = ObServerServiceClient::new(channel.clone()).start_server(request).await.unwrap();
            closed(&channel, started.into_inner().task.unwrap().id).await;
        }
        stops.sort_by(|one, other| one.ours.total_cmp(&other.ours));
        let median = &stops[stops.len() / 2];
        let longest = stops.last().unwrap();
        let values = [
            ("stops", stops.len().into()),
            ("whole_ms", rounded(median.whole, 1)),
            ("ours_ms", rounded(median.ours, 1)),
            ("longest_ours_ms", rounded(longest.ours, 1)),
        ];
        figure("overhead", values);
        drop(agents);
        cluster.shutdown().await;
    });
}

/// In milliseconds.
struct Stop {
    whole: f64,
    ours: f64,
}

async fn stop(channel: &Channel, cluster: &SimCluster, cluster_id: i64, server_id: i64) -> Stop {
    let recorded = cluster.record().len();
    let request = v1::StopServerRequest { cluster_id, server_id, ..Default::default() };
    let accepted = ObServerServiceClient::new(channel.clone()).stop_server(request).await.unwrap();
    let task = closed(channel, accepted.into_inner().task.unwrap().id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:?}");
    let micros =
        |at: Option<prost_types::Timestamp>| at.map(|at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1000).unwrap();
    let (from, to) = (micros(task.create_time), micros(task.finish_time));
    let mut busy = of_cluster(&cluster.record()[recorded..]);
    busy.sort_unstable();
    let (mut theirs, mut until) = (0, from);
    for (begin, end) in busy {
        let (begin, end) = (begin.max(until), end.min(to));
        theirs += (end - begin).max(0);
        until = until.max(end);
    }
    let millis = |micros: i64| micros as f64 / 1000.0;
    Stop { whole: millis(to - from), ours: millis(to - from - theirs) }
}

/// When the cluster was at work, or something in it took its time.
fn of_cluster(record: &[Recorded]) -> Vec<(i64, i64)> {
    let last = |kind: Kind| record.iter().rev().find(|one| one.kind == kind).map(|one| one.at);
    let mut busy = Vec::new();
    for (number, one) in record.iter().enumerate() {
        if one.kind == Kind::Statement {
            // A stop is not awaited any more once its mark is seen.
            let is_over = |other: &&Recorded| {
                other.session == one.session && [Kind::Answered, Kind::SessionClosed].contains(&other.kind)
            };
            busy.extend(record[number..].iter().find(is_over).map(|over| (one.at, over.at)));
        }
    }
    // Leaders move behind the mark. A process is gone for the cluster once its lease has ended.
    busy.extend(last(Kind::MarkSet).zip(last(Kind::LeaderMoved)));
    let lease = i64::try_from(LEASE_TIME.as_micros()).unwrap();
    busy.extend(last(Kind::ProcessEnded).map(|ended| (ended, ended + lease)));
    busy
}

async fn closed(channel: &Channel, task: i64) -> v1::Task {
    let mut client = TaskServiceClient::new(channel.clone());
    let mut watch =
        client.watch_task(v1::WatchTaskRequest { task_id: task, ..Default::default() }).await.unwrap().into_inner();
    while watch.message().await.unwrap().is_some() {}
    client.get_task(v1::GetTaskRequest { task_id: task }).await.unwrap().into_inner().task.unwrap()
}

async fn register(channel: &Channel, cluster: &SimCluster) -> i64 {
    let request = v1::RegisterClusterRequest {
        endpoints: cluster.endpoints(),
        username: "root@sys".to_owned(),
        default_host: Some(v1::DefaultHost {
            transport: v1::HostTransport::Grpc as i32,
            agent_port: Some(i32::from(AGENT_PORT)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let registered = ClusterServiceClient::new(channel.clone()).register_cluster(request).await.unwrap();
    registered.into_inner().cluster.unwrap().id
}

/// Of one simulated host; ends with its standard input.
async fn agent(ip: &str, directory: &std::path::Path) -> Child {
    let state = directory.join("agents").join(ip);
    std::fs::create_dir_all(&state).unwrap();
    let listen = format!("{ip}:{AGENT_PORT}");
    let mut command = Command::new(PROGRAM);
    command.args(["agent", "--exit-with-stdin", "--one-end-per", "1", "--listen", &listen, "--state-directory"]);
    command.arg(state).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut agent = command.spawn().unwrap();
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it listens").contains("listening on") {}
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    agent
}
