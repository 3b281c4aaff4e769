//! Why a request is refused: data, not text. `api/error_table.rs` gives each its code, status and words.

use crate::clock::Timestamp;
use crate::domain::event::{TaskState, Verb};
use crate::domain::ids::{ClusterId, Principal, Revision, Seq, ServerAddr, ServerId, SubtaskId, TaskId};

/// A field of a request and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, for example `endpoints[1]`.
    pub field: String,
    /// What is wrong, with which value, and what to write instead.
    pub description: String,
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
    InvalidArgument(Vec<FieldViolation>),
    /// No such cluster.
    ClusterNotFound { cluster: String },
    /// No such server in the cluster.
    ServerNotFound { cluster: ClusterId, server: ServerId },
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
    /// A task holds the cluster that is to be forgotten.
    ClusterHeld { cluster: ClusterId, task: TaskId },
    /// The service is ending or its store does not answer; nothing was changed, or the outcome is found by asking again.
    Unavailable { why: String, retry_after_millis: u32 },
    /// A bug or a store that says what cannot be; the log of the service has the details.
    Internal { what: String },
}

impl Refusal {
    /// One wrong field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::InvalidArgument(vec![FieldViolation { field: field.into(), description: description.into() }])
    }
}
