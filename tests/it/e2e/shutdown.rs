//! The end. Whoever asks the service to end gets that at once, whatever others keep open or leave unanswered: a cluster that
//! takes connections and never answers, health watches, streams and connections that nobody reads.

use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::proto::v1;
use obsteward::sim::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::support::harness::Harness;
use crate::support::http::get;
use crate::support::{PATIENCE, ServeProcess};

/// Far more than it takes, and far less than the five seconds that a call or an effect in flight may take.
const PROMPT: Duration = Duration::from_secs(2);

/// What begins a connection of HTTP/2: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn ends_promptly(mut service: ServeProcess) {
    let began = monotonic_now();
    service.terminate();
    let ended = service.ended_within(PROMPT).await;
    println!("from SIGTERM to the end: {:?}", began.elapsed());
    let (code, said) = match ended {
        Some(_) => service.last_words().await,
        None => panic!("it is still there after {PROMPT:?}: {}", service.said()),
    };
    assert_eq!(code, Some(0), "{said}");
}

/// Every process of the cluster is stopped: the kernel takes connections for them, and nobody answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_never_answers_does_not_delay_the_end() {
    let mut harness = Harness::registered().await;
    harness.config.stop.reading_seconds = 600;
    let service = harness.serve(&[]).await;
    let request = harness.request(&service.clients).await;
    for server in harness.sim.servers() {
        harness.sim.kill_process(server.id, Signal::STOP).unwrap();
    }
    let task = service.clients.stop_with(request).await.unwrap().id;
    service.clients.waits_for(task, "the first answers of cluster").await;
    ends_promptly(service).await;

    // The next one takes the task over, which is a wait for the same cluster.
    let service = harness.serve(&[]).await;
    service.clients.waits_for(task, "the first answers of cluster").await;
    ends_promptly(service).await;

    for server in harness.sim.servers() {
        harness.sim.kill_process(server.id, Signal::CONT).unwrap();
    }
    let service = harness.serve(&[]).await;
    let task = service.clients.at_rest(task).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_keep_open_does_not_delay_the_end() {
    let harness = Harness::registered().await;
    let service = harness.serve(&[("OBSTEWARD_REST_LISTEN", "127.0.0.1:0")]).await;
    let rest = async {
        loop {
            let said = service.said();
            let line = said.lines().find_map(|line| line.strip_prefix("REST gateway on ").map(str::to_owned));
            match line {
                Some(address) => return address,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let rest = tokio::time::timeout(PATIENCE, rest).await.unwrap();
    let channel = Endpoint::from_shared(format!("http://{}", service.address)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let mut health = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let first = health.message().await.unwrap().unwrap();
    assert_eq!(first.status, ServingStatus::Serving as i32);
    let asked = tokio_stream::pending();
    let _reflection = ServerReflectionClient::new(channel).server_reflection_info(asked).await.unwrap();
    let mut watch = service.clients.tasks.clone();
    let mut watch = watch.watch_tasks(v1::WatchTasksRequest::default()).await.unwrap().into_inner();

    let open = async |address: &str, said: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        stream
    };
    let mut held = Vec::new();
    for address in [service.address.as_str(), rest.as_str()] {
        held.push(open(address, b"").await);
        // Answers no ping of ours, and reads nothing.
        held.push(open(address, PREFACE).await);
    }
    let mut idle = open(&rest, b"").await;
    assert_eq!(get(&mut idle, "/nothing").await.unwrap().status, 404);
    held.push(idle);

    ends_promptly(service).await;
    // Readiness turned before the watch was ended.
    let last = health.message().await.unwrap().expect("the watch ended before it said that the service is not ready");
    assert_eq!(last.status, ServingStatus::NotServing as i32);
    assert_eq!(health.message().await.unwrap(), None);
    let told = loop {
        match watch.next().await.unwrap() {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(told.code(), Code::Unavailable, "{told:?}");
    drop(held);
}
