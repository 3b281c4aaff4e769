//! `obsteward store check`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::place;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::config::StoreLocation;
use crate::store::transfer::check_store;

/// Arguments of `store check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE", env = "OBSTEWARD_CONFIG")]
    config: Option<PathBuf>,
    /// The store, before the configuration's: a file, or mysql://user@host:port/database
    #[arg(long, value_name = "FILE|URL", env = "OBSTEWARD_STORE", hide_env_values = true)]
    store: Option<StoreLocation>,
}

pub async fn run(args: CheckArgs, output: &Output) -> Result<Exit, Failure> {
    let place = place(args.store, args.config.as_deref())?;
    let report = check_store(&place).await.map_err(|error| Failure::Local(error.to_string()))?;
    match output.format {
        Format::Text => {
            for finding in &report.findings {
                output.line(&finding.to_string())?;
            }
            let count = report.findings.len();
            let verdict = if count == 0 { "it fits together".to_owned() } else { format!("{count} things do not fit") };
            output.line(&format!(
                "{place}: {} tasks, {} events and {} locks, {verdict}",
                report.tasks, report.events, report.locks
            ))?;
        }
        Format::Json => {
            let findings = report.findings.iter().map(|found| json!({ "subject": found.subject, "what": found.what }));
            output.document(&json!({
                "store": place.to_string(),
                "tasks": report.tasks,
                "events": report.events,
                "locks": report.locks,
                "findings": findings.collect::<Vec<_>>(),
            }))?;
        }
    }
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::TaskFailed })
}
