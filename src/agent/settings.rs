//! How an agent is set up.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::agent::launcher::Launcher;
use crate::clock::Clock;

/// How long a process may take to be gone after SIGKILL: it dumps no core, but frees its memory.
pub const KILL_WAIT: Duration = Duration::from_secs(10);

/// How long a process that was launched may run without looking like an observer.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where it keeps its record; its own, not shared.
    pub state_directory: PathBuf,
    /// Units (systemd, container ids, `obshell`) whose supervision of an observer is harmless.
    pub safe_units: Vec<String>,
    /// Addresses that lead to this host although none of its interfaces has them.
    pub addresses: Vec<IpAddr>,
    /// Homes of observers that may be started although they were not seen running.
    pub homes: Vec<PathBuf>,
    pub launcher: Launcher,
    /// `/proc`, or a tree like it.
    pub proc_root: PathBuf,
    pub timing: Timing,
    /// Wall time, for the moments of ends.
    pub clock: Clock,
}

/// How long an agent waits.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// At most one observer of a cluster is ended in this time.
    pub one_end_per: Duration,
    /// How long to wait for the end after SIGKILL.
    pub kill_wait: Duration,
    /// How long a process that was launched may run without being seen as an observer.
    pub seen_within: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { one_end_per: Duration::from_secs(60), kill_wait: KILL_WAIT, seen_within: SEEN_WITHIN }
    }
}

impl AgentConfig {
    pub fn new(state_directory: impl Into<PathBuf>) -> Self {
        Self {
            state_directory: state_directory.into(),
            safe_units: Vec::new(),
            addresses: Vec::new(),
            homes: Vec::new(),
            launcher: Launcher::own(),
            proc_root: PathBuf::from("/proc"),
            timing: Timing::default(),
            clock: Clock::system(),
        }
    }
}
