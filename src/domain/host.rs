//! What is known of an observer's process on its host, and how an attempt to end or start it went. Plain data, used by `agent`,
//! `host` and everything above.

use std::fmt;

use crate::domain::ids::{ClusterKey, Fence, ServerAddr};
use crate::domain::words::words;

words!(
    /// Why a call of a host was refused: nothing was signalled and nothing started. Said by the agent and read by the steps; an
    /// agent that is newer than this program may say others.
    HostCode, "code of a host", {
        ClientNotProven = "CLIENT_NOT_PROVEN",
        ClientNotAccepted = "CLIENT_NOT_ACCEPTED",
        InvalidField = "INVALID_FIELD",
        Fenced = "FENCED",
        StoreNotTrusted = "STORE_NOT_TRUSTED",
        TicketUnknown = "TICKET_UNKNOWN",
        TicketUsed = "TICKET_USED",
        TicketExpired = "TICKET_EXPIRED",
        TicketMismatch = "TICKET_MISMATCH",
        IdentityChanged = "IDENTITY_CHANGED",
        Ambiguous = "AMBIGUOUS",
        Supervised = "SUPERVISED",
        PortTaken = "PORT_TAKEN",
        HomeUnknown = "HOME_UNKNOWN",
        HomeAmbiguous = "HOME_AMBIGUOUS",
        HomeMismatch = "HOME_MISMATCH",
        ProgramMissing = "PROGRAM_MISSING",
        LaunchFailed = "LAUNCH_FAILED",
        HostExhausted = "HOST_EXHAUSTED",
        NotPermitted = "NOT_PERMITTED",
        TooManyEnds = "TOO_MANY_ENDS",
        TokenReused = "TOKEN_REUSED",
        LedgerFailed = "LEDGER_FAILED",
        HostUnreadable = "HOST_UNREADABLE",
        /// Said of a host that did not answer: nothing was sent.
        HostUnreachable = "HOST_UNREACHABLE",
        NotAnAgent = "NOT_AN_AGENT",
        AgentTooOld = "AGENT_TOO_OLD",
        /// LEDGER_FAILED that is transient (a full disk, no file descriptor left): the agent marks it with a RetryInfo. Who does
        /// not look for that takes it for a permanent refusal.
        LedgerWaits = "LEDGER_WAITS",
    }
);

/// How a host finds the process of one observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverTarget {
    /// IP and RPC port as OceanBase knows them.
    pub address: ServerAddr,
    pub sql_port: u16,
    /// The cluster's `cluster` parameter.
    pub cluster_name: String,
    /// The cluster's `cluster_id` parameter.
    pub ob_cluster_id: i64,
}

/// Who asks an agent for a ticket, and under which fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerFence {
    /// Fences of different stores cannot be compared.
    pub store_id: String,
    pub cluster: ClusterKey,
    /// The caller's fence: an agent refuses one that is lower than the highest it has seen.
    pub fence: Fence,
}

/// A process, described so that it is never mistaken for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverIdentity {
    /// Boot id of the host: pids and start times count from a boot.
    pub boot_id: String,
    pub pid: u32,
    /// Start time in clock ticks since boot: tells a reused pid apart.
    pub start_ticks: u64,
    /// Path of the executable, without the kernel's mark of a deleted file.
    pub executable: String,
    /// Device and inode of the executable, `dev:inode`.
    pub executable_inode: String,
    /// Working directory: the observer's home.
    pub home: String,
    pub uid: u32,
    /// Network namespace, as the kernel names it, for example `net:[4026531840]`.
    pub network_namespace: String,
    /// Cluster name from its arguments or its configuration.
    pub cluster_name: String,
}

impl fmt::Display for ObserverIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, start_ticks, executable, home, uid, cluster_name, .. } = self;
        // Nearly always `bin/observer` of the home; written twice, a long home would hide the rest.
        let inside = executable.strip_prefix(home.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let executable = inside.unwrap_or(executable);
        write!(
            formatter,
            "pid {pid} (started at tick {start_ticks}, {executable} in {home}, uid {uid}, cluster {cluster_name})"
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Exactly one process matches.
    Running(ObserverIdentity),
    /// Proven that no process matches.
    Absent { evidence: String },
    /// The host's agent could not be asked: nothing is known.
    HostUnreachable { reason: String },
    /// Several processes match, or one matches only in part, or too little could be read: never signalled.
    Ambiguous { evidence: String },
}

/// Whether the agent may signal the process that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaySignal {
    Yes,
    No {
        /// With what to do about it.
        reason: String,
    },
}

/// An agent's answer to "where is this observer's process?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessReport {
    pub finding: Finding,
    /// What was looked at, for people.
    pub evidence: String,
    /// What would start the process again or watches over it; also set when the agent's configuration lists it as safe.
    pub supervisor: Option<String>,
    /// What was seen besides the process and has no influence (an obshell that does not supervise it), for people.
    pub beside: Vec<String>,
    /// Whether the agent may signal the process. A reason with a `supervisor` means `SUPERVISED`.
    pub may_signal: MaySignal,
    /// Boot id of the host; empty when the host was not reached.
    pub boot_id: String,
    /// Whether any process listens on the RPC address.
    pub rpc_port_open: bool,
    /// Whether any process listens on the SQL address.
    pub sql_port_open: bool,
}

impl ProcessReport {
    /// The host did not answer: nothing is known.
    pub fn unreachable(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            evidence: reason.clone(),
            may_signal: MaySignal::No { reason: reason.clone() },
            finding: Finding::HostUnreachable { reason },
            supervisor: None,
            beside: Vec::new(),
            boot_id: String::new(),
            rpc_port_open: false,
            sql_port_open: false,
        }
    }
}

/// The right to end one process once, within seconds. Not `Clone`: using it consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(String);

impl Ticket {
    pub fn from_agent(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After SIGTERM.
    Terminated,
    /// After SIGKILL: the grace period after SIGTERM was over.
    Killed,
    /// Before a signal was sent.
    AlreadyGone,
}

/// Outcome of an attempt to end a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopResult {
    Ended {
        how: Ended,
        evidence: String,
    },
    /// Nothing was signalled.
    Refused {
        /// Reason in upper snake case, for example `FENCED`.
        code: String,
        /// With what to do.
        message: String,
    },
    /// It may have been signalled, or it was and had not ended in time. A later look resolves it.
    Unknown {
        message: String,
    },
}

/// Outcome of an attempt to start an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartResult {
    Started {
        identity: ObserverIdentity,
        /// Whether it listens on its RPC address; one that does not yet is no failure.
        listens: bool,
        evidence: String,
    },
    /// It was running before; nothing was started.
    AlreadyRunning { identity: ObserverIdentity, evidence: String },
    /// It was started and ended again.
    Died {
        evidence: String,
        /// Of its log.
        last_log_lines: Vec<String>,
    },
    /// Nothing was started.
    Refused {
        /// Reason in upper snake case, for example `HOME_UNKNOWN`.
        code: String,
        /// With what to do.
        message: String,
    },
    /// It may have been started. A later look resolves it.
    Unknown { message: String },
}
