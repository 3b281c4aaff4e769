//! `obsteward store migrate`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::place;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::config::StoreLocation;
use crate::store::transfer::migrate;

/// Arguments of `store migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Configuration file: the password of the shared store's user, and TLS with its database, are taken from it
    #[arg(long, value_name = "FILE", env = "OBSTEWARD_CONFIG")]
    config: Option<PathBuf>,
    /// The store as it is: a file, or mysql://user@host:port/database; no service may be using it
    #[arg(long, value_name = "FILE|URL")]
    from: StoreLocation,
    /// Where it goes: a file that is not there, or a database that is empty
    #[arg(long, value_name = "FILE|URL")]
    to: StoreLocation,
}

pub async fn run(args: MigrateArgs, output: &Output) -> Result<Exit, Failure> {
    let config = args.config.as_deref();
    let (from, to) = (place(Some(args.from), config)?, place(Some(args.to), config)?);
    let rows = migrate(&from, &to).await.map_err(|error| Failure::Local(error.to_string()))?;
    match output.format {
        Format::Text => {
            output.line(&format!("{rows} rows are in {to} now, and {from} starts no more"))?;
            output.note("next: start the service there, with the same key (store.key_file) as before");
        }
        Format::Json => output.document(&json!({ "from": from.to_string(), "to": to.to_string(), "rows": rows }))?,
    }
    Ok(Exit::Done)
}
