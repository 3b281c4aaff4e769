//! The composition root: builds every part from a configuration, binds, and runs until shutdown. Engine and store run on a
//! current-thread runtime of their own, so that a thousand watchers that wake do not delay a commit.

pub mod access_bootstrap;
mod maintenance;
mod notifications;
pub mod store;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::access::Directory;
use crate::access::bootstrap::{BootstrapError, bootstrap, has_administrator};
use crate::access::session::Sessions;
use crate::agent::{Agent, AgentConfig, Launcher};
use crate::api::auth::Gatekeeper;
use crate::api::console::Console;
use crate::api::metrics::Measured;
use crate::api::probes::Readiness;
use crate::api::rest::{Rest, TimestampFormat};
use crate::api::{console, grpc, metrics, probes, rest};
use crate::clock::{BootClock, Clock, Timestamp};
use crate::config::{Config, ProxiesConfig, RestConfig, SshConfig, TlsConfig};
use crate::domain::ids::ClusterId;
use crate::domain::status::Risk;
use crate::engine::{Engine, EngineSettings, Failpoints};
use crate::host::{AgentHosts, SshClient, SshOptions};
use crate::inventory::{Inventory, Syncer};
use crate::net::bounds::ListenerLimits;
use crate::net::client_tls::ClientTls;
use crate::net::connections::Connections;
use crate::net::descriptors;
use crate::net::http;
use crate::net::listener::{InsecureOverride, ListenError, Protection, bind};
use crate::net::proxies::Proxies;
use crate::net::tls::{self, Protocols, Tls, TlsError};
use crate::notify::reminders::HeldServers;
use crate::oceanbase::{EffectTimes, MysqlOceanBase, SessionPool};
use crate::operations::{Deps, Timeouts, registry};
use crate::service::{Administration, Argon2id, BeginningRules, Guarded, Service};
use crate::store::access::AccessStore;
use crate::store::replicas::ReplicaName;
use crate::store::{StoreError, WholeStore};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces;
use crate::watch::Hub;
use access_bootstrap::AccessConfigError;
use notifications::Notifier;

/// Time for the store's last writes to reach the disk.
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the service could not start, or failed.
#[derive(Debug, Error)]
pub enum AppError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS of a listener, or towards agents.
    #[error("{section}: {error}")]
    Tls {
        /// Section of the configuration.
        section: &'static str,
        error: TlsError,
    },
    /// A setting whose value is not valid.
    #[error("{setting}.{error}")]
    Setting {
        /// Section of the configuration.
        setting: &'static str,
        /// Name and value of the setting, and what is wrong.
        error: String,
    },
    /// Users, keys and roles of the configuration.
    #[error(transparent)]
    FirstAccess(#[from] AccessConfigError),
    /// Creating them.
    #[error("cannot make what the configuration wants, {0}")]
    Bootstrap(#[from] BootstrapError),
    /// No caller could ever do anything.
    #[error(
        "authentication is on and no user has the role ADMIN and a way to prove itself, add one to the configuration,\n\n    \
         [[auth.users]]\n    name = \"admin\"\n    roles = [\"ADMIN\"]\n    password_file = \"/etc/obsteward/admin.password\"\n\n\
         or, to try things out on a loopback address, say auth.enabled = false there or --no-auth here"
    )]
    NoAdministrator,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The local agent.
    #[error("the local agent cannot keep its record: {0}")]
    Agent(String),
    #[error("cannot start a thread of the service: {0}")]
    Thread(std::io::Error),
    /// Building the gRPC face.
    #[error("the gRPC face cannot be built: {0}")]
    Serve(String),
}

/// A service that is bound and not yet running.
pub struct App {
    grpc: BoundListener,
    rest: Option<(BoundListener, RestConfig)>,
    metrics: Metrics,
    /// Where metrics are told, and what tells them.
    telling: Option<(BoundListener, Measured)>,
    bounds: ListenerLimits,
    body_bytes: u64,
    gatekeeper: Arc<Gatekeeper>,
    sessions: Arc<Sessions>,
    clock: Clock,
    reload: Arc<Notify>,
    store: Arc<dyn WholeStore>,
    engine: Arc<Engine>,
    engine_thread: EngineThread,
    inventory: Inventory,
    guarded: Guarded,
    directory: Arc<Directory>,
    sync: bool,
    notifier: Notifier,
    held: Arc<dyn HeldServers>,
    /// What looks after tasks that have not begun.
    queue: Service,
}

struct BoundListener {
    listener: TcpListener,
    bound: SocketAddr,
    tls: Option<Arc<Tls>>,
    proxies: Option<Proxies>,
}

impl BoundListener {
    async fn bind(
        section: &'static str,
        listen: SocketAddr,
        files: Option<&TlsConfig>,
        protocols: Protocols,
        authentication: bool,
        insecure: InsecureOverride,
    ) -> Result<Self, AppError> {
        let tls = files.map(|files| Tls::open(files, protocols)).transpose();
        let tls = tls.map_err(|error| AppError::Tls { section, error })?;
        let protection = Protection { tls: tls.is_some(), authentication };
        let (listener, bound) = bind(listen, protection, insecure).await?;
        Ok(Self { listener, bound, tls, proxies: None })
    }

    fn behind(self, proxies: Option<&ProxiesConfig>) -> Self {
        Self { proxies: proxies.map(Proxies::new), ..self }
    }

    fn connections(self, bounds: ListenerLimits) -> Connections {
        Connections::new(self.listener, self.tls, bounds).behind(self.proxies)
    }
}

/// The thread of the engine's runtime; ends on request.
struct EngineThread {
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl EngineThread {
    fn start() -> Result<(Self, Handle), AppError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Thread)?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let body = move || {
            runtime.block_on(stopped.cancelled());
            // Its tasks are dropped. A thread that is resolving a host name is not awaited.
            runtime.shutdown_background();
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
    /// Binds the listeners, opens the store and builds every part. Nothing runs yet.
    pub async fn build(config: &Config, clock: Clock) -> Result<Self, AppError> {
        let authentication = config.auth.enabled;
        let insecure = InsecureOverride {
            said: config.server.insecure_listen,
            setting: "server.insecure_listen = true (--insecure-listen)",
        };
        let files = config.server.tls.as_ref();
        let grpc =
            BoundListener::bind("server.tls", config.server.listen, files, Protocols::Grpc, authentication, insecure)
                .await?;
        let grpc = grpc.behind(config.server.trusted_proxies.as_ref());
        let rest = match config.rest.listen {
            None => None,
            Some(listen) => {
                check_rest(&config.rest)?;
                let insecure =
                    InsecureOverride { said: config.rest.insecure_listen, setting: "rest.insecure_listen = true" };
                let files = config.rest.tls.as_ref();
                let face =
                    BoundListener::bind("rest.tls", listen, files, Protocols::Rest, authentication, insecure).await?;
                let face = face.behind(config.rest.trusted_proxies.as_ref());
                Some((face, config.rest.clone()))
            }
        };
        let bounds = bounds(config, descriptors::raise());
        let replica = ReplicaName { name: executor_name(), address: grpc.bound.to_string() };
        let metrics = Metrics { traces: traces::metrics(), ..Metrics::default() };
        let store = store::open(&config.store, replica, clock.clone(), metrics.store.clone()).await?;
        let access: Arc<dyn AccessStore> = store.clone();
        let directory = Directory::open(Arc::clone(&access)).await?;
        let sessions = Arc::new(Sessions::new(&*store, config.rest.session())?);
        let gatekeeper = gatekeeper(config, &directory, &clock, &sessions).await?;
        let local = match &config.local_agent.state_directory {
            None => None,
            Some(directory) => {
                let mut settings = AgentConfig::new(directory);
                settings.safe_units.clone_from(&config.local_agent.safe_units);
                settings.homes.clone_from(&config.local_agent.homes);
                settings.launcher = config.local_agent.launcher.clone().map_or(settings.launcher, Launcher::obsteward);
                settings.timing.one_end_per = Duration::from_secs(config.local_agent.one_end_per_seconds);
                Some(Agent::new(settings).map_err(|error| AppError::Agent(error.to_string()))?)
            }
        };
        let agents = config.agents.as_ref().map(ClientTls::open).transpose();
        let agents = agents.map_err(|error| AppError::Tls { section: "agents", error })?;
        let effect_times = EffectTimes::new(config.stop.effect_timeout());
        let effect_times = if store.is_shared() { effect_times.of_replica() } else { effect_times };
        let oceanbase = Arc::new(MysqlOceanBase::new(clock.clone()).with_effect_times(effect_times));
        // Periodic readings and credential checks log in each time, without kept sessions.
        let pool = |kept| SessionPool::new(oceanbase.clone(), kept).measured(metrics.clusters.clone());
        let once = Arc::new(pool(Duration::ZERO));
        let inventory = Inventory::new(store.clone(), once, clock.clone());
        let timeouts = timeouts(config);
        let hosts = AgentHosts::new(local).with_tls(agents).with_ssh(ssh(&config.ssh)?);
        let deps = Deps {
            oceanbase: Arc::new(pool(timeouts.kept())),
            hosts: Arc::new(hosts.measured(metrics.hosts.clone())),
            inventory: inventory.clone(),
            clock: clock.clone(),
            store_id: store.store_id().to_owned(),
            store: store.clone(),
            timeouts,
        };
        let (engine_thread, runtime) = EngineThread::start()?;
        let settings = EngineSettings {
            executor: executor_name(),
            clock: clock.clone(),
            boot_clock: BootClock::System,
            failpoints: Arc::new(Failpoints::from_environment()),
            metrics: metrics.tasks.clone(),
        };
        let runtimes = vec![("main", Handle::current()), ("engine", runtime.clone())];
        let engine = Engine::new(store.clone(), store.clone(), registry(&deps), settings, runtime);
        let administration = Administration {
            directory: Arc::clone(&directory),
            access,
            freezes: store.clone(),
            backups: store.clone(),
            hasher: Arc::new(Argon2id),
        };
        let notifier = Notifier::open(config, store.clone(), clock.clone())?;
        let service = Service::new(store.clone(), Arc::clone(&engine), deps, administration)
            .with_notifications(notifier.targets())
            .with_beginnings(BeginningRules {
                policies: maintenance::policies(config)?,
                authentication: config.auth.enabled,
            });
        let queue = service.clone();
        let held = Arc::new(service.clone());
        let telling = match config.metrics.listen {
            None => None,
            Some(listen) => {
                let insecure = InsecureOverride {
                    said: config.metrics.insecure_listen,
                    setting: "metrics.insecure_listen = true",
                };
                let face = BoundListener::bind("metrics", listen, None, Protocols::Rest, false, insecure).await?;
                let (metrics, service, clock) = (metrics.clone(), service.clone(), clock.clone());
                Some((face, Measured { metrics, service, clock, hub: Arc::default(), runtimes }))
            }
        };
        let guarded = Guarded::new(service);
        Ok(Self {
            grpc,
            rest,
            metrics,
            telling,
            bounds,
            body_bytes: config.limits.body_bytes,
            gatekeeper,
            sessions,
            clock,
            reload: Arc::default(),
            store,
            engine,
            engine_thread,
            inventory,
            guarded,
            directory,
            sync: config.sync.enabled,
            notifier,
            held,
            queue,
        })
    }

    pub const fn address(&self) -> SocketAddr {
        self.grpc.bound
    }

    /// `None`: there is no REST gateway.
    pub fn rest_address(&self) -> Option<SocketAddr> {
        self.rest.as_ref().map(|(face, _)| face.bound)
    }

    /// `None`: no metrics are told.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.telling.as_ref().map(|(face, _)| face.bound)
    }

    /// When notified, certificate files are checked at once instead of at the next period. `None`: there is no TLS.
    pub fn reread_certificates(&self) -> Option<Arc<Notify>> {
        (!self.certificates().is_empty()).then(|| Arc::clone(&self.reload))
    }

    fn certificates(&self) -> Vec<Arc<Tls>> {
        let rest = self.rest.as_ref().map(|(face, _)| face);
        std::iter::once(&self.grpc).chain(rest).filter_map(|face| face.tls.clone()).collect()
    }

    /// Takes over open tasks and serves until `shutdown`, or until a newer program has taken the store away. Then: not ready,
    /// no new calls or tasks on either face, an effect in flight gets a few seconds, watches are ended, the store is closed.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), AppError> {
        let bounds = self.bounds;
        let readiness = Readiness::new(self.store.clone(), shutdown.clone());
        // From before it serves until it has ended: whoever asks meanwhile hears that it is not ready. Nobody waits for the end
        // of that.
        let (told, over) = (Arc::<OnceLock<_>>::default(), CancellationToken::new());
        let _over = over.clone().drop_guard();
        if let Some((listener, measured)) = self.telling.take() {
            let measured = Measured { hub: Arc::clone(&told), ..measured };
            let router = metrics::router(measured).merge(probes::router(Arc::clone(&readiness)));
            tokio::spawn(http::serve(listener.connections(bounds), router, Protocols::Rest, bounds, over));
        }
        let hub = Hub::start(self.store.clone(), shutdown.clone()).await?;
        self.engine.recover().await?;
        let _ = told.set(Arc::clone(&hub));
        let certificates = self.certificates();
        let following_access = Some(tokio::spawn(self.directory.follow()));
        let engine = Arc::clone(&self.engine);
        let target_share = move |target: i64| engine.has_share(target);
        // Dropped with the end of this function, which waits for no target.
        let _notifying = self.notifier.start(self.held, Arc::new(target_share), &shutdown);
        // What is in flight ends with its own commit: nothing begins behind the shutdown.
        let (queue, ended) = (self.queue, shutdown.clone());
        let tending = Some(tokio::spawn(async move { _ = ended.run_until_cancelled(queue.tend_pending()).await }));
        let engine = Arc::clone(&self.engine);
        let share = move |cluster: ClusterId| engine.has_share(cluster.get());
        let syncing =
            self.sync.then(|| tokio::spawn(Syncer::new(self.inventory, Arc::new(share), shutdown.clone()).run()));
        let following = (!certificates.is_empty())
            .then(|| tokio::spawn(tls::follow(certificates, tls::RELOAD_INTERVAL, self.reload)));
        let guarded = self.guarded;
        let routes = grpc::routes(guarded.clone(), Arc::clone(&hub), Arc::clone(&self.gatekeeper))
            .await
            .map_err(|error| AppError::Serve(format!("its reflection is wrong: {error}")))?
            .measured(self.metrics.calls);
        let router = self.rest.map(|(face, config)| {
            let (body_bytes, arrival_seconds) = (self.body_bytes, self.bounds.arrival.as_secs());
            let gateway = rest::router(Rest {
                guarded: guarded.clone(),
                hub: Arc::clone(&hub),
                gatekeeper: Arc::clone(&self.gatekeeper),
                config: config.clone(),
                body_bytes,
                arrival_seconds,
                metrics: self.metrics.requests,
                readiness: Arc::clone(&readiness),
            });
            if !config.console {
                return (face, gateway);
            }
            let console = Console {
                guarded: guarded.clone(),
                hub: Arc::clone(&hub),
                gatekeeper: Arc::clone(&self.gatekeeper),
                sessions: self.sessions,
                clock: self.clock,
                config,
                body_bytes,
                arrival_seconds,
            };
            (face, console::router(console, gateway))
        });
        drop((guarded, hub));
        readiness.serves();
        // Whichever face ends first ends the other too: half a service helps nobody.
        let serving_grpc = async {
            grpc::serve(self.grpc.connections(bounds), routes, bounds, shutdown.clone()).await;
            shutdown.cancel();
        };
        let serving = async |listener: Option<(BoundListener, axum::Router)>| {
            if let Some((listener, router)) = listener {
                http::serve(listener.connections(bounds), router, Protocols::Rest, bounds, shutdown.clone()).await;
                shutdown.cancel();
            }
        };
        // Concurrently: connections that are slow to end must not add to the time that effects in flight get.
        let ending = async {
            let outdated = tokio::select! {
                () = shutdown.cancelled() => None,
                why = self.engine.outdated() => Some(StoreError::Outdated(why)),
            };
            shutdown.cancel();
            tracing::info!("ends: takes no calls and begins nothing, what is in flight gets a few seconds");
            self.engine.shut_down().await;
            outdated
        };
        let ((), (), outdated) = tokio::join!(serving_grpc, serving(router), ending);
        for beside in [following_access, syncing, following, tending].into_iter().flatten() {
            beside.abort();
        }
        close(&*self.store).await;
        self.engine_thread.end();
        tracing::info!("ended in order, open tasks go on at the next start");
        outdated.map_or(Ok(()), |why| Err(why.into()))
    }
}

/// Checks a configuration without starting anything; answers what a person should know of it.
pub fn check(config: &Config, now: Timestamp) -> Result<Vec<String>, AppError> {
    check_rest(&config.rest)?;
    ssh(&config.ssh)?;
    access_bootstrap::wanted(&config.auth)?;
    maintenance::policies(config)?;
    maintenance::odd_hours(config, now)
}

/// Checks what the type of a setting cannot express.
fn check_rest(config: &RestConfig) -> Result<(), AppError> {
    let wrong = |error: String| AppError::Setting { setting: "rest", error };
    TimestampFormat::named(&config.time_zone).map_err(|error| wrong(format!("time_zone: {error}")))?;
    for risk in &config.accepted_risks {
        risk.parse::<Risk>().map_err(|error| wrong(format!("accepted_risks: {error}")))?;
    }
    Ok(())
}

fn ssh(config: &SshConfig) -> Result<SshClient, AppError> {
    let SshConfig { program, config_file, identity_file, known_hosts_file, connect_timeout_seconds, agent_command } =
        config.clone();
    let connect_timeout = Duration::from_secs(connect_timeout_seconds);
    let options = SshOptions { program, config_file, identity_file, known_hosts_file, connect_timeout, agent_command };
    SshClient::new(options).map_err(|error| AppError::Setting { setting: "ssh", error: error.to_string() })
}

fn timeouts(config: &Config) -> Timeouts {
    Timeouts {
        poll: config.stop.poll(),
        precheck: Duration::from_secs(config.stop.precheck_seconds),
        gate: Duration::from_secs(config.stop.gate_seconds),
        grace: config.stop.grace(),
        leader_wait: Duration::from_secs(config.stop.leader_wait_seconds),
        reading: Duration::from_secs(config.stop.reading_seconds),
        freeze: config.stop.freeze(),
        start_watch: Duration::from_secs(config.start.watch_seconds),
        catch_up: Duration::from_secs(config.start.catch_up_seconds),
    }
}

/// Limits for a listener's clients. Connections never use up the file descriptors that tasks and the store need.
fn bounds(config: &Config, allowed: Option<u64>) -> ListenerLimits {
    let listeners = 1 + usize::from(config.rest.listen.is_some()) + usize::from(config.metrics.listen.is_some());
    let wanted = ListenerLimits::from(&config.limits);
    let connections = descriptors::share(wanted.connections, listeners, allowed);
    if let Some(allowed) = allowed.filter(|_| connections < wanted.connections) {
        tracing::warn!(
            "this process may open {allowed} files, so a listener takes {connections} connections instead of \
             limits.connections: raise LimitNOFILE, or lower the setting"
        );
    }
    ListenerLimits { connections, ..wanted }
}

/// Builds what authenticates callers. With authentication on, some user must be allowed to do everything, or nobody could ever
/// begin.
async fn gatekeeper(
    config: &Config,
    directory: &Arc<Directory>,
    clock: &Clock,
    sessions: &Arc<Sessions>,
) -> Result<Arc<Gatekeeper>, AppError> {
    if !config.auth.enabled {
        tracing::warn!("authentication is off, everybody who reaches this service may do everything");
        return Ok(Arc::new(Gatekeeper::open_within(&config.limits)));
    }
    let made = bootstrap(directory, access_bootstrap::wanted(&config.auth)?, clock).await?.made;
    if !made.is_empty() {
        tracing::info!("made from the configuration: {}", made.join(", "));
    }
    if !has_administrator(directory) {
        return Err(AppError::NoAdministrator);
    }
    let gatekeeper = Gatekeeper::new(Arc::clone(directory), clock.clone(), &config.auth, &config.limits);
    Ok(Arc::new(gatekeeper.with_sessions(Arc::clone(sessions))))
}

/// Closes the store, so that whoever waits for the end of the service can open it or move the file. Connections and watches
/// that have ended release it in their own time.
async fn close(store: &dyn WholeStore) {
    if tokio::time::timeout(STORE_CLOSE_TIMEOUT, store.close()).await.is_err() {
        tracing::warn!("the store's disk is slow, the file is left with its write-ahead log");
    }
}

/// Identifies this process in events: `host:pid`.
fn executor_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}", std::process::id())
}
