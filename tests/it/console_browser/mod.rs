//! The web console in a real browser: Chromium, headless, over the whole service and a simulated cluster. What is asked of the
//! console over HTTP alone is in `faces::console`; here is what only a browser tells: that the script works, that the policy of
//! pages lets through what they need, that everything can be reached by keyboard, and how it looks.
//!
//! Pictures of every page stay in target/console, and are there to be looked at.

mod accessible;
mod approvals;
mod chromium;
mod gallery;
mod keyboard;
mod operations;
mod tab;

use std::net::SocketAddr;

use obsteward::app::{App, AppError};
use obsteward::clock::Clock;
use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::{SimCluster, SimOptions};
use tokio_util::sync::CancellationToken;

use crate::support::{Clients, callers, config, quick};

const PASSWORD: &str = "correct horse battery";

/// A cluster of two servers in each of three zones, registered, and the service over it with the console: `admin` and `colleague` may
/// do everything, `viewer` may look at clusters and tasks, `newcomer` may see a cluster that is not there.
struct Place {
    sim: SimCluster,
    admin: Clients,
    base: String,
    cluster: i64,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), AppError>>,
    _directory: tempfile::TempDir,
}

impl Place {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let sim = SimCluster::start(SimOptions { servers_per_zone: 2, ..quick() }).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        let password_file = directory.path().join("password");
        std::fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();
        config.auth.enabled = true;
        let user = |name: &str, role: &str| callers::user(name, role, &password_file);
        config.auth.users = vec![
            user("admin", "ADMIN"),
            user("colleague", "ADMIN"),
            user("viewer", "CLUSTER_VIEWER"),
            user("newcomer", "NEWCOMER"),
        ];
        config.auth.roles = callers::roles(&[("NEWCOMER", &["CLUSTER:999:READ"])]);
        config.rest.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        change(&mut config);
        let app = App::build(&config, Clock::system()).await.unwrap();
        let (grpc, base) = (app.address(), format!("http://{}", app.rest_address().unwrap()));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        let admin = Clients::user(grpc, "admin", PASSWORD);
        let cluster = admin.register(sim.endpoints()).await.unwrap().id;
        Self { sim, admin, base, cluster, shutdown, running, _directory: directory }
    }

    /// The path of the registered server that is the simulated one of this id, and its address.
    async fn server(&self, sim_id: i64) -> (String, String) {
        let ip = self.sim.server(sim_id).unwrap().ip;
        let servers = self.admin.list_servers(self.cluster).await;
        let server = servers.into_iter().find(|server| server.ip == ip).unwrap();
        (format!("/clusters/{}/servers/{}", self.cluster, server.id), self.sim.server(sim_id).unwrap().address())
    }

    /// A request that stops a simulated server.
    async fn stop_of(&self, sim_id: i64) -> v1::StopServerRequest {
        let (path, _) = self.server(sim_id).await;
        let server_id = path.rsplit('/').next().unwrap().parse().unwrap();
        v1::StopServerRequest { cluster_id: self.cluster, server_id, ..Default::default() }
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}
