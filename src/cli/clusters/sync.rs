//! `obsteward clusters sync`.

use std::time::Duration;

use clap::Args;

use super::show::details;
use crate::cli::client::{CLUSTER_TIMEOUT, Client};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::resolve;
use crate::cli::table::flat;
use crate::cli::times;
use crate::clock::Clock;
use crate::proto::json::Json;
use crate::proto::v1;

/// Arguments of `clusters sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
}

pub async fn run(args: SyncArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let request = v1::SyncClusterRequest { cluster_id, reason: client.reason() };
    let answer = client.change("sync cluster", CLUSTER_TIMEOUT, client.clusters().sync_cluster(request)).await?;
    if output.format == Format::Json {
        output.document(&Json(&answer))?;
        return Ok(Exit::Done);
    }
    if let Some(cluster) = &answer.cluster {
        output.lines(details(cluster, Clock::system().now(), output.paint))?;
    }
    let elapsed = answer.elapsed.and_then(|elapsed| Duration::try_from(elapsed).ok());
    let took = elapsed.map(|elapsed| format!(" in {}", times::brief(elapsed))).unwrap_or_default();
    output.line("")?;
    if answer.differences.is_empty() {
        output.line(&format!("read{took}, nothing has changed"))?;
    } else {
        output.line(&format!("read{took}, changed:"))?;
        output.lines(answer.differences.iter().map(|difference| format!("  {}", flat(difference))))?;
    }
    Ok(Exit::Done)
}
