//! `obsteward clusters show`, and how the other commands show a cluster.

use clap::Args;

use crate::cli::client::{Client, QUICK};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json::cluster::ClusterDoc;
use crate::cli::output::{Format, Output};
use crate::cli::resolve;
use crate::cli::style::Paint;
use crate::cli::table::{Table, fields};
use crate::cli::times;
use crate::cli::words;
use crate::proto::v1;

/// Arguments of `clusters show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
}

/// Runs the command.
pub async fn run(args: ShowArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let request = v1::GetClusterRequest { cluster_id, name: String::new() };
    print(client.call("get cluster", QUICK, client.clusters().get_cluster(request)).await?.cluster, output)
}

/// Writes the cluster of an answer.
pub fn print(cluster: Option<v1::Cluster>, output: &Output) -> Result<Exit, Failure> {
    let cluster = cluster.ok_or_else(|| Failure::Unknown("the server answered without a cluster".to_owned()))?;
    match output.format {
        Format::Text => output.lines(details(&cluster, output.paint))?,
        Format::Json => output.document(&ClusterDoc::from(&cluster))?,
    }
    Ok(Exit::Done)
}

/// The lines of a cluster.
pub fn details(cluster: &v1::Cluster, paint: Paint) -> Vec<String> {
    let task = cluster.operating_task_id;
    let mut lines = fields(&[
        ("cluster", format!("{} {}", cluster.id, cluster.name)),
        ("oceanbase id", cluster.ob_cluster_id.to_string()),
        ("status", cluster.status.clone()),
        ("version", cluster.version.clone()),
        ("servers", cluster.server_count.to_string()),
        ("endpoints", cluster.endpoints.join(", ")),
        ("user", cluster.username.clone()),
        ("agents", agents(cluster.default_host.as_ref(), !cluster.hosts.is_empty())),
        ("observed at", times::shown(cluster.observed_at.as_ref())),
        ("held by task", if task == 0 { String::new() } else { task.to_string() }),
        ("sync error", cluster.sync_error.clone()),
    ]);
    let mut zones = Table::new(&["ZONE", "STATUS", "OCEANBASE", "REGION", "IDC"]);
    for zone in &cluster.zones {
        let cells = [&zone.name, &zone.status, &zone.inner_status, &zone.region, &zone.idc];
        zones.row(cells.map(Clone::clone));
    }
    let mut hosts = Table::new(&["HOST", "REACHED BY", "AGENT"]);
    for host in &cluster.hosts {
        let agent = if host.agent_address.is_empty() { "-".to_owned() } else { host.agent_address.clone() };
        hosts.row([host.svr_ip.clone(), transport(host), agent]);
    }
    for table in [zones, hosts] {
        if !table.is_empty() {
            lines.push(String::new());
            lines.extend(table.lines(paint));
        }
    }
    lines
}

/// How hosts are reached that are not in the table below.
fn agents(default: Option<&v1::DefaultHost>, some_are_named: bool) -> String {
    let of = if some_are_named { " of the other hosts" } else { "" };
    match default.map(|host| (host.transport(), host.agent_port)) {
        Some((v1::HostTransport::Grpc, port)) => format!("grpc, port {port} at the address of each server{of}"),
        Some((v1::HostTransport::Local, _)) => format!("local, in the obsteward server{of}"),
        Some((v1::HostTransport::Unspecified, _)) | None if some_are_named => String::new(),
        Some((v1::HostTransport::Unspecified, _)) | None => {
            "none, no process can be ended; see: obsteward clusters update --help".to_owned()
        }
    }
}

fn transport(host: &v1::Host) -> String {
    match host.transport() {
        v1::HostTransport::Unspecified => "nothing".to_owned(),
        v1::HostTransport::Local | v1::HostTransport::Grpc => words::transport(host.transport).to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_hosts_are_tables() {
        let cluster = v1::Cluster {
            id: 1,
            name: "ob".to_owned(),
            ob_cluster_id: 1,
            status: "RUNNING".to_owned(),
            zones: vec![v1::Zone { name: "zone1".to_owned(), status: "RUNNING".to_owned(), ..Default::default() }],
            hosts: vec![v1::Host { svr_ip: "10.0.0.1".to_owned(), transport: 1, ..Default::default() }],
            ..Default::default()
        };
        let text = details(&cluster, Paint::Plain).join("\n");
        assert!(text.contains("\n\nZONE   STATUS   OCEANBASE  REGION  IDC\nzone1  RUNNING\n"), "{text}");
        assert!(text.ends_with("HOST      REACHED BY  AGENT\n10.0.0.1  local       -"), "{text}");
    }
}
