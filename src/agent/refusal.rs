//! Every way in which the agent says no. A refusal means that nothing was signalled and nothing started.

use std::time::Duration;

use thiserror::Error;

use crate::domain::ids::Fence;

/// Why nothing was done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AgentRefusal {
    /// Nothing proves who calls.
    #[error("this agent takes calls of {accepted} only, over TLS with a certificate of that name; none was shown")]
    ClientNotProven {
        /// Whose calls it takes.
        accepted: String,
    },
    /// Somebody else calls.
    #[error(
        "this agent takes calls of {accepted} only and the certificate that was shown is of {}: call with one of that name, \
         or start the agent with another --client-name",
        told(.shown)
    )]
    ClientNotAccepted {
        /// Names of the certificate.
        shown: String,
        /// Whose calls it takes.
        accepted: String,
    },
    /// A field of the request.
    #[error("{field} is {value}, write {wanted}")]
    Invalid {
        /// Path of the field.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The caller lost its cluster to another.
    #[error(
        "fence {given} is older than fence {highest}, which this agent has seen: the caller no longer owns the cluster"
    )]
    Fenced {
        /// The caller's.
        given: Fence,
        /// The highest seen.
        highest: Fence,
    },
    /// Another store acts on a cluster that belongs to one already.
    #[error(
        "cluster {cluster} is operated from store {known}, not from {given}; if that has moved for good, run \
         `obsteward agent trust {given}` on this host"
    )]
    StoreNotTrusted {
        /// Key of the cluster.
        cluster: String,
        /// The caller's.
        given: String,
        /// The one that acts on it.
        known: String,
    },
    /// Nobody was given this ticket, or the agent has been started again since.
    #[error("the ticket is not known to this agent, arm again")]
    TicketUnknown,
    /// Used before.
    #[error("the ticket was used before, arm again")]
    TicketUsed,
    /// Too old.
    #[error("the ticket is {age:?} old and was valid for {valid:?}, arm again and fire sooner")]
    TicketExpired {
        /// Its age.
        age: Duration,
        /// How long one is valid.
        valid: Duration,
    },
    /// It was given for something else.
    #[error("the ticket was given for another {what}, arm again")]
    TicketMismatch {
        /// What differs.
        what: &'static str,
    },
    /// The process is not the one that was armed.
    #[error("armed was {armed}, found is {found}: nothing was signalled, look again")]
    IdentityChanged {
        /// When armed.
        armed: String,
        /// Now.
        found: String,
    },
    /// It cannot be told which process it is.
    #[error("the process cannot be told for sure: {evidence}")]
    Ambiguous {
        /// Every doubt.
        evidence: String,
    },
    /// Somebody watches over the process.
    #[error(
        "the process is supervised by {supervisor}, which would start it again or end others with it: stop it there, or \
         list {unit:?} as a safe unit of the agent (--safe-unit)"
    )]
    Supervised {
        /// Who.
        supervisor: String,
        /// What to list.
        unit: String,
    },
    /// Somebody else keeps the observer running, and must start it.
    #[error(
        "the observer is kept by {supervisor}, which must start it: start it there, or list {unit:?} as a safe unit of the \
         agent (--safe-unit)"
    )]
    StartedBySupervisor {
        /// Who.
        supervisor: String,
        /// What to list.
        unit: String,
    },
    /// Somebody else listens where it would.
    #[error("{address} is taken by {holder}, the observer could not listen there: find out why that runs, and end it")]
    PortTaken {
        /// Where.
        address: String,
        /// By whom.
        holder: String,
    },
    /// Nobody says where it would be started.
    #[error(
        "the home of {target} is not known: this agent has not seen it run{}. Name it with --home (local_agent.homes of the \
         service), or start the observer by hand once while the agent is asked for it",
        looked(.looked_at)
    )]
    HomeUnknown {
        /// The observer.
        target: String,
        /// The homes that were named, and what they are.
        looked_at: String,
    },
    /// Several homes say that they are its home.
    #[error(
        "several homes say that they are that of {target}: {homes}. Take the configuration out of those that are not"
    )]
    HomeAmbiguous {
        /// The observer.
        target: String,
        /// Which.
        homes: String,
    },
    /// The home in which it ran is not its home any more.
    #[error(
        "{target} was last seen running in {home}, which {problem}: bring that home back, or name the new one with --home \
         (local_agent.homes of the service)"
    )]
    HomeMismatch {
        /// The observer.
        target: String,
        /// Which.
        home: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to start.
    #[error("{path} cannot be started ({problem}): install the observer there")]
    ProgramMissing {
        /// The executable.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The system did not let us start it.
    #[error("the observer could not be started: {problem}")]
    LaunchFailed {
        /// What is wrong.
        problem: String,
    },
    /// The system had no room to start it just then: no file descriptor, no memory, no process. It passes.
    #[error("the observer could not be started yet, the host lacks something just now: {problem}")]
    HostExhausted {
        /// What is wrong.
        problem: String,
    },
    /// The system does not let us act on it.
    #[error("{reason}")]
    NotPermitted {
        /// Why, and what to do.
        reason: String,
    },
    /// One per cluster and minute.
    #[error("an observer of cluster {cluster} was ended less than {period:?} ago, wait {retry_after:.0?}")]
    TooManyEnds {
        /// Key of the cluster.
        cluster: String,
        /// The setting.
        period: Duration,
        /// The rest of it.
        retry_after: Duration,
    },
    /// A token that named another call.
    #[error("token {token} named another call before, use a new one")]
    TokenReused {
        /// The token.
        token: String,
    },
    /// What this token was told before.
    #[error("{message}")]
    Recorded {
        /// Its reason.
        reason: String,
        /// Its words.
        message: String,
    },
    /// The agent's record cannot be written, and without it nothing is done.
    #[error("the agent's record cannot be kept: {problem}")]
    LedgerFailed {
        /// Whether that passes: its disk is full, or it has no file descriptor left.
        passes: bool,
        /// What is wrong.
        problem: String,
    },
    /// `/proc` cannot be read.
    #[error("the processes of this host cannot be read: {problem}")]
    HostUnreadable {
        /// What is wrong.
        problem: String,
    },
}

fn looked(homes: &str) -> String {
    if homes.is_empty() {
        return " and was given no homes".to_owned();
    }
    format!(" and none of the homes that it was given is that ({homes})")
}

fn told(shown: &str) -> &str {
    if shown.is_empty() { "nobody that could be named" } else { shown }
}

impl AgentRefusal {
    /// The reason for programs, in upper snake case.
    pub fn reason(&self) -> &str {
        match self {
            Self::ClientNotProven { .. } => "CLIENT_NOT_PROVEN",
            Self::ClientNotAccepted { .. } => "CLIENT_NOT_ACCEPTED",
            Self::Invalid { .. } => "INVALID_FIELD",
            Self::Fenced { .. } => "FENCED",
            Self::StoreNotTrusted { .. } => "STORE_NOT_TRUSTED",
            Self::TicketUnknown => "TICKET_UNKNOWN",
            Self::TicketUsed => "TICKET_USED",
            Self::TicketExpired { .. } => "TICKET_EXPIRED",
            Self::TicketMismatch { .. } => "TICKET_MISMATCH",
            Self::IdentityChanged { .. } => "IDENTITY_CHANGED",
            Self::Ambiguous { .. } => "AMBIGUOUS",
            Self::Supervised { .. } | Self::StartedBySupervisor { .. } => "SUPERVISED",
            Self::PortTaken { .. } => "PORT_TAKEN",
            Self::HomeUnknown { .. } => "HOME_UNKNOWN",
            Self::HomeAmbiguous { .. } => "HOME_AMBIGUOUS",
            Self::HomeMismatch { .. } => "HOME_MISMATCH",
            Self::ProgramMissing { .. } => "PROGRAM_MISSING",
            Self::LaunchFailed { .. } => "LAUNCH_FAILED",
            Self::HostExhausted { .. } => "HOST_EXHAUSTED",
            Self::NotPermitted { .. } => "NOT_PERMITTED",
            Self::TooManyEnds { .. } => "TOO_MANY_ENDS",
            Self::TokenReused { .. } => "TOKEN_REUSED",
            Self::Recorded { reason, .. } => reason,
            Self::LedgerFailed { .. } => "LEDGER_FAILED",
            Self::HostUnreadable { .. } => "HOST_UNREADABLE",
        }
    }

    /// The facts of it, for programs.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::ClientNotProven { accepted } => vec![("accepted", accepted.clone())],
            Self::ClientNotAccepted { shown, accepted } => {
                vec![("shown", shown.clone()), ("accepted", accepted.clone())]
            }
            Self::Invalid { field, value, .. } => vec![("field", (*field).to_owned()), ("value", value.clone())],
            Self::Fenced { given, highest } => vec![("given", given.to_string()), ("highest", highest.to_string())],
            Self::StoreNotTrusted { cluster, given, known } => {
                vec![("cluster_key", cluster.clone()), ("store_id", given.clone()), ("known_store_id", known.clone())]
            }
            Self::TicketExpired { age, valid } => {
                vec![("age_millis", age.as_millis().to_string()), ("valid_millis", valid.as_millis().to_string())]
            }
            Self::TicketMismatch { what } => vec![("what", (*what).to_owned())],
            Self::IdentityChanged { armed, found } => vec![("armed", armed.clone()), ("found", found.clone())],
            Self::Ambiguous { evidence } => vec![("evidence", evidence.clone())],
            Self::Supervised { supervisor, unit } | Self::StartedBySupervisor { supervisor, unit } => {
                vec![("supervisor", supervisor.clone()), ("unit", unit.clone())]
            }
            Self::PortTaken { address, holder } => vec![("address", address.clone()), ("holder", holder.clone())],
            Self::HomeUnknown { target, looked_at } => {
                vec![("target", target.clone()), ("homes", looked_at.clone())]
            }
            Self::HomeAmbiguous { target, homes } => vec![("target", target.clone()), ("homes", homes.clone())],
            Self::HomeMismatch { target, home, problem } => {
                vec![("target", target.clone()), ("home", home.clone()), ("problem", problem.clone())]
            }
            Self::ProgramMissing { path, problem } => vec![("path", path.clone()), ("problem", problem.clone())],
            Self::LaunchFailed { problem } | Self::HostExhausted { problem } => vec![("problem", problem.clone())],
            Self::TooManyEnds { cluster, retry_after, .. } => {
                vec![("cluster_key", cluster.clone()), ("retry_after_millis", retry_after.as_millis().to_string())]
            }
            Self::TokenReused { token } => vec![("token", token.clone())],
            Self::TicketUnknown
            | Self::TicketUsed
            | Self::NotPermitted { .. }
            | Self::Recorded { .. }
            | Self::LedgerFailed { .. }
            | Self::HostUnreadable { .. } => Vec::new(),
        }
    }
}
