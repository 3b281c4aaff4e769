//! The configuration of `obsteward serve`: a TOML file, flags and environment over it. `deploy/obsteward.toml` shows every
//! setting with its default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

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
    /// The file is not understood.
    #[error("the configuration {path} is wrong: {error}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        error: Box<toml::de::Error>,
    },
}

/// Every setting.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The gRPC listener.
    pub server: ServerConfig,
    /// Where tasks and inventory are kept.
    pub store: StoreConfig,
    /// What is logged.
    pub log: LogConfig,
    /// The agent in this process, for observers on this machine.
    pub local_agent: LocalAgentConfig,
    /// Times of a stop.
    pub stop: StopConfig,
    /// Reading of registered clusters.
    pub sync: SyncConfig,
}

/// The gRPC listener.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listen on a network address although nothing authenticates callers.
    pub insecure_listen: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 50051)), insecure_listen: false }
    }
}

/// Where tasks and inventory are kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// File of the embedded store; made when it is not there.
    pub path: PathBuf,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: PathBuf::from("/var/lib/obsteward/obsteward.db") }
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
    /// It ends at most one observer of a cluster in so many seconds.
    pub one_end_per_seconds: u64,
}

impl Default for LocalAgentConfig {
    fn default() -> Self {
        Self { state_directory: None, safe_units: Vec::new(), one_end_per_seconds: 60 }
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
    /// Seconds that STOP SERVER may take, 1 to 3600; a task that does not know what became of it waits so long and longer.
    pub effect_timeout_seconds: u64,
}

impl Default for StopConfig {
    fn default() -> Self {
        Self {
            poll_millis: 200,
            precheck_seconds: 5,
            gate_seconds: 60,
            grace_seconds: 30,
            leader_wait_seconds: 300,
            reading_seconds: 20,
            effect_timeout_seconds: 60,
        }
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
        toml::from_str(&text).map_err(|error| ConfigError::Parse { path: path.to_owned(), error: Box::new(error) })
    }
}

impl StopConfig {
    /// Between looks.
    pub const fn poll(&self) -> Duration {
        Duration::from_millis(if self.poll_millis < 10 { 10 } else { self.poll_millis })
    }

    /// `ob_query_timeout` of STOP SERVER.
    pub fn effect_timeout(&self) -> Duration {
        Duration::from_secs(self.effect_timeout_seconds.clamp(1, 3600))
    }

    /// Between SIGTERM and SIGKILL.
    pub const fn grace(&self) -> Duration {
        Duration::from_secs(if self.grace_seconds > 600 { 600 } else { self.grace_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_shows_every_setting_with_its_default() {
        let text = include_str!("../deploy/obsteward.toml");
        let shown: Config = toml::from_str(text).unwrap();
        assert_eq!(shown, Config::default());
        for setting in [
            "listen",
            "insecure_listen",
            "path",
            "filter",
            "format",
            "state_directory",
            "safe_units",
            "one_end_per_seconds",
            "poll_millis",
            "precheck_seconds",
            "gate_seconds",
            "grace_seconds",
            "leader_wait_seconds",
            "reading_seconds",
            "effect_timeout_seconds",
            "enabled",
        ] {
            assert!(text.contains(&format!("{setting} =")), "{setting} is not in deploy/obsteward.toml");
        }
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        assert!(toml::from_str::<Config>("[server]\nlisen = \"127.0.0.1:1\"").is_err());
    }
}
