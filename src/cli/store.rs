//! `obsteward store`: what is done with the store's file: a backup while the service runs, and what follows a restore.

mod backup;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Format, Output};
use crate::config::Config;
use crate::store::sqlite::restored;

/// What can be done with the file of a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copy the store of a service that runs to a file here, checked; the key of its secrets is not in it
    Backup(backup::BackupArgs),
    /// Say that the file was restored from a backup: it becomes another store, which agents must be told to trust
    Restored(RestoredArgs),
}

/// Arguments of `store restored`.
#[derive(Debug, Args)]
pub struct RestoredArgs {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE", env = "OBSTEWARD_CONFIG")]
    config: Option<PathBuf>,
    /// File of the embedded store, before the configuration's
    #[arg(long, value_name = "FILE", env = "OBSTEWARD_STORE")]
    store: Option<PathBuf>,
}

pub async fn run(
    command: StoreCommand,
    client: impl FnOnce() -> Result<Client, Failure>,
    output: &Output,
) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Backup(args) => backup::run(args, &client()?, output).await,
        StoreCommand::Restored(args) => say_restored(args, output),
    }
}

fn say_restored(args: RestoredArgs, output: &Output) -> Result<Exit, Failure> {
    let RestoredArgs { config, store } = args;
    let path = match (store, config) {
        (Some(path), _) => path,
        (None, Some(config)) => Config::read(&config).map_err(|error| Failure::Usage(error.to_string()))?.store.path,
        (None, None) => Config::default().store.path,
    };
    let renamed = restored(&path).map_err(|error| Failure::Local(error.to_string()))?;
    match output.format {
        Format::Text => {
            output.line(&format!(
                "{} is store {} from now on, was {}",
                path.display(),
                renamed.store_id,
                renamed.former
            ))?;
            output.note(&format!(
                "next: on each database host, run `obsteward agent trust {}` with the agent's --state-directory, then \
                 start the service",
                renamed.store_id
            ));
        }
        Format::Json => output.document(&json!({
            "file": path.display().to_string(),
            "store_id": renamed.store_id,
            "former_store_id": renamed.former,
        }))?,
    }
    Ok(Exit::Done)
}
