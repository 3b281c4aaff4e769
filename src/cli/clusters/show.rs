//! `obsteward clusters show`, and how the other commands show a cluster.

use clap::Args;

use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::resolve;
use crate::cli::style::Paint;
use crate::cli::table::{Table, fields};
use crate::cli::times;
use crate::cli::words;
use crate::clock::{Clock, Timestamp};
use crate::proto::json::Json;
use crate::proto::v1;
use crate::proto::v1::get_cluster_request::By;

/// Arguments of `clusters show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
}

pub async fn run(args: ShowArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let request = v1::GetClusterRequest { by: Some(By::ClusterId(cluster_id)) };
    print(client.call("get cluster", READ_TIMEOUT, client.clusters().get_cluster(request)).await?.cluster, output)
}

pub fn print(cluster: Option<v1::Cluster>, output: &Output) -> Result<Exit, Failure> {
    let cluster = cluster.ok_or_else(|| Failure::NoAnswer("the server answered without a cluster".to_owned()))?;
    match output.format {
        Format::Text => output.lines(details(&cluster, Clock::system().now(), output.paint))?,
        Format::Json => output.document(&Json(&cluster))?,
    }
    Ok(Exit::Done)
}

pub fn details(cluster: &v1::Cluster, now: Timestamp, paint: Paint) -> Vec<String> {
    let at = cluster.observed_at.as_ref();
    let observed = format!("{} ({})", times::shown(at), times::age(at, now));
    let mut lines = fields(&[
        ("cluster", format!("{} {}", cluster.id, cluster.name)),
        ("oceanbase id", cluster.ob_cluster_id.to_string()),
        ("status", words::cluster_status(cluster.status).into_owned()),
        ("version", cluster.version.clone()),
        ("servers", cluster.server_count.to_string()),
        ("endpoints", cluster.endpoints.join(", ")),
        ("user", cluster.username.clone()),
        ("agents", agents(cluster.default_host.as_ref(), !cluster.hosts.is_empty())),
        ("observed at", observed),
        ("held by task", cluster.operating_task_id.map(|task| task.to_string()).unwrap_or_default()),
        ("sync error", cluster.sync_error.clone()),
    ]);
    let mut zones = Table::new(&["ZONE", "STATUS", "OCEANBASE", "REGION", "IDC"]);
    for zone in &cluster.zones {
        zones.row([
            zone.name.clone(),
            words::zone_status(zone.status).into_owned(),
            words::zone_inner_status(zone.inner_status).into_owned(),
            zone.region.clone(),
            zone.idc.clone(),
        ]);
    }
    let mut hosts = Table::new(&["HOST", "REACHED BY", "AGENT"]);
    for host in &cluster.hosts {
        let agent = [&host.agent_address, &host.ssh_destination].into_iter().find(|agent| !agent.is_empty());
        hosts.row([host.svr_ip.clone(), transport(host), agent.cloned().unwrap_or_else(|| "-".to_owned())]);
    }
    for table in [zones, hosts] {
        if !table.is_empty() {
            lines.push(String::new());
            lines.extend(table.lines(paint));
        }
    }
    lines
}

/// How the hosts are reached that are not in the table below.
fn agents(default: Option<&v1::DefaultHost>, some_are_named: bool) -> String {
    let of = if some_are_named { " of the other hosts" } else { "" };
    match default.map(|host| (host.transport(), host)) {
        Some((v1::HostTransport::Grpc, v1::DefaultHost { agent_port, .. })) => {
            let port = agent_port.unwrap_or_default();
            format!("grpc, port {port} at the address of each server{of}")
        }
        Some((v1::HostTransport::Ssh, v1::DefaultHost { ssh_user, ssh_port, .. })) => {
            let user = if ssh_user.is_empty() { String::new() } else { format!(" as {ssh_user}") };
            let port = ssh_port.map(|port| format!(", port {port}")).unwrap_or_default();
            format!("ssh{user}{port} at the address of each server{of}")
        }
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
        v1::HostTransport::Local | v1::HostTransport::Grpc | v1::HostTransport::Ssh => {
            words::transport(host.transport).to_lowercase()
        }
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
            status: v1::ClusterStatus::Running as i32,
            zones: vec![v1::Zone {
                name: "zone1".to_owned(),
                status: v1::ZoneStatus::Running as i32,
                inner_status: v1::ZoneInnerStatus::Active as i32,
                ..Default::default()
            }],
            hosts: vec![
                v1::Host { svr_ip: "10.0.0.1".to_owned(), transport: 1, ..Default::default() },
                v1::Host {
                    svr_ip: "10.0.0.2".to_owned(),
                    transport: 3,
                    ssh_destination: "admin@db-2".to_owned(),
                    ..Default::default()
                },
            ],
            default_host: Some(v1::DefaultHost { transport: 3, ssh_port: Some(2222), ..Default::default() }),
            ..Default::default()
        };
        let text = details(&cluster, Timestamp::from_micros(0), Paint::Plain).join("\n");
        assert!(text.contains("\n\nZONE   STATUS   OCEANBASE  REGION  IDC\nzone1  RUNNING  ACTIVE\n"), "{text}");
        let hosts = "HOST      REACHED BY  AGENT\n10.0.0.1  local       -\n10.0.0.2  ssh         admin@db-2";
        assert!(text.ends_with(hosts), "{text}");
        assert!(text.contains("ssh, port 2222 at the address of each server of the other hosts\n"), "{text}");
    }
}
