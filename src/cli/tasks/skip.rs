//! `obsteward tasks skip`.

use clap::Args;

use super::log::one_subtask;
use super::show::get;
use super::verb::{ask, show, task_of};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Goal};
use crate::cli::failure::Failure;
use crate::cli::lines::going_back;
use crate::cli::output::Output;
use crate::cli::table::flat;
use crate::cli::view::TaskView;
use crate::cli::watching::Watching;
use crate::proto::v1;

/// Arguments of `tasks skip`.
#[derive(Debug, Args)]
pub struct SkipArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// The failed subtask, by id or name
    #[arg(value_name = "SUBTASK")]
    subtask: String,
    /// Refused unless the task is at this revision [default: the one it is at now]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    if_revision: Option<i64>,
    /// How far it is followed.
    #[command(flatten)]
    watching: Watching,
}

pub async fn run(args: SkipArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let view = TaskView::new(get(client, args.task).await?);
    let subtask_id = one_subtask(&view, &args.subtask)?;
    let if_revision = args.if_revision.unwrap_or(view.task().revision);
    let request = v1::SkipSubtaskRequest {
        task_id: args.task,
        subtask_id,
        if_revision: Some(if_revision),
        reason: client.reason(),
    };
    let call = async || client.tasks().skip_subtask(request.clone()).await;
    let task = task_of(ask(client, output, "skip subtask", args.task, call).await?.task)?;
    // In a rollback it counts as undone.
    let goal = if going_back(&task) { Goal::Undone } else { Goal::Reached };
    let what = format!("goes on behind {}", flat(&view.name(subtask_id)));
    show(client, output, task, &what, if_revision, args.watching, goal).await
}
