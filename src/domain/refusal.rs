//! Why a request is refused: data, not text. `api/error_table.rs` gives each its code, status and words.

use crate::clock::Timestamp;
use crate::domain::approval::PlanDigest;
use crate::domain::change_freeze::ChangeFreeze;
use crate::domain::event::{SubtaskState, TaskState, Verb};
use crate::domain::ids::{
    AccessKeyId, ClusterId, Principal, Revision, RoleName, Seq, ServerAddr, ServerId, SubtaskId, TaskId, ZoneName,
};
use crate::domain::maintenance::Closed;
use crate::domain::permission::RequiredPermission;
use crate::domain::status::ZoneInnerStatus;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, for example `endpoints[1]`.
    pub field: String,
    /// What is wrong, with which value, and what to write instead.
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    /// At most as many as fit into an answer.
    pub shown: Vec<FieldViolation>,
    /// How many more there are, which the answer does not list.
    pub omitted: usize,
}

/// The task that holds a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    pub task: TaskId,
    pub name: String,
    pub state: TaskState,
    /// Since when it holds the cluster.
    pub since: Timestamp,
    pub by: Principal,
    /// What it acts on, for people.
    pub target: String,
    /// Verbs that a person can use now to free the cluster.
    pub verbs: Vec<Verb>,
}

/// The refusals with their reason codes for programs: `UPPER_SNAKE`, unique, at most 63 characters.
macro_rules! refusals {
    ($(
        $(#[$about:meta])*
        $name:ident $({ $($field:ident: $type:ty),* $(,)? })? $(( $inner:ty ))? = $reason:literal,
    )+) => {
        /// Why a request is refused.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Refusal {
            $($(#[$about])* $name $({ $($field: $type),* })? $(($inner))?),+
        }

        impl Refusal {
            pub const fn reason(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $reason),+
                }
            }
        }
    };
}

refusals! {
    /// Fields of the request are wrong.
    InvalidArgument(Violations) = "INVALID_ARGUMENT",
    ClusterNotFound { cluster: String } = "CLUSTER_NOT_FOUND",
    ServerNotFound { cluster: ClusterId, server: ServerId } = "SERVER_NOT_FOUND",
    ZoneNotFound { cluster: ClusterId, zone: ZoneName } = "ZONE_NOT_FOUND",
    TaskNotFound { task: TaskId } = "TASK_NOT_FOUND",
    /// Another task acts on the physical cluster.
    OperationInProgress { cluster: ClusterId, holder: Box<LockHolder> } = "OPERATION_IN_PROGRESS",
    /// The server's state does not admit the request (OCP 13003 / OBE19003).
    ServerStateNotAdmitted {
        server: ServerId,
        addr: ServerAddr,
        service: String,
        process: String,
        expected: String,
        remedy: String,
    } = "SERVER_STATE_NOT_ADMITTED",
    /// By the STATUS of the zone and the states of its servers.
    ZoneStateNotAdmitted {
        cluster: ClusterId,
        zone: ZoneName,
        status: ZoneInnerStatus,
        expected: String,
    } = "ZONE_STATE_NOT_ADMITTED",
    /// By the states of all its servers, together or of one of them.
    ClusterStateNotAdmitted { cluster: ClusterId, name: String, found: String, expected: String } = "CLUSTER_STATE_NOT_ADMITTED",
    /// Stopping a whole cluster ends service for everybody, which the caller must accept by name.
    ServiceLossNotAccepted { cluster: ClusterId } = "SERVICE_LOSS_NOT_ACCEPTED",
    /// The cluster has another name than the caller expects.
    ExpectedClusterMismatch { cluster: ClusterId, expected: String, actual: String } = "EXPECTED_CLUSTER_MISMATCH",
    /// The cluster has one server (OCP OBE19020).
    SingleServerCluster { cluster: ClusterId, server: ServerId } = "SINGLE_SERVER_CLUSTER",
    /// The server has another address than the caller expects.
    ExpectedServerMismatch { server: ServerId, expected: ServerAddr, actual: ServerAddr } = "EXPECTED_SERVER_MISMATCH",
    /// The request id belongs to a request with other arguments.
    RequestIdReused { request_id: String, task: TaskId } = "REQUEST_ID_REUSED",
    /// The task is at another revision than the caller expects.
    TaskMoved { task: TaskId, expected: Revision, revision: Revision, state: TaskState } = "TASK_MOVED",
    /// The task's state does not allow the verb.
    VerbNotAllowed { task: TaskId, verb: Verb, state: TaskState, allowed_in: &'static [TaskState] } = "VERB_NOT_ALLOWED",
    /// An effect that was tried is not resolved yet.
    EffectMayStillHappen { task: TaskId, until: Timestamp } = "EFFECT_MAY_STILL_HAPPEN",
    /// The subtask does not run.
    SubtaskNotRunning { task: TaskId, subtask: SubtaskId } = "SUBTASK_NOT_RUNNING",
    /// The subtask did not fail: it cannot be run again.
    SubtaskNotFailed { task: TaskId, subtask: SubtaskId, name: String, state: SubtaskState } = "SUBTASK_NOT_FAILED",
    SubtaskNotFound { task: TaskId, subtask: SubtaskId } = "SUBTASK_NOT_FOUND",
    /// The subtask cannot be skipped.
    SubtaskNotSkippable { task: TaskId, subtask: SubtaskId, name: String, why: SkipRefusal } = "SUBTASK_NOT_SKIPPABLE",
    /// The task was being undone when it came to rest.
    RollbackUnfinished { task: TaskId } = "ROLLBACK_UNFINISHED",
    /// The task's state allows the verb, and there is nothing that it could do.
    NothingToDo { task: TaskId, verb: Verb, why: NoUse } = "NOTHING_TO_DO",
    /// The replicas of the server would be given up before it is back.
    HoldTooLong { until: Timestamp, longest_seconds: u64, permanent_offline_seconds: u64 } = "HOLD_TOO_LONG",
    /// The new consent would end before it begins.
    ExpireTimePassed { expire_time: Timestamp, now: Timestamp } = "EXPIRE_TIME_PASSED",
    /// Nothing may begin on the cluster at that moment, by its maintenance policy.
    OutsideWindow { cluster: String, from: Timestamp, closed: Closed } = "OUTSIDE_WINDOW",
    /// Nothing may begin on the cluster until a change freeze is thawed.
    ChangesFrozen { cluster: String, freeze: Box<ChangeFreeze> } = "CHANGES_FROZEN",
    /// Changes are frozen there already.
    ChangesFrozenAlready { freeze: Box<ChangeFreeze> } = "CHANGES_FROZEN_ALREADY",
    /// No change freeze is on there; `None`: none of everything.
    ChangesNotFrozen { cluster: Option<ClusterId> } = "CHANGES_NOT_FROZEN",
    /// Somebody asks to approve what they asked for themselves.
    OwnTask { task: TaskId, principal: Principal } = "OWN_TASK",
    /// The plan of the task is another than the one that is approved.
    PlanChanged { task: TaskId, approved: PlanDigest, found: PlanDigest } = "PLAN_CHANGED",
    /// A watch begins after a revision that the task does not have yet.
    RevisionAhead { task: TaskId, asked: Revision, head: Revision } = "REVISION_AHEAD",
    /// A watch begins after a position that the store does not have yet.
    SeqAhead { asked: Seq, head: Seq } = "SEQ_AHEAD",
    /// The physical cluster is registered already.
    ClusterAlreadyRegistered { cluster: ClusterId, name: String } = "CLUSTER_ALREADY_REGISTERED",
    IdTaken { what: &'static str, id: i64 } = "ID_TAKEN",
    /// The endpoint belongs to another cluster than was recorded or expected.
    WrongCluster { endpoint: String, expected: String, found: String } = "WRONG_CLUSTER",
    /// The cluster refused our login.
    ClusterAuthFailed { endpoint: String, username: String } = "CLUSTER_AUTH_FAILED",
    /// The cluster could not be read.
    ClusterUnreachable { cluster: String, why: String } = "CLUSTER_UNREACHABLE",
    /// The cluster refuses to be read, and will until somebody changes something there.
    ClusterRefuses { cluster: String, why: String } = "CLUSTER_REFUSES",
    /// The cluster's version or tenant does not have this view.
    ViewMissing { cluster: String, view: String, versions: String } = "VIEW_MISSING",
    /// A task holds the cluster that is to be forgotten.
    ClusterHeld { cluster: ClusterId, task: TaskId } = "CLUSTER_HELD",
    /// The request carries no valid proof of who calls. Says nothing about which users exist.
    Unauthenticated { why: AuthFailure } = "UNAUTHENTICATED",
    /// Too many logins failed, from this address or for this user.
    LoginThrottled { retry_after_millis: u32 } = "LOGIN_THROTTLED",
    /// The caller's rights are not enough; the same answer whether the object exists or not.
    PermissionDenied { principal: Principal, need: RequiredPermission } = "PERMISSION_DENIED",
    /// Risks cannot be accepted over the face that was used (gRPC or REST); `setting` would allow it.
    RiskNotAcceptedHere { setting: &'static str } = "RISK_NOT_ACCEPTED_HERE",
    /// The caller sent too many requests.
    RateLimited { limit: u32, window_seconds: u32, retry_after_millis: u32 } = "RATE_LIMITED",
    /// The caller has too many watches.
    TooManyWatches { principal: Principal, limit: u32 } = "TOO_MANY_WATCHES",
    UserNotFound { user: String } = "USER_NOT_FOUND",
    AccessKeyNotFound { key: AccessKeyId } = "ACCESS_KEY_NOT_FOUND",
    RoleNotFound { role: RoleName } = "ROLE_NOT_FOUND",
    NameTaken { what: &'static str, name: String } = "NAME_TAKEN",
    /// The role is built in, or users have it.
    RoleFixed { role: RoleName, why: String } = "ROLE_FIXED",
    /// Nobody would be left who may do everything.
    LastAdministrator { user: Principal } = "LAST_ADMINISTRATOR",
    /// No such address on the REST face.
    RouteNotFound { method: String, path: String } = "ROUTE_NOT_FOUND",
    /// The address does not take this method.
    MethodNotAllowed { method: String, path: String, allowed: String } = "METHOD_NOT_ALLOWED",
    /// The body is larger than allowed.
    BodyTooLarge { limit: u64 } = "BODY_TOO_LARGE",
    /// The body is of another kind than JSON in UTF-8, or compressed; which header says so, or the body itself.
    UnsupportedMediaType { field: &'static str, given: String } = "UNSUPPORTED_MEDIA_TYPE",
    /// No such method on the gRPC face.
    MethodNotFound { method: String } = "METHOD_NOT_FOUND",
    /// A gRPC call is compressed.
    CompressionUnsupported { encoding: String } = "COMPRESSION_UNSUPPORTED",
    /// A gRPC message is larger than allowed, in bytes.
    MessageTooLarge { limit: u32 } = "MESSAGE_TOO_LARGE",
    /// The deadline that the caller sent with the request has passed.
    DeadlinePassed = "DEADLINE_PASSED",
    /// Too many requests of unauthenticated callers are open, on one connection or from one address.
    TooManyUnauthenticated { limit: u32 } = "TOO_MANY_STRANGERS",
    /// The request did not arrive in time.
    RequestTimeout { seconds: u64 } = "REQUEST_TIMEOUT",
    /// The service is shutting down or its store does not answer; nothing was changed, or the outcome is found by asking again.
    Unavailable { why: String, retry_after_millis: u32 } = "UNAVAILABLE",
    /// A bug or a store that says what cannot be; the log of the service has the details.
    Internal { what: String } = "INTERNAL",
}

/// Why a subtask cannot be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipRefusal {
    /// It is in this state, and only a failed one can be skipped.
    NotFailed(SubtaskState),
    /// It makes the checks that the other subtasks rely on.
    Checks,
    /// Others come first: those that it waits for, or while the task is undone those behind it.
    NotItsTurn,
}

/// Why there is nothing that a verb could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUse {
    /// Everything is done but for servers that were passed over.
    PassedOver,
    /// No server is held.
    NothingHeld,
    /// No batch is left that could be held back, or it is paused already.
    NoBatchAhead,
    NotPaused,
    /// It may begin without anybody else's approval.
    NoApprovalWanted,
    /// It has no approval that could be taken back.
    NotApproved,
}

/// Why a request is not authenticated. What callers see is the same for a user that does not exist and a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// The request carries no credentials.
    NoCredentials,
    /// The scheme is unknown on this face, or the credentials cannot be parsed.
    Malformed,
    /// A header that decides who calls is sent more than once.
    Repeated(&'static str),
    /// User, password, key or signature is wrong, or the user or key is disabled.
    Wrong,
    /// The `Date` of a signed request is missing or cannot be read.
    DateMissing,
    /// The `Date` of a signed request is too far from now.
    DateSkewed,
    /// A watch is open, and the credentials that opened it are no longer valid.
    Ended,
    /// The client certificate names no user.
    UnknownCertificate,
}

impl Refusal {
    /// [`Refusal::InvalidArgument`] for one field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        let shown = vec![FieldViolation { field: field.into(), description: description.into() }];
        Self::InvalidArgument(Violations { shown, omitted: 0 })
    }
}
