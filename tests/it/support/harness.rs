//! A simulated cluster, and the service as a process of its own that is started again and again on one store.

use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::{SimCluster, SimOptions};

use super::{Before, Clients, ServeProcess, config, quick};
use crate::promises::Evidence;

/// See the module's head.
pub struct Harness {
    pub sim: SimCluster,
    pub before: Before,
    pub directory: tempfile::TempDir,
    pub config: Config,
}

impl Harness {
    pub async fn new(options: SimOptions) -> Self {
        let sim = SimCluster::start(options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        Self { before: Before::of(&sim), sim, directory, config }
    }

    /// A cluster that is registered, by a service that has ended.
    pub async fn registered() -> Self {
        Self::registered_with(quick()).await
    }

    /// The same of a cluster with options of its own.
    pub async fn registered_with(options: SimOptions) -> Self {
        let harness = Self::new(options).await;
        let service = harness.serve(&[]).await;
        service.clients.register(harness.sim.endpoints()).await.unwrap();
        service.kill();
        harness
    }

    pub async fn serve(&self, environment: &[(&str, &str)]) -> ServeProcess {
        tokio::task::block_in_place(|| ServeProcess::start(&self.config, self.directory.path(), environment))
    }

    /// Exit code and last words of a service that must not start.
    pub async fn serve_in_vain(&self, environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let started =
            tokio::task::block_in_place(|| ServeProcess::try_start(&self.config, self.directory.path(), environment));
        let (status, said) = started.err().expect("the service started");
        (status.code(), said)
    }

    /// The same of one that may start first.
    pub async fn serve_until_it_ends(&self, environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let started =
            tokio::task::block_in_place(|| ServeProcess::try_start(&self.config, self.directory.path(), environment));
        match started {
            Ok(service) => service.last_words().await,
            Err((status, said)) => (status.code(), said),
        }
    }

    pub async fn cluster_id(&self, clients: &Clients) -> i64 {
        let clusters = clients.clusters.clone().list_clusters(v1::ListClustersRequest::default()).await.unwrap();
        clusters.into_inner().clusters[0].id
    }

    /// A request that stops the simulated server 2.
    pub async fn request(&self, clients: &Clients) -> v1::StopServerRequest {
        let cluster_id = self.cluster_id(clients).await;
        let ip = self.sim.server(2).unwrap().ip;
        let servers = clients.list_servers(cluster_id).await;
        let server_id = servers.into_iter().find(|server| server.ip == ip).unwrap().id;
        v1::StopServerRequest { cluster_id, server_id, ..Default::default() }
    }

    /// What is known of the cluster's tasks, none of which moves any more.
    pub async fn evidence(&self, clients: &Clients) -> Evidence {
        let cluster_id = self.cluster_id(clients).await;
        Evidence::gather(clients, &self.sim, cluster_id).await
    }
}
