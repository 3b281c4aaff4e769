//! Traces: one from the caller through everything that is done for it, to the signal at the host and over restarts; the same id in
//! answers, task, audit and log. What a collector does or does not do costs callers nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::config::{LogFormat, TracesProtocol};
use obsteward::proto::v1;
use obsteward::sim::Signal;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tonic::Request;

use crate::support::certificates::Authority;
use crate::support::collector::{Caught, Collector};
use crate::support::harness::Harness;
use crate::support::hosts::by_grpc;
use crate::support::http::request;
use crate::support::program::{Started, end_of, obsteward};
use crate::support::{Clients, PATIENCE, ServeProcess, graphs, text_of};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

/// The one span of this name.
#[track_caller]
fn named<'a>(spans: &'a [Caught], name: &str) -> &'a Caught {
    let found: Vec<&Caught> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:#?}\n{:#?}", names(spans));
    found[0]
}

fn names(spans: &[Caught]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn of_trace(spans: Vec<Caught>) -> Vec<Caught> {
    spans.into_iter().filter(|span| span.trace == TRACE).collect()
}

fn json_lines(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_one_trace_from_the_callers_span_to_the_signal() {
    let mut harness = Harness::registered().await;
    let collector = Collector::over_grpc().await;
    let endpoint = format!("http://{}", collector.address);
    harness.config.traces.endpoint = Some(endpoint.clone());
    harness.config.log.format = LogFormat::Json;
    let state = harness.directory.path().join("beside");
    let line = format!("agent --listen 127.0.0.1:0 --one-end-per 0 --state-directory {}", state.display());
    let mut agent = Started::of(obsteward(&format!("{line} --traces-endpoint {endpoint}")));
    let listening = agent.err_until(|line| line.starts_with("listening on ")).await;
    let address = listening.last().unwrap().trim_start_matches("listening on ").to_owned();
    let service = harness.serve(&[]).await;
    let host = v1::Host { svr_ip: harness.sim.server(2).unwrap().ip, ..by_grpc(&address) };
    let update = v1::UpdateClusterRequest {
        cluster_id: harness.cluster_id(&service.clients).await,
        hosts: vec![host],
        update_mask: Some(prost_types::FieldMask { paths: vec!["hosts".to_owned()] }),
        ..Default::default()
    };
    service.clients.clusters.clone().update_cluster(update).await.unwrap();

    let mut asked = Request::new(harness.request(&service.clients).await);
    asked.metadata_mut().insert("traceparent", traceparent().parse().unwrap());
    let answer = service.clients.servers.clone().stop_server(asked).await.unwrap();
    assert_eq!(answer.metadata().get("obsteward-trace-id").unwrap(), TRACE);
    let task = service.clients.at_rest(answer.into_inner().task.unwrap().id).await;
    assert_eq!((task.state(), task.trace_id.as_str()), (v1::TaskState::Successful, TRACE), "{task:#?}");
    let audit = service.clients.admin.clone().list_audit_records(v1::ListAuditRecordsRequest::default()).await;
    let records = audit.unwrap().into_inner().records;
    assert!(records.iter().any(|record| record.trace_id == TRACE && record.task_id == Some(task.id)), "{records:#?}");
    service.terminate();
    let (code, said) = service.last_words().await;
    assert_eq!(code, Some(0), "{said}");
    agent.signal(rustix::process::Signal::TERM);
    agent.ended().await.with(0);

    // Both have sent what they had when they ended.
    let spans = of_trace(collector.until(|spans| spans.iter().any(|span| span.name == "SIGTERM")).await);
    let call = named(&spans, "obsteward.v1.ObServerService/StopServer");
    assert_eq!((call.parent.as_str(), call.kind, call.service.as_str()), (CALLER, SpanKind::Server, "obsteward"));
    assert_eq!(
        (call.of("rpc.system"), call.of("rpc.method"), call.of("rpc.grpc.status_code")),
        ("grpc", "StopServer", "0")
    );
    assert_eq!(named(&spans, "permission").parent, call.id);
    let created = spans.iter().find(|span| span.name == "commit" && span.parent == call.id).unwrap();
    assert_eq!(created.of("obsteward.task.id"), task.id.to_string());
    for name in graphs::STOP.iter() {
        let subtask = named(&spans, name);
        assert_eq!((subtask.parent.as_str(), subtask.of("obsteward.subtask.state")), (call.id.as_str(), "SUCCESSFUL"));
        assert!(spans.iter().any(|span| span.name == "commit" && span.parent == subtask.id), "{subtask:?}");
    }
    let statement = named(&spans, "ALTER SYSTEM STOP SERVER");
    assert_eq!((&statement.parent, statement.kind), (&named(&spans, "Stop server").id, SpanKind::Client));
    assert_eq!(
        (statement.of("db.system.name"), statement.of("server.port").parse::<u16>().is_ok()),
        ("oceanbase", true)
    );
    assert!(spans.iter().any(|span| span.name.starts_with("SELECT ") && !span.of("db.collection.name").is_empty()));
    let ended = named(&spans, "agent stop");
    assert_eq!(ended.parent, named(&spans, "Stop observer process").id);
    let at_host = named(&spans, "obsteward.agent.v1.HostAgentService/StopObserver");
    assert_eq!((at_host.parent.as_str(), at_host.service.as_str()), (ended.id.as_str(), "obsteward-agent"));
    let signal = named(&spans, "SIGTERM");
    assert_eq!((&signal.parent, signal.of("process.pid")), (&at_host.id, harness.before.pid(2).to_string().as_str()));
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).chain([CALLER]).collect();
    assert!(spans.iter().all(|span| ids.contains(span.parent.as_str())), "a parent is missing");
    let told = format!("{spans:?}");
    assert!(!told.contains("ZONE '") && !told.contains("2882'"), "a span tells values of a statement");

    let lines = json_lines(&said);
    for words in ["sending an effect", "the task ended"] {
        let line = lines.iter().find(|line| line["message"] == words).unwrap_or_else(|| panic!("{words}: {said}"));
        assert_eq!((&line["trace_id"], &line["level"]), (&TRACE.into(), &"INFO".into()), "{line}");
    }
    let sending = lines.iter().find(|line| line["message"] == "sending an effect").unwrap();
    assert_eq!(sending["span_id"], named(&spans, "Stop server").id, "{sending}");
    assert_eq!(sending["spans"][1]["step"], "Stop server", "{sending}");
    assert!(lines.iter().all(|line| line["time"].is_string() && line["target"].is_string()), "{said}");
}

/// Where its REST gateway listens.
async fn rest_of(service: &ServeProcess) -> String {
    let told = async {
        loop {
            let said = service.said();
            let line = said.lines().find_map(|line| text_of(line).strip_prefix("REST gateway on ").map(str::to_owned));
            match line {
                Some(address) => return address,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_remembers_its_trace_over_a_restart() {
    let mut harness = Harness::registered().await;
    let collector = Collector::over_http().await;
    harness.config.traces.endpoint = Some(format!("http://{}/below/", collector.address));
    harness.config.traces.protocol = TracesProtocol::HttpProtobuf;
    let service = harness.serve(&[("OBSTEWARD_REST_LISTEN", "127.0.0.1:0")]).await;
    let v1::StopServerRequest { cluster_id, server_id, .. } = harness.request(&service.clients).await;
    for server in harness.sim.servers() {
        harness.sim.kill_process(server.id, Signal::STOP).unwrap();
    }
    let mut stream = TcpStream::connect(rest_of(&service).await).await.unwrap();
    let path = format!("/api/v2/ob/clusters/{cluster_id}/servers/{server_id}/stop");
    let headers = [("traceparent", traceparent()), ("content-type", "application/json".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = request(&mut stream, "POST", &path, &headers, "{}").await.unwrap();
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["traceId"], TRACE, "{answer}");
    let task = answer["data"]["id"].as_i64().unwrap();
    service.clients.waits_for(task, "the first answers of cluster").await;
    let first = service.pid().to_string();
    service.terminate();
    assert_eq!(service.last_words().await.0, Some(0));

    for server in harness.sim.servers() {
        harness.sim.kill_process(server.id, Signal::CONT).unwrap();
    }
    let service = harness.serve(&[]).await;
    let task = service.clients.at_rest(task).await;
    assert_eq!((task.state(), task.trace_id.as_str()), (v1::TaskState::Successful, TRACE), "{task:#?}");
    service.terminate();
    let (code, said) = service.last_words().await;
    assert_eq!(code, Some(0), "{said}");
    for words in ["took the task over", "sending an effect", "stop observer token", "the task ended"] {
        let line = said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {said}"));
        assert!(line.contains(&format!("trace_id={TRACE}")), "{line}");
    }

    let spans = of_trace(collector.until(|spans| spans.iter().any(|span| span.name == "SIGTERM")).await);
    let call = named(&spans, "POST /api/v2/ob/clusters/{id}/servers/{serverId}/stop");
    assert_eq!((call.parent.as_str(), call.of("http.response.status_code")), (CALLER, "200"));
    assert_eq!((call.of("http.request.method"), call.of("http.route")), ("POST", &call.name["POST ".len()..]));
    let attempts: Vec<&Caught> = spans.iter().filter(|span| span.name == graphs::STOP[0]).collect();
    let [before, after] = &attempts[..] else { panic!("{attempts:#?}") };
    assert!(attempts.iter().all(|attempt| attempt.parent == call.id), "{attempts:#?}");
    assert_eq!((&before.pid, &call.pid), (&first, &first));
    assert_ne!(after.pid, first);
    let signal = named(&spans, "SIGTERM");
    assert_eq!(named(&spans, "agent stop").id, signal.parent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_dead_or_hangs_costs_nothing_and_is_said_once() {
    const CALLS: u32 = 200;
    let mut harness = Harness::registered().await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hangs = hanging.local_addr().unwrap();
    let mut took = Vec::new();
    for endpoint in [None, Some(dead), Some(hangs)] {
        for protocol in [TracesProtocol::Grpc, TracesProtocol::HttpProtobuf] {
            harness.config.traces.endpoint = endpoint.map(|address| format!("http://{address}"));
            harness.config.traces.protocol = protocol;
            let mut service = harness.serve(&[]).await;
            let began = monotonic_now();
            for _ in 0..CALLS {
                harness.cluster_id(&service.clients).await;
            }
            took.push((endpoint, began.elapsed()));
            if endpoint == Some(dead) {
                // Long enough for more than one try.
                let said = async {
                    while !service.said().contains("spans of traces are not taken by") {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::time::timeout(PATIENCE, said).await.unwrap();
            }
            service.terminate();
            assert!(service.ended_within(Duration::from_secs(4)).await.is_some(), "{}", service.said());
            let (code, said) = service.last_words().await;
            assert_eq!(code, Some(0), "{said}");
            let times = said.matches("spans of traces are not taken by").count();
            assert_eq!(times, usize::from(endpoint == Some(dead)), "{said}");
        }
    }
    println!("{CALLS} calls: {took:?}");
    let without = took.iter().filter(|(endpoint, _)| endpoint.is_none()).map(|(_, took)| *took).max().unwrap();
    // A second is what one try alone lasts, if calls waited for it.
    assert!(took.iter().all(|(_, took)| *took < without + Duration::from_secs(1)), "{took:?}");
}

/// `obsteward serve` without a cluster, with a section of traces.
fn serve(directory: &Path, traces: &str) -> Command {
    let config = directory.join("serve.toml");
    std::fs::write(&config, format!("[sync]\nenabled = false\n[traces]\n{traces}")).unwrap();
    let store = directory.join("obsteward.db");
    let (config, store) = (config.display(), store.display());
    obsteward(&format!("serve --no-auth --listen 127.0.0.1:0 --config {config} --store {store}"))
}

/// `obsteward-trace-id` of a call.
async fn call(service: &mut Started) -> String {
    let said = service.err_until(|line| line.starts_with("listening on ")).await;
    let clients = Clients::of(said.last().unwrap().trim_start_matches("listening on "));
    let answer = clients.clusters.clone().list_clusters(v1::ListClustersRequest::default()).await.unwrap();
    answer.metadata().get("obsteward-trace-id").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_collector_is_reached_over_tls_with_the_headers_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("collectors"), Authority::new("strangers"));
    let collector = Collector::over_tls(&authority.server(), "Bearer s3cret").await;
    let (ca_file, headers_file) = (directory.path().join("ca.pem"), directory.path().join("headers"));
    let traces = format!(
        "endpoint = \"https://{}\"\nca_file = {ca_file:?}\nheaders_file = {headers_file:?}\n",
        collector.address
    );
    // Not trusted; trusted, and not known by it; both.
    for (trusted, authorization, taken) in
        [(&stranger, "Bearer s3cret", false), (&authority, "Bearer n0body", false), (&authority, "Bearer s3cret", true)]
    {
        std::fs::write(&ca_file, &trusted.pem).unwrap();
        std::fs::write(&headers_file, format!("authorization: {authorization}\n")).unwrap();
        let mut service = Started::of(serve(directory.path(), &traces));
        let trace = call(&mut service).await;
        service.signal(rustix::process::Signal::TERM);
        let ended = service.ended().await.with(0);
        assert_eq!(ended.err.contains("spans of traces are not taken by https://"), !taken, "{}", ended.err);
        assert!(!ended.err.contains("s3cret") && !ended.err.contains("n0body"), "{}", ended.err);
        let caught = collector.until(|_| true).await;
        assert_eq!(caught.iter().any(|span| span.trace == trace && span.name.ends_with("/ListClusters")), taken);
    }
}

#[tokio::test]
async fn traces_that_cannot_be_sent_as_configured_are_said_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    for (traces, said) in [
        ("endpoint = \"otel:4317\"", "traces.endpoint: \"otel:4317\" is no collector, write http://host:port"),
        ("endpoint = \"http://h\"\nheaders_file = \"/nothing\"", "traces.headers_file: /nothing cannot be read"),
        ("endpoint = \"https://h\"\nca_file = \"/nothing\"", "traces.ca_file: "),
        ("endpoint = \"http://h\"\nsample_ratio = 2", "2 is no part of all traces, write 0.0 to 1.0"),
    ] {
        let ended = end_of(serve(directory.path(), traces)).await;
        assert!(ended.code != Some(0) && ended.err.contains(said), "{said}: {}", ended.err);
    }
}

/// Whether this trace is among those that a ratio takes is the caller's to say, not the ratio's.
#[tokio::test]
async fn of_traces_that_begin_here_none_is_sent_when_none_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let collector = Collector::over_grpc().await;
    let mut service =
        Started::of(serve(directory.path(), &format!("endpoint = \"http://{}\"\nsample_ratio = 0", collector.address)));
    let said = service.err_until(|line| line.starts_with("listening on ")).await;
    let mut clusters = Clients::of(said.last().unwrap().trim_start_matches("listening on ")).clusters;
    for given in [None, Some(traceparent()), Some(traceparent().replace("-01", "-00")), Some("00-what".to_owned())] {
        let mut asked = Request::new(v1::ListClustersRequest::default());
        if let Some(given) = &given {
            asked.metadata_mut().insert("traceparent", given.parse().unwrap());
        }
        let answer = clusters.list_clusters(asked).await.unwrap();
        let trace = answer.metadata().get("obsteward-trace-id").unwrap().to_str().unwrap();
        let own = given.is_some_and(|given| given.len() == traceparent().len());
        assert_eq!((trace.len(), trace == TRACE), (32, own));
    }
    service.signal(rustix::process::Signal::TERM);
    service.ended().await.with(0);
    let caught = collector.until(|caught| !caught.is_empty()).await;
    let calls: Vec<&str> = caught.iter().filter(|span| span.parent == CALLER).map(|span| span.trace.as_str()).collect();
    assert_eq!(calls, [TRACE]);
    assert!(caught.iter().all(|span| span.trace == TRACE), "{caught:#?}");
}
