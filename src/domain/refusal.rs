//! Why a request is refused: data, not text. `api/error_table.rs` gives each its code, status and words.

use crate::clock::Timestamp;
use crate::domain::event::{SubtaskState, TaskState, Verb};
use crate::domain::ids::{
    AccessKeyId, ClusterId, Principal, Revision, RoleName, Seq, ServerAddr, ServerId, SubtaskId, TaskId, ZoneName,
};
use crate::domain::permission::Need;

/// A field of a request and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, for example `endpoints[1]`.
    pub field: String,
    /// What is wrong, with which value, and what to write instead.
    pub description: String,
}

/// What is wrong with the fields of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    /// As many as an answer holds.
    pub told: Vec<FieldViolation>,
    /// How many more there are.
    pub untold: usize,
}

/// The task that holds a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TaskState,
    /// Since when it holds the cluster.
    pub since: Timestamp,
    /// Who asked for it.
    pub by: Principal,
    /// What it acts on.
    pub server: ServerAddr,
    /// What frees the cluster now.
    pub verbs: Vec<Verb>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Fields of the request are wrong.
    InvalidArgument(Violations),
    /// No such cluster.
    ClusterNotFound { cluster: String },
    /// No such server in the cluster.
    ServerNotFound { cluster: ClusterId, server: ServerId },
    /// No such zone in the cluster.
    ZoneNotFound { cluster: ClusterId, zone: ZoneName },
    /// No such task.
    TaskNotFound { task: TaskId },
    /// Another task acts on the physical cluster.
    OperationInProgress { cluster: ClusterId, holder: Box<Holder> },
    /// The server's state does not admit the request (OCP 13003 / OBE19003).
    ServerStateNotAdmitted {
        server: ServerId,
        addr: ServerAddr,
        service: String,
        process: String,
        expected: String,
        remedy: String,
    },
    /// The cluster has one server (OCP OBE19020).
    SingleServerCluster { cluster: ClusterId, server: ServerId },
    /// The server has another address than the caller expects.
    ExpectedServerMismatch { server: ServerId, expected: ServerAddr, actual: ServerAddr },
    /// The server's row is gone from the cluster or has another id there.
    ServerReplaced { server: ServerId, addr: ServerAddr },
    /// The request id belongs to a request with other arguments.
    RequestIdReused { request_id: String, task: TaskId },
    /// The task is at another revision than the caller expects.
    TaskMoved { task: TaskId, expected: Revision, revision: Revision, state: TaskState },
    /// The task's state does not allow the verb.
    VerbNotAllowed { task: TaskId, verb: Verb, state: TaskState, allowed_in: &'static [TaskState] },
    /// An effect that was tried is not resolved yet.
    EffectMayStillHappen { task: TaskId, until: Timestamp },
    /// The subtask does not run.
    SubtaskNotRunning { task: TaskId, subtask: SubtaskId },
    /// The subtask did not fail: it cannot be run again.
    SubtaskNotFailed { task: TaskId, subtask: SubtaskId, name: String, state: SubtaskState },
    /// The task has no such subtask.
    SubtaskNotFound { task: TaskId, subtask: SubtaskId },
    /// The subtask cannot be skipped.
    SubtaskNotSkippable { task: TaskId, subtask: SubtaskId, name: String, why: Unskippable },
    /// The task was being undone when it came to rest.
    RollbackUnfinished { task: TaskId },
    /// The consent would end before it begins.
    ExpireTimePassed { expire_time: Timestamp, now: Timestamp },
    /// A watch asks for more than there is.
    RevisionAhead { task: TaskId, asked: Revision, head: Revision },
    /// A watch asks for more than there is.
    SeqAhead { asked: Seq, head: Seq },
    /// The physical cluster is registered already.
    ClusterAlreadyRegistered { cluster: ClusterId, name: String },
    /// The id is taken.
    IdTaken { what: &'static str, id: i64 },
    /// Another cluster answers than was recorded or expected.
    WrongCluster { endpoint: String, expected: String, found: String },
    /// The cluster refused our login.
    ClusterAuthFailed { endpoint: String, username: String },
    /// The cluster could not be read.
    ClusterUnreachable { cluster: String, why: String },
    /// The cluster refuses to be read, and will until somebody changes something.
    ClusterRefuses { cluster: String, why: String },
    /// The cluster's version or tenant has no such view.
    ViewMissing { cluster: String, view: String, versions: String },
    /// A task holds the cluster that is to be forgotten.
    ClusterHeld { cluster: ClusterId, task: TaskId },
    /// Nobody is named by the request, or what names him is wrong. Says nothing about which users there are.
    Unauthenticated { why: Unproven },
    /// Too many logins failed, from this address or for this user.
    LoginThrottled { retry_after_millis: u32 },
    /// The caller's rights are not enough; the same whether what it is about exists or not.
    PermissionDenied { principal: Principal, need: Need },
    /// Risks cannot be accepted over the face that was used.
    RiskNotAcceptedHere { setting: &'static str },
    /// The caller asked too often.
    RateLimited { limit: u32, window_seconds: u32, retry_after_millis: u32 },
    /// The caller has too many watches.
    TooManyWatches { principal: Principal, limit: u32 },
    /// No such user.
    UserNotFound { user: String },
    /// No such access key.
    AccessKeyNotFound { key: AccessKeyId },
    /// No such role.
    RoleNotFound { role: RoleName },
    /// The name is taken.
    NameTaken { what: &'static str, name: String },
    /// The role is always there, or users have it.
    RoleFixed { role: RoleName, why: String },
    /// Nobody would be left who may do everything.
    LastAdministrator { user: Principal },
    /// No such address on the REST face.
    RouteNotFound { method: String, path: String },
    /// The address does not take this method.
    MethodNotAllowed { method: String, path: String, allowed: String },
    /// The body is larger than allowed.
    BodyTooLarge { limit: u64 },
    /// The body is of another kind than JSON in UTF-8, or compressed; which header says so, or the body itself.
    UnsupportedMediaType { field: &'static str, given: String },
    /// No such method on the gRPC face.
    MethodNotFound { method: String },
    /// A gRPC call is compressed.
    CompressionUnsupported { encoding: String },
    /// A gRPC message is larger than allowed, in bytes.
    MessageTooLarge { limit: u32 },
    /// The caller stopped waiting, as it said that it would.
    DeadlinePassed,
    /// Too many requests are open whose callers are not proven, on one connection or from one address.
    TooManyStrangers { limit: u32 },
    /// The request did not arrive in time.
    RequestTimeout { seconds: u64 },
    /// The service is ending or its store does not answer; nothing was changed, or the outcome is found by asking again.
    Unavailable { why: String, retry_after_millis: u32 },
    /// A bug or a store that says what cannot be; the log of the service has the details.
    Internal { what: String },
}

/// Why a subtask cannot be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unskippable {
    /// It is in this state instead of failed.
    NotFailed(SubtaskState),
    /// It makes the checks that the others rely on.
    Checks,
    /// The task is being undone, and what is behind it comes first.
    NotItsTurn,
}

/// Why nobody is named. What is shown to callers never tells a user that is not there from a password that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// The request carries no credentials.
    NoCredentials,
    /// The scheme is none that this face knows, or it cannot be read.
    Malformed,
    /// A header that decides who calls is given more than once.
    Repeated(&'static str),
    /// User, password, key or signature is wrong, or the user or key is disabled.
    Wrong,
    /// The `Date` of a signed request is missing or cannot be read.
    DateMissing,
    /// The `Date` of a signed request is too far from now.
    DateSkewed,
    /// What proved the caller of a watch when it was opened would not any more.
    Ended,
    /// The client certificate names no user.
    UnknownCertificate,
}

impl Refusal {
    /// The reason for programs: `UPPER_SNAKE`, unique, at most 63 characters.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InvalidArgument(..) => "INVALID_ARGUMENT",
            Self::ClusterNotFound { .. } => "CLUSTER_NOT_FOUND",
            Self::ServerNotFound { .. } => "SERVER_NOT_FOUND",
            Self::ZoneNotFound { .. } => "ZONE_NOT_FOUND",
            Self::TaskNotFound { .. } => "TASK_NOT_FOUND",
            Self::OperationInProgress { .. } => "OPERATION_IN_PROGRESS",
            Self::ServerStateNotAdmitted { .. } => "SERVER_STATE_NOT_ADMITTED",
            Self::SingleServerCluster { .. } => "SINGLE_SERVER_CLUSTER",
            Self::ExpectedServerMismatch { .. } => "EXPECTED_SERVER_MISMATCH",
            Self::ServerReplaced { .. } => "SERVER_REPLACED",
            Self::RequestIdReused { .. } => "REQUEST_ID_REUSED",
            Self::TaskMoved { .. } => "TASK_MOVED",
            Self::VerbNotAllowed { .. } => "VERB_NOT_ALLOWED",
            Self::EffectMayStillHappen { .. } => "EFFECT_MAY_STILL_HAPPEN",
            Self::SubtaskNotRunning { .. } => "SUBTASK_NOT_RUNNING",
            Self::SubtaskNotFailed { .. } => "SUBTASK_NOT_FAILED",
            Self::SubtaskNotFound { .. } => "SUBTASK_NOT_FOUND",
            Self::SubtaskNotSkippable { .. } => "SUBTASK_NOT_SKIPPABLE",
            Self::RollbackUnfinished { .. } => "ROLLBACK_UNFINISHED",
            Self::ExpireTimePassed { .. } => "EXPIRE_TIME_PASSED",
            Self::RevisionAhead { .. } => "REVISION_AHEAD",
            Self::SeqAhead { .. } => "SEQ_AHEAD",
            Self::ClusterAlreadyRegistered { .. } => "CLUSTER_ALREADY_REGISTERED",
            Self::IdTaken { .. } => "ID_TAKEN",
            Self::WrongCluster { .. } => "WRONG_CLUSTER",
            Self::ClusterAuthFailed { .. } => "CLUSTER_AUTH_FAILED",
            Self::ClusterUnreachable { .. } => "CLUSTER_UNREACHABLE",
            Self::ClusterRefuses { .. } => "CLUSTER_REFUSES",
            Self::ViewMissing { .. } => "VIEW_MISSING",
            Self::ClusterHeld { .. } => "CLUSTER_HELD",
            Self::Unauthenticated { .. } => "UNAUTHENTICATED",
            Self::LoginThrottled { .. } => "LOGIN_THROTTLED",
            Self::PermissionDenied { .. } => "PERMISSION_DENIED",
            Self::RiskNotAcceptedHere { .. } => "RISK_NOT_ACCEPTED_HERE",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::TooManyWatches { .. } => "TOO_MANY_WATCHES",
            Self::UserNotFound { .. } => "USER_NOT_FOUND",
            Self::AccessKeyNotFound { .. } => "ACCESS_KEY_NOT_FOUND",
            Self::RoleNotFound { .. } => "ROLE_NOT_FOUND",
            Self::NameTaken { .. } => "NAME_TAKEN",
            Self::RoleFixed { .. } => "ROLE_FIXED",
            Self::LastAdministrator { .. } => "LAST_ADMINISTRATOR",
            Self::RouteNotFound { .. } => "ROUTE_NOT_FOUND",
            Self::MethodNotAllowed { .. } => "METHOD_NOT_ALLOWED",
            Self::BodyTooLarge { .. } => "BODY_TOO_LARGE",
            Self::UnsupportedMediaType { .. } => "UNSUPPORTED_MEDIA_TYPE",
            Self::MethodNotFound { .. } => "METHOD_NOT_FOUND",
            Self::CompressionUnsupported { .. } => "COMPRESSION_UNSUPPORTED",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::DeadlinePassed => "DEADLINE_PASSED",
            Self::TooManyStrangers { .. } => "TOO_MANY_STRANGERS",
            Self::RequestTimeout { .. } => "REQUEST_TIMEOUT",
            Self::Unavailable { .. } => "UNAVAILABLE",
            Self::Internal { .. } => "INTERNAL",
        }
    }

    /// One wrong field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        let told = vec![FieldViolation { field: field.into(), description: description.into() }];
        Self::InvalidArgument(Violations { told, untold: 0 })
    }
}
