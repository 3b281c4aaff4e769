//! `obsteward serve`: reads the configuration, runs the service until SIGTERM or SIGINT. SIGHUP ends nothing: with TLS it makes
//! it look at the files of its certificates at once.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::clock::Clock;
use crate::config::{Config, StoreLocation};
use crate::store::StoreError;
use crate::telemetry;

/// Arguments of `obsteward serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Configuration file (deploy/obsteward.toml shows every setting)
    #[arg(long, value_name = "FILE", env = "OBSTEWARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of the gRPC listener, before the configuration's
    #[arg(long, value_name = "ADDR", env = "OBSTEWARD_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Address of the REST gateway, before the configuration's; without either there is none
    #[arg(long, value_name = "ADDR", env = "OBSTEWARD_REST_LISTEN")]
    pub rest_listen: Option<SocketAddr>,
    /// Listen for gRPC on a network address although there is no TLS or nothing authenticates callers
    #[arg(long)]
    pub insecure_listen: bool,
    /// Authenticate nobody: everybody who reaches the service may do everything, stopping servers included
    #[arg(long)]
    pub no_auth: bool,
    /// File of the embedded store, or mysql://user@host:port/database of a shared one, before the configuration's; the key that
    /// encrypts secrets in it comes from the variable OBSTEWARD_STORE_KEY, else from the configured file, else from the file's
    /// name with .key behind it
    #[arg(long, value_name = "FILE|URL", env = "OBSTEWARD_STORE", hide_env_values = true)]
    pub store: Option<StoreLocation>,
    /// Filter of the log, before the configuration's
    #[arg(long, value_name = "FILTER", env = "OBSTEWARD_LOG")]
    pub log: Option<String>,
    /// Record of the agent in this process, before the configuration's
    #[arg(long, value_name = "DIR", env = "OBSTEWARD_LOCAL_AGENT")]
    pub local_agent: Option<PathBuf>,
}

impl ServeArgs {
    pub(super) fn config(self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(path) => Config::read(path).map_err(|error| Failure::Usage(error.to_string()))?,
            None => Config::default(),
        };
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        if let Some(listen) = self.rest_listen {
            config.rest.listen = Some(listen);
        }
        config.server.insecure_listen |= self.insecure_listen;
        config.auth.enabled &= !self.no_auth;
        if let Some(location) = self.store {
            location.into_config(&mut config.store);
        }
        if let Some(filter) = self.log {
            config.log.filter = filter;
        }
        if let Some(directory) = self.local_agent {
            config.local_agent.state_directory = Some(directory);
        }
        Ok(config)
    }
}

pub async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let config = args.config()?;
    telemetry::start(&config.log, &config.traces, "obsteward").map_err(|error| Failure::Usage(error.to_string()))?;
    let local = |error: std::io::Error| Failure::Local(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(local)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(local)?;
    // A hangup ends nothing, whether or not there is something to read again: a terminal that closes, or a script that rotates
    // logs, must not take the service away from under a task.
    let mut hangup = signal(SignalKind::hangup()).map_err(local)?;
    let shutdown = CancellationToken::new();
    let told = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    let Some(app) = shutdown.run_until_cancelled(App::build(&config, Clock::system())).await else {
        return Ok(Exit::Done);
    };
    let app = app.map_err(|error| Failure::Local(error.to_string()))?;
    telemetry::say(&format!("listening on {}", app.address()));
    if let Some(address) = app.rest_address() {
        telemetry::say(&format!("REST gateway on {address}"));
    }
    if let Some(address) = app.metrics_address() {
        telemetry::say(&format!("metrics on http://{address}/metrics"));
    }
    let reread = app.reread_certificates();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match &reread {
                Some(reread) => reread.notify_one(),
                None => tracing::info!("SIGHUP: there is nothing to read again"),
            }
        }
    });
    app.run(shutdown).await.map_err(ended)?;
    Ok(Exit::Done)
}

/// A store that fails while the service runs gives the exit code with which it ends the process itself, whichever is first.
fn ended(error: AppError) -> Failure {
    match error {
        AppError::Store(error @ (StoreError::Failed(_) | StoreError::Closed)) => {
            Failure::Unknown(format!("{error}, so what it was last asked to keep may be there or not; see the log"))
        }
        error => Failure::Local(error.to_string()),
    }
}
