//! Replicas as processes over one MariaDB, with one agent for all hosts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use obsteward::agent::{Agent, AgentConfig, Launcher, grpc};
use obsteward::config::{Config, StoreUrl};
use obsteward::net::listener::bind_plaintext;
use obsteward::proto::v1;
use obsteward::sim::{SimCluster, SimServerInfo};
use obsteward::store::key_source::KeySource;
use obsteward::store::mysql::MysqlOptions;
use rustix::process::Signal;
use tokio::sync::{Mutex, RwLock};

use crate::support::mariadb::Mariadb;
use crate::support::{Clients, ServeProcess, config};

pub struct ReplicaSet {
    database: Mutex<Mariadb>,
    url: String,
    config: Config,
    directory: tempfile::TempDir,
    pub agent: SocketAddr,
    replicas: Vec<Arc<RwLock<Option<ServeProcess>>>>,
}

impl ReplicaSet {
    pub async fn start(count: usize) -> Self {
        let this = Self::empty(count).await;
        this.all_up().await;
        this
    }

    /// None of them is started yet.
    pub async fn empty(count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Mariadb::start().await;
        let url = database.database("replicas").await;
        let mut config = config(directory.path());
        config.local_agent.state_directory = None;
        config.store.url = Some(StoreUrl::new(url.clone()));
        config.store.key_file = Some(directory.path().join("store.key"));
        config.stop.effect_timeout_seconds = 2;
        let (listener, agent) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let mut settings = AgentConfig::new(directory.path().join("agent"));
        settings.timing.one_end_per = Duration::ZERO;
        settings.launcher = Launcher::obsteward(env!("CARGO_BIN_EXE_obsteward"));
        tokio::spawn(grpc::serve(Agent::new(settings).unwrap(), listener, std::future::pending()));
        let replicas = (0..count).map(|_| Arc::default()).collect();
        Self { database: Mutex::new(database), url, config, directory, agent, replicas }
    }

    pub fn len(&self) -> usize {
        self.replicas.len()
    }

    pub fn options(&self) -> MysqlOptions {
        let mut options = MysqlOptions::from_url(&self.url).unwrap();
        options.key = KeySource::File(self.directory.path().join("store.key"));
        options
    }

    /// Starts whichever is not there.
    pub async fn all_up(&self) {
        futures::future::join_all((0..self.len()).map(|replica| self.start_again(replica))).await;
    }

    pub async fn start_again(&self, replica: usize) {
        self.start_with(replica, &[]).await;
    }

    /// With more environment.
    pub async fn start_with(&self, replica: usize, environment: &[(&str, &str)]) {
        let mut slot = self.replicas[replica].write().await;
        if slot.is_none() {
            let home = self.directory.path().join(format!("replica{replica}"));
            std::fs::create_dir_all(&home).unwrap();
            *slot = Some(tokio::task::block_in_place(|| ServeProcess::start(&self.config, &home, environment)));
        }
    }

    pub async fn kill(&self, replica: usize) {
        if let Some(process) = self.replicas[replica].write().await.take() {
            process.kill();
        }
    }

    /// Its exit code and what it said, once it ended by itself.
    pub async fn last_words(&self, replica: usize) -> (Option<i32>, String) {
        let process = self.replicas[replica].write().await.take().unwrap();
        process.last_words().await
    }

    /// As somebody else who writes to the database.
    pub async fn write(&self, sql: &str) {
        let mut root = self.database.lock().await.root().await.unwrap();
        root.query_drop(sql).await.unwrap();
    }

    /// Ends it in order.
    pub async fn end(&self, replica: usize) {
        if let Some(mut process) = self.replicas[replica].write().await.take() {
            process.terminate();
            assert!(process.ended().await.is_some(), "a replica does not end: {}", process.said());
        }
    }

    pub async fn freeze(&self, replica: usize, silence: Duration) {
        let slot = self.replicas[replica].read().await;
        let Some(process) = slot.as_ref() else { return };
        process.signal(Signal::STOP);
        tokio::time::sleep(silence).await;
        process.signal(Signal::CONT);
    }

    pub async fn signal(&self, replica: usize, signal: Signal) {
        self.replicas[replica].read().await.as_ref().unwrap().signal(signal);
    }

    /// Kills the database, and starts it again after so long.
    pub async fn restart_database(&self, pause: Duration) {
        let mut database = self.database.lock().await;
        database.kill();
        tokio::time::sleep(pause).await;
        database.restart().await;
    }

    /// Every session at the database is gone.
    pub async fn cut_connections(&self) {
        let database = self.database.lock().await;
        let mut root = database.root().await.unwrap();
        let own = root.id();
        let sessions: Vec<u64> =
            root.query("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'root'").await.unwrap();
        for session in sessions.into_iter().filter(|session| *session != u64::from(own)) {
            let _ = root.query_drop(format!("KILL {session}")).await;
        }
    }

    /// Registers a cluster whose hosts the one agent has.
    pub async fn register(&self, clients: &Clients, sim: &SimCluster) -> v1::Cluster {
        let host = |server: &SimServerInfo| v1::Host {
            svr_ip: server.ip.clone(),
            transport: v1::HostTransport::Grpc as i32,
            agent_address: self.agent.to_string(),
            ..Default::default()
        };
        let request = v1::RegisterClusterRequest {
            endpoints: sim.endpoints(),
            hosts: sim.servers().iter().map(host).collect(),
            ..Default::default()
        };
        clients.clusters.clone().register_cluster(request).await.unwrap().into_inner().cluster.unwrap()
    }

    /// Clients of a replica; `None`: it is not there.
    pub async fn clients(&self, replica: usize) -> Option<Clients> {
        // Not behind one who starts or freezes it.
        let slot = self.replicas[replica].try_read().ok()?;
        slot.as_ref().map(|process| process.clients.clone())
    }

    /// Clients of the first that is there.
    pub async fn any_clients(&self) -> Clients {
        loop {
            for replica in 0..self.len() {
                if let Some(clients) = self.clients(replica).await {
                    return clients;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
