//! Every way in which the agent says no. A refusal means that nothing was signalled.

use std::time::Duration;

use thiserror::Error;

use crate::domain::ids::Fence;

/// Why nothing was done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
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
    /// The system does not let us signal it.
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

fn told(shown: &str) -> &str {
    if shown.is_empty() { "nobody that could be named" } else { shown }
}

impl Refusal {
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
            Self::Supervised { .. } => "SUPERVISED",
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
            Self::Supervised { supervisor, unit } => vec![("supervisor", supervisor.clone()), ("unit", unit.clone())],
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
