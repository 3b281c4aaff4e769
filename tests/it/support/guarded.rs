//! What the tests of permission and audit stand on: the use cases behind their guard, over a temporary store and clusters that
//! nobody can reach. The engine never runs: tasks move only as a test moves them.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use obsteward::access::Directory;
use obsteward::api::auth::Gatekeeper;
use obsteward::api::grpc;
use obsteward::clock::{BootClock, Clock};
use obsteward::domain::ids::Principal;
use obsteward::domain::permission::Rights;
use obsteward::domain::reason::Reason;
use obsteward::domain::refusal::Refusal;
use obsteward::domain::trace::TraceContext;
use obsteward::engine::{Engine, EngineSettings, Registry};
use obsteward::host::AgentHosts;
use obsteward::inventory::Inventory;
use obsteward::net::bounds::ListenerLimits;
use obsteward::net::connections::Connections;
use obsteward::oceanbase::OceanBase;
use obsteward::operations::{Deps, Timeouts};
use obsteward::service::{Administration, Caller, Guarded, PasswordHasher, Service};
use obsteward::store::access::AccessChange;
use obsteward::store::{AuditOutcome, AuditRecord, Store};
use obsteward::watch::Hub;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::reads_only::nobody_there;
use crate::support::stored_rows::{new_cluster, users};
use crate::support::stored_tasks::{cluster_id, task_id};
use crate::support::temporary_store::TemporaryStore;

/// A hash that shows nothing, and costs nothing.
struct CheapHash;

#[async_trait]
impl PasswordHasher for CheapHash {
    async fn hash(&self, password: &SecretString) -> Result<String, Refusal> {
        Ok(format!("hashed:{}", password.expose_secret().len()))
    }
}

pub struct Fixture {
    pub store: Arc<TemporaryStore>,
    pub directory: Arc<Directory>,
    pub guarded: Guarded,
    engine: Option<tokio::runtime::Runtime>,
}

impl Fixture {
    /// Three clusters. Task 1 is on cluster 1, task 2 too and with accepted risks, task 3 on cluster 2.
    pub async fn new(users: &[(&str, &[&str])]) -> Self {
        let fixture = Self::empty(users, 3).await;
        fixture.store.create(task_id(1), cluster_id(1));
        fixture.store.create_with_risks(task_id(2), cluster_id(1));
        fixture.store.create(task_id(3), cluster_id(2));
        fixture
    }

    pub async fn empty(names: &[(&str, &[&str])], clusters: i64) -> Self {
        Self::over(users(names), 1..=clusters).await
    }

    pub async fn over(access: Vec<AccessChange>, clusters: impl IntoIterator<Item = i64>) -> Self {
        Self::over_clusters(access, clusters, Arc::new(nobody_there())).await
    }

    /// With another way to the clusters.
    pub async fn over_clusters(
        access: Vec<AccessChange>,
        clusters: impl IntoIterator<Item = i64>,
        oceanbase: Arc<dyn OceanBase>,
    ) -> Self {
        let store = Arc::new(TemporaryStore::with(access, clusters.into_iter().map(new_cluster)).await);
        let clock = Clock::system();
        let deps = Deps {
            oceanbase: oceanbase.clone(),
            hosts: Arc::new(AgentHosts::new(None)),
            inventory: Inventory::new(store.clone(), oceanbase, clock.clone()),
            clock: clock.clone(),
            store_id: store.store_id().to_owned(),
            store: store.real.clone(),
            timeouts: Timeouts::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let settings = EngineSettings {
            executor: "me".to_owned(),
            clock,
            boot_clock: BootClock::System,
            failpoints: Arc::default(),
            metrics: Default::default(),
        };
        let replicas = store.real.clone();
        let engine = Engine::new(store.clone(), replicas, Registry::default(), settings, runtime.handle().clone());
        let directory = Directory::open(store.clone()).await.unwrap();
        let administration = Administration {
            directory: Arc::clone(&directory),
            access: store.clone(),
            freezes: store.real.clone(),
            backups: store.real.clone(),
            hasher: Arc::new(CheapHash),
        };
        let guarded = Guarded::new(Service::new(store.clone(), engine, deps, administration));
        Self { store, directory, guarded, engine: Some(runtime) }
    }

    /// The mutation that was asked for last, as the audit log has it.
    pub fn last_call(&self) -> String {
        let last = self.store.records().pop();
        last.map_or_else(String::new, |record| format!("{} {}: {}", record.call, record.target, record.arguments))
    }

    /// Whether everything that was asked for was refused for its arguments, so that nothing came to the service.
    pub fn nothing_reached(&self) -> bool {
        let invalid = |record: &AuditRecord| matches!(&record.outcome, AuditOutcome::Refused { reason } if reason == "INVALID_ARGUMENT");
        self.store.log().is_empty() && self.store.records().iter().all(invalid)
    }

    /// Where the streams of the faces come from.
    pub async fn hub(&self, shutdown: &CancellationToken) -> Arc<Hub> {
        Hub::start(self.store.clone(), shutdown.clone()).await.unwrap()
    }

    /// The gRPC face on a socket of its own, until the end.
    pub async fn serve(
        &self,
        gatekeeper: Gatekeeper,
        bounds: ListenerLimits,
        shutdown: &CancellationToken,
    ) -> (SocketAddr, JoinHandle<()>) {
        let hub = self.hub(shutdown).await;
        let grpc = grpc::routes(self.guarded.clone(), hub, Arc::new(gatekeeper)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(listener, None, bounds);
        (address, tokio::spawn(grpc::serve(connections, grpc, bounds, shutdown.clone())))
    }

    /// A user as authentication would give it now.
    pub fn caller(&self, name: &str) -> Caller {
        let principal: Principal = name.parse().unwrap();
        let user = self.directory.user(&principal).unwrap();
        Caller {
            rights: Arc::new(self.directory.rights(&principal).unwrap_or_default()),
            user: Some(user.id),
            principal,
            proof: Arc::default(),
            address: "192.0.2.7:40000".to_owned(),
            trace: TraceContext::of_random(0x0123_4567_89ab_cdef, 1),
            reason: Reason::default(),
        }
    }

    /// Everybody, while authentication is off.
    pub fn anonymous() -> Caller {
        Caller {
            principal: Principal::new("anonymous"),
            user: None,
            rights: Arc::new(Rights::everything()),
            proof: Arc::default(),
            address: "127.0.0.1:40000".to_owned(),
            trace: TraceContext::of_random(0xfedc_ba98_7654_3210, 1),
            reason: Reason::default(),
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.shutdown_background();
        }
    }
}
