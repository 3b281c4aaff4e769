//! `obsteward tasks cancel`.

use clap::Args;

use super::verb::{ask, task_of};
use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::lines::{next_steps, result_line, target};
use crate::cli::output::{Format, Output};
use crate::cli::view::{Phase, phase};
use crate::proto::json::Json;
use crate::proto::v1;

/// Arguments of `tasks cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Refused unless the task is at this revision [default: whatever it is at]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    if_revision: Option<i64>,
}

/// A running task moves on by itself, so the request is not held to the revision that was just read; a repeat after a
/// lost answer finds it no longer RUNNING.
pub async fn run(args: CancelArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let request = v1::CancelTaskRequest { task_id: args.task, if_revision: args.if_revision, reason: client.reason() };
    let call = async || client.tasks().cancel_task(request.clone()).await;
    let task = task_of(ask(client, output, "cancel task", args.task, call).await?.task)?;
    match (output.format, phase(task.state())) {
        (Format::Json, _) => output.document(&Json(&task))?,
        (Format::Text, Phase::Open) => {
            output.line(&format!("task {} {} is being cancelled: {}", task.id, task.name, target(&task)))?;
            output.note(&format!("see how it ends with: obsteward watch {}", task.id));
        }
        (Format::Text, Phase::AtRest | Phase::Closed) => {
            output.line(&result_line(&task))?;
            for step in next_steps(&task) {
                output.note(&step);
            }
        }
    }
    Ok(Exit::Done)
}
