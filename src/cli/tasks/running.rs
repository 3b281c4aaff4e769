//! `obsteward tasks complete`, `pause`, `resume` and `withdraw-approval`: what is asked of a task that goes on, or waits, meanwhile.

use clap::Args;

use super::verb::{ask, show, task_of};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Goal};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::watching::Watching;
use crate::proto::v1;

#[derive(Debug, Args)]
pub struct RunningArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Refused unless the task is at this revision [default: whatever it is at]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    if_revision: Option<i64>,
    /// How far it is followed.
    #[command(flatten)]
    watching: Watching,
}

/// A task moves on by itself, so the request is not held to a revision that was just read; a repeat after a lost answer finds
/// that nothing is left to do.
macro_rules! running {
    ($(#[$doc:meta] $run:ident: $service:ident $call:ident $request:ident, $doing:literal, $what:literal, $goal:expr;)+) => {$(
        #[$doc]
        pub async fn $run(args: RunningArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
            let RunningArgs { task: task_id, if_revision, watching } = args;
            let request = v1::$request { task_id, if_revision, reason: client.reason() };
            let call = async || client.$service().$call(request.clone()).await;
            let task = task_of(ask(client, output, $doing, task_id, call).await?.task)?;
            let before = task.revision - 1;
            show(client, output, task, $what, before, watching, $goal).await
        }
    )+};
}

running! {
    /// In a rollout the next server may be held: the following ends there.
    complete: tasks complete_hold CompleteHoldRequest, "complete hold", "brings back what it held", Goal::Held;
    /// The present batch finishes.
    pause: rollouts pause_rollout PauseRolloutRequest, "pause rollout", "begins no further batch", Goal::Held;
    /// The next batch begins.
    resume: rollouts resume_rollout ResumeRolloutRequest, "resume rollout", "goes on", Goal::Held;
    /// It waits for an approval again.
    withdraw: tasks withdraw_approval WithdrawApprovalRequest, "withdraw approval", "waits for an approval again", Goal::Reached;
}
