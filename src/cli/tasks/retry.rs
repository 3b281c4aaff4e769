//! `obsteward tasks retry`.

use std::time::Duration;

use clap::Args;

use super::verb::{ask, revision, task_of};
use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::follow::{FollowOptions, follow};
use crate::cli::json::line::LineDoc;
use crate::cli::json::task::TaskDoc;
use crate::cli::lines::target;
use crate::cli::output::{Format, Output};
use crate::cli::times;
use crate::clock::Clock;
use crate::proto::v1;

/// Arguments of `tasks retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Refused unless the task is at this revision [default: the one it is at now]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    if_revision: Option<i64>,
    /// The process is never ended later than this from now [default: the server's, two hours]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    expire_in: Option<Duration>,
    /// Follow the task to its end
    #[arg(long)]
    watch: bool,
    /// With --watch: stop following after this time, with exit code 4; the task goes on
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = times::parse_duration)]
    timeout: Option<Duration>,
}

/// Runs the command.
pub async fn run(args: RetryArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let if_revision = revision(client, args.task, args.if_revision).await?;
    let expire_time = args.expire_in.map(|expire_in| times::to_proto(Clock::system().now().plus(expire_in)));
    let request = v1::RetryTaskRequest { task_id: args.task, if_revision, expire_time };
    let call = async || client.tasks().retry_task(request).await;
    let task = task_of(ask(client, output, "retry task", args.task, call).await?.task)?;
    match output.format {
        Format::Text => output.line(&format!("task {} {} runs again: {}", task.id, task.name, target(&task)))?,
        Format::Json if args.watch => output.json_line(&LineDoc::Task(Box::new(TaskDoc::from(&task))))?,
        Format::Json => output.document(&TaskDoc::from(&task))?,
    }
    if !args.watch {
        if output.format == Format::Text {
            output.note(&format!("follow it with: obsteward watch {}", task.id));
        }
        return Ok(Exit::Done);
    }
    // The events of the retry itself are shown too; a live list has them in the answer already.
    let after_revision = if output.live { None } else { Some(if_revision) };
    let options =
        FollowOptions { seed: Some(task), after_revision, until_closed: false, progress: true, timeout: args.timeout };
    Ok(follow(client, output, args.task, options).await?.exit)
}
