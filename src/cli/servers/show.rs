//! `obsteward servers show`.

use clap::Args;

use super::list::{address, process};
use crate::cli::client::{CLUSTER_TIMEOUT, Client};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::resolve::{self, ServerName, parse_server};
use crate::cli::table::fields;
use crate::cli::times;
use crate::cli::words;
use crate::proto::json::Json;
use crate::proto::v1;

/// Arguments of `servers show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Server, by ip:rpc_port, IP or id
    #[arg(value_name = "SERVER", value_parser = parse_server)]
    server: ServerName,
}

pub async fn run(args: ShowArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let server_id = resolve::server(client, cluster_id, &args.server).await?;
    let request = v1::GetServerRequest { cluster_id, server_id };
    // The host is asked, which may take as long as its agent does.
    let server = client.call("get server", CLUSTER_TIMEOUT, client.servers().get_server(request)).await?.server;
    let server = server.ok_or_else(|| Failure::NoAnswer("the server answered without a server".to_owned()))?;
    match output.format {
        Format::Text => output.lines(details(&server))?,
        Format::Json => output.document(&Json(&server))?,
    }
    Ok(Exit::Done)
}

fn details(server: &v1::ObServer) -> Vec<String> {
    let moment = |timestamp: &Option<prost_types::Timestamp>| times::rfc3339(timestamp.as_ref()).unwrap_or_default();
    let pid = server.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let power_off = if server.safe_to_power_off {
        "safe".to_owned()
    } else if server.not_safe_reason.is_empty() {
        "NOT safe".to_owned()
    } else {
        format!("NOT safe: {}", server.not_safe_reason)
    };
    fields(&[
        ("server", format!("{} of cluster {}", server.id, server.cluster_id)),
        ("address", format!("{}, SQL port {}", address(server), server.sql_port)),
        ("zone", server.zone.clone()),
        ("version", server.version.clone()),
        ("power off", power_off),
        ("service", words::service_state(server.service_state).into_owned()),
        ("process", format!("{}{pid}", process(server))),
        ("status", words::server_status(server.status).into_owned()),
        ("oceanbase status", words::server_inner_status(server.inner_status).into_owned()),
        ("stopped since", moment(&server.stop_time)),
        ("serves since", moment(&server.start_service_time)),
        ("leaders", server.leader_count.map_or_else(|| "not known".to_owned(), |count| count.to_string())),
        ("root service", if server.with_rootserver { "runs here".to_owned() } else { String::new() }),
        ("given up at", moment(&server.permanent_offline_at)),
        ("out of service until", moment(&server.held_until)),
        ("held by task", server.operating_task_id.map(|task| task.to_string()).unwrap_or_default()),
        ("observed at", times::shown(server.observed_at.as_ref())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsafe_server_says_why() {
        let server = v1::ObServer {
            id: 2,
            cluster_id: 1,
            ip: "10.0.0.2".to_owned(),
            rpc_port: 2882,
            inner_status: v1::ServerInnerStatus::Active as i32,
            service_state: v1::ServiceState::Stopped as i32,
            process_state: v1::ProcessState::Running as i32,
            pid: Some(4711),
            not_safe_reason: "its process still runs".to_owned(),
            ..Default::default()
        };
        let text = details(&server).join("\n");
        assert!(text.contains("power off:         NOT safe: its process still runs"), "{text}");
        assert!(text.contains("service:           STOPPED\nprocess:           RUNNING, pid 4711"), "{text}");
        assert!(!text.contains("given up"), "{text}");
    }
}
