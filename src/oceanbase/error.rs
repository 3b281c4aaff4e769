//! Errors of a cluster and what to do about them (docs/oceanbase.md#error-numbers). On the wire numbers are positive,
//! and some are MySQL's instead of OceanBase's own (1210 for 4002, 1235 for 4007, 1227 for 5036, 1317 for 5065).

use mysql_async::Error;
use thiserror::Error as ThisError;

use super::access::Endpoint;

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

#[derive(Clone, Debug, ThisError, PartialEq, Eq)]
#[error("{message}")]
pub struct ClusterError {
    pub class: ErrorClass,
    /// The server's number, when a server said it.
    pub number: Option<u16>,
    /// What the server said, as it said it.
    pub words: Option<String>,
    /// What happened, where, and what to do next.
    pub message: String,
    /// `host:port` of the endpoint that it is about, when it is about one.
    pub endpoint: Option<String>,
    pub about: Option<Box<ErrorDetail>>,
}

/// Details for programs, besides the class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorDetail {
    /// The server has no such view.
    MissingView {
        view: String,
        /// Which versions of OceanBase have it.
        versions: &'static str,
    },
    /// Another cluster answered.
    OtherCluster {
        /// Key of the expected cluster.
        expected: String,
        /// Key of the cluster that answered.
        found: String,
    },
}

/// The numbers that the adapter knows, by OceanBase's name of them (docs/oceanbase.md#error-numbers).
pub mod number {
    pub const TOO_MANY_CONNECTIONS: u16 = 1040;
    /// Access to this database is denied to the user.
    pub const DATABASE_ACCESS_DENIED: u16 = 1044;
    /// Login refused.
    pub const ACCESS_DENIED: u16 = 1045;
    /// No such database: this is no sys tenant, or no OceanBase.
    pub const UNKNOWN_DATABASE: u16 = 1049;
    /// The server shuts down (MySQL's).
    pub const SERVER_SHUTDOWN: u16 = 1053;
    /// No such column.
    pub const UNKNOWN_COLUMN: u16 = 1054;
    /// Syntax.
    pub const PARSE_ERROR: u16 = 1064;
    /// Syntax (MySQL's other number).
    pub const SYNTAX_ERROR: u16 = 1149;
    /// No such session (KILL).
    pub const NO_SUCH_THREAD: u16 = 1094;
    /// Access to this table is denied to the user.
    pub const TABLE_ACCESS_DENIED: u16 = 1142;
    /// No such table or view.
    pub const NO_SUCH_TABLE: u16 = 1146;
    pub const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub const DEADLOCK: u16 = 1213;
    /// Wrong arguments, as 4002 travels.
    pub const WRONG_ARGUMENTS: u16 = 1210;
    /// No privilege, as 5036 travels.
    pub const NO_PRIVILEGE_ON_WIRE: u16 = 1227;
    /// Not supported, as 4007 travels.
    pub const NOT_SUPPORTED_ON_WIRE: u16 = 1235;
    pub const FUNCTION_DOES_NOT_EXIST: u16 = 1305;
    /// Interrupted, as 5065 travels.
    pub const QUERY_INTERRUPTED_ON_WIRE: u16 = 1317;
    pub const INVALID_ARGUMENT: u16 = 4002;
    pub const NOT_SUPPORTED: u16 = 4007;
    /// `ob_query_timeout`; also on reads just after leaders moved.
    pub const TIMEOUT: u16 = 4012;
    /// The server has no memory left.
    pub const ALLOCATE_MEMORY_FAILED: u16 = 4013;
    /// No such server, zone or parameter.
    pub const ENTRY_NOT_EXIST: u16 = 4018;
    pub const EAGAIN: u16 = 4023;
    /// The tenant is over its memory limit.
    pub const EXCEED_MEM_LIMIT: u16 = 4030;
    pub const NEED_RETRY: u16 = 4036;
    /// The leader is elsewhere.
    pub const NOT_MASTER: u16 = 4038;
    pub const CANCELED: u16 = 4072;
    /// No connection within the cluster.
    pub const CONNECT_ERROR: u16 = 4124;
    /// Operation not allowed: the root service's precheck.
    pub const OP_NOT_ALLOW: u16 = 4179;
    pub const LEADER_NOT_EXIST: u16 = 4209;
    pub const MINOR_FREEZE_NOT_ALLOW: u16 = 4263;
    /// No connection within the cluster; the number that is really returned.
    pub const RPC_CONNECT_ERROR: u16 = 4265;
    /// No replica that could answer.
    pub const NO_REPLICA_VALID: u16 = 4515;
    /// The root service ends.
    pub const RS_SHUTDOWN: u16 = 4550;
    /// The server is in another zone.
    pub const SERVER_ZONE_NOT_MATCH: u16 = 4631;
    pub const SERVER_NOT_ACTIVE: u16 = 4637;
    /// The root service moved.
    pub const RS_NOT_MASTER: u16 = 4638;
    /// The wait for leaders was too long.
    pub const WAIT_LEADER_SWITCH_TIMEOUT: u16 = 4652;
    pub const ZONE_NOT_ACTIVE: u16 = 4655;
    /// Another zone is stopped, or the servers are of several zones.
    pub const STOP_SERVER_IN_MULTIPLE_ZONES: u16 = 4660;
    pub const SERVER_NOT_ALIVE: u16 = 4663;
    /// OBProxy knows no such cluster.
    pub const CLUSTER_NOT_EXIST: u16 = 4669;
    /// Syntax.
    pub const ERR_PARSE_SQL: u16 = 5001;
    /// No such table or view.
    pub const TABLE_NOT_EXIST: u16 = 5019;
    pub const NO_PRIVILEGE: u16 = 5036;
    pub const QUERY_INTERRUPTED: u16 = 5065;
    /// A statement whose session was ended by KILL; the session closes after it.
    pub const SESSION_INTERRUPTED: u16 = 5066;
    pub const TENANT_NOT_IN_SERVER: u16 = 5150;
    /// No such column.
    pub const BAD_FIELD: u16 = 5217;
    /// No worker for a parallel query; may come as late as a timeout.
    pub const INSUFFICIENT_PX_WORKER: u16 = 5345;
    /// The server is starting.
    pub const SERVER_IS_INIT: u16 = 8001;
    /// The server is stopping.
    pub const SERVER_IS_STOPPING: u16 = 8002;
}

impl ClusterError {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, number: None, words: None, message: message.into(), endpoint: None, about: None }
    }

    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, message)
    }

    /// The answer was not understood.
    pub fn unreadable(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unreadable, message)
    }

    /// Sets the endpoint that it is about.
    #[must_use]
    pub fn at(self, endpoint: &Endpoint) -> Self {
        Self { endpoint: Some(endpoint.to_string()), ..self }
    }

    /// What a server said instead of an answer; `context` says what was asked of whom.
    pub fn answered(code: u16, words: &str, context: &str) -> Self {
        let (class, said) = (class_of(code), words.trim());
        let known = class != ErrorClass::Transient || is_transient(code);
        let unknown = if known { "" } else { ", a number that is not known" };
        let error = Self::new(class, format!("{context}: {said} ({code}{unknown})"));
        Self { number: Some(code), words: Some(said.to_owned()), ..error }
    }

    /// From the driver's error; `context` says what was asked of whom.
    pub(super) fn from_driver(error: &Error, context: &str) -> Self {
        match error {
            Error::Server(server) => Self::answered(server.code, &server.message, context),
            Error::Io(_) | Error::Driver(_) | Error::Other(_) | Error::Url(_) => {
                Self::new(ErrorClass::Unknown, format!("{context}: {error}"))
            }
        }
    }

    /// When the server lacks a view: the same, with the view and the versions that have it.
    #[must_use]
    pub fn of_view(self, view: &str) -> Self {
        if !matches!(self.number, Some(number::NO_SUCH_TABLE | number::TABLE_NOT_EXIST)) {
            return self;
        }
        let view = named_in(self.words.as_deref().unwrap_or_default()).unwrap_or(view).to_owned();
        let versions = versions_with(&view);
        let message =
            format!("{}; {versions} has {view}, in its sys tenant: log in there, or upgrade the cluster", self.message);
        Self { message, about: Some(Box::new(ErrorDetail::MissingView { view, versions })), ..self }
    }

    /// Whether another endpoint may answer what this one did not.
    pub(super) fn next_endpoint(&self) -> bool {
        match self.class {
            ErrorClass::Unreachable | ErrorClass::Transient | ErrorClass::Unknown | ErrorClass::Unreadable => true,
            ErrorClass::Permanent | ErrorClass::AuthFailed | ErrorClass::WrongCluster => false,
        }
    }
}

/// The table in `Table 'oceanbase.NAME' doesn't exist`.
fn named_in(words: &str) -> Option<&str> {
    let name = words.split('\'').nth(1)?;
    let name = name.rsplit('.').next()?;
    (!name.is_empty()).then_some(name)
}

/// Which versions have a view that we read.
fn versions_with(view: &str) -> &'static str {
    match view.to_ascii_uppercase().as_str() {
        "GV$OB_ARBITRATION_SERVICE_STATUS" => "OceanBase Enterprise Edition from 4.1 on",
        _ => "OceanBase from 4.0 on",
    }
}

/// Class of a server's number, for reads. An unknown number may be transient or not: the read is repeated for as long
/// as the step allows, and at another endpoint. Numbers that a person has to deal with are listed.
fn class_of(code: u16) -> ErrorClass {
    match code {
        number::ACCESS_DENIED => ErrorClass::AuthFailed,
        number::DATABASE_ACCESS_DENIED
        | number::TABLE_ACCESS_DENIED
        | number::NO_PRIVILEGE_ON_WIRE
        | number::NO_PRIVILEGE
        | number::UNKNOWN_DATABASE
        | number::UNKNOWN_COLUMN
        | number::BAD_FIELD
        | number::NO_SUCH_TABLE
        | number::TABLE_NOT_EXIST
        | number::FUNCTION_DOES_NOT_EXIST
        | number::NO_SUCH_THREAD
        | number::PARSE_ERROR
        | number::SYNTAX_ERROR
        | number::ERR_PARSE_SQL
        | number::WRONG_ARGUMENTS
        | number::INVALID_ARGUMENT
        | number::NOT_SUPPORTED_ON_WIRE
        | number::NOT_SUPPORTED
        | number::ENTRY_NOT_EXIST
        | number::SERVER_ZONE_NOT_MATCH
        | number::STOP_SERVER_IN_MULTIPLE_ZONES
        | number::CLUSTER_NOT_EXIST => ErrorClass::Permanent,
        _ => ErrorClass::Transient,
    }
}

/// Whether this number is known to pass with time.
pub(super) const fn is_transient(code: u16) -> bool {
    matches!(
        code,
        number::TOO_MANY_CONNECTIONS
            | number::SERVER_SHUTDOWN
            | number::LOCK_WAIT_TIMEOUT
            | number::DEADLOCK
            | number::QUERY_INTERRUPTED_ON_WIRE
            | number::QUERY_INTERRUPTED
            | number::SESSION_INTERRUPTED
            | number::TIMEOUT
            | number::ALLOCATE_MEMORY_FAILED
            | number::EAGAIN
            | number::EXCEED_MEM_LIMIT
            | number::NEED_RETRY
            | number::NOT_MASTER
            | number::CANCELED
            | number::CONNECT_ERROR
            | number::LEADER_NOT_EXIST
            | number::RPC_CONNECT_ERROR
            | number::NO_REPLICA_VALID
            | number::RS_SHUTDOWN
            | number::SERVER_NOT_ACTIVE
            | number::RS_NOT_MASTER
            | number::WAIT_LEADER_SWITCH_TIMEOUT
            | number::ZONE_NOT_ACTIVE
            | number::SERVER_NOT_ALIVE
            | number::TENANT_NOT_IN_SERVER
            | number::INSUFFICIENT_PX_WORKER
            | number::SERVER_IS_INIT
            | number::SERVER_IS_STOPPING
    )
}

/// Whether this number, as the answer to one of our statements, surely means that nothing happened: it is only given by
/// the root service's checks before the mark, by the parser or by the privilege check. Every other number may come from
/// the wait after the mark (4012, 4652, 4751 among them) and leaves the effect unknown.
pub(super) fn is_surely_refusal(code: u16) -> bool {
    matches!(
        code,
        number::OP_NOT_ALLOW // the precheck
            | number::STOP_SERVER_IN_MULTIPLE_ZONES
            | number::SERVER_ZONE_NOT_MATCH
            | number::ENTRY_NOT_EXIST
            | number::MINOR_FREEZE_NOT_ALLOW
            | number::WRONG_ARGUMENTS
            | number::INVALID_ARGUMENT
            | number::NOT_SUPPORTED_ON_WIRE
            | number::NOT_SUPPORTED
            | number::NO_PRIVILEGE_ON_WIRE
            | number::NO_PRIVILEGE
            | number::PARSE_ERROR
            | number::SYNTAX_ERROR
            | number::ERR_PARSE_SQL
            | number::DATABASE_ACCESS_DENIED
            | number::TABLE_ACCESS_DENIED
    )
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
    fn a_number_that_nobody_knows_is_asked_again_and_elsewhere() {
        let error = |code| {
            let server = mysql_async::ServerError { code, message: "no".to_owned(), state: "HY000".to_owned() };
            ClusterError::from_driver(&Error::Server(server), "reading at h:1")
        };
        for code in [4013, 4030, 4265, 5345, 4012, 5150, 8001, 4016, 6002, 9999] {
            assert_eq!((error(code).class, error(code).next_endpoint()), (ErrorClass::Transient, true), "{code}");
        }
        for code in [1146, 5019, 1054, 1049, 1142, 1227, 5036, 1064, 1210, 1235, 4018] {
            assert_eq!((error(code).class, error(code).next_endpoint()), (ErrorClass::Permanent, false), "{code}");
        }
        assert_eq!(error(1045).class, ErrorClass::AuthFailed);
        for code in [4013, 4030, 4265, 5066, 5345] {
            assert!(is_transient(code) && !is_surely_refusal(code), "{code}");
        }
        assert!(!is_transient(9999) && !is_surely_refusal(9999), "as the answer to an effect it stays unknown");
    }

    #[test]
    fn a_missing_view_is_named_with_the_versions_that_have_it() {
        let said = |words: &str| {
            let server = mysql_async::ServerError { code: 1146, message: words.to_owned(), state: "42S02".to_owned() };
            ClusterError::from_driver(&Error::Server(server), "reading at h:1").of_view("DBA_OB_SERVERS")
        };
        let about = |view: &str, versions| Some(Box::new(ErrorDetail::MissingView { view: view.to_owned(), versions }));
        let error = said("Table 'oceanbase.GV$OB_ARBITRATION_SERVICE_STATUS' doesn't exist");
        assert_eq!(error.about, about("GV$OB_ARBITRATION_SERVICE_STATUS", "OceanBase Enterprise Edition from 4.1 on"));
        let error = said("no such table");
        assert_eq!(error.about, about("DBA_OB_SERVERS", "OceanBase from 4.0 on"));
        assert!(error.message.contains("OceanBase from 4.0 on has DBA_OB_SERVERS"), "{error}");
    }
}
