//! A request that is accepted as a task: sent until it is answered, always under the same request id, then shown, and followed
//! when that is wanted.

use std::time::Duration;

use serde::Serialize;
use tonic::{Response, Status};

use super::client::{Client, READ_TIMEOUT, bounded};
use super::exit::{Exit, Goal};
use super::failure::Failure;
use super::lines::going_back;
use super::output::{Format, Output};
use super::retry::{Backoff, is_lost};
use super::times;
use super::watching::Watching;
use crate::clock::monotonic_now;
use crate::proto::json::Json;
use crate::proto::v1;

/// How long a request whose answer was lost is repeated.
const REPEAT_FOR: Duration = Duration::from_secs(60);

/// Asks for the task; a lost answer is asked for again with the same id, which gets the same task.
pub async fn send(
    client: &Client,
    output: &Output,
    doing: &'static str,
    request_id: &str,
    mut call: impl AsyncFnMut() -> Result<Response<Option<v1::Task>>, Status>,
) -> Result<v1::Task, Failure> {
    let mut backoff = Backoff::default();
    let until = monotonic_now() + REPEAT_FOR;
    client.asks_to_change();
    loop {
        let status = match bounded(READ_TIMEOUT, call()).await {
            Ok(Some(task)) => return Ok(task),
            Ok(None) => {
                return Err(Failure::Unknown(format!(
                    "the server answered request {request_id} without a task, see tasks list"
                )));
            }
            Err(status) => status,
        };
        let pause = backoff.pause(&status);
        if !is_lost(&status) || monotonic_now() + pause >= until {
            let lost = is_lost(&status);
            let mut failure = client.failure(doing, status);
            if let Failure::Rpc { hint, .. } = &mut failure
                && lost
            {
                *hint = Some(format!(
                    "repeat the command with --request-id {request_id}: if the task was accepted, the same one answers"
                ));
            }
            return Err(failure);
        }
        output.note(&format!("no answer yet, asking again with the same request id in {}", times::brief(pause)));
        tokio::time::sleep(pause).await;
    }
}

/// What `obsteward stop`, `start` or `restart` did, as a document.
#[derive(Default, Serialize)]
pub struct AcceptedDocument<'a> {
    /// The plan; absent for a start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Json<'a, v1::StopPlan>>,
    /// UUID of the request; absent when nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// The accepted task; absent when nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Json<'a, v1::Task>>,
}

pub struct Accepted {
    pub task: v1::Task,
    /// The plan that was shown before; `None` for a start.
    pub plan: Option<v1::StopPlan>,
    pub request_id: String,
}

impl Accepted {
    /// Shows the task, and follows it when that is wanted.
    pub async fn show(self, client: &Client, output: &Output, watching: Watching) -> Result<Exit, Failure> {
        self.show_until(Goal::Reached, client, output, watching).await
    }

    /// The same, to this end.
    pub async fn show_until(
        self,
        goal: Goal,
        client: &Client,
        output: &Output,
        watching: Watching,
    ) -> Result<Exit, Failure> {
        let Self { task, plan, request_id } = self;
        if output.format == Format::Json {
            let (plan, task) = (plan.as_ref().map(Json), Some(Json(&task)));
            let document = AcceptedDocument { plan, request_id: Some(&request_id), task };
            if watching.watch { output.json_line(&document)? } else { output.document(&document)? }
        }
        // A start may be the rollback of a stop: what happened before that is not shown.
        let (what, after_revision, goal) = if going_back(&task) {
            ("is being rolled back", Some(task.revision), Goal::Undone)
        } else {
            ("", None, goal)
        };
        watching.go_on(client, output, task, what, after_revision, goal).await
    }
}
