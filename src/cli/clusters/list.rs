//! `obsteward clusters list`.

use clap::Args;

use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::listed::Listed;
use crate::cli::output::Output;
use crate::cli::pages;
use crate::cli::table::Table;
use crate::cli::times;
use crate::cli::words;
use crate::clock::{Clock, Timestamp};
use crate::proto::v1;

/// Arguments of `clusters list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only clusters of this name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
}

pub async fn run(args: ListArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let clusters = pages::all(async |page_size, page_token| {
        let request = v1::ListClustersRequest { page_size, page_token, name: args.name.clone() };
        let page = client.call("list clusters", READ_TIMEOUT, client.clusters().list_clusters(request)).await?;
        Ok((page.clusters, page.next_page_token))
    });
    let now = Clock::system().now();
    Listed::whole("clusters", &clusters.await?).show(output, |clusters| table(clusters, now))
}

fn table(clusters: &[v1::Cluster], now: Timestamp) -> Table {
    let mut table = Table::new(&["ID", "NAME", "STATUS", "SERVERS", "ZONES", "VERSION", "READ", "TASK", "SYNC ERROR"])
        .with_wide(&["OB ID", "LOGIN", "ZONE NAMES", "ENDPOINTS"]);
    for cluster in clusters {
        table.row([
            cluster.id.to_string(),
            cluster.name.clone(),
            words::cluster_status(cluster.status).into_owned(),
            cluster.server_count.to_string(),
            cluster.zones.len().to_string(),
            short_version(&cluster.version).to_owned(),
            times::age(cluster.observed_at.as_ref(), now),
            cluster.operating_task_id.map_or_else(|| "-".to_owned(), |task| task.to_string()),
            cluster.sync_error.clone(),
            cluster.ob_cluster_id.to_string(),
            cluster.username.clone(),
            cluster.zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(", "),
            cluster.endpoints.join(", "),
        ]);
    }
    table
}

/// `4.2.1.8` of `4.2.1.8_108000022024072217-b4e5…(Jul 22 2024 17:36:02)`.
pub fn short_version(version: &str) -> &str {
    version.split(['_', '(', ' ']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::Paint;

    #[test]
    fn one_line_per_cluster() {
        let cluster = v1::Cluster {
            id: 1,
            name: "ob".to_owned(),
            status: v1::ClusterStatus::Running as i32,
            version: "4.3.5.1_101000042025031818-b4e5(Mar 18 2025)".to_owned(),
            server_count: 3,
            ob_cluster_id: 7,
            username: "root@sys".to_owned(),
            endpoints: vec!["10.0.0.1:2881".to_owned(), "10.0.0.2:2881".to_owned()],
            observed_at: Some(prost_types::Timestamp { seconds: 1000, nanos: 0 }),
            ..Default::default()
        };
        let wide =
            table(std::slice::from_ref(&cluster), Timestamp::from_micros(1_300_000_000)).wide_lines(Paint::Plain);
        assert!(
            wide[1].ends_with("-                 7      root@sys              10.0.0.1:2881, 10.0.0.2:2881"),
            "{wide:?}"
        );
        assert_eq!(
            table(&[cluster], Timestamp::from_micros(1_300_000_000)).lines(Paint::Plain),
            [
                "ID  NAME  STATUS   SERVERS  ZONES  VERSION  READ              TASK  SYNC ERROR",
                "1   ob    RUNNING  3        0      4.3.5.1  5m00s ago, stale  -",
            ]
        );
    }
}
