//! `obsteward clusters freeze`, `thaw` and `freezes`: while changes are frozen, no task begins.

use clap::Args;

use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::listed::Listed;
use crate::cli::output::{Format, Output};
use crate::cli::resolve;
use crate::cli::table::Table;
use crate::cli::times;
use crate::proto::json::Json;
use crate::proto::v1;

/// Arguments of `clusters freeze` and `clusters thaw`.
#[derive(Debug, Args)]
pub struct FreezeArgs {
    /// Cluster, by name or id [default: every cluster]
    #[arg(value_name = "CLUSTER")]
    cluster: Option<String>,
}

impl FreezeArgs {
    async fn cluster(&self, client: &Client) -> Result<Option<i64>, Failure> {
        match &self.cluster {
            Some(cluster) => resolve::cluster(client, cluster).await.map(Some),
            None => Ok(None),
        }
    }

    fn named(&self) -> String {
        self.cluster.as_ref().map_or_else(|| "every cluster".to_owned(), |name| format!("cluster {name}"))
    }
}

pub async fn freeze(args: FreezeArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let request = v1::FreezeChangesRequest { cluster_id: args.cluster(client).await?, reason: client.reason() };
    let answer = client.change("freeze changes", READ_TIMEOUT, client.clusters().freeze_changes(request)).await?;
    match output.format {
        Format::Json => output.document(&Json(&answer))?,
        Format::Text => {
            output.line(&format!("changes of {} are frozen: no task begins until they are thawed", args.named()))?
        }
    }
    Ok(Exit::Done)
}

pub async fn thaw(args: FreezeArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let request = v1::ThawChangesRequest { cluster_id: args.cluster(client).await?, reason: client.reason() };
    let answer = client.change("thaw changes", READ_TIMEOUT, client.clusters().thaw_changes(request)).await?;
    match output.format {
        Format::Json => output.document(&Json(&answer))?,
        Format::Text => output.line(&format!("the change freeze of {} is off", args.named()))?,
    }
    Ok(Exit::Done)
}

pub async fn list(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let asked = client.clusters().list_change_freezes(v1::ListChangeFreezesRequest {}).await;
    let answer = client.call("list change freezes", READ_TIMEOUT, async { asked }).await?;
    Listed::whole("freezes", &answer.freezes).show(output, table)
}

fn table(freezes: &[v1::ChangeFreeze]) -> Table {
    let mut table = Table::new(&["CLUSTER", "SINCE", "BY", "REASON"]);
    for freeze in freezes {
        let cluster = match (freeze.everything, freeze.cluster_name.as_str()) {
            (true, _) => "all".to_owned(),
            (false, "") => "not registered any more".to_owned(),
            (false, name) => name.to_owned(),
        };
        table.row([cluster, times::shown(freeze.since.as_ref()), freeze.principal.clone(), freeze.reason.clone()]);
    }
    table
}
