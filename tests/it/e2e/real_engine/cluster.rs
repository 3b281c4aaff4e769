//! A cluster over one engine: its tables, a process for each observer, and the service over it as a process of its own.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::NetClaim;

use super::engine::{Engine, Release, compile, log_in};
use super::fronts::Fronts;
use crate::support::{Clients, ServeProcess, config};

const SQL_PORT: u16 = 2881;
const RPC_PORT: u16 = 2882;

/// The cluster. Dropping it ends every process.
pub struct Cluster {
    pub fronts: Arc<Fronts>,
    pub name: String,
    pub config: Config,
    pub directory: tempfile::TempDir,
    pub engine: Engine,
    net: NetClaim,
    /// Watches one observer's process each.
    observers: tokio::task::JoinSet<()>,
}

impl Cluster {
    /// Three zones with a server each. To be called on the test's own thread.
    pub async fn start() -> Self {
        let net = NetClaim::any().unwrap();
        let name = format!("engine_{}", std::process::id());
        let engine = Engine::start(Release::OfCluster, net.address(250), &name).await;
        let mut root = engine.log_in().await.unwrap();
        let first_octets = net.network().to_string();
        let script = include_str!("cluster.sql").replace("NET.", first_octets.strip_suffix('0').unwrap());
        for statement in script.split(";\n") {
            let statement = statement.trim();
            if !statement.lines().all(|line| line.starts_with("--")) {
                root.query_drop(statement).await.unwrap_or_else(|error| panic!("{error} in {statement}"));
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        config.stop.poll_millis = 100;
        let fronts = Fronts::new(engine.address);
        let mut cluster = Self { fronts, name, config, directory, engine, net, observers: tokio::task::JoinSet::new() };
        for number in 1..=3 {
            cluster.observer(number).await;
        }
        cluster
    }

    /// Starts the process of an observer, and shows what became of it as the root service would: INACTIVE after the lease.
    async fn observer(&mut self, number: u8) {
        let ip = self.net.address(number);
        let front = self.fronts.open(ip).await;
        let home = self.directory.path().join(format!("observer{number}"));
        for directory in ["bin", "etc", "store"] {
            std::fs::create_dir_all(home.join(directory)).unwrap();
        }
        std::fs::write(home.join("leads_to"), format!("{} {}", front.ip(), front.port())).unwrap();
        compile(include_str!("observer.c"), &[], &home.join("bin/observer"));
        let mut command = Command::new(home.join("bin/observer"));
        command
            .arg0("bin/observer")
            .args(["-I", &ip.to_string(), "-p", &SQL_PORT.to_string(), "-P", &RPC_PORT.to_string()])
            .args(["-z", &format!("zone{number}"), "-n", &self.name, "-c", "1", "-d", "store"])
            .current_dir(&home)
            .stdin(Stdio::null())
            .process_group(0);
        let mut child = Observer(command.spawn().unwrap());
        let address = self.engine.address;
        self.observers.spawn(async move {
            while child.0.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let offline = format!(
                "UPDATE __all_server SET status = 'INACTIVE', start_service_time = 0, \
                 last_offline_time = TIME_TO_USEC(NOW(6)) WHERE svr_ip = '{ip}'"
            );
            log_in(address).await.unwrap().query_drop(offline).await.unwrap();
        });
        let listens = async {
            while tokio::net::TcpStream::connect((ip, SQL_PORT)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, listens).await.expect("the observer does not listen");
    }

    pub fn ip(&self, number: u8) -> Ipv4Addr {
        self.net.address(number)
    }

    /// The service on this cluster's store; it must be ended before another is started.
    pub fn serve(&self) -> ServeProcess {
        tokio::task::block_in_place(|| ServeProcess::start(&self.config, self.directory.path(), &[]))
    }

    /// Registers the cluster by its three endpoints.
    pub async fn register(&self, clients: &Clients) -> v1::Cluster {
        let endpoints = (1..=3).map(|number| format!("{}:{SQL_PORT}", self.ip(number))).collect();
        clients.register(endpoints).await.unwrap()
    }

    /// A request that stops the server of this number.
    pub async fn request(&self, clients: &Clients, cluster_id: i64, number: u8) -> v1::StopServerRequest {
        let ip = self.ip(number).to_string();
        let servers = clients.list_servers(cluster_id).await;
        let server_id = servers.into_iter().find(|server| server.ip == ip).unwrap().id;
        v1::StopServerRequest { cluster_id, server_id, ..Default::default() }
    }

    /// A session behind the service's back.
    pub async fn root(&self) -> Conn {
        self.engine.log_in().await.unwrap()
    }

    /// The engine understood every statement.
    pub fn assert_understood(&self) {
        assert_eq!(self.fronts.odd(), [] as [String; 0]);
    }
}

/// A process that ends with its handle.
struct Observer(Child);

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
