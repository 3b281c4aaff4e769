//! What became of a call, as it is recorded and told again to whoever repeats it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::host::ObserverIdentity;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Ended after SIGTERM.
    Terminated {
        evidence: String,
    },
    /// Ended after SIGKILL.
    Killed {
        evidence: String,
    },
    AlreadyGone {
        evidence: String,
    },
    /// Signalled, and still there at the end of the wait.
    StillThere {
        evidence: String,
    },
    /// Nothing was signalled or started.
    Refused {
        reason: String,
        message: String,
    },
    Started {
        #[serde(with = "IdentityRecord")]
        identity: ObserverIdentity,
        listens: bool,
        evidence: String,
    },
    /// Ran before, nothing was started.
    AlreadyRunning {
        #[serde(with = "IdentityRecord")]
        identity: ObserverIdentity,
        evidence: String,
    },
    Died {
        evidence: String,
        last_log_lines: Vec<String>,
    },
    /// Was started, and neither the observer nor its end could be found.
    Unclear {
        evidence: String,
    },
}

impl fmt::Display for Answer {
    /// For our log, without what the observer wrote into its own.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answer, words) = match self {
            Self::Terminated { evidence } => ("terminated", evidence),
            Self::Killed { evidence } => ("killed", evidence),
            Self::AlreadyGone { evidence } => ("already gone", evidence),
            Self::StillThere { evidence } => ("still there", evidence),
            Self::Refused { reason, message } => (reason.as_str(), message),
            Self::Started { evidence, .. } => ("started", evidence),
            Self::AlreadyRunning { evidence, .. } => ("already running", evidence),
            Self::Died { evidence, .. } => ("died", evidence),
            Self::Unclear { evidence } => ("unclear", evidence),
        };
        write!(formatter, "{answer}: {words}")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ObserverIdentity")]
struct IdentityRecord {
    boot_id: String,
    pid: u32,
    start_ticks: u64,
    executable: String,
    executable_inode: String,
    home: String,
    uid: u32,
    network_namespace: String,
    cluster_name: String,
}
