//! `obsteward tasks diagnose`: everything that is known of a task and of what it acts on, as one JSON document. Every part is
//! read by itself and side by side with the others, within one bound: what does not answer is named, and costs only itself.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use prost::{Message, Name};
use serde::Serialize;
use serde_json::{Value, json};
use tonic::Response;

use super::client::{Client, VERSION};
use super::error::ErrorDoc;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::tasks::log;
use super::times;
use super::view::TaskView;
use crate::clock::Clock;
use crate::proto::json::value;
use crate::proto::v1;
use crate::proto::v1::get_cluster_request::By;
use crate::proto::v1::watch_task_response::Kind;

/// Most audit records that are handed on; a task has a handful.
const MOST_RECORDS: i32 = 1000;

/// Arguments of `tasks diagnose`.
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Write the document to this file instead of to standard output; one that is new may be read by you only
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Longest wait for any part; what has not answered then is left out
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = times::parse_duration)]
    timeout: Duration,
}

/// All there is to know of a task, as one document to hand on. It is made of what the other commands show, none of which holds a
/// secret. What could not be read is absent, or is what came before it failed; `not_read` says why.
#[derive(Debug, Serialize)]
struct Diagnosis {
    /// When it was made, by the clock of the machine that made it.
    made_at: String,
    versions: Versions,
    /// URL of the obsteward server.
    obsteward: String,
    /// The task when the rest began to be read.
    task: Value,
    /// Its events from the first up to that revision.
    events: Vec<Value>,
    /// The log of each subtask, in execution order.
    logs: Vec<Value>,
    /// Its cluster as last recorded.
    cluster: Option<Value>,
    /// Its server, with its process as just found on its host.
    server: Option<Value>,
    /// What the same stop would meet now; absent for a task that stops nothing.
    plan: Option<Value>,
    /// Who asked for what of it, newest first.
    audit: Option<Value>,
    /// What could not be read, or not wholly.
    not_read: Vec<NotRead>,
}

#[derive(Debug, Serialize)]
struct Versions {
    client: &'static str,
    /// The server says it with each answer.
    server: Option<String>,
}

#[derive(Debug, Serialize)]
struct NotRead {
    /// Its key in the document.
    part: &'static str,
    error: ErrorDoc,
}

/// Runs the command. The document is JSON whatever the format of other results; a part that is missing is no failure.
pub async fn run(args: DiagnoseArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let document = diagnose(client, args.task, args.timeout).await?;
    match &args.file {
        None => output.document(&document)?,
        Some(file) => write(file, &document)?,
    }
    for missing in &document.not_read {
        output.note(&format!("could not read {}: {}", missing.part, super::table::flat(&missing.error.line())));
    }
    if let Some(file) = &args.file {
        output.note(&format!("the diagnosis of task {} is in {}", args.task, file.display()));
    }
    Ok(Exit::Done)
}

/// Reads all parts. Without the task itself there is nothing to tell.
async fn diagnose(client: &Client, task_id: i64, limit: Duration) -> Result<Diagnosis, Failure> {
    let made_at = Clock::system().now().to_string();
    let (task, server_version) = first(client, task_id, limit).await?;
    let request = v1::GetSubtaskLogRequest { task_id, ..Default::default() };
    let ((events, events_failure), (lines, log_failure), cluster, server, plan, audit) = tokio::join!(
        events(client, &task, limit),
        log::read(client, request, limit),
        cluster(client, &task, limit),
        server(client, &task, limit),
        plan(client, &task, limit),
        audit(client, task_id, limit),
    );
    let mut not_read = Vec::new();
    let mut missing = |part, failure: Failure| not_read.push(NotRead { part, error: failure.document() });
    events_failure.into_iter().for_each(|failure| missing("events", failure));
    log_failure.into_iter().for_each(|failure| missing("logs", failure));
    let cluster = cluster.map_err(|failure| missing("cluster", failure)).ok();
    let server = server.map_err(|failure| missing("server", failure)).ok();
    let plan = plan.map_err(|failure| missing("plan", failure)).ok().flatten();
    let audit = audit.map_err(|failure| missing("audit", failure)).ok();
    let view = TaskView::new(task);
    Ok(Diagnosis {
        made_at,
        versions: Versions { client: env!("CARGO_PKG_VERSION"), server: server_version },
        obsteward: client.url().to_owned(),
        task: document(view.task())?,
        events: documents(&events)?,
        logs: view.subtasks().map(|subtask| log_of(subtask, &lines)).collect::<Result<_, _>>()?,
        cluster,
        server,
        plan,
        audit,
        not_read,
    })
}

/// The task, and the version that the server says with its answer.
async fn first(client: &Client, task_id: i64, limit: Duration) -> Result<(v1::Task, Option<String>), Failure> {
    let mut tasks = client.tasks();
    let with_version = async {
        let (metadata, answer, _) = tasks.get_task(v1::GetTaskRequest { task_id }).await?.into_parts();
        let version = metadata.get(VERSION).and_then(|version| version.to_str().ok()).map(str::to_owned);
        Ok(Response::new((answer.task, version)))
    };
    let (task, version) = client.call("get task", limit, with_version).await?;
    Ok((of_answer(task, "a task")?, version))
}

/// The events up to the task's revision; when reading them failed, those that came before, and why.
async fn events(client: &Client, task: &v1::Task, limit: Duration) -> (Vec<v1::TaskEvent>, Option<Failure>) {
    let mut events = Vec::new();
    let mut tasks = client.tasks();
    let request = v1::WatchTaskRequest { task_id: task.id, after_revision: Some(0), ..Default::default() };
    let whole = async {
        let mut messages = tasks.watch_task(request).await?.into_inner();
        let mut at = 0;
        while at < task.revision
            && let Some(message) = messages.message().await?
        {
            if let Some(Kind::Event(event)) = message.kind {
                at = event.revision;
                events.push(event);
            }
        }
        Ok(Response::new(()))
    };
    let ended = client.call("watch task", limit, whole).await;
    (events, ended.err())
}

async fn cluster(client: &Client, task: &v1::Task, limit: Duration) -> Result<Value, Failure> {
    let request = v1::GetClusterRequest { by: Some(By::ClusterId(ids(task).0)) };
    let cluster = client.call("get cluster", limit, client.clusters().get_cluster(request)).await?.cluster;
    document(&of_answer(cluster, "a cluster")?)
}

async fn server(client: &Client, task: &v1::Task, limit: Duration) -> Result<Value, Failure> {
    let (cluster_id, server_id) = ids(task);
    let request = v1::GetServerRequest { cluster_id, server_id };
    let server = client.call("get server", limit, client.servers().get_server(request)).await?.server;
    document(&of_answer(server, "a server")?)
}

/// With what the task was asked with, so that the plan judges as its precheck would now; nothing for a task that stops nothing.
async fn plan(client: &Client, task: &v1::Task, limit: Duration) -> Result<Option<Value>, Failure> {
    if task.stop_type() == v1::StopType::Unspecified {
        return Ok(None);
    }
    let (cluster_id, server_id) = ids(task);
    let request = v1::PlanStopServerRequest {
        cluster_id,
        server_id,
        force: task.force,
        accept_risks: task.accepted_risks.clone(),
        r#type: task.stop_type,
        freeze_before_stop: task.freeze_before_stop,
    };
    let plan = client.call("plan stop", limit, client.servers().plan_stop_server(request)).await?.plan;
    document(&of_answer(plan, "a plan")?).map(Some)
}

async fn audit(client: &Client, task_id: i64, limit: Duration) -> Result<Value, Failure> {
    let request = v1::ListAuditRecordsRequest { task_id: Some(task_id), page_size: MOST_RECORDS, ..Default::default() };
    let page = client.call("list audit records", limit, client.admin().list_audit_records(request)).await?;
    let more = !page.next_page_token.is_empty();
    Ok(json!({ "records": documents(&page.records)?, "more": more }))
}

fn log_of(subtask: &v1::Subtask, lines: &[v1::SubtaskLogLine]) -> Result<Value, Failure> {
    let own = lines.iter().filter(|line| line.subtask_id == subtask.id);
    Ok(json!({ "subtask_id": subtask.id, "subtask": subtask.name, "lines": documents(own)? }))
}

fn document<M: Message + Name>(message: &M) -> Result<Value, Failure> {
    value(message).map_err(|error| Failure::NoAnswer(format!("the server's answer cannot be written as JSON: {error}")))
}

fn documents<'a, M: Message + Name + 'a>(messages: impl IntoIterator<Item = &'a M>) -> Result<Vec<Value>, Failure> {
    messages.into_iter().map(document).collect()
}

/// Cluster and server of a task; 0, which the server refuses, when it names none.
fn ids(task: &v1::Task) -> (i64, i64) {
    let cluster = task.cluster.as_ref().map(|cluster| cluster.id);
    (cluster.unwrap_or_default(), task.server().map(|server| server.id).unwrap_or_default())
}

fn of_answer<T>(part: Option<T>, what: &str) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::NoAnswer(format!("the server answered without {what}")))
}

/// A file is made for its owner only: addresses and names of a database are in it.
fn write(file: &Path, document: &Diagnosis) -> Result<(), Failure> {
    let told = |error: io::Error| format!("cannot write {}: {error}", file.display());
    let mut text = serde_json::to_string_pretty(document).map_err(|error| Failure::Local(told(error.into())))?;
    text.push('\n');
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    let mut opened = opened.map_err(|error| Failure::Usage(told(error)))?;
    opened.write_all(text.as_bytes()).map_err(|error| Failure::Local(told(error)))
}
