//! Who is told of what people wait for, and whose alerts are silenced meanwhile. Targets stand here only: no request names one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// What a target can be told of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum NotifiedOf {
    /// A task ended without an effect of its own.
    Refused,
    /// A task failed, and rests until a person decides.
    Failed,
    /// A task rests until a person decides: it failed, or was cancelled.
    Resting,
    /// A server is out of service for somebody's work.
    Held,
    /// The cluster is about to give up the replicas of a server that is held.
    NearlyGivenUp,
    /// A task is over: it succeeded, was rolled back or was given up.
    Done,
}

impl NotifiedOf {
    pub const ALL: &'static [Self] =
        &[Self::Refused, Self::Failed, Self::Resting, Self::Held, Self::NearlyGivenUp, Self::Done];

    /// As it is written in the configuration and in a message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Resting => "resting",
            Self::Held => "held",
            Self::NearlyGivenUp => "nearly_given_up",
            Self::Done => "done",
        }
    }
}

/// A URL that may hold a secret in its path, and is not shown.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// With what it may hold.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretUrl(***)")
    }
}

/// A webhook.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NotificationConfig {
    /// Under which it is shown, and under which the store keeps how far it was told.
    pub name: String,
    pub url: SecretUrl,
    /// File whose first line is the secret of the signatures: `whsec_` and base64.
    pub secret_file: PathBuf,
    /// Authorities of its certificate, in PEM; without it those of the system.
    pub ca_file: Option<PathBuf>,
    #[serde(default = "every_event")]
    pub events: Vec<NotifiedOf>,
    /// Names of clusters; empty: all.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// How long before a cluster gives up a server it is nearly given up.
    #[serde(default = "nearly_given_up_minutes")]
    pub nearly_given_up_minutes: u64,
    /// Within which a message must be answered.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
}

fn every_event() -> Vec<NotifiedOf> {
    NotifiedOf::ALL.to_vec()
}

const fn nearly_given_up_minutes() -> u64 {
    30
}

const fn timeout_seconds() -> u64 {
    10
}

impl NotificationConfig {
    /// Clamped to a minute to a week.
    pub fn nearly_given_up(&self) -> Duration {
        Duration::from_secs(60 * self.nearly_given_up_minutes.clamp(1, 7 * 24 * 60))
    }

    /// Clamped to 1 to 60 s.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.clamp(1, 60))
    }
}

/// The Alertmanager of Prometheus.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Up to what stands before `/api/v2`.
    pub url: SecretUrl,
    /// File whose first line is the value of the header `Authorization`; without it there is none.
    pub authorization_file: Option<PathBuf>,
    /// Authorities of its certificate, in PEM; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// Which alerts are about a server, as `label=value`, with `!=`, `=~` or `!~` for `=`. In values `{host}` stands for the
    /// server's IP (IPv6 in brackets), `{ip}` for it without brackets, `{cluster}` for the name of its cluster.
    #[serde(default = "matchers")]
    pub matchers: Vec<String>,
    /// How long a silence lasts unless it is extended, which it is while the server is out of service.
    #[serde(default = "silence_minutes")]
    pub silence_minutes: u64,
    /// Within which each request must be answered.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
}

fn matchers() -> Vec<String> {
    vec!["instance=~{host}:.*".to_owned()]
}

const fn silence_minutes() -> u64 {
    15
}

impl AlertmanagerConfig {
    /// Clamped to 3 minutes to a day.
    pub fn silence(&self) -> Duration {
        Duration::from_secs(60 * self.silence_minutes.clamp(3, 24 * 60))
    }

    /// Clamped to 1 to 60 s.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.clamp(1, 60))
    }
}
