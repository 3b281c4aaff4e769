//! `obsteward servers list`.

use clap::Args;

use crate::cli::client::Client;
use crate::cli::clusters::short_version;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::listed::Listed;
use crate::cli::output::{Format, Output};
use crate::cli::resolve;
use crate::cli::table::Table;
use crate::cli::{times, words};
use crate::clock::{Clock, Timestamp};
use crate::proto::v1;

/// Arguments of `servers list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Only servers of this zone
    #[arg(long, value_name = "ZONE", default_value = "", hide_default_value = true)]
    zone: String,
}

pub async fn run(args: ListArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let servers = resolve::servers(client, cluster_id, &args.zone).await?;
    let now = Clock::system().now();
    let shown = Listed::whole("servers", &servers).show(output, |servers| table(servers, now))?;
    if output.format == Format::Text {
        output.note("process, leaders and whether a server may be powered off: obsteward servers show CLUSTER SERVER");
    }
    Ok(shown)
}

fn table(servers: &[v1::ObServer], now: Timestamp) -> Table {
    // What needs a look at the host and the log streams is not in a list: an answer that is always "unknown" misleads.
    let mut table = Table::new(&["ID", "ADDRESS", "ZONE", "STATUS", "OCEANBASE", "SERVICE", "READ", "TASK"])
        .with_wide(&["SQL PORT", "ROOT SERVICE", "STOPPED AT", "SERVES SINCE", "HELD UNTIL", "VERSION"]);
    for server in servers {
        table.row([
            server.id.to_string(),
            address(server),
            server.zone.clone(),
            words::server_status(server.status).into_owned(),
            words::server_inner_status(server.inner_status).into_owned(),
            words::service_state(server.service_state).into_owned(),
            times::age(server.observed_at.as_ref(), now),
            server.operating_task_id.map_or_else(|| "-".to_owned(), |task| task.to_string()),
            server.sql_port.to_string(),
            if server.with_rootserver { "yes" } else { "no" }.to_owned(),
            times::shown(server.stop_time.as_ref()),
            times::shown(server.start_service_time.as_ref()),
            times::shown(server.held_until.as_ref()),
            short_version(&server.version).to_owned(),
        ]);
    }
    table
}

/// Address as OceanBase writes it.
pub fn address(server: &v1::ObServer) -> String {
    match resolve::address_of(server) {
        Some(address) => address.to_string(),
        None => format!("{}:{}", server.ip, server.rpc_port),
    }
}

/// State of the process as its host reported it; a list does not ask every host.
pub fn process(server: &v1::ObServer) -> String {
    match server.process_state() {
        v1::ProcessState::Unspecified => "not asked".to_owned(),
        v1::ProcessState::Running
        | v1::ProcessState::Absent
        | v1::ProcessState::HostUnreachable
        | v1::ProcessState::Ambiguous => words::process_state(server.process_state).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::Paint;

    #[test]
    fn states_stand_apart() {
        let server = v1::ObServer {
            id: 2,
            ip: "10.0.0.2".to_owned(),
            rpc_port: 2882,
            zone: "zone2".to_owned(),
            status: v1::ServerStatus::Stopped as i32,
            inner_status: v1::ServerInnerStatus::Active as i32,
            service_state: v1::ServiceState::Stopped as i32,
            sql_port: 2881,
            version: "4.3.5.1_101000042025031818".to_owned(),
            observed_at: Some(prost_types::Timestamp::default()),
            ..Default::default()
        };
        let wide = table(std::slice::from_ref(&server), Timestamp::from_micros(0)).wide_lines(Paint::Plain);
        assert_eq!(
            wide[1].split_whitespace().skip(9).collect::<Vec<_>>(),
            ["2881", "no", "-", "-", "-", "4.3.5.1"],
            "{wide:?}"
        );
        let lines = table(&[server], Timestamp::from_micros(42_000_000)).lines(Paint::Plain);
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["2", "10.0.0.2:2882", "zone2", "STOPPED", "ACTIVE", "STOPPED", "42s", "ago", "-"]
        );
    }
}
