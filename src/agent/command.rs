//! `obsteward agent`: reads the arguments, opens the listener, serves until told to end. And `obsteward agent trust`, and
//! the way to `obsteward agent --stdio`.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agent::clients::Clients;
use crate::agent::files::FileError;
use crate::agent::grpc::{self, ServeError};
use crate::agent::launcher;
use crate::agent::service::Agent;
use crate::agent::settings::{AgentConfig, Timing};
use crate::agent::stdio::{self, StdioError};
use crate::agent::trust;
use crate::net::certificate::InvalidCertificateName;
use crate::net::connections::Connections;
use crate::net::listener::{InsecureOverride, ListenError, Protection, bind};
use crate::net::tls::{self, Protocols, Tls, TlsConfig, TlsError};
use crate::telemetry::say;

/// How long calls in flight may take once the agent was told to end. A stop that is cut off is answered UNKNOWN later.
pub(super) const LAST_CALLS: Duration = Duration::from_secs(5);

/// Arguments of `obsteward agent`.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:62888", env = "OBSTEWARD_AGENT_LISTEN")]
    pub listen: SocketAddr,
    /// Listen on a network address without TLS: whoever reaches it can end observers.
    #[arg(long)]
    pub insecure_listen: bool,
    /// Take calls over TLS only; the agent's certificate with what leads from it to its authority, in PEM. The files are
    /// looked at every five seconds and on SIGHUP.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "client_ca", "client_name"])]
    pub tls_cert: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Authorities of the service's certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub client_ca: Option<PathBuf>,
    /// The one client whose calls are taken: a subject alternative name of the service's certificate, for example
    /// DNS:obsteward.example.com.
    #[arg(long, value_name = "NAME", requires = "tls_cert")]
    pub client_name: Option<String>,
    /// Where the agent keeps its record (fences, calls); not shared with another agent.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        default_value = "/var/lib/obsteward-agent",
        env = "OBSTEWARD_AGENT_STATE_DIRECTORY"
    )]
    pub state_directory: PathBuf,
    /// A systemd unit, container id or `obshell` whose supervision of an observer is harmless; may be repeated.
    #[arg(long = "safe-unit", value_name = "UNIT")]
    pub safe_units: Vec<String>,
    /// An address that leads to this host although none of its interfaces has it (NAT, service IP); may be repeated.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// The home of an observer that may be started although this agent has not seen it run; may be repeated. It counts when
    /// its etc/observer.config.bin says that it is the wanted observer's.
    #[arg(long = "home", value_name = "DIR")]
    pub homes: Vec<PathBuf>,
    /// At most one observer of a cluster is ended in so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub one_end_per: u64,
    /// End when the standard input ends, that is with the program that started the agent.
    #[arg(long)]
    pub exit_with_stdin: bool,
    /// Serve one caller on standard input and output and end with it, as `ssh HOST obsteward agent --stdio` does. Who may
    /// call is ssh's business. Several at once share one record.
    #[arg(
        long,
        conflicts_with_all = [
            "listen", "insecure_listen", "tls_cert", "tls_key", "client_ca", "client_name", "exit_with_stdin"
        ]
    )]
    pub stdio: bool,
    /// Where spans of traces are sent.
    #[command(flatten)]
    pub traces: TracesArgs,
    /// Something else than to serve.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
}

/// Where an agent sends the spans of traces. It sends those of calls whose trace the service sends.
#[derive(Clone, Debug, Default, Args)]
pub struct TracesArgs {
    /// Collector of traces (OTLP), for example http://127.0.0.1:4317; without it no span is made.
    #[arg(long, value_name = "URL", env = "OBSTEWARD_AGENT_TRACES_ENDPOINT")]
    pub traces_endpoint: Option<String>,
    /// Whether it is spoken to in HTTP/1.1 with protobuf instead of gRPC.
    #[arg(long, requires = "traces_endpoint")]
    pub traces_http: bool,
    /// File with the headers that go with spans, a line each: name: value.
    #[arg(long, value_name = "FILE", requires = "traces_endpoint")]
    pub traces_headers_file: Option<PathBuf>,
    /// Authorities of the collector's certificate, in PEM; without it those of the system.
    #[arg(long, value_name = "FILE", requires = "traces_endpoint")]
    pub traces_ca_file: Option<PathBuf>,
}

/// What `obsteward agent` can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum AgentCommand {
    /// Lets another store take over the clusters on this host, once.
    Trust {
        /// Id of the store, as the refusal names it.
        store_id: String,
    },
    /// Becomes an observer, as an agent orders on standard input.
    #[command(name = launcher::SUBCOMMAND, hide = true)]
    Launch,
}

#[derive(Debug, Error)]
pub enum AgentError {
    #[error("the agent's record cannot be opened: {0}")]
    State(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("--tls-cert, --tls-key, --client-ca and --client-name need each other, give all four or none")]
    HalfTls,
    #[error("--client-name: {0}")]
    ClientName(#[from] InvalidCertificateName),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Signals or the standard input.
    #[error("the agent cannot be told to end: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Stdio(#[from] StdioError),
    #[error("{0:?} is not the id of a store, copy it from the refusal")]
    StoreId(String),
}

/// Runs `obsteward agent` until SIGTERM, SIGINT or, if asked for, the end of the standard input.
pub async fn run(args: AgentArgs) -> Result<(), AgentError> {
    match args.command {
        Some(AgentCommand::Trust { store_id }) => {
            if store_id.is_empty() || store_id.len() > 128 || store_id.chars().any(char::is_control) {
                return Err(AgentError::StoreId(store_id));
            }
            trust::trust(&args.state_directory, &store_id)?;
            say(&format!("store {store_id} may take over the clusters on this host"));
            Ok(())
        }
        Some(AgentCommand::Launch) => launcher::exec_child(),
        None if args.stdio => Ok(stdio::serve(config(args)).await?),
        None => serve(args).await,
    }
}

fn config(args: AgentArgs) -> AgentConfig {
    AgentConfig {
        safe_units: args.safe_units,
        addresses: args.addresses,
        homes: args.homes,
        timing: Timing { one_end_per: Duration::from_secs(args.one_end_per), ..Timing::default() },
        ..AgentConfig::new(args.state_directory)
    }
}

async fn serve(args: AgentArgs) -> Result<(), AgentError> {
    let (tls, clients) = protection(&args)?;
    let (listen, insecure_listen, exit_with_stdin) = (args.listen, args.insecure_listen, args.exit_with_stdin);
    let agent = Agent::new(config(args))?;
    let protection = tls.as_ref().map_or(Protection::NONE, |_| Protection { tls: true, authentication: true });
    let insecure = InsecureOverride { said: insecure_listen, setting: "--insecure-listen" };
    let (listener, bound) = bind(listen, protection, insecure).await?;
    follow_files(tls.clone()).map_err(AgentError::Signals)?;
    let connections = Connections::new(listener, tls, grpc::bounds());
    let ending = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signals)?;
    if exit_with_stdin {
        cancel_at_end_of_stdin(ending.clone()).map_err(AgentError::Signals)?;
    }
    say(&format!("listening on {bound}"));
    let told = {
        let ending = ending.clone();
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = ending.cancelled() => {}
            }
            ending.cancel();
        }
    };
    tokio::select! {
        served = grpc::serve_clients(agent, connections, clients, told) => served?,
        () = async { ending.cancelled().await; tokio::time::sleep(LAST_CALLS).await } => {}
    }
    Ok(())
}

/// TLS and the clients that are accepted over it, or plaintext and all clients.
fn protection(args: &AgentArgs) -> Result<(Option<Arc<Tls>>, Clients), AgentError> {
    match (&args.tls_cert, &args.tls_key, &args.client_ca, &args.client_name) {
        (Some(cert_file), Some(key_file), Some(client_ca), Some(name)) => {
            let files = TlsConfig {
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
                client_ca_file: Some(client_ca.clone()),
                require_client_certificate: true,
            };
            let clients = Clients::named(name)?;
            Ok((Some(Tls::open(&files, Protocols::Grpc)?), clients))
        }
        (None, None, None, None) => Ok((None, Clients::Everybody)),
        _ => Err(AgentError::HalfTls),
    }
}

/// Reads the TLS files again periodically, and at once on SIGHUP. SIGHUP never ends the agent, with TLS or without.
fn follow_files(tls: Option<Arc<Tls>>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let now = Arc::new(Notify::new());
    if let Some(tls) = tls {
        tokio::spawn(tls::follow(vec![tls], tls::RELOAD_INTERVAL, Arc::clone(&now)));
    }
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            now.notify_one();
        }
    });
    Ok(())
}

/// On a thread of its own, because a blocking read cannot be cancelled and must not hold the runtime's end.
fn cancel_at_end_of_stdin(ending: CancellationToken) -> std::io::Result<()> {
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut buffer = [0; 1024];
        let mut stdin = std::io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        ending.cancel();
    })?;
    Ok(())
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
