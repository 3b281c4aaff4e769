//! `obsteward servers`: the servers of a cluster.

mod list;
mod show;

use clap::Subcommand;

use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum ServersCommand {
    /// List the servers of a cluster as last recorded
    List(list::ListArgs),
    /// Show one server: service and process apart, and whether it may be powered off
    Show(show::ShowArgs),
}

pub async fn run(command: ServersCommand, client: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        ServersCommand::List(args) => list::run(args, client, output).await,
        ServersCommand::Show(args) => show::run(args, client, output).await,
    }
}
