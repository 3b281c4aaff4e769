//! `obsteward tasks retry`.

use super::verb::{GoOnArgs, ask, revision, show, task_of};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Goal};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

pub async fn run(args: GoOnArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let if_revision = revision(client, args.task, args.if_revision).await?;
    let request = v1::RetryTaskRequest {
        task_id: args.task,
        if_revision: Some(if_revision),
        expire_time: args.expire_time(),
        reason: client.reason(),
    };
    let call = async || client.tasks().retry_task(request.clone()).await;
    let task = task_of(ask(client, output, "retry task", args.task, call).await?.task)?;
    show(client, output, task, "runs again", if_revision, args.watching, Goal::Reached).await
}
