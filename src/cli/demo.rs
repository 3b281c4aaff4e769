//! `obsteward demo`: a simulated cluster of 3 zones x 2 servers, an agent per simulated host, the service with its REST
//! gateway on an embedded store in a temporary folder, and one server stopped before your eyes. Uses the service as any client
//! would: as user `admin`, by password.

mod look_around;
mod rolling;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::client::{CLUSTER_TIMEOUT, Client, READ_TIMEOUT, Target};
use super::exit::Exit;
use super::failure::Failure;
use super::follow::{FollowOptions, follow};
use super::login::Login;
use super::output::Output;
use super::words;
use crate::app::App;
use crate::clock::{Clock, monotonic_now};
use crate::config::{Config, UserConfig};
use crate::proto::v1;
use crate::sim::{Durations, NetChoice, SimCluster, SimOptions};

/// Port of the agents, at the address of each simulated host.
const AGENT_PORT: u16 = 62888;
/// Longest wait for an agent to listen.
const AGENT_START: Duration = Duration::from_secs(10);
/// `lease_time` of the demo's cluster: a real one has 10 s, and the wait for it would be most of the demo.
const LEASE_TIME: Duration = Duration::from_secs(2);
/// The administrator of the demo. Anybody may know the password: the demo listens on loopback only.
const USER: &str = "admin";
const PASSWORD: &str = "demo";
/// The server that the demo stops. It leads something, so that the wait for leaders can be seen, and does not carry the root
/// service.
const STOPPED: i64 = 5;
/// The server that is left for trying things out: of the same zone as [`STOPPED`], because one of another zone must wait.
const LEFT_TO_STOP: i64 = 2;

/// Arguments of `obsteward demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// End after the stop, with the task's exit code
    #[arg(long)]
    pub once: bool,
    /// Address of the service; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Address of the REST gateway; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub rest_listen: SocketAddr,
    /// Loopback network of the simulated servers, 127.A.B.0
    #[arg(long, value_name = "NET", default_value_t = Ipv4Addr::new(127, 0, 1, 0))]
    pub net: Ipv4Addr,
    /// What is shown: one server stopped, or all of them restarted one after the other
    #[arg(long, value_enum, default_value_t = Walk::Stop, conflicts_with = "no_stop")]
    pub walk: Walk,
    /// Only start everything; stop no server
    #[arg(long, conflicts_with = "once")]
    pub no_stop: bool,
}

/// What the demo shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Walk {
    /// One server is stopped
    Stop,
    /// Every server is restarted, while a client writes
    Rolling,
}

/// What the demo started, and ends again.
struct Stage {
    cluster: SimCluster,
    agents: Vec<Child>,
    shutdown: CancellationToken,
    service: tokio::task::JoinHandle<Result<(), crate::app::AppError>>,
    address: SocketAddr,
    /// Of the REST gateway.
    rest: Option<SocketAddr>,
}

pub async fn run(args: DemoArgs, output: &Output) -> Result<Exit, Failure> {
    let local = |error: std::io::Error| Failure::Local(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(local)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(local)?;
    let began = monotonic_now();
    let stage = tokio::select! {
        stage = Stage::build(&args, output) => stage?,
        _ = interrupt.recv() => return Ok(Exit::OutcomeUnknown),
        _ = terminate.recv() => return Ok(Exit::OutcomeUnknown),
    };
    let shown = tokio::select! {
        shown = show(&stage, &args, output) => shown,
        _ = interrupt.recv() => Ok((Exit::OutcomeUnknown, None)),
        _ = terminate.recv() => Ok((Exit::OutcomeUnknown, None)),
    };
    if let Ok((exit, task)) = shown
        && !args.once
        && exit != Exit::OutcomeUnknown
    {
        output.note(&format!("ready after {:.1} s", monotonic_now().duration_since(began).as_secs_f64()));
        for line in look_around::lines(&stage.place(task)) {
            output.note(&line);
        }
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    } else if args.once {
        output.note(&format!("demo took {:.1} s", monotonic_now().duration_since(began).as_secs_f64()));
    }
    stage.end().await;
    shown.map(|(exit, _)| exit)
}

impl Stage {
    async fn build(args: &DemoArgs, output: &Output) -> Result<Self, Failure> {
        let executable =
            std::env::current_exe().map_err(|error| Failure::Local(format!("cannot find this program: {error}")))?;
        // Before anything is started: an error must not come after the wait for the cluster.
        free(args.listen, "the service", "--listen")?;
        free(args.rest_listen, "the REST gateway", "--rest-listen")?;
        let options = SimOptions {
            zones: 3,
            servers_per_zone: 2,
            net: NetChoice::Exact(args.net),
            cluster_name: cluster_name(args.net),
            durations: Durations {
                lease_time: LEASE_TIME,
                heartbeat_interval: Duration::from_millis(200),
                leader_switch: Duration::from_millis(150),
                leader_wait_interval: Duration::from_millis(500),
                ..Durations::default()
            },
            ..SimOptions::new(&executable)
        };
        output.note(&format!(
            "starting a simulated cluster of 3 zones x 2 servers (lease_time {} s, a real one has 10 s)",
            LEASE_TIME.as_secs()
        ));
        let cluster = SimCluster::start(options).await.map_err(|error| Failure::Local(error.to_string()))?;
        // Inside the cluster's folder, which is removed however this process ends.
        let directory = cluster.directory().join("service");
        std::fs::create_dir_all(&directory)
            .map_err(|error| Failure::Local(format!("cannot create {}: {error}", directory.display())))?;
        let mut agents = Vec::new();
        for server in cluster.servers() {
            let ip = server.ip.parse().map_err(|_| Failure::Local(format!("{} is not an IP", server.ip)))?;
            agents.push(start_agent(&executable, ip, &directory).await?);
        }
        let config = config(args, &directory)?;
        let app = App::build(&config, Clock::system()).await.map_err(|error| Failure::Local(error.to_string()))?;
        let (address, rest) = (app.address(), app.rest_address());
        let gateway = rest.map(|rest| format!(", REST on {rest}")).unwrap_or_default();
        output.note(&format!("service on {address}{gateway}, store {}", config.store.path.display()));
        let shutdown = CancellationToken::new();
        let service = tokio::spawn(app.run(shutdown.clone()));
        Ok(Self { cluster, agents, shutdown, service, address, rest })
    }

    fn place(&self, task: Option<i64>) -> look_around::Place {
        look_around::Place {
            program: std::env::args().next().unwrap_or_else(|| "obsteward".to_owned()),
            grpc: self.address,
            rest: self.rest,
            sql: self.cluster.servers().first().map(|server| (server.ip.clone(), server.sql_port)),
            other_zone: self.cluster.servers().first().map(|server| server.address()).unwrap_or_default(),
            task,
        }
    }

    fn client(&self) -> Result<Client, Failure> {
        Client::new(&Target {
            url: format!("http://{}", self.address),
            connect_timeout: READ_TIMEOUT,
            ca_file: None,
            identity: None,
        })?
        .logged_in(false, || {
            let user = USER.parse().map_err(|_| Failure::Local(format!("{USER} is not a name of a user")))?;
            Ok(Login { user, password: PASSWORD.into() })
        })
    }

    /// Ends everything, dependents first.
    async fn end(mut self) {
        self.shutdown.cancel();
        if let Err(error) = self.service.await {
            tracing::error!("the service ended badly: {error}");
        }
        for agent in &mut self.agents {
            drop(agent.stdin.take());
            if tokio::time::timeout(AGENT_START, agent.wait()).await.is_err() {
                let _ = agent.kill().await;
            }
        }
        self.cluster.shutdown().await;
    }
}

/// Whether an address can be listened on. Somebody may take it between this and the service; then the service says so.
fn free(address: SocketAddr, what: &str, option: &str) -> Result<(), Failure> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Local(format!(
            "{what} cannot listen on {address}: {error}; choose another address with {option} {}:0 (a free port) or \
             {option} IP:PORT",
            address.ip()
        ))),
    }
}

/// The service's configuration: everything in the demo's own folder, one administrator.
fn config(args: &DemoArgs, directory: &Path) -> Result<Config, Failure> {
    let password_file = directory.join("admin.password");
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&password_file)
        .and_then(|mut file| file.write_all(PASSWORD.as_bytes()));
    written.map_err(|error| Failure::Local(format!("cannot write {}: {error}", password_file.display())))?;
    let mut config = Config::default();
    // Its cluster is small and quick, and somebody is looking.
    config.stop.poll_millis = 200;
    config.server.listen = args.listen;
    config.rest.listen = Some(args.rest_listen);
    config.store.path = directory.join("obsteward.db");
    config.auth.enabled = true;
    config.auth.users = vec![UserConfig {
        name: USER.to_owned(),
        roles: vec!["ADMIN".to_owned()],
        password_file: Some(password_file),
        password_hash: None,
        certificate_names: Vec::new(),
    }];
    Ok(config)
}

/// Starts the agent of one simulated host and waits until it listens; it ends with this process.
async fn start_agent(executable: &Path, ip: std::net::IpAddr, directory: &Path) -> Result<Child, Failure> {
    let listen = SocketAddr::new(ip, AGENT_PORT);
    let state: PathBuf = directory.join("agents").join(ip.to_string());
    let failed = |what: String| Failure::Local(format!("the agent on {listen} did not start: {what}"));
    std::fs::create_dir_all(&state).map_err(|error| failed(error.to_string()))?;
    let mut agent = Command::new(executable)
        .args([
            "agent",
            "--exit-with-stdin",
            "--one-end-per",
            "5",
            "--listen",
            &listen.to_string(),
            "--state-directory",
        ])
        .arg(&state)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let stderr = agent.stderr.take().ok_or_else(|| failed("it has no standard error".to_owned()))?;
    let mut lines = BufReader::new(stderr).lines();
    let listening = async {
        let mut said = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("listening on") {
                return Ok(());
            }
            said.push(line);
        }
        Err(failed(said.join("; ")))
    };
    tokio::time::timeout(AGENT_START, listening)
        .await
        .map_err(|_| failed(format!("it does not listen after {} s", AGENT_START.as_secs())))??;
    // Its log goes on; nobody reads it here, and a full pipe must not stop it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(agent)
}

/// Registers the cluster, stops a server, follows the task; returns the task besides.
async fn show(stage: &Stage, args: &DemoArgs, output: &Output) -> Result<(Exit, Option<i64>), Failure> {
    let client = stage.client()?;
    let register = v1::RegisterClusterRequest {
        endpoints: stage.cluster.endpoints(),
        username: "root@sys".to_owned(),
        cluster_id: Some(1),
        // The simulation's own, which are the last numbers of the addresses; so the lines to paste name known servers.
        server_ids: stage.cluster.servers().iter().map(assignment).collect(),
        default_host: Some(v1::DefaultHost {
            transport: v1::HostTransport::Grpc as i32,
            agent_port: Some(i32::from(AGENT_PORT)),
            ..Default::default()
        }),
        ..v1::RegisterClusterRequest::default()
    };
    let registered =
        client.change("register the cluster", CLUSTER_TIMEOUT, client.clusters().register_cluster(register)).await?;
    let cluster = registered.cluster.unwrap_or_default();
    output.note(&format!("registered cluster {} as {}", cluster.name, cluster.id));
    let list = v1::ListServersRequest { cluster_id: cluster.id, ..v1::ListServersRequest::default() };
    let servers = client.call("list servers", READ_TIMEOUT, client.servers().list_servers(list)).await?.servers;
    for server in &servers {
        output.note(&format!(
            "  server {}  {}:{}  {}  {}",
            server.id,
            server.ip,
            server.rpc_port,
            server.zone,
            words::server_status(server.status)
        ));
    }
    if args.no_stop {
        return Ok((Exit::Done, None));
    }
    match args.walk {
        Walk::Stop => {}
        Walk::Rolling => return rolling::walk(stage, &client, cluster.id, output).await,
    }
    let server = servers.iter().find(|server| server.id == STOPPED);
    let Some(server) = server else {
        return Err(Failure::Local("the simulated cluster has no server to stop".to_owned()));
    };
    let request = v1::StopServerRequest {
        cluster_id: cluster.id,
        server_id: server.id,
        expected_server: format!("{}:{}", server.ip, server.rpc_port),
        ..v1::StopServerRequest::default()
    };
    output.note(&format!("stopping server {} ({}:{})", server.id, server.ip, server.rpc_port));
    let task = client
        .change("stop server", READ_TIMEOUT, client.servers().stop_server(request))
        .await?
        .task
        .unwrap_or_default();
    let options = FollowOptions { progress: true, ..FollowOptions::default() };
    let followed = follow(&client, output, task.id, options).await?;
    let ask = v1::GetServerRequest { cluster_id: cluster.id, server_id: server.id };
    let after =
        client.call("get server", CLUSTER_TIMEOUT, client.servers().get_server(ask)).await?.server.unwrap_or_default();
    output.note(&format!(
        "server {} is {}: STATUS {}, STOP_TIME {}, process {}, safe to power off: {}",
        after.id,
        words::server_status(after.status),
        words::server_inner_status(after.inner_status),
        if after.stop_time.is_some() { "set" } else { "not set" },
        if after.process_state() == v1::ProcessState::Absent { "absent" } else { "not proven absent" },
        if after.safe_to_power_off { "yes" } else { &after.not_safe_reason },
    ));
    Ok((followed.exit, Some(task.id)))
}

fn assignment(server: &crate::sim::SimServerInfo) -> v1::ServerIdAssignment {
    v1::ServerIdAssignment { address: server.address(), server_id: server.id }
}

/// Two demos on one machine must not have clusters of one name: an observer that does not listen yet would make the
/// processes of both ambiguous.
fn cluster_name(net: Ipv4Addr) -> String {
    match net.octets() {
        [127, 0, 1, 0] => "demo".to_owned(),
        [_, second, third, _] => format!("demo_{second}_{third}"),
    }
}
