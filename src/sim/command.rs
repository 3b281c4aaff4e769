//! `obsteward sim`: a simulated cluster to try things on, until Ctrl-C or SIGTERM.
//!
//! Data (the table of servers) goes to stdout, everything said to people to stderr.

use std::io::{Write, stderr, stdout};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::fault::HELP;
use super::net::NetChoice;
use super::options::{Durations, SimError, SimOptions};
use super::{SimCluster, time};

/// Run a simulated OceanBase cluster: real processes and ports, no OceanBase
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct SimArgs {
    /// Number of zones
    #[arg(long, default_value_t = 3)]
    pub zones: u16,
    /// Servers in each zone
    #[arg(long, default_value_t = 1)]
    pub servers_per_zone: u16,
    /// Loopback network of the servers, 127.A.B.0
    #[arg(long, default_value_t = Ipv4Addr::new(127, 0, 1, 0))]
    pub net: Ipv4Addr,
    #[arg(long, default_value = "demo")]
    pub cluster_name: String,
    #[arg(long, default_value_t = 1)]
    pub cluster_id: i64,
    /// A server without heartbeat is INACTIVE after this time (10s, 500ms)
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub lease_time: Duration,
    /// One leader leaves a stopped server in this time
    #[arg(long, default_value = "300ms", value_parser = duration)]
    pub leader_switch_time: Duration,
    /// Where the servers' homes stand; temporary and removed at the end if not given
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// Password of root@sys
    #[arg(long, default_value = "", env = "OBSTEWARD_SIM_PASSWORD", hide_env_values = true)]
    pub password: String,
    /// The arbitration service is there
    #[arg(long)]
    pub arbitration: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let micros = time::parse_duration(text).filter(|_| text.ends_with(|c: char| c.is_ascii_alphabetic()));
    micros.map(time::duration).ok_or_else(|| "not a duration: write it like 10s or 500ms".to_owned())
}

impl SimArgs {
    pub fn options(self) -> Result<SimOptions, SimError> {
        let executable = std::env::current_exe().map_err(SimError::io("find our own executable"))?;
        let defaults = SimOptions::new(executable);
        Ok(SimOptions {
            zones: self.zones,
            servers_per_zone: self.servers_per_zone,
            cluster_name: self.cluster_name,
            cluster_id: self.cluster_id,
            net: NetChoice::Exact(self.net),
            directory: self.directory,
            password: self.password,
            arbitration: self.arbitration,
            durations: Durations {
                lease_time: self.lease_time,
                leader_switch: self.leader_switch_time,
                // heartbeats are sent often enough for short leases
                heartbeat_interval: defaults.durations.heartbeat_interval.min(self.lease_time / 5),
                ..defaults.durations.clone()
            },
            ..defaults
        })
    }
}

/// Starts the cluster, says where it is, and ends it in order when asked to.
pub async fn run(args: SimArgs) -> Result<(), SimError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(SimError::io("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SimError::io("listen for SIGINT"))?;
    let options = args.options()?;
    let with_password = !options.password.is_empty();
    let cluster = tokio::select! {
        cluster = SimCluster::start(options) => cluster?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let shown = show(&cluster, with_password);
    if shown.is_ok() {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    cluster.shutdown().await;
    shown.map_err(SimError::io("write to the terminal"))
}

fn show(cluster: &SimCluster, with_password: bool) -> std::io::Result<()> {
    let servers = cluster.servers();
    let mut out = stdout().lock();
    writeln!(out, "{:<4} {:<8} {:<22} {:<22} PID", "ID", "ZONE", "SQL", "RPC")?;
    for server in &servers {
        let pid = server.pid.map_or("-".to_owned(), |pid| pid.to_string());
        writeln!(out, "{:<4} {:<8} {:<22} {:<22} {pid}", server.id, server.zone, server.endpoint(), server.address())?;
    }
    out.flush()?;
    let mut err = stderr().lock();
    if let Some(first) = servers.first() {
        let password = if with_password { " -p" } else { "" };
        writeln!(err, "\nconnect with  mariadb -h {} -P {} -u root@sys{password} oceanbase", first.ip, first.sql_port)?;
        writeln!(err, "stop one with ALTER SYSTEM STOP SERVER '{}';", first.address())?;
    }
    writeln!(err, "homes are in  {}", cluster.directory().display())?;
    if let Some(first) = servers.first() {
        let password = if with_password { "--password-file FILE" } else { "--no-password" };
        writeln!(err, "try obsteward on it:")?;
        writeln!(err, "  obsteward serve --store FILE --local-agent DIRECTORY")?;
        writeln!(err, "  obsteward clusters register --endpoint {} {password} --default-host local", first.endpoint())?;
    }
    writeln!(err, "{HELP}\nend with Ctrl-C")
}
