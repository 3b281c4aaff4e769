//! What the service tells of itself by numbers: every name that the dashboard, the alerts and the guide know is told, and
//! Prometheus' own tools read all of it. And the probes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use obsteward::api::probes::{self, Readiness};
use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind};
use obsteward::store::Store;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::support::temporary_store::TemporaryStore;
use crate::support::{Stage, begins, quick};

const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const ALERTS_TEST: &str = "deploy/prometheus/alerts_test.yaml";
const DASHBOARD: &str = "deploy/grafana/obsteward.json";
const GUIDE: &str = "docs/guide/operations.md";

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs it and fails with what it says unless it is content.
async fn promtool(arguments: &[&str], input: &str) {
    let program = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool does not start: run the tests with scripts/test, which installs it, or set PROMTOOL");
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    let said = [ended.stdout, ended.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    assert!(ended.status.success(), "promtool {arguments:?}: {said}\n{input}");
}

/// The names of ours that an expression asks for.
fn asked(expression: &str) -> BTreeSet<String> {
    let of_name = |at: char| at.is_ascii_alphanumeric() || at == '_';
    let words = expression
        .split(|at| !of_name(at))
        .filter(|word| ["obsteward_", "rpc_server_", "http_server_"].iter().any(|ours| word.starts_with(ours)));
    words.map(str::to_owned).collect()
}

/// The types of the metrics in an answer, by their names.
fn types(told: &str) -> BTreeMap<&str, &str> {
    let lines = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    lines.collect()
}

/// The names under which samples of a metric are told.
fn samples(name: &str, kind: &str) -> Vec<String> {
    match kind {
        "histogram" => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
        "counter" => vec![format!("{name}_total")],
        "gauge" => vec![name.to_owned()],
        other => panic!("{name} is a {other}"),
    }
}

/// The value of a sample, whatever the order of its labels.
#[track_caller]
fn value(told: &str, name: &str, labels: &[&str]) -> f64 {
    let prefix = format!("{name}{{");
    let of_it = |line: &&str| {
        (line.starts_with(&prefix) || line.starts_with(&format!("{name} ")))
            && labels.iter().all(|one| line.contains(one))
    };
    let line = told.lines().find(of_it).unwrap_or_else(|| panic!("no {name} {labels:?} in {told}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn expressions_of_alerts() -> Vec<String> {
    let rules: Value = serde_yaml_ng::from_str(&text(ALERTS)).unwrap();
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect()
}

fn expressions_of_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let targets = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let mut all: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    all.extend(variables.filter_map(|variable| variable["definition"].as_str()).map(str::to_owned));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_measured_and_what_dashboard_alerts_and_guide_know_is_told() {
    let listening = |config: &mut Config| {
        config.metrics.listen = Some(([127, 0, 0, 1], 0).into());
        config.rest.listen = Some(([127, 0, 0, 1], 0).into());
    };
    let stage = Stage::with(quick(), listening).await;
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful);
    let missing = v1::GetTaskRequest { task_id: 4711 };
    stage.clients.tasks.clone().get_task(missing).await.unwrap_err();
    assert_eq!(stage.rest().get("/api/v2/tasks/instances/4711").await.status, StatusCode::NOT_FOUND);
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(stage.rest().get(probe).await.status, StatusCode::OK);
        assert_eq!(stage.beside().get(probe).await.status, StatusCode::OK);
    }

    let told = stage.metrics().await;
    let (ok, not_found) = ("rpc_response_status_code=\"OK\"", "rpc_response_status_code=\"NOT_FOUND\"");
    let calls = "rpc_server_call_duration_seconds_count";
    assert_eq!(value(&told, calls, &["obsteward.v1.ObServerService/StopServer\"", ok]), 1.0);
    assert_eq!(value(&told, calls, &["obsteward.v1.TaskService/GetTask\"", not_found]), 1.0);
    assert_eq!(value(&told, calls, &["obsteward.v1.TaskService/WatchTask\"", ok]), 1.0);
    let route = "http_route=\"/api/v2/tasks/instances/{taskInstanceId}\"";
    assert_eq!(value(&told, "http_server_request_duration_seconds_count", &[route, "\"GET\"", "\"404\""]), 1.0);
    let stop = "task=\"Stop OB server\"";
    assert_eq!(value(&told, "obsteward_task_duration_seconds_count", &[stop, "\"SUCCESSFUL\""]), 1.0);
    assert_eq!(value(&told, "obsteward_task_transitions_total", &[stop, "\"SUCCESSFUL\""]), 1.0);
    let subtasks = told.lines().filter(|line| line.starts_with("obsteward_subtask_duration_seconds_count"));
    assert_eq!(subtasks.count(), task.subtasks.len(), "{told}");
    // The statement and the end of the process.
    let effects = told.lines().filter(|line| line.starts_with("obsteward_effect_duration_seconds_count"));
    assert_eq!(effects.filter(|line| line.contains("outcome=\"DONE\"") && line.ends_with(" 1")).count(), 2, "{told}");
    assert!(value(&told, "obsteward_store_commit_duration_seconds_count", &[]) >= 10.0);
    assert_eq!(value(&told, "obsteward_store_queued_writes", &[]), 0.0);
    assert!(value(&told, "obsteward_cluster_call_duration_seconds_count", &["call=\"open\"", "\"ok\""]) >= 1.0);
    assert!(
        value(&told, "obsteward_host_call_duration_seconds_count", &["call=\"stop\"", "\"local\"", "\"ok\""]) >= 1.0
    );
    assert_eq!(value(&told, "obsteward_cluster_reading_failed", &[]), 0.0);
    assert!(value(&told, "obsteward_runtime_busy_seconds_total", &["\"engine\""]) > 0.0);
    assert!(!told.contains("\nobsteward_open_tasks{"), "{told}");

    // Each name that somebody may ask for, and each that the guide explains.
    let types = types(&told);
    let known: BTreeSet<String> = types.iter().flat_map(|(name, kind)| samples(name, kind)).collect();
    for expression in expressions_of_alerts().iter().chain(&expressions_of_dashboard()) {
        let asked = asked(expression);
        assert!(!asked.is_empty() && asked.is_subset(&known), "{expression} asks for what nobody tells, of {known:?}");
    }
    let guide = text(GUIDE);
    let names: BTreeSet<String> = types
        .iter()
        .map(|(name, kind)| if *kind == "counter" { format!("{name}_total") } else { (*name).to_owned() })
        .collect();
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let explained: BTreeSet<String> =
        rows.map(|(name, _)| name.to_owned()).filter(|name| !asked(name).is_empty()).collect();
    assert_eq!(explained, names, "the guide explains other metrics than there are");

    // In both texts.
    for line in told.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(known.contains(name), "{line}");
    }
    let plain = stage.beside().get("/metrics").await;
    assert!(plain.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    promtool(&["check", "metrics"], &plain.text).await;
}

/// What is over is gone from the next answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_for_a_person_is_told_until_it_is_closed() {
    let stage = Stage::with(quick(), |config| config.metrics.listen = Some(([127, 0, 0, 1], 0).into())).await;
    let until = stage.clock.now().plus(Duration::from_secs(1800));
    let hold_until = Some(obsteward::watch::encode::timestamp(until));
    let request = v1::StopServerRequest { hold_until, ..stage.request(2).await };
    let task = stage.clients.stop_with(request).await.unwrap();
    stage.clients.events_until(task.id, 0, |event| begins(event, "Hold observer")).await.1.unwrap();
    stage.clock.advance(Duration::from_secs(60));
    let of_task = format!("task_id=\"{}\"", task.id);
    let told = stage.metrics().await;
    assert!((60.0..90.0).contains(&value(&told, "obsteward_held_server_age_seconds", &[&of_task])), "{told}");
    assert_eq!(value(&told, "obsteward_open_tasks", &["\"Hold OB server\"", "\"RUNNING\""]), 1.0);
    assert_eq!(value(&told, "obsteward_driven_tasks", &[]), 1.0);

    let request = v1::CancelTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().cancel_task(request).await.unwrap();
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Cancelled);
    let sync = v1::SyncClusterRequest { cluster_id: stage.cluster_id, ..Default::default() };
    stage.clients.clusters.clone().sync_cluster(sync).await.unwrap();
    stage.clock.advance(Duration::from_secs(60));
    let told = stage.metrics().await;
    let age = value(&told, "obsteward_resting_task_age_seconds", &[&of_task, "\"CANCELLED\""]);
    assert!((60.0..90.0).contains(&age), "{told}");
    // One hour, by the cluster's own clock.
    let left = value(&told, "obsteward_permanent_offline_remaining_seconds", &[&of_task]);
    assert!((3300.0..3600.0).contains(&left), "{told}");
    assert!(!told.contains("\nobsteward_held_server_age_seconds{"), "{told}");

    let request = v1::GiveUpTaskRequest { task_id: task.id, ..Default::default() };
    stage.clients.tasks.clone().give_up_task(request).await.unwrap();
    let told = stage.metrics().await;
    assert!(!told.contains("\nobsteward_resting_task_age_seconds{"), "{told}");
    assert_eq!(value(&told, "obsteward_task_duration_seconds_count", &["\"GIVEN_UP\""]), 1.0);
}

#[tokio::test]
async fn alerts_are_valid_and_fire_when_they_should() {
    promtool(&["check", "rules", path(ALERTS).to_str().unwrap()], "").await;
    promtool(&["test", "rules", path(ALERTS_TEST).to_str().unwrap()], "").await;
}

#[tokio::test]
async fn every_expression_of_the_dashboard_is_valid() {
    let expressions = expressions_of_dashboard().into_iter().filter(|one| !one.starts_with("label_values("));
    // As Grafana fills them in.
    let filled = expressions.map(|one| one.replace("$__rate_interval", "5m").replace("$cluster", ".*"));
    let rules =
        filled.enumerate().map(|(number, expr)| serde_json::json!({"record": format!("panel:{number}"), "expr": expr}));
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules.collect::<Vec<_>>()}]});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), groups.to_string()).unwrap();
    promtool(&["check", "rules", file.path().to_str().unwrap()], "").await;
}

#[tokio::test(start_paused = true)]
async fn a_service_is_ready_from_its_start_to_its_end_while_its_store_answers() {
    let (store, ending) = (TemporaryStore::new(), CancellationToken::new());
    let readiness = Readiness::new(Arc::new(store.clone()) as Arc<dyn Store>, ending.clone());
    let router = probes::router(Arc::clone(&readiness));
    let ask = async |probe: &str| {
        let request = Request::get(probe).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(ask("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    readiness.serves();
    assert_eq!(ask("/readyz").await, StatusCode::OK);
    store.switches.held.send_replace(true);
    assert_eq!(ask("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    store.switches.held.send_replace(false);
    assert_eq!(ask("/readyz").await, StatusCode::OK);
    ending.cancel();
    assert_eq!(ask("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask("/healthz").await, StatusCode::OK);
}

/// An effect in flight has its seconds; whoever asks meanwhile hears that nobody else is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_says_until_its_end_that_it_is_not_ready() {
    let listening = |config: &mut Config| {
        config.metrics.listen = Some(([127, 0, 0, 1], 0).into());
        config.stop.grace_seconds = 10;
    };
    let mut stage = Stage::with(quick(), listening).await;
    stage.sim.inject(Fault::on(FaultKind::ExitSlowly { delay_ms: 2000 }, 2));
    let task = stage.clients.stop_with(stage.request(2).await).await.unwrap();
    stage.clients.waits_for(task.id, "waits for the answer to end").await;
    let beside = stage.beside();
    assert_eq!(beside.get("/readyz").await.status, StatusCode::OK);
    let asked = async {
        loop {
            let answer = beside.get("/readyz").await;
            if answer.status != StatusCode::OK {
                return (answer, beside.get("/healthz").await.status);
            }
        }
    };
    let ((), (ready, alive)) = tokio::join!(stage.end_service(), asked);
    assert_eq!((ready.status, ready.text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "the service ends"));
    assert_eq!(alive, StatusCode::OK);
    stage.restart().await;
    assert_eq!(stage.clients.at_rest(task.id).await.state(), v1::TaskState::Successful);
}
