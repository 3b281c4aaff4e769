//! Errors of a cluster, classified as oceanbase-kernel, section 1.6 says. On the wire numbers are positive, and some are
//! MySQL's instead of OceanBase's own (1210 for 4002, 1235 for 4007, 1227 for 5036, 1317 for 5065).

use mysql_async::Error;
use thiserror::Error as ThisError;

use crate::domain::effect::EffectOutcome;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same will fail again: a person has to change something.
    Permanent,
    /// It may pass by itself; a read may be repeated.
    Transient,
    /// The login was refused (`CLUSTER_AUTH_FAILED`); never retried by itself, lest the account be locked.
    AuthFailed,
    /// Another cluster or another server answered (`WRONG_CLUSTER`); nothing was sent to it.
    WrongCluster,
    /// No endpoint could be connected to.
    Unreachable,
    /// The answer was not understood: NULL, an unknown word, a missing view or column.
    Unreadable,
    /// Timeout or lost connection: what was asked may have happened.
    Unknown,
}

/// An error of a cluster.
#[derive(Clone, Debug, ThisError, PartialEq, Eq)]
#[error("{message}")]
pub struct ClusterError {
    /// What to do about it.
    pub class: ErrorClass,
    /// The server's number, when a server said it.
    pub number: Option<u16>,
    /// What the server said, as it said it.
    pub words: Option<String>,
    /// What happened, where, and what to do next.
    pub message: String,
}

/// The numbers that the adapter knows.
pub mod number {
    /// Login refused.
    pub const ACCESS_DENIED: u16 = 1045;
    /// No such session (KILL).
    pub const NO_SUCH_THREAD: u16 = 1094;
    /// A function does not exist.
    pub const FUNCTION_DOES_NOT_EXIST: u16 = 1305;
    /// Tenant not in this server.
    pub const TENANT_NOT_IN_SERVER: u16 = 5150;
    /// The server is starting.
    pub const SERVER_IS_INIT: u16 = 8001;
    /// The server is stopping.
    pub const SERVER_IS_STOPPING: u16 = 8002;
    /// Operation not allowed: the root service's precheck.
    pub const OP_NOT_ALLOW: u16 = 4179;
}

impl ClusterError {
    /// From a class and words.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, number: None, words: None, message: message.into() }
    }

    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, message)
    }

    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unreadable, message)
    }

    /// From the driver's error; `context` says what was asked of whom.
    pub(super) fn from_driver(error: &Error, context: &str) -> Self {
        match error {
            Error::Server(server) => Self {
                class: class_of(server.code),
                number: Some(server.code),
                words: Some(server.message.trim().to_owned()),
                message: format!("{context}: {} ({})", server.message.trim(), server.code),
            },
            Error::Io(_) => Self::new(ErrorClass::Unknown, format!("{context}: {error}")),
            Error::Driver(_) | Error::Other(_) | Error::Url(_) => {
                Self::new(ErrorClass::Unknown, format!("{context}: {error}"))
            }
        }
    }

    /// Whether another endpoint may answer what this one did not.
    pub(super) fn next_endpoint(&self) -> bool {
        match self.class {
            ErrorClass::Unreachable | ErrorClass::Transient | ErrorClass::Unknown | ErrorClass::Unreadable => true,
            ErrorClass::Permanent => self.number == Some(number::TENANT_NOT_IN_SERVER),
            ErrorClass::AuthFailed | ErrorClass::WrongCluster => false,
        }
    }
}

/// Class of a server's number, for reads.
fn class_of(code: u16) -> ErrorClass {
    match code {
        number::ACCESS_DENIED => ErrorClass::AuthFailed,
        4012 | 4023 | 4036 | 4038 | 4124 | 4209 | 4550 | 4638 | 4652 | 4663 | 1205 | 1213 | 1317 | 1040 | 1053 => {
            ErrorClass::Transient
        }
        number::TENANT_NOT_IN_SERVER | number::SERVER_IS_INIT | number::SERVER_IS_STOPPING => ErrorClass::Transient,
        _ => ErrorClass::Permanent,
    }
}

/// Whether this number, as the answer to one of our statements, surely means that nothing happened: it is only given by
/// the root service's checks before the mark, by the parser or by the privilege check. Every other number may come from
/// the wait after the mark (4012, 4652, 4751 among them) and leaves the effect unknown.
pub(super) fn is_surely_refusal(code: u16) -> bool {
    matches!(
        code,
        number::OP_NOT_ALLOW      // the precheck
        | 4660                    // another zone is stopped, or servers of several zones
        | 4631                    // zone does not match
        | 4018                    // no such server
        | 4263                    // minor freeze not allowed
        | 1210 | 4002             // wrong arguments
        | 1235 | 4007             // not supported
        | 1227 | 5036             // no privilege
        | 1064 | 1149 | 5001      // syntax
        | 1044 | 1142 // access denied to this user
    )
}

/// Whether the root service refused for want of log sync alone, which FORCE STOP SERVER does not ask for. These are its words
/// in oceanbase-kernel, section 1.2 A 6; the number is shared by every rule of its precheck.
pub fn refused_for_log_sync(outcome: &EffectOutcome) -> bool {
    match outcome {
        EffectOutcome::Refused { code, message } => code == "4179" && message.contains("log not sync"),
        EffectOutcome::Done { .. } | EffectOutcome::Unknown { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_come_after_the_mark_is_no_refusal() {
        for code in [4012, 4652, 4751, 4016, 4038, 4550, 4638, 1317, 5065, 8001, 8002, 1045, 1040] {
            assert!(!is_surely_refusal(code), "{code}");
        }
        for code in [4179, 4660, 4631, 4018, 5036, 1227, 1210] {
            assert!(is_surely_refusal(code), "{code}");
        }
    }

    #[test]
    fn only_log_sync_leads_to_force_stop() {
        let refused =
            |code: &str, message: &str| EffectOutcome::Refused { code: code.to_owned(), message: message.to_owned() };
        assert!(refused_for_log_sync(&refused("4179", "Tenant(1001) LS(1) log not sync, stop server not allowed")));
        assert!(!refused_for_log_sync(&refused("4179", "Tenant(1001) LS(1) has no leader, stop server not allowed")));
        assert!(!refused_for_log_sync(&refused("4660", "log not sync")));
        assert!(!refused_for_log_sync(&EffectOutcome::Unknown { message: "log not sync".to_owned() }));
    }
}
