//! The configuration of `obsteward serve`: a TOML file, flags and environment over it. `deploy/obsteward.toml` shows every
//! setting with its default.

mod network;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

pub use network::Network;

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not understood. Does not show the line itself: somebody may have put a password there.
    #[error("the configuration {path} is wrong in line {line}: {reason}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Every setting.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The gRPC listener.
    pub server: ServerConfig,
    /// The REST gateway.
    pub rest: RestConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// How much a caller may take.
    pub limits: LimitsConfig,
    /// Where tasks and inventory are kept.
    pub store: StoreConfig,
    /// What is logged.
    pub log: LogConfig,
    /// The agent in this process, for observers on this machine.
    pub local_agent: LocalAgentConfig,
    /// TLS towards agents; without it they are reached in plaintext, with it only over TLS.
    pub agents: Option<ClientTlsConfig>,
    /// The ssh that reaches hosts which have it for their transport.
    pub ssh: SshConfig,
    /// Times of a stop.
    pub stop: StopConfig,
    /// Times of a start.
    pub start: StartConfig,
    /// Reading of registered clusters.
    pub sync: SyncConfig,
}

/// The gRPC listener.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listen on a network address although there is no TLS or nothing authenticates callers.
    pub insecure_listen: bool,
    /// Without it: plaintext.
    pub tls: Option<TlsConfig>,
    /// Proxies before it, whose word on who sends what is taken; without it nobody's is.
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

/// Proxies before a listener.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ProxiesConfig {
    /// Where they are.
    pub networks: Vec<Network>,
    /// Where they write the client's address.
    #[serde(default)]
    pub header: AddressHeader,
    /// Whether each of their connections begins with a header of the PROXY protocol, version 2.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// The header of a request in which proxies write the client's address. The other one is whatever a client sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum AddressHeader {
    /// `X-Forwarded-For`.
    #[default]
    #[serde(rename = "X-Forwarded-For")]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// They write none.
    #[serde(rename = "none")]
    None,
}

/// Certificates of a listener. The files are read again when they change.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Own certificate and what leads from it to its authority, in PEM.
    pub cert_file: PathBuf,
    /// Its key, in PEM.
    pub key_file: PathBuf,
    /// Authorities of client certificates, in PEM; without it none is asked for.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    #[serde(default)]
    pub require_client_certificate: bool,
}

/// Certificates of a client. The files are read again for each connection.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsConfig {
    /// Authorities of the servers' certificates, in PEM.
    pub ca_file: PathBuf,
    /// Own certificate and what leads from it to its authority, in PEM.
    pub cert_file: PathBuf,
    /// Its key, in PEM.
    pub key_file: PathBuf,
}

/// Shape of tasks on the REST face (docs/ocp-v2.md#the-two-shapes-of-a-task).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TaskShape {
    /// `tasks`, `cluster`, `creator` as objects: OCP 3 to 4.2.
    #[default]
    Legacy,
    /// `subtasks`, `type`, `clusterId`: OCP 4.
    V4,
}

/// How the REST face writes `error.code` (docs/ocp-v2.md#who-reads-which-codes).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ErrorCodes {
    /// Numbers of OCP 4.0.
    #[default]
    Numeric,
    /// Prefixed names of OCP 4.2.
    Prefixed,
}

/// The REST gateway, which speaks OCP v2.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct RestConfig {
    /// Address; without one there is no gateway. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Listen on a network address although there is no TLS or nothing authenticates callers.
    pub insecure_listen: bool,
    /// Shape of tasks.
    pub task_shape: TaskShape,
    /// How error codes are written.
    pub error_codes: ErrorCodes,
    /// Risks that callers of this face may accept, by name (`QUORUM_LOSS`, `CLUSTER_UNREACHABLE`).
    pub accepted_risks: Vec<String>,
    /// What answers name as their `server`; empty: the address that the request came to.
    pub server_name: String,
    /// Zone of the moments in answers, for example `Asia/Shanghai`; empty: that of the machine.
    pub time_zone: String,
    /// Without it: plaintext.
    pub tls: Option<TlsConfig>,
    /// Proxies before it, whose word on who sends what is taken; without it nobody's is.
    pub trusted_proxies: Option<ProxiesConfig>,
}

/// Who may call.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Whether callers must prove who they are. Without it everybody is `anonymous` and may do everything.
    pub enabled: bool,
    /// Seconds for which a password that was right is not computed again.
    pub password_cache_seconds: u64,
    /// Made at start when there is no user of the name.
    pub users: Vec<UserConfig>,
    /// Made at start when there is no key of the id.
    pub keys: Vec<KeyConfig>,
    /// Made at start when there is no role of the name.
    pub roles: Vec<RoleConfig>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { enabled: true, password_cache_seconds: 60, users: Vec::new(), keys: Vec::new(), roles: Vec::new() }
    }
}

/// A user that is made at start.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// File whose first line is its password.
    pub password_file: Option<PathBuf>,
    /// Its password as a PHC string of argon2id, instead of the file.
    pub password_hash: Option<String>,
    /// Subject alternative names of its client certificates, for example `DNS:ops.example.com`.
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

/// An access key that is made at start.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Its id.
    pub id: String,
    /// Name of its user.
    pub user: String,
    /// File whose first line is its secret.
    pub secret_file: PathBuf,
}

/// A role that is made at start.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// Its name.
    pub name: String,
    /// Its permissions, `DOMAIN:id:ACTION`.
    pub permissions: Vec<String>,
}

/// How much a caller may take; 0 is no limit, where that makes sense.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Logins that may fail from one address for one user before it must wait.
    pub login_failures: u32,
    /// Seconds that it must wait then; each further failure doubles them, up to an hour.
    pub login_wait_seconds: u64,
    /// Requests of a principal in 10 seconds; 0: no limit.
    pub requests_per_10_seconds: u32,
    /// In a minute; 0: no limit.
    pub requests_per_minute: u32,
    /// In an hour; 0: no limit.
    pub requests_per_hour: u32,
    /// In a day; 0: no limit.
    pub requests_per_day: u32,
    /// Watches of a principal, on both faces together.
    pub watches_per_principal: u32,
    /// Calls at the same time on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Requests whose callers are not proven, at the same time on one connection: of health, of reflection, and refused
    /// ones whose answer is not taken; 0: no limit. Whom a trusted proxy passes on counts by his own address only.
    pub strangers_per_connection: u32,
    /// The same from one address, on each listener; 0: no limit.
    pub strangers_per_address: u32,
    /// Connections of a listener at the same time.
    pub connections: u32,
    /// Bytes of a REST request's body.
    pub body_bytes: u64,
    /// Bytes of a request's headers.
    pub header_bytes: u32,
    /// Seconds in which the headers of a request, its body, and a TLS handshake must each arrive.
    pub arrival_seconds: u64,
    /// Seconds after which a client that takes nothing of what is sent to it is cut off.
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

/// Where tasks and inventory are kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// File of the embedded store; made when it is not there.
    pub path: PathBuf,
    /// File of the key that encrypts passwords and secrets in the store; made with a new store when it is not there.
    /// Without one: beside the store, with `.key` behind its name. The variable `OBSTEWARD_STORE_KEY` goes before it.
    pub key_file: Option<PathBuf>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: PathBuf::from("/var/lib/obsteward/obsteward.db"), key_file: None }
    }
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document a line.
    Json,
}

/// What is logged.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Filter, for example `info` or `obsteward=debug,warn`.
    pub filter: String,
    /// Format.
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
    /// Where it keeps its record; without one there is no agent in this process.
    pub state_directory: Option<PathBuf>,
    /// Supervisors whose watch over an observer is harmless.
    pub safe_units: Vec<String>,
    /// Homes of observers that it may start although it has not seen them run.
    pub homes: Vec<PathBuf>,
    /// It ends at most one observer of a cluster in so many seconds.
    pub one_end_per_seconds: u64,
    /// The `obsteward` that starts observers; this program itself, unless a program that is none embeds the service.
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

/// The system's OpenSSH client, for hosts over ssh.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct SshConfig {
    /// The program.
    pub program: PathBuf,
    /// Its configuration; without one, what it reads by itself.
    pub config_file: Option<PathBuf>,
    /// The only key that it shows; without one, those that it finds by itself.
    pub identity_file: Option<PathBuf>,
    /// The only host keys that it knows; without one, those that it finds by itself.
    pub known_hosts_file: Option<PathBuf>,
    /// Seconds until the other side must have proven itself, 1 to 5.
    pub connect_timeout_seconds: u64,
    /// What is run there, word by word.
    pub agent_command: Vec<String>,
}

impl Default for SshConfig {
    fn default() -> Self {
        Self {
            program: PathBuf::from("ssh"),
            config_file: None,
            identity_file: None,
            known_hosts_file: None,
            connect_timeout_seconds: 3,
            agent_command: ["obsteward", "agent", "--stdio"].map(str::to_owned).to_vec(),
        }
    }
}

/// Times of a stop.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StopConfig {
    /// Milliseconds between looks at something that moves by itself.
    pub poll_millis: u64,
    /// Seconds that Prepare waits for checks that may pass by themselves.
    pub precheck_seconds: u64,
    /// Seconds that the process step waits for a gate that may open by itself.
    pub gate_seconds: u64,
    /// Seconds between SIGTERM and SIGKILL, at most 600.
    pub grace_seconds: u64,
    /// Seconds that `Stop server` waits for leaders while none of them leaves; an hour at most in all.
    pub leader_wait_seconds: u64,
    /// Seconds that one whole reading of a cluster may take before it counts as not answering.
    pub reading_seconds: u64,
    /// Seconds that a freeze before a stop may take, 1 to 500.
    pub freeze_seconds: u64,
    /// Seconds that a statement which acts may take, 1 to 3600; a task that does not know what became of it waits so long
    /// and longer.
    pub effect_timeout_seconds: u64,
}

/// The kernel's own default of `ob_query_timeout`: long enough for the root service's checks and the mark under load, which
/// people give no more either, and short enough that what it refuses is heard in seconds.
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

/// Times of a start.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StartConfig {
    /// Seconds that an agent watches a process that it started until that listens; one that dies meanwhile is told with its
    /// last words. At most 300.
    pub watch_seconds: u64,
    /// Seconds that the replicas of a server may take to catch up before its start ends with a warning instead.
    pub catch_up_seconds: u64,
}

impl Default for StartConfig {
    fn default() -> Self {
        Self { watch_seconds: 20, catch_up_seconds: 240 }
    }
}

/// Reading of registered clusters.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// Whether clusters are read from time to time; without it only on request and by tasks.
    pub enabled: bool,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Config {
    /// From a file.
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
    /// Between looks, 10 ms to 10 s.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_millis.clamp(10, 10_000))
    }

    /// `ob_query_timeout` of STOP SERVER.
    pub fn effect_timeout(&self) -> Duration {
        Duration::from_secs(self.effect_timeout_seconds.clamp(1, 3600))
    }

    /// For a freeze before a stop: with the wait for the gate, less than the gap after which a stop has to be consented to anew.
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
