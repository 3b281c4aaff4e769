//! `obsteward clusters`: register clusters, see what is known of them, and stop and start whole ones.

mod change_freeze;
mod deregister;
mod list;
mod operate;
mod password;
mod register;
mod show;
mod sync;
mod update;

use clap::Subcommand;
pub(super) use list::short_version;

use super::client::Client;
use super::exit::{self, Exit};
use super::failure::Failure;
use super::output::Output;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum ClustersCommand {
    /// Connect to a cluster, prove its identity and record it with its zones and servers
    Register(register::RegisterArgs),
    /// Change endpoints, user, password or hosts of a cluster
    Update(update::UpdateArgs),
    /// List the clusters
    List(list::ListArgs),
    /// Show one cluster as last observed
    Show(show::ShowArgs),
    /// Read a cluster now and record what is observed
    Sync(sync::SyncArgs),
    /// Freeze changes: no task begins on the cluster, or on any, until they are thawed; needs --reason
    ///
    /// What has begun goes on, and everything can be asked of it.
    Freeze(change_freeze::FreezeArgs),
    /// End a change freeze: of the cluster, or that of every cluster
    Thaw(change_freeze::FreezeArgs),
    /// List the change freezes that are on
    Freezes,
    /// Forget a cluster; its tasks stay readable
    Deregister(deregister::DeregisterArgs),
    /// End service for everybody: show the plan, then freeze every server and end every process unless a check blocks
    ///
    /// Needs --accept-risk SERVICE_LOSS.
    #[command(after_help = exit::HELP)]
    Stop(operate::StopArgs),
    /// Bring a cluster back: every process, then what is stopped in it
    ///
    /// When a failed or cancelled task that stopped this very cluster holds it, that task is rolled back instead.
    #[command(after_help = exit::HELP)]
    Start(operate::StartArgs),
    /// Stop a cluster and start it again: show the plan of the stop, then restart it unless a check blocks
    ///
    /// Needs --accept-risk SERVICE_LOSS.
    #[command(after_help = exit::HELP)]
    Restart(operate::StopArgs),
}

impl ClustersCommand {
    pub const fn changes(&self) -> bool {
        match self {
            Self::Register(_)
            | Self::Update(_)
            | Self::Sync(_)
            | Self::Freeze(_)
            | Self::Thaw(_)
            | Self::Deregister(_)
            | Self::Start(_) => true,
            Self::Stop(args) | Self::Restart(args) => !args.options.plan,
            Self::List(_) | Self::Show(_) | Self::Freezes => false,
        }
    }
}

pub async fn run(command: ClustersCommand, client: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        ClustersCommand::Register(args) => register::run(args, client, output).await,
        ClustersCommand::Update(args) => update::run(args, client, output).await,
        ClustersCommand::List(args) => list::run(args, client, output).await,
        ClustersCommand::Show(args) => show::run(args, client, output).await,
        ClustersCommand::Sync(args) => sync::run(args, client, output).await,
        ClustersCommand::Freeze(args) => change_freeze::freeze(args, client, output).await,
        ClustersCommand::Thaw(args) => change_freeze::thaw(args, client, output).await,
        ClustersCommand::Freezes => change_freeze::list(client, output).await,
        ClustersCommand::Deregister(args) => deregister::run(args, client, output).await,
        ClustersCommand::Stop(args) => operate::stop(args, client, output).await,
        ClustersCommand::Start(args) => operate::start(args, client, output).await,
        ClustersCommand::Restart(args) => operate::restart(args, client, output).await,
    }
}
