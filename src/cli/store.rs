//! `obsteward store`: a backup while the service runs, and what follows a restore; whether a store is whole, and its move to
//! another place.

mod backup;
mod check;
mod migrate;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Format, Output};
use crate::app::store::shared;
use crate::config::{Config, StoreLocation};
use crate::store::replicas::ReplicaName;
use crate::store::transfer::{Place, restored};

/// What can be done with the file of a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copy the store of a service that runs to a file here, checked; the key of its secrets is not in it
    Backup(backup::BackupArgs),
    /// Say that the store was restored from a backup: it becomes another store, which agents must be told to trust
    Restored(RestoredArgs),
    /// Look whether what the store holds fits together: its index against the log, the log against the locks. Exit code 1 when
    /// something does not
    Check(check::CheckArgs),
    /// Move the store from a file to a shared database, or back, while no service uses it; it stays the same store
    Migrate(migrate::MigrateArgs),
}

/// Arguments of `store restored`.
#[derive(Debug, Args)]
pub struct RestoredArgs {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE", env = "OBSTEWARD_CONFIG")]
    config: Option<PathBuf>,
    /// The store, before the configuration's: a file, or mysql://user@host:port/database
    #[arg(long, value_name = "FILE|URL", env = "OBSTEWARD_STORE", hide_env_values = true)]
    store: Option<StoreLocation>,
}

pub async fn run(
    command: StoreCommand,
    client: impl FnOnce() -> Result<Client, Failure>,
    output: &Output,
) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Backup(args) => backup::run(args, &client()?, output).await,
        StoreCommand::Restored(args) => say_restored(args, output).await,
        StoreCommand::Check(args) => check::run(args, output).await,
        StoreCommand::Migrate(args) => migrate::run(args, output).await,
    }
}

async fn say_restored(args: RestoredArgs, output: &Output) -> Result<Exit, Failure> {
    let place = place(args.store, args.config.as_deref())?;
    let renamed = restored(&place).await.map_err(|error| Failure::Local(error.to_string()))?;
    match output.format {
        Format::Text => {
            output.line(&format!("{place} is store {} from now on, was {}", renamed.store_id, renamed.former))?;
            output.note(&format!(
                "next: on each database host, run `obsteward agent trust {}` with the agent's --state-directory, then \
                 start the service",
                renamed.store_id
            ));
        }
        Format::Json => output.document(&json!({
            "store": place.to_string(),
            "store_id": renamed.store_id,
            "former_store_id": renamed.former,
        }))?,
    }
    Ok(Exit::Done)
}

/// Where a store is, by its word and what a configuration says besides: the password of its user, and TLS.
fn place(location: Option<StoreLocation>, config: Option<&Path>) -> Result<Place, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let mut config = match config {
        Some(path) => Config::read(path).map_err(|error| usage(&error))?.store,
        None => Config::default().store,
    };
    if let Some(location) = location {
        location.into_config(&mut config);
    }
    let shared = shared(&config, ReplicaName::default()).map_err(|error| usage(&error))?;
    Ok(shared.map_or(Place::File(config.path), |options| Place::Shared(Box::new(options))))
}
