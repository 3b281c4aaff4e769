//! Every way in which the agent says no. A refusal means that nothing was signalled and nothing started.

use std::time::Duration;

use thiserror::Error;

use crate::domain::host::HostCode;
use crate::domain::ids::Fence;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AgentRefusal {
    #[error("this agent takes calls of {accepted} only, over TLS with a certificate of that name; none was shown")]
    ClientNotProven { accepted: String },
    #[error(
        "this agent takes calls of {accepted} only and the certificate that was shown is of {}: call with one of that name, \
         or start the agent with another --client-name",
        told(.shown)
    )]
    ClientNotAccepted {
        /// Subject alternative names of the certificate.
        shown: String,
        accepted: String,
    },
    #[error("{field} is {value}, write {wanted}")]
    Invalid { field: &'static str, value: String, wanted: &'static str },
    #[error(
        "fence {given} is older than fence {highest}, which this agent has seen: the caller no longer owns the cluster"
    )]
    Fenced { given: Fence, highest: Fence },
    #[error(
        "cluster {cluster} is operated from store {known}, not from {given}; if that has moved for good, run \
         `obsteward agent trust {given}` on this host"
    )]
    StoreNotTrusted {
        /// Key of the cluster.
        cluster: String,
        given: String,
        known: String,
    },
    /// This agent gave out no such ticket, or has been started again since.
    #[error("the ticket is not known to this agent, arm again")]
    TicketUnknown,
    #[error("the ticket was used before, arm again")]
    TicketUsed,
    #[error("the ticket is {age:?} old and was valid for {valid:?}, arm again and fire sooner")]
    TicketExpired { age: Duration, valid: Duration },
    #[error("the ticket was given for another {what}, arm again")]
    TicketMismatch { what: &'static str },
    #[error("armed was {armed}, found is {found}: nothing was signalled, look again")]
    IdentityChanged { armed: String, found: String },
    #[error("the process cannot be told for sure: {evidence}")]
    Ambiguous { evidence: String },
    #[error(
        "the process is supervised by {supervisor}, which would start it again or end others with it: stop it there, or \
         list {unit:?} as a safe unit of the agent (--safe-unit)"
    )]
    Supervised {
        supervisor: String,
        /// What the operator lists as a safe unit to have it counted as harmless.
        unit: String,
    },
    #[error(
        "the observer is kept by {supervisor}, which must start it: start it there, or list {unit:?} as a safe unit of the \
         agent (--safe-unit)"
    )]
    StartedBySupervisor {
        supervisor: String,
        /// What the operator lists as a safe unit to have it counted as harmless.
        unit: String,
    },
    #[error("{address} is taken by {holder}, the observer could not listen there: find out why that runs, and end it")]
    PortTaken { address: String, holder: String },
    #[error(
        "the home of {target} is not known: this agent has not seen it run{}. Name it with --home (local_agent.homes of the \
         service), or start the observer by hand once while the agent is asked for it",
        looked(.looked_at)
    )]
    HomeUnknown {
        target: String,
        /// The homes that the operator named, and what each of them is instead.
        looked_at: String,
    },
    #[error(
        "several homes say that they are that of {target}: {homes}. Take the configuration out of those that are not"
    )]
    HomeAmbiguous { target: String, homes: String },
    #[error(
        "{target} was last seen running in {home}, which {problem}: bring that home back, or name the new one with --home \
         (local_agent.homes of the service)"
    )]
    HomeMismatch { target: String, home: String, problem: String },
    #[error("{path} cannot be started ({problem}): install the observer there")]
    ProgramMissing { path: String, problem: String },
    #[error("the observer could not be started: {problem}")]
    LaunchFailed { problem: String },
    /// The system had no room to start it at that moment: no file descriptor, no memory, no process. It passes.
    #[error("the observer could not be started yet, the host lacks something just now: {problem}")]
    HostExhausted { problem: String },
    #[error("{reason}")]
    NotPermitted {
        /// What the system said, and what to do about it.
        reason: String,
    },
    #[error("an observer of cluster {cluster} was ended less than {period:?} ago, wait {retry_after:.0?}")]
    TooManyEnds {
        /// Key of the cluster.
        cluster: String,
        /// The configured time between two ends of one cluster.
        period: Duration,
        retry_after: Duration,
    },
    #[error("token {token} named another call before, use a new one")]
    TokenReused { token: String },
    /// The refusal that was recorded for this token.
    #[error("{message}")]
    Recorded { reason: String, message: String },
    /// The agent's record cannot be written, and without it nothing is done.
    #[error("the agent's record cannot be kept: {problem}")]
    LedgerFailed {
        /// Whether it is transient: the disk is full, or no file descriptor is left.
        passes: bool,
        problem: String,
    },
    #[error("the processes of this host cannot be read: {problem}")]
    HostUnreadable { problem: String },
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
            Self::ClientNotProven { .. } => HostCode::ClientNotProven.as_str(),
            Self::ClientNotAccepted { .. } => HostCode::ClientNotAccepted.as_str(),
            Self::Invalid { .. } => HostCode::InvalidField.as_str(),
            Self::Fenced { .. } => HostCode::Fenced.as_str(),
            Self::StoreNotTrusted { .. } => HostCode::StoreNotTrusted.as_str(),
            Self::TicketUnknown => HostCode::TicketUnknown.as_str(),
            Self::TicketUsed => HostCode::TicketUsed.as_str(),
            Self::TicketExpired { .. } => HostCode::TicketExpired.as_str(),
            Self::TicketMismatch { .. } => HostCode::TicketMismatch.as_str(),
            Self::IdentityChanged { .. } => HostCode::IdentityChanged.as_str(),
            Self::Ambiguous { .. } => HostCode::Ambiguous.as_str(),
            Self::Supervised { .. } | Self::StartedBySupervisor { .. } => HostCode::Supervised.as_str(),
            Self::PortTaken { .. } => HostCode::PortTaken.as_str(),
            Self::HomeUnknown { .. } => HostCode::HomeUnknown.as_str(),
            Self::HomeAmbiguous { .. } => HostCode::HomeAmbiguous.as_str(),
            Self::HomeMismatch { .. } => HostCode::HomeMismatch.as_str(),
            Self::ProgramMissing { .. } => HostCode::ProgramMissing.as_str(),
            Self::LaunchFailed { .. } => HostCode::LaunchFailed.as_str(),
            Self::HostExhausted { .. } => HostCode::HostExhausted.as_str(),
            Self::NotPermitted { .. } => HostCode::NotPermitted.as_str(),
            Self::TooManyEnds { .. } => HostCode::TooManyEnds.as_str(),
            Self::TokenReused { .. } => HostCode::TokenReused.as_str(),
            Self::Recorded { reason, .. } => reason,
            Self::LedgerFailed { .. } => HostCode::LedgerFailed.as_str(),
            Self::HostUnreadable { .. } => HostCode::HostUnreadable.as_str(),
        }
    }

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
