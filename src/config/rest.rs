//! Settings of the REST gateway, and of the web console beside it.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use super::{ProxiesConfig, TlsConfig};

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

/// The REST gateway with OCP's v2 API.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct RestConfig {
    /// Without it there is no gateway. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Listens on a network address even without TLS or authentication.
    pub insecure_listen: bool,
    pub task_shape: TaskShape,
    pub error_codes: ErrorCodes,
    /// Risks that callers of this face may accept: `QUORUM_LOSS`, `CLUSTER_UNREACHABLE`, `SERVICE_LOSS`.
    pub accepted_risks: Vec<String>,
    /// Value of `server` in answers; empty: the address that the request came to.
    pub server_name: String,
    /// Time zone of times in answers, for example `Asia/Shanghai`; empty: the machine's.
    pub time_zone: String,
    /// Whether the web console is served beside the gateway.
    pub console: bool,
    /// Seconds that a session of the web console lasts without being used.
    pub session_seconds: u64,
    /// Without it: plaintext.
    pub tls: Option<TlsConfig>,
    /// Proxies in front, which are trusted to name the client's address; without it none is.
    pub trusted_proxies: Option<ProxiesConfig>,
}

impl Default for RestConfig {
    fn default() -> Self {
        Self {
            listen: None,
            insecure_listen: false,
            task_shape: TaskShape::default(),
            error_codes: ErrorCodes::default(),
            accepted_risks: Vec::new(),
            server_name: String::new(),
            time_zone: String::new(),
            console: true,
            session_seconds: 8 * 3600,
            tls: None,
            trusted_proxies: None,
        }
    }
}

impl RestConfig {
    /// Between a minute and a week.
    pub fn session(&self) -> Duration {
        Duration::from_secs(self.session_seconds.clamp(60, 7 * 24 * 3600))
    }
}
