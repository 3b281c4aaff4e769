//! `obsteward clusters deregister`.

use clap::Args;
use serde_json::json;

use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::resolve;
use crate::proto::v1;

/// Arguments of `clusters deregister`.
#[derive(Debug, Args)]
pub struct DeregisterArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
}

pub async fn run(args: DeregisterArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let request = v1::DeregisterClusterRequest { cluster_id, reason: client.reason() };
    client.change("deregister cluster", READ_TIMEOUT, client.clusters().deregister_cluster(request)).await?;
    match output.format {
        Format::Text => output.line(&format!("cluster {cluster_id} is forgotten, its tasks stay readable"))?,
        Format::Json => output.document(&json!({ "cluster_id": cluster_id, "deregistered": true }))?,
    }
    Ok(Exit::Done)
}
