//! The configuration of `obsteward serve`: a TOML file; flags and environment override it. `deploy/obsteward.toml` shows every
//! setting with its default.

mod maintenance;
mod network;
mod notifications;
mod rest;
mod ssh;
mod traces;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

pub use maintenance::{ApprovalConfig, MaintenanceConfig};
pub use network::Network;
pub use notifications::{AlertmanagerConfig, NotificationConfig, NotifiedOf, SecretUrl};
pub use rest::{ErrorCodes, RestConfig, TaskShape};
pub use ssh::SshConfig;
pub use traces::{SampleRatio, TracesConfig, TracesProtocol};

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    /// The file is not valid. Does not show the line itself: it may hold a password.
    #[error("the configuration {path} is wrong in line {line}: {reason}")]
    Parse {
        path: PathBuf,
        /// From 1.
        line: usize,
        reason: String,
    },
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub rest: RestConfig,
    pub metrics: MetricsConfig,
    /// Authentication, with users, keys and roles to create at start.
    pub auth: AuthConfig,
    /// Limits for callers.
    pub limits: LimitsConfig,
    pub store: StoreConfig,
    pub log: LogConfig,
    /// Where the spans of traces are sent.
    pub traces: TracesConfig,
    /// The agent in this process, for observers on this machine.
    pub local_agent: LocalAgentConfig,
    /// TLS towards agents. Without it they are reached in plaintext, with it only over TLS.
    pub agents: Option<ClientTlsConfig>,
    /// OpenSSH, for hosts whose route is ssh.
    pub ssh: SshConfig,
    pub stop: StopConfig,
    pub start: StartConfig,
    /// Periodic reading of registered clusters.
    pub sync: SyncConfig,
    /// When tasks may begin, and for which of them somebody else must agree; without it always, and nobody.
    pub maintenance: Vec<MaintenanceConfig>,
    /// Who is told of what people wait for.
    pub notifications: Vec<NotificationConfig>,
    /// Whose alerts about a server are silenced while it is out of service; without it none are.
    pub alertmanager: Option<AlertmanagerConfig>,
}

/// The gRPC listener.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listens on a network address even without TLS or authentication.
    pub insecure_listen: bool,
    /// Without it: plaintext.
    pub tls: Option<TlsConfig>,
    /// Proxies in front, which are trusted to name the client's address; without it none is.
    pub trusted_proxies: Option<ProxiesConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            insecure_listen: false,
            tls: None,
            trusted_proxies: None,
        }
    }
}

/// Proxies in front of a listener.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ProxiesConfig {
    pub networks: Vec<Network>,
    /// The header in which they write the client's address.
    #[serde(default)]
    pub header: AddressHeader,
    /// Whether each of their connections begins with a header of the PROXY protocol, version 2.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// The header in which proxies write the client's address. The other header is ignored: clients can send anything.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum AddressHeader {
    /// `X-Forwarded-For`.
    #[default]
    #[serde(rename = "X-Forwarded-For")]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// The proxies write no header.
    #[serde(rename = "none")]
    None,
}

/// TLS of a listener. The files are read again when they change.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Own certificate with its chain, in PEM.
    pub cert_file: PathBuf,
    /// Private key, in PEM.
    pub key_file: PathBuf,
    /// Authorities of client certificates, in PEM; without it no client certificate is requested.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is rejected.
    #[serde(default)]
    pub require_client_certificate: bool,
}

/// TLS of a client. The files are read again for each connection.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsConfig {
    /// Authorities of the servers' certificates, in PEM.
    pub ca_file: PathBuf,
    /// Own certificate with its chain, in PEM.
    pub cert_file: PathBuf,
    /// Private key, in PEM.
    pub key_file: PathBuf,
}

/// Metrics for Prometheus, without authentication.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Without it nothing is told. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Listens on a network address too.
    pub insecure_listen: bool,
}

/// Authentication of callers.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Without it every caller is `anonymous` and may do everything.
    pub enabled: bool,
    /// Seconds for which a verified password is not hashed again.
    pub password_cache_seconds: u64,
    /// Created at start unless a user of the name exists.
    pub users: Vec<UserConfig>,
    /// Created at start unless a key of the id exists.
    pub keys: Vec<KeyConfig>,
    /// Created at start unless a role of the name exists.
    pub roles: Vec<RoleConfig>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { enabled: true, password_cache_seconds: 60, users: Vec::new(), keys: Vec::new(), roles: Vec::new() }
    }
}

/// A user that is created at start.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    pub name: String,
    pub roles: Vec<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// PHC string of argon2id, instead of the file.
    pub password_hash: Option<String>,
    /// Subject alternative names of client certificates, for example `DNS:ops.example.com`.
    #[serde(default)]
    pub certificate_names: Vec<String>,
}

impl fmt::Debug for UserConfig {
    /// Without the hash, from which a weak password can be guessed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UserConfig")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("password_file", &self.password_file)
            .field("password_hash", &self.password_hash.as_ref().map(|_| "***"))
            .field("certificate_names", &self.certificate_names)
            .finish()
    }
}

/// An access key that is created at start.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    pub id: String,
    /// Name of the user that it belongs to.
    pub user: String,
    /// File whose first line is the secret.
    pub secret_file: PathBuf,
}

/// A role that is created at start.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    pub name: String,
    /// Written `DOMAIN:id:ACTION`.
    pub permissions: Vec<String>,
}

/// Limits for callers; 0 means no limit where that makes sense.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Failed logins from one address for one user before it must wait.
    pub login_failures: u32,
    /// Seconds of that wait; each further failure doubles them, up to an hour.
    pub login_wait_seconds: u64,
    /// Requests of a principal in 10 seconds; 0: no limit.
    pub requests_per_10_seconds: u32,
    /// The same per minute.
    pub requests_per_minute: u32,
    /// The same per hour.
    pub requests_per_hour: u32,
    /// The same per day.
    pub requests_per_day: u32,
    /// Open watches of a principal, on both faces together.
    pub watches_per_principal: u32,
    /// Concurrent calls on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Concurrent unauthenticated requests on one connection: health, reflection, and rejected ones whose answer is not read;
    /// 0: no limit. A client behind a trusted proxy counts by its own address only.
    pub strangers_per_connection: u32,
    /// The same for one address, on each listener; 0: no limit.
    pub strangers_per_address: u32,
    /// Concurrent connections of a listener.
    pub connections: u32,
    /// Size of a REST request's body, in bytes.
    pub body_bytes: u64,
    /// Size of a request's headers, in bytes.
    pub header_bytes: u32,
    /// Seconds within which the headers of a request, its body, and a TLS handshake must each arrive.
    pub arrival_seconds: u64,
    /// Seconds after which a client that reads nothing of its response is disconnected.
    pub stall_seconds: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            login_failures: 5,
            login_wait_seconds: 10,
            requests_per_10_seconds: 1000,
            requests_per_minute: 0,
            requests_per_hour: 0,
            requests_per_day: 0,
            watches_per_principal: 1000,
            streams_per_connection: 1024,
            strangers_per_connection: 32,
            strangers_per_address: 512,
            connections: 10_000,
            body_bytes: 65_536,
            header_bytes: 16_384,
            arrival_seconds: 15,
            stall_seconds: 30,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// File of the embedded store; created if it is missing.
    pub path: PathBuf,
    /// The shared store of several replicas, instead of the file: `mysql://user[:password]@host[:port]/database`.
    pub url: Option<StoreUrl>,
    /// File whose first line is the password of the shared store's user, instead of one in the URL.
    pub password_file: Option<PathBuf>,
    /// How often a replica looks at what others have written to the shared store, milliseconds.
    pub tail_interval_millis: u64,
    /// File of the key that encrypts passwords and secrets in the store; created together with a new store. Default for an
    /// embedded store: its path plus `.key`. The variable `OBSTEWARD_STORE_KEY` has precedence.
    pub key_file: Option<PathBuf>,
    /// TLS with the shared store's database. Without it: plaintext.
    pub tls: Option<StoreTlsConfig>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/obsteward/obsteward.db"),
            url: None,
            password_file: None,
            tail_interval_millis: 100,
            key_file: None,
            tls: None,
        }
    }
}

impl StoreConfig {
    pub fn tail_interval(&self) -> Duration {
        Duration::from_millis(self.tail_interval_millis.clamp(10, 10_000))
    }
}

/// The URL of a database; it may hold a password, and is not shown.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// With the password in it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StoreUrl(***)")
    }
}

/// Where a store is, in one word: a file, or the URL of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    File(PathBuf),
    Shared(StoreUrl),
}

impl From<String> for StoreLocation {
    fn from(word: String) -> Self {
        if word.starts_with("mysql://") { Self::Shared(StoreUrl::new(word)) } else { Self::File(word.into()) }
    }
}

impl StoreLocation {
    /// Says it in a configuration, which may have said something else.
    pub fn into_config(self, config: &mut StoreConfig) {
        match self {
            Self::File(path) => (config.path, config.url) = (path, None),
            Self::Shared(url) => config.url = Some(url),
        }
    }
}

/// TLS with the database of the shared store. The files are read again for each session.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct StoreTlsConfig {
    /// Authorities of the database's certificate, in PEM.
    pub ca_file: PathBuf,
    /// Own certificate with its chain, in PEM; together with its key.
    pub cert_file: Option<PathBuf>,
    /// Private key, in PEM.
    pub key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document per line.
    Json,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Such as `info` or `obsteward=debug,warn`.
    pub filter: String,
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The agent in this process.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct LocalAgentConfig {
    /// Where it keeps its record; without it there is no agent in this process.
    pub state_directory: Option<PathBuf>,
    /// Names of supervisors that do not prevent the end of an observer.
    pub safe_units: Vec<String>,
    /// Homes of observers that it may start although it has never seen them run.
    pub homes: Vec<PathBuf>,
    /// It ends at most one observer per cluster in so many seconds.
    pub one_end_per_seconds: u64,
    /// The `obsteward` executable that starts observers; by default this program, which is wrong only where another program
    /// embeds the service.
    #[serde(skip)]
    pub launcher: Option<PathBuf>,
}

impl Default for LocalAgentConfig {
    fn default() -> Self {
        Self {
            state_directory: None,
            safe_units: Vec::new(),
            homes: Vec::new(),
            one_end_per_seconds: 60,
            launcher: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StopConfig {
    /// Milliseconds between two looks at something that changes by itself.
    pub poll_millis: u64,
    /// How long Prepare waits for checks that may pass by themselves.
    pub precheck_seconds: u64,
    /// How long the process step waits for a gate that may open by itself.
    pub gate_seconds: u64,
    /// Seconds between SIGTERM and SIGKILL, at most 600.
    pub grace_seconds: u64,
    /// How long `Stop server` waits for leaders while none of them moves away; an hour at most in all.
    pub leader_wait_seconds: u64,
    /// Limit for one whole reading of a cluster; after it the cluster counts as unreachable.
    pub reading_seconds: u64,
    /// Limit for a freeze before a stop, 1 to 500.
    pub freeze_seconds: u64,
    /// Limit for a statement that changes the cluster, 1 to 3600; a task that does not learn its outcome waits at least as
    /// long.
    pub effect_timeout_seconds: u64,
}

/// OceanBase's default of `ob_query_timeout`: long enough for the root service's checks and STOP_TIME under load, for which
/// people allow no more either, and short enough that a refusal arrives within seconds.
const EFFECT_TIMEOUT_SECONDS: u64 = 10;

impl Default for StopConfig {
    fn default() -> Self {
        Self {
            poll_millis: 1000,
            precheck_seconds: 6,
            gate_seconds: 60,
            grace_seconds: 30,
            leader_wait_seconds: 300,
            reading_seconds: 20,
            freeze_seconds: 300,
            effect_timeout_seconds: EFFECT_TIMEOUT_SECONDS,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StartConfig {
    /// How long an agent watches a process that it started until it listens; if the process ends meanwhile, the error shows its
    /// last log lines. At most 300.
    pub watch_seconds: u64,
    /// How long the replicas of a server may take to catch up before its start ends with a warning instead.
    pub catch_up_seconds: u64,
}

impl Default for StartConfig {
    fn default() -> Self {
        Self { watch_seconds: 20, catch_up_seconds: 240 }
    }
}

/// Periodic reading of registered clusters.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// Without it clusters are read only on request and by tasks.
    pub enabled: bool,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            ConfigError::Parse { path: path.to_owned(), line, reason: error.message().trim_end().to_owned() }
        })
    }
}

impl StopConfig {
    /// Clamped to 10 ms to 10 s.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_millis.clamp(10, 10_000))
    }

    /// `ob_query_timeout` of STOP SERVER.
    pub fn effect_timeout(&self) -> Duration {
        Duration::from_secs(self.effect_timeout_seconds.clamp(1, 3600))
    }

    /// Together with the wait for the gate it is less than the gap after which a stop needs new consent.
    pub fn freeze(&self) -> Duration {
        Duration::from_secs(self.freeze_seconds.clamp(1, 500))
    }

    /// Between SIGTERM and SIGKILL.
    pub const fn grace(&self) -> Duration {
        Duration::from_secs(if self.grace_seconds > 600 { 600 } else { self.grace_seconds })
    }
}

#[cfg(test)]
mod tests;
