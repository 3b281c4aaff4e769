//! `obsteward tasks rollback`.

use std::time::Duration;

use clap::Args;

use super::verb::{ask, revision, show, task_of};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Goal};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::times;
use crate::cli::watching::Watching;
use crate::clock::Clock;
use crate::proto::v1;

/// Arguments of `tasks rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Refused unless the task is at this revision [default: the one it is at now]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    if_revision: Option<i64>,
    /// A process that the task started is never ended later than this from now [default: the server's, two hours]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    expire_in: Option<Duration>,
    /// How far it is followed.
    #[command(flatten)]
    watching: Watching,
}

/// Runs the command. That the task ends ROLLED_BACK is what was asked for.
pub async fn run(args: RollbackArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let if_revision = revision(client, args.task, args.if_revision).await?;
    let expire_time = args.expire_in.map(|expire_in| times::to_proto(Clock::system().now().plus(expire_in)));
    let request = v1::RollbackTaskRequest { task_id: args.task, if_revision, expire_time };
    let call = async || client.tasks().rollback_task(request).await;
    let task = task_of(ask(client, output, "rollback task", args.task, call).await?.task)?;
    show(client, output, task, "is being rolled back", if_revision, args.watching, Goal::Undone).await
}
