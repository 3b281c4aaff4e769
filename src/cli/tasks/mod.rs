//! `obsteward tasks`: see tasks and their logs, and ask for what can be asked of a task.

mod approval;
mod cancel;
mod give_up;
mod list;
pub(super) mod log;
mod retry;
mod rollback;
mod running;
pub(super) mod show;
mod skip;
mod verb;

use clap::Subcommand;

use super::client::Client;
use super::diagnose;
use super::exit::{self, Exit};
use super::failure::Failure;
use super::output::Output;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum TasksCommand {
    /// List tasks, newest first
    List(list::ListArgs),
    /// Show one task with its subtasks in execution order
    Show(show::ShowArgs),
    /// Show what the subtasks of a task logged, or follow it as it is written
    Log(log::LogArgs),
    /// Write all there is to know of a task as one JSON document, to hand on: task, events, logs, what its cluster, server
    /// and host say now, and who asked for what; without secrets
    Diagnose(diagnose::DiagnoseArgs),
    /// Run a failed or cancelled task again, from the first step whose result no longer holds; never adds force
    #[command(after_help = exit::HELP)]
    Retry(verb::GoOnArgs),
    /// Undo what a failed or cancelled task did, the last first, and free the cluster
    ///
    /// Only effects of the task are undone, and each undo looks first. The task ends ROLLED_BACK, or rests where an undo failed;
    /// asked again, it goes on there. Half undone, it cannot be run forward again.
    #[command(after_help = exit::HELP)]
    Rollback(verb::GoOnArgs),
    /// Go on behind a failed subtask as if it had succeeded; you answer for that
    ///
    /// Nothing is changed on cluster or host. While the task is being rolled back, the subtask counts as undone. One that makes
    /// the checks is never skipped, and the steps behind it look for themselves.
    #[command(after_help = exit::HELP)]
    Skip(skip::SkipArgs),
    /// Bring back the servers that a task holds out of service: the work on them is done
    #[command(after_help = exit::HELP)]
    Complete(running::RunningArgs),
    /// Let a rollout finish its present batch and begin no other
    #[command(after_help = exit::HELP)]
    Pause(running::RunningArgs),
    /// Go on with a rollout that is paused
    #[command(after_help = exit::HELP)]
    Resume(running::RunningArgs),
    /// Show what a task that has not begun would meet now, and the digest of that plan
    #[command(after_help = exit::HELP)]
    Plan(approval::PlanArgs),
    /// Agree with a task that somebody else asked for: show its plan, and approve exactly that
    ///
    /// When its plan has changed by the time it begins, the task asks again.
    #[command(after_help = exit::HELP)]
    Approve(approval::ApproveArgs),
    /// Take back the approval of a task that has not begun
    #[command(after_help = exit::HELP)]
    WithdrawApproval(running::RunningArgs),
    /// End what a running task does; it rests then, and what it has done stays as it is; one that has not begun is closed
    Cancel(cancel::CancelArgs),
    /// Close a task at rest and free its cluster; what the task has done stays as it is
    GiveUp(give_up::GiveUpArgs),
}

impl TasksCommand {
    pub const fn changes(&self) -> bool {
        match self {
            Self::Retry(_)
            | Self::Rollback(_)
            | Self::Skip(_)
            | Self::Complete(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Cancel(_)
            | Self::Approve(_)
            | Self::WithdrawApproval(_)
            | Self::GiveUp(_) => true,
            Self::Plan(_) | Self::List(_) | Self::Show(_) | Self::Log(_) | Self::Diagnose(_) => false,
        }
    }
}

pub async fn run(command: TasksCommand, client: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        TasksCommand::List(args) => list::run(args, client, output).await,
        TasksCommand::Show(args) => show::run(args, client, output).await,
        TasksCommand::Log(args) => log::run(args, client, output).await,
        TasksCommand::Diagnose(args) => diagnose::run(args, client, output).await,
        TasksCommand::Retry(args) => retry::run(args, client, output).await,
        TasksCommand::Rollback(args) => rollback::run(args, client, output).await,
        TasksCommand::Skip(args) => skip::run(args, client, output).await,
        TasksCommand::Complete(args) => running::complete(args, client, output).await,
        TasksCommand::Pause(args) => running::pause(args, client, output).await,
        TasksCommand::Resume(args) => running::resume(args, client, output).await,
        TasksCommand::Plan(args) => approval::plan(args, client, output).await,
        TasksCommand::Approve(args) => approval::approve(args, client, output).await,
        TasksCommand::WithdrawApproval(args) => running::withdraw(args, client, output).await,
        TasksCommand::Cancel(args) => cancel::run(args, client, output).await,
        TasksCommand::GiveUp(args) => give_up::run(args, client, output).await,
    }
}
