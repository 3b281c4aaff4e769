//! What the verbs share: the revision, or the state that the verb leaves behind, makes a repeat after a lost answer harmless.

use std::time::Duration;

use clap::Args;
use tonic::{Code, Response, Status};

use super::show::get;
use crate::cli::client::{Client, READ_TIMEOUT, bounded};
use crate::cli::exit::{Exit, Goal};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::retry::{Backoff, is_lost};
use crate::cli::times;
use crate::cli::watch_line::WatchLine;
use crate::cli::watching::Watching;
use crate::cli::words;
use crate::clock::{Clock, monotonic_now};
use crate::proto::json::Json;
use crate::proto::v1;

/// How long a verb whose answer was lost is repeated.
const REPEAT_FOR: Duration = Duration::from_secs(60);

/// Arguments of a verb with which a task goes on, forward or back.
#[derive(Debug, Args)]
pub struct GoOnArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    pub task: i64,
    /// Refused unless the task is at this revision [default: the one it is at now]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub if_revision: Option<i64>,
    /// No process is ended later than this from now [default: the server's, two hours]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    expire_in: Option<Duration>,
    /// How far it is followed.
    #[command(flatten)]
    pub watching: Watching,
}

impl GoOnArgs {
    /// When the consent that is given with it ends.
    pub fn expire_time(&self) -> Option<prost_types::Timestamp> {
        self.expire_in.map(|expire_in| times::to_proto(Clock::system().now().plus(expire_in)))
    }
}

/// Asks for a verb. After a lost answer the same is asked again: a task that moved on since then refuses it, so that
/// nothing is done twice, and the outcome of the first request is reported as unknown.
pub async fn ask<T>(
    client: &Client,
    output: &Output,
    doing: &'static str,
    task_id: i64,
    mut call: impl AsyncFnMut() -> Result<Response<T>, Status>,
) -> Result<T, Failure> {
    let mut backoff = Backoff::default();
    let until = monotonic_now() + REPEAT_FOR;
    let mut lost_before = false;
    client.asks_to_change();
    loop {
        let status = match bounded(READ_TIMEOUT, call()).await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        if lost_before && matches!(status.code(), Code::Aborted | Code::FailedPrecondition) {
            let task = get(client, task_id).await?;
            return Err(Failure::Unknown(format!(
                "{doing}: the first answer was lost and task {task_id} has moved since, perhaps by this very request; \
                 it is {} at revision {}, see obsteward tasks show {task_id}",
                words::task_state(task.state),
                task.revision
            )));
        }
        let pause = backoff.pause(&status);
        if !is_lost(&status) || monotonic_now() + pause >= until {
            return Err(client.failure(doing, status));
        }
        lost_before = true;
        output.note(&format!("no answer yet, asking again for the same in {}", times::brief(pause)));
        tokio::time::sleep(pause).await;
    }
}

/// The revision to act on: the given one, or the one at which the task is now.
pub async fn revision(client: &Client, task_id: i64, given: Option<i64>) -> Result<i64, Failure> {
    match given {
        Some(revision) => Ok(revision),
        None => Ok(get(client, task_id).await?.revision),
    }
}

/// The task of an answer.
pub fn task_of(task: Option<v1::Task>) -> Result<v1::Task, Failure> {
    task.ok_or_else(|| Failure::Unknown("the server answered without a task, see obsteward tasks show".to_owned()))
}

/// Shows a task of which something was asked at `revision`, and follows it when that is wanted. `what`: what it does now.
pub async fn show(
    client: &Client,
    output: &Output,
    task: v1::Task,
    what: &str,
    revision: i64,
    watching: Watching,
    goal: Goal,
) -> Result<Exit, Failure> {
    match output.format {
        Format::Text => {}
        Format::Json if watching.watch => output.json_line(&WatchLine::Task(Json(&task)))?,
        Format::Json => output.document(&Json(&task))?,
    }
    // The events of the request itself are shown too.
    watching.go_on(client, output, task, what, Some(revision), goal).await
}
