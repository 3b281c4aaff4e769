//! The composition root: builds every part from a configuration, binds, and runs until told to end. Engine and store run
//! on a current-thread runtime of their own, so that a thousand watchers that wake do not delay a commit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::access::Directory;
use crate::agent::{Agent, AgentConfig};
use crate::api::auth::Gatekeeper;
use crate::api::grpc;
use crate::clock::{Clock, monotonic_now};
use crate::config::Config;
use crate::engine::{Engine, EngineSettings};
use crate::host::AgentHosts;
use crate::inventory::{Inventory, Syncer};
use crate::net::listener::{ListenError, bind_plaintext};
use crate::oceanbase::{EffectTimes, MysqlOceanBase};
use crate::operations::{Deps, Pace, registry};
use crate::service::{Administration, Argon2id, Guarded, Service};
use crate::store::StoreError;
use crate::store::access::AccessStore;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::watch::Hub;

/// How long the last users of the store may take to let go of it.
const CLOSING: Duration = Duration::from_secs(1);

/// Why the service could not be started or ended badly.
#[derive(Debug, Error)]
pub enum AppError {
    /// The listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The local agent.
    #[error("the local agent cannot keep its record: {0}")]
    Agent(String),
    /// The system.
    #[error("cannot start a thread of the service: {0}")]
    Thread(std::io::Error),
    /// The server ended by itself.
    #[error("the gRPC server ended: {0}")]
    Serve(String),
}

/// A service that is bound and not yet running.
pub struct App {
    listener: TcpListener,
    bound: SocketAddr,
    store: Arc<SqliteStore>,
    engine: Arc<Engine>,
    engine_thread: EngineThread,
    inventory: Inventory,
    service: Service,
    use_cases: Arc<Guarded>,
    sync: bool,
}

/// The thread of the engine's runtime; ends when told.
struct EngineThread {
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl EngineThread {
    fn start() -> Result<(Self, tokio::runtime::Handle), AppError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Thread)?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let body = move || {
            runtime.block_on(stopped.cancelled());
            runtime.shutdown_timeout(Duration::from_secs(1));
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(body).map_err(AppError::Thread)?;
        Ok((Self { stop, thread }, handle))
    }

    fn end(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the engine's thread ended badly");
        }
    }
}

impl App {
    /// Binds the listener, opens the store and builds every part. Nothing runs yet.
    pub async fn build(config: &Config, clock: Clock) -> Result<Self, AppError> {
        let (listener, bound) = bind_plaintext(config.server.listen, config.server.insecure_listen).await?;
        let store = SqliteStore::open(&config.store.path, SqliteOptions::default())?;
        let local = match &config.local_agent.state_directory {
            None => None,
            Some(directory) => {
                let mut settings = AgentConfig::new(directory);
                settings.safe_units.clone_from(&config.local_agent.safe_units);
                settings.one_end_per = Duration::from_secs(config.local_agent.one_end_per_seconds);
                Some(Agent::new(settings).map_err(|error| AppError::Agent(error.to_string()))?)
            }
        };
        let oceanbase = Arc::new(
            MysqlOceanBase::new(clock.clone()).with_effect_times(EffectTimes::new(config.stop.effect_timeout())),
        );
        let inventory = Inventory::new(store.clone(), oceanbase.clone(), clock.clone());
        let deps = Deps {
            oceanbase,
            hosts: Arc::new(AgentHosts::new(local)),
            inventory: inventory.clone(),
            clock: clock.clone(),
            store_id: crate::store::Store::store_id(&*store).to_owned(),
            pace: Pace {
                poll: config.stop.poll(),
                precheck: Duration::from_secs(config.stop.precheck_seconds),
                gate: Duration::from_secs(config.stop.gate_seconds),
                grace: config.stop.grace(),
                leader_wait: Duration::from_secs(config.stop.leader_wait_seconds),
                reading: Duration::from_secs(config.stop.reading_seconds),
            },
        };
        let (engine_thread, runtime) = EngineThread::start()?;
        let settings = EngineSettings { executor: executor_name(), clock };
        let engine = Engine::new(store.clone(), registry(&deps), settings, runtime);
        let access: Arc<dyn AccessStore> = store.clone();
        let directory = Directory::open(Arc::clone(&access)).await?;
        let guarding = (Arc::clone(&directory), Arc::clone(&access), deps.clock.clone());
        let administration = Administration { directory, access, hasher: Arc::new(Argon2id) };
        let service = Service::new(store.clone(), Arc::clone(&engine), deps, administration);
        let (directory, access, clock) = guarding;
        let use_cases = Arc::new(Guarded::new(Arc::new(service.clone()), directory, access, clock));
        let sync = config.sync.enabled;
        Ok(Self { listener, bound, store, engine, engine_thread, inventory, service, use_cases, sync })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.bound
    }

    /// The use cases, for a caller in this process: nobody asks what it may.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Takes over open tasks and serves until `shutdown`. Then: not ready, no new calls or tasks, an effect in flight gets
    /// a few seconds, watchers are told, the store is closed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let hub = Hub::start(self.store.clone(), shutdown.clone()).await?;
        let taken_over = self.engine.recover().await?;
        if taken_over > 0 {
            tracing::info!("took over {taken_over} open tasks");
        }
        let syncing = self.sync.then(|| tokio::spawn(Syncer::new(self.inventory, shutdown.clone()).run()));
        // Whoever holds the store beyond the last call delays its close.
        drop(self.service);
        let grpc = grpc::routes(self.use_cases, hub, Arc::new(Gatekeeper::open()))
            .await
            .map_err(|error| AppError::Serve(format!("its reflection is wrong: {error}")))?;
        let serving = async {
            let served = grpc::serve(self.listener, grpc, shutdown.clone()).await;
            shutdown.cancel();
            served
        };
        // Side by side: connections that are slow to go must not add to the time that effects in flight get.
        let ending = async {
            shutdown.cancelled().await;
            self.engine.shut_down().await;
        };
        let (served, ()) = tokio::join!(serving, ending);
        if let Some(syncing) = syncing {
            syncing.abort();
        }
        self.engine_thread.end();
        drop(self.engine);
        close(self.store).await;
        served.map_err(|error| AppError::Serve(error.to_string()))
    }
}

/// Closes the store, so that whoever waits for the end of the service can open it. Connections and watches that have ended
/// let go of it in their own time.
async fn close(mut store: Arc<SqliteStore>) {
    let deadline = monotonic_now() + CLOSING;
    while monotonic_now() < deadline {
        match Arc::try_unwrap(store) {
            Ok(store) => return drop(store),
            Err(shared) => store = shared,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tracing::warn!("the store is still in use; it is closed with the process");
}

/// Names this process in events: `host:pid`.
fn executor_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}", std::process::id())
}
