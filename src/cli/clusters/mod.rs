//! `obsteward clusters`: register clusters and see what is known of them.

mod deregister;
mod hosts;
mod list;
mod password;
mod register;
mod show;
mod sync;
mod update;

use clap::Subcommand;

use super::client::Client;
use super::exit::Exit;
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
    /// Forget a cluster; its tasks stay readable
    Deregister(deregister::DeregisterArgs),
}

impl ClustersCommand {
    pub const fn changes(&self) -> bool {
        match self {
            Self::Register(_) | Self::Update(_) | Self::Sync(_) | Self::Deregister(_) => true,
            Self::List(_) | Self::Show(_) => false,
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
        ClustersCommand::Deregister(args) => deregister::run(args, client, output).await,
    }
}
