//! What end-to-end tests stand on: a simulated cluster of real processes with short times, the service in this process or
//! as a process of its own, and clients of both; certificates, and HTTP by hand. Every test has its own loopback network and folder; dropping a stage ends
//! everything that it started.

pub mod callers;
pub mod certificates;
pub mod collector;
pub mod evidence;
pub mod faulty_disk;
pub mod guarded;
pub mod harness;
pub mod hosts;
pub mod http;
pub mod http2;
pub mod mariadb;
pub mod ob_proxy;
pub mod observers;
mod process;
pub mod program;
pub mod reads_only;
pub mod redacted;
pub mod refusal;
pub mod rest_client;
pub mod sshd;
pub mod stored_rows;
pub mod stored_tasks;
pub mod temporary_store;
pub mod terminal;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use obsteward::app::{App, AppError};
use obsteward::clock::Clock;
use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::proto::v1::admin_service_client::AdminServiceClient;
use obsteward::proto::v1::cluster_service_client::ClusterServiceClient;
use obsteward::proto::v1::get_cluster_request::By;
use obsteward::proto::v1::ob_server_service_client::ObServerServiceClient;
use obsteward::proto::v1::ob_zone_service_client::ObZoneServiceClient;
use obsteward::proto::v1::rollout_service_client::RolloutServiceClient;
use obsteward::proto::v1::task_service_client::TaskServiceClient;
use obsteward::sim::{Kind, SimCluster, SimOptions, SimServerInfo};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

pub use crate::promises::graphs;
pub use process::{ServeProcess, text_of};

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Options of a cluster with short times: 3 zones with one server each. Every cluster has a name of its own: an observer
/// that does not listen yet makes the processes of all clusters of its name on this machine ambiguous.
pub fn quick() -> SimOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let cluster_name = format!("demo_{}_{number}", std::process::id());
    SimOptions { cluster_name, ..SimOptions::quick(env!("CARGO_BIN_EXE_obsteward")) }
}

/// The configuration of a service on a folder, with an agent in the process and short times.
pub fn config(directory: &Path) -> Config {
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config.auth.enabled = false;
    config.store.path = directory.join("obsteward.db");
    config.local_agent.state_directory = Some(directory.join("agent"));
    config.local_agent.one_end_per_seconds = 0;
    config.local_agent.launcher = Some(env!("CARGO_BIN_EXE_obsteward").into());
    config.stop.poll_millis = 20;
    config.stop.precheck_seconds = 0;
    config.stop.gate_seconds = 3;
    config.stop.grace_seconds = 1;
    config.stop.reading_seconds = 5;
    config.sync.enabled = false;
    config
}

/// Clients of one service, as one caller.
#[derive(Clone)]
pub struct Clients {
    pub clusters: ClusterServiceClient<Wire>,
    pub servers: ObServerServiceClient<Wire>,
    pub zones: ObZoneServiceClient<Wire>,
    pub rollouts: RolloutServiceClient<Wire>,
    pub tasks: TaskServiceClient<Wire>,
    pub admin: AdminServiceClient<Wire>,
}

/// A channel on which every call names its caller.
pub type Wire = InterceptedService<Channel, Credentials>;

/// What every call carries.
#[derive(Clone)]
pub struct Credentials(Option<MetadataValue<Ascii>>);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.0 {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

impl Clients {
    /// As nobody.
    pub fn of(address: impl std::fmt::Display) -> Self {
        Self::with(address, Credentials(None))
    }

    /// As a user.
    pub fn user(address: impl std::fmt::Display, name: &str, password: &str) -> Self {
        Self::with(address, Credentials(Some(rest_client::basic(name, password).parse().unwrap())))
    }

    fn with(address: impl std::fmt::Display, credentials: Credentials) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let wire = InterceptedService::new(channel, credentials);
        Self {
            clusters: ClusterServiceClient::new(wire.clone()),
            servers: ObServerServiceClient::new(wire.clone()),
            zones: ObZoneServiceClient::new(wire.clone()),
            rollouts: RolloutServiceClient::new(wire.clone()),
            tasks: TaskServiceClient::new(wire.clone()),
            admin: AdminServiceClient::new(wire),
        }
    }

    /// Registers a cluster whose observers run on this machine.
    pub async fn register(&self, endpoints: Vec<String>) -> Result<v1::Cluster, Status> {
        let request = v1::RegisterClusterRequest {
            endpoints,
            default_host: Some(v1::DefaultHost { transport: v1::HostTransport::Local as i32, ..Default::default() }),
            ..Default::default()
        };
        Ok(self.clusters.clone().register_cluster(request).await?.into_inner().cluster.unwrap())
    }

    pub async fn list_servers(&self, cluster_id: i64) -> Vec<v1::ObServer> {
        let request = v1::ListServersRequest { cluster_id, ..Default::default() };
        self.servers.clone().list_servers(request).await.unwrap().into_inner().servers
    }

    pub async fn get_server(&self, cluster_id: i64, server_id: i64) -> v1::ObServer {
        let request = v1::GetServerRequest { cluster_id, server_id };
        self.servers.clone().get_server(request).await.unwrap().into_inner().server.unwrap()
    }

    pub async fn stop_with(&self, request: v1::StopServerRequest) -> Result<v1::Task, Status> {
        Ok(self.servers.clone().stop_server(request).await?.into_inner().task.unwrap())
    }

    pub async fn task(&self, task_id: i64) -> v1::Task {
        self.tasks.clone().get_task(v1::GetTaskRequest { task_id }).await.unwrap().into_inner().task.unwrap()
    }

    /// Every event of a task from the first until it is at rest or closed.
    pub async fn events(&self, task_id: i64) -> Vec<v1::TaskEvent> {
        let request = v1::WatchTaskRequest { task_id, after_revision: Some(0), ..Default::default() };
        let mut stream = self.tasks.clone().watch_task(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        let whole = async {
            while let Some(message) = stream.message().await.unwrap() {
                if let Some(v1::watch_task_response::Kind::Event(event)) = message.kind {
                    events.push(event);
                }
            }
        };
        if tokio::time::timeout(PATIENCE, whole).await.is_err() {
            panic!("the task did not come to rest: {:#?}", self.task(task_id).await);
        }
        events
    }

    /// Watches a task from after a revision; every event until `wanted` says so of one, or until the stream ends.
    pub async fn events_until(
        &self,
        task_id: i64,
        after: i64,
        mut wanted: impl FnMut(&v1::TaskEvent) -> bool,
    ) -> (Vec<v1::TaskEvent>, Result<(), Status>) {
        let request = v1::WatchTaskRequest { task_id, after_revision: Some(after), ..Default::default() };
        let mut events = Vec::new();
        let mut stream = match self.tasks.clone().watch_task(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return (events, Err(status)),
        };
        let watched = async {
            while let Some(message) = stream.message().await? {
                let Some(v1::watch_task_response::Kind::Event(event)) = message.kind else { continue };
                let found = wanted(&event);
                events.push(event);
                if found {
                    break;
                }
            }
            Ok(())
        };
        let ended = tokio::time::timeout(PATIENCE, watched).await.expect("the task did not move");
        (events, ended)
    }

    /// Waits until the running subtask says that it waits for something in these words.
    pub async fn waits_for(&self, task_id: i64, words: &str) {
        let request = v1::WatchTaskRequest { task_id, progress: true, ..Default::default() };
        let mut stream = self.tasks.clone().watch_task(request).await.unwrap().into_inner();
        let mut said = Vec::new();
        let waited = async {
            while let Some(message) = stream.message().await.unwrap() {
                let progress = match message.kind {
                    Some(v1::watch_task_response::Kind::Progress(progress)) => vec![progress],
                    Some(v1::watch_task_response::Kind::Snapshot(task)) => {
                        task.subtasks.into_iter().filter_map(|subtask| subtask.progress).collect()
                    }
                    _ => continue,
                };
                said.extend(progress.into_iter().map(|progress| progress.message));
                if said.last().is_some_and(|said| said.contains(words)) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(PATIENCE, waited).await.unwrap_or_default();
        assert!(found, "the task never waited for {words:?}, only for {said:?}");
    }

    pub async fn retry(&self, task_id: i64) -> v1::Task {
        let request = v1::RetryTaskRequest { task_id, ..Default::default() };
        self.tasks.clone().retry_task(request).await.unwrap().into_inner().task.unwrap()
    }

    /// The tasks of a cluster, newest first.
    pub async fn list(&self) -> Vec<v1::Task> {
        self.tasks.clone().list_tasks(v1::ListTasksRequest::default()).await.unwrap().into_inner().tasks
    }

    /// The task when it is at rest or closed.
    pub async fn at_rest(&self, task_id: i64) -> v1::Task {
        self.events(task_id).await;
        self.task(task_id).await
    }
}

/// A simulated cluster with the service over it, in this process, and the cluster registered.
pub struct Stage {
    pub sim: SimCluster,
    pub clients: Clients,
    pub cluster_id: i64,
    pub directory: tempfile::TempDir,
    pub config: Config,
    pub clock: Clock,
    service: Option<Running>,
}

/// A service in this process.
struct Running {
    rest: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), AppError>>,
}

impl Stage {
    /// Three zones with one server each.
    pub async fn new() -> Self {
        Self::over(quick()).await
    }

    pub async fn over(options: SimOptions) -> Self {
        Self::with(options, |_| {}).await
    }

    /// With a changed configuration of the service.
    pub async fn with(options: SimOptions, change: impl FnOnce(&mut Config)) -> Self {
        let sim = SimCluster::start(options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        change(&mut config);
        let clock = Clock::shifted();
        let (service, clients) = start(&config, &clock).await;
        let cluster = clients.register(sim.endpoints()).await.unwrap();
        Self { sim, clients, cluster_id: cluster.id, directory, config, clock, service: Some(service) }
    }

    /// Ends the service in order and starts another on the same store.
    pub async fn restart(&mut self) {
        self.end_service().await;
        let (service, clients) = start(&self.config, &self.clock).await;
        self.service = Some(service);
        self.clients = clients;
    }

    pub async fn end_service(&mut self) {
        if let Some(Running { shutdown, task, .. }) = self.service.take() {
            shutdown.cancel();
            task.await.unwrap().unwrap();
        }
    }

    /// The registered server that is the simulated one of this id.
    pub async fn server(&self, sim_id: i64) -> v1::ObServer {
        let info = self.info(sim_id);
        let servers = self.clients.list_servers(self.cluster_id).await;
        servers.into_iter().find(|server| server.ip == info.ip).unwrap()
    }

    pub fn info(&self, sim_id: i64) -> SimServerInfo {
        self.sim.server(sim_id).unwrap()
    }

    /// A client of the gateway; the configuration must name an address for it.
    pub fn rest(&self) -> rest_client::RestClient {
        let address = self.service.as_ref().and_then(|running| running.rest);
        rest_client::RestClient::of(address.expect("the service has no gateway"))
    }

    /// A client of where metrics are told; the configuration must name an address for it.
    pub fn beside(&self) -> rest_client::RestClient {
        let address = self.service.as_ref().and_then(|running| running.metrics);
        rest_client::RestClient::of(address.expect("the service tells no metrics"))
    }

    /// What Prometheus is told.
    pub async fn metrics(&self) -> String {
        let accepts = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")];
        let answer = self.beside().send(::http::Method::GET, "/metrics", &accepts, Vec::new()).await;
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.text);
        assert!(answer.text.ends_with("# EOF\n"), "{}", answer.text);
        answer.text
    }

    /// A request that stops a simulated server.
    pub async fn request(&self, sim_id: i64) -> v1::StopServerRequest {
        let server_id = self.server(sim_id).await.id;
        v1::StopServerRequest { cluster_id: self.cluster_id, server_id, ..Default::default() }
    }

    /// Asks for a stop of a simulated server and waits until the task rests or is closed.
    pub async fn stop(&self, sim_id: i64) -> v1::Task {
        let request = self.request(sim_id).await;
        let task = self.clients.stop_with(request).await.unwrap();
        self.clients.at_rest(task.id).await
    }

    /// Whether the cluster is free for another task.
    pub async fn is_free(&self) -> bool {
        let request = v1::GetClusterRequest { by: Some(By::ClusterId(self.cluster_id)) };
        let cluster = self.clients.clusters.clone().get_cluster(request).await.unwrap().into_inner().cluster.unwrap();
        cluster.operating_task_id.is_none() && cluster.status() != v1::ClusterStatus::Operating
    }
}

async fn start(config: &Config, clock: &Clock) -> (Running, Clients) {
    // A service that ended leaves its last look at /proc on its thread: in a process that lives on, it holds the agent's record.
    let held = |error: &AppError| matches!(error, AppError::Agent(said) if said.contains("is locked by another agent"));
    let built = async {
        loop {
            match App::build(config, clock.clone()).await {
                Err(error) if held(&error) => tokio::time::sleep(Duration::from_millis(10)).await,
                built => return built.unwrap(),
            }
        }
    };
    let app = tokio::time::timeout(PATIENCE, built).await.expect("an ended service holds the agent's record");
    let (clients, rest, metrics) = (Clients::of(app.address()), app.rest_address(), app.metrics_address());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(app.run(shutdown.clone()));
    (Running { rest, metrics, shutdown, task }, clients)
}

/// Whether an event begins the subtask of this name.
pub fn begins(event: &v1::TaskEvent, name: &str) -> bool {
    matches!(&event.kind, Some(v1::task_event::Kind::SubtaskTransition(transition))
        if transition.name == name && transition.to() == v1::SubtaskState::Running)
}

/// Every pid of a simulated cluster before a test, to tell afterwards that nothing else was touched.
pub struct Before(Vec<SimServerInfo>);

impl Before {
    pub fn of(sim: &SimCluster) -> Self {
        Self(sim.servers())
    }

    pub fn pid(&self, id: i64) -> u32 {
        self.0.iter().find(|server| server.id == id).unwrap().pid.unwrap()
    }

    /// One mark on one server, one process ended, and nothing else in the cluster's own record.
    pub fn assert_only_stopped(&self, sim: &SimCluster, target: i64) {
        let servers = |kind| sim.recorded(kind).into_iter().map(|recorded| recorded.server).collect::<Vec<_>>();
        assert_eq!(servers(Kind::MarkSet), [Some(target)], "marks");
        assert_eq!(servers(Kind::ProcessEnded), [Some(target)], "processes ended");
        self.assert_nothing_undone(sim);
        self.assert_others_live(sim, target);
        assert!(!is_alive(self.pid(target)));
    }

    fn assert_nothing_undone(&self, sim: &SimCluster) {
        for kind in [Kind::MarkCleared, Kind::ZoneStopped, Kind::ZoneStarted, Kind::ParameterSet, Kind::MinorFreeze] {
            assert_eq!(sim.recorded(kind), [], "{kind:?}");
        }
    }

    pub fn assert_others_live(&self, sim: &SimCluster, target: i64) {
        for server in self.0.iter().filter(|server| server.id != target) {
            assert_eq!(sim.server(server.id).unwrap().pid, server.pid, "server {} was touched", server.id);
            assert!(is_alive(server.pid.unwrap()));
        }
    }
}

/// Runs every case on its own cluster, a few at a time.
pub async fn all<T: Send + 'static, F: Future<Output = ()> + Send + 'static>(
    cases: impl IntoIterator<Item = T>,
    run: impl Fn(T) -> F + Send + Sync + Copy + 'static,
) {
    let turns = Arc::new(Semaphore::new(4));
    let mut running = tokio::task::JoinSet::new();
    for case in cases {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            run(case).await;
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// Whether a process is there and has not ended.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}

/// `reason` of the `ErrorInfo` that every error carries.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}")).reason.clone()
}

/// The error of a task: reason and message.
pub fn task_error(task: &v1::Task) -> (String, String) {
    let error = task.error.as_ref().unwrap_or_else(|| panic!("task without an error: {task:#?}"));
    let status = Status::with_details(Code::from(error.code), error.message.clone(), {
        use prost::Message;
        error.encode_to_vec().into()
    });
    (reason(&status), error.message.clone())
}

/// Names of a task's subtasks in execution order, with their states.
pub fn in_order(task: &v1::Task) -> Vec<(String, v1::SubtaskState)> {
    let mut order = Vec::new();
    let mut next = task.subtasks.iter().find(|subtask| subtask.upstreams.is_empty());
    while let Some(subtask) = next {
        order.push((subtask.name.clone(), subtask.state()));
        next = task.subtasks.iter().find(|candidate| candidate.upstreams == [subtask.id]);
    }
    order
}

/// Fails unless revisions are 1, 2, 3, … without gap or repeat.
pub fn assert_unbroken(events: &[v1::TaskEvent]) {
    let revisions: Vec<i64> = events.iter().map(|event| event.revision).collect();
    let expected: Vec<i64> = (1..=i64::try_from(revisions.len()).unwrap()).collect();
    assert_eq!(revisions, expected, "the sequence is broken");
}
