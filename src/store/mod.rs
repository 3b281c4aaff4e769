//! What do we store, and why is that enough?
//!
//! * `task_event` is the truth: every event of every task, numbered without gaps per task (`revision`) and growing over all
//!   (`seq`, in commit order). A task is the fold of its events. Events are appended only, those of one commit together.
//! * `task` is an index over it: columns that lists and recovery select by, computed from the folded state by
//!   [`TaskRow::of`] and written in the same commit.
//! * `cluster_lock` says which task acts on which physical cluster, under which fence. A row is never deleted, its fence
//!   only grows, and every write of an owner carries it: a stale owner writes nothing.
//! * `request` maps (principal, request id) to the task that it made, so that a repeat finds it.
//! * `audit` names every mutation that was asked for: an accepted one in the same commit as the mutation, a refused one by
//!   itself.
//! * `user`, `access_key` and `role` say who may act. Secrets of keys and passwords of clusters are encrypted ([`vault`])
//!   under a key that is not in the store ([`key_source`]).
//! * Log lines (beside the events of their commit) and progress (the latest only, and not after a restart) are for
//!   people; no decision reads them.
//! * `cluster`, `zone`, `server`, `host` are the inventory: *observed* columns are written by sync only, *managed* ones
//!   by the lock holder's commits only.
//!
//! One write, [`Store::submit`], holds all of that together: it happens wholly or not at all. This module may use `domain`,
//! `clock` and `proto`; it knows no engine.

pub mod access;
pub mod backup;
#[cfg(debug_assertions)]
pub(crate) mod death;
pub mod encode;
pub mod inventory;
pub mod key_source;
pub mod sqlite;
pub mod vault;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::{broadcast, oneshot, watch};

use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::event::{Event, EventKind, StoredEvent, SubtaskOperation, TaskState};
use crate::domain::ids::{
    ClusterId, ClusterKey, Fence, Principal, Revision, Seq, ServerId, SubtaskId, TaskId, ZoneName,
};
use crate::domain::reason::Reason;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::domain::task::Task;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The process that owns the task: refused as [`CommitOutcome::Fenced`] unless the lock still has this fence.
    Owner { fence: Fence },
    /// A request, at any replica: only the revision is compared. `nonce` makes an identical repeat recognisable.
    Request { principal: Principal, nonce: String },
}

/// A line of a subtask's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Which subtask.
    pub subtask: SubtaskId,
    /// Which execution.
    pub run_time: i32,
    /// What was done with the subtask; `None`: the line is older than this field.
    pub operation: Option<SubtaskOperation>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

/// How a call ended, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done, or recorded to be done.
    Accepted,
    /// It changed nothing, for this reason.
    Refused {
        /// `UPPER_SNAKE`.
        reason: String,
    },
}

/// A mutation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When it was decided.
    pub at: Timestamp,
    /// Who.
    pub principal: Principal,
    /// From where, `ip:port`; empty when not known.
    pub address: String,
    /// What.
    pub call: Call,
    /// On what, for example `cluster 1 server 2`.
    pub target: String,
    /// Cluster that it is about.
    pub cluster: Option<ClusterId>,
    /// Task that it made or is about.
    pub task: Option<TaskId>,
    /// Arguments, without secrets.
    pub arguments: String,
    /// Why.
    pub reason: Reason,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Trace of the call.
    pub trace_id: String,
}

/// What a commit writes besides events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Takes the cluster's lock for the commit's task: [`CommitOutcome::LockHeld`] when another has it. Gives a new fence.
    AcquireLock { cluster: ClusterKey },
    /// Frees the lock; only with the closing event.
    ReleaseLock { cluster: ClusterKey },
    /// Remembers a request: [`CommitOutcome::Replayed`] when it is known.
    Request { principal: Principal, request_id: String, digest: String },
    /// Names the mutation.
    Audit(AuditRecord),
    /// Lines of logs; one row for all of a commit.
    Log(Vec<LogLine>),
    /// Managed status of a server; `None`: as observed.
    ServerStatus { server: ServerId, status: Option<ServerStatus> },
    /// Managed status of a zone; `None`: as observed.
    ZoneStatus { cluster: ClusterId, zone: ZoneName, status: Option<ZoneStatus> },
    /// Managed status of a cluster; `None`: as observed.
    ClusterStatus { cluster: ClusterId, status: Option<ClusterStatus> },
}

/// Index columns of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// Name of its operation.
    pub name: String,
    /// Cluster.
    pub cluster: ClusterId,
    /// Physical cluster.
    pub cluster_key: ClusterKey,
    /// Server.
    pub server: ServerId,
    /// State.
    pub state: TaskState,
    /// Creator.
    pub creator: Principal,
    /// Acceptance.
    pub create_time: Timestamp,
    /// Close.
    pub finish_time: Option<Timestamp>,
}

impl TaskRow {
    /// The columns of a folded task.
    pub fn of(task: &Task) -> Self {
        Self {
            name: task.spec.graph.operation.name.clone(),
            cluster: task.spec.cluster.id,
            cluster_key: task.spec.cluster.key.clone(),
            server: task.spec.server().id,
            state: task.state,
            creator: task.spec.creator.clone(),
            create_time: task.create_time,
            finish_time: task.finish_time,
        }
    }
}

/// One write: everything or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The task.
    pub task: TaskId,
    /// Its revision before; [`Revision::ZERO`] creates it.
    pub after: Revision,
    /// Who writes.
    pub author: Author,
    /// What happened; never empty.
    pub events: Vec<Event>,
    /// Index columns when one of them changes (or the task is new); `None` otherwise.
    pub row: Option<TaskRow>,
    /// What else is written.
    pub writes: Vec<Write>,
}

impl Commit {
    /// What makes it impossible to write whatever the store holds: a bug of the caller.
    pub fn flaw(&self) -> Option<&'static str> {
        let created = matches!(self.events.first(), Some(Event { kind: EventKind::Created(_), .. }));
        if self.events.is_empty() {
            Some("it has no event")
        } else if self.after < Revision::ZERO {
            Some("its revision is negative")
        } else if created != (self.after == Revision::ZERO) {
            Some("a creation is the first event of a task, and only that")
        } else if created && self.row.is_none() {
            Some("a new task needs its row")
        } else {
            None
        }
    }
}

/// How a commit ended. All but `Committed` left nothing behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is on disk. `revision` and `seq` are of its last event; `fence` is the lock's after the commit.
    Committed { revision: Revision, seq: Seq, fence: Fence },
    /// The task is at another revision.
    Stale { at: Revision },
    /// The lock has another fence or holder.
    Fenced { by: Fence },
    /// Another task holds the cluster.
    LockHeld { task: TaskId },
    /// The request id is known and belongs to this task; `digest` is of its arguments.
    Replayed { task: TaskId, digest: String },
}

/// The store did not answer or says what cannot be.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// It could not be opened, by whose doing, and what to do.
    #[error("{0}")]
    Open(String),
    /// It failed; the outcome of a commit is then not known.
    #[error("the store failed: {0}")]
    Failed(String),
    /// It ends.
    #[error("the store is closed")]
    Closed,
    /// It holds something that does not fold or decode.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// A queued commit. Dropping it tears nothing: the commit goes on.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<CommitOutcome, StoreError>>);

impl Pending {
    /// A pending commit and the place for its outcome.
    pub fn new() -> (oneshot::Sender<Result<CommitOutcome, StoreError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// Waits for the outcome.
    pub async fn outcome(self) -> Result<CommitOutcome, StoreError> {
        self.0.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Which tasks the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TaskVisibility {
    /// Every one.
    #[default]
    All,
    /// Those of these clusters, and these.
    Only {
        /// Ascending.
        clusters: Vec<i64>,
        /// Ascending.
        tasks: Vec<i64>,
    },
}

/// Which tasks a list shows; empty or `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only what the caller may see.
    pub visible: TaskVisibility,
    /// Whose name holds this, whatever the case.
    pub name: Option<String>,
    /// Of this cluster.
    pub cluster: Option<ClusterId>,
    /// Of this server.
    pub server: Option<ServerId>,
    /// In one of these states.
    pub states: Vec<TaskState>,
    /// Of this creator.
    pub creator: Option<Principal>,
}

/// What a page of tasks is sorted by; ties by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskOrder {
    /// Id, which is the order of acceptance.
    #[default]
    Id,
    /// Name.
    Name,
    /// The word of its state.
    State,
    /// Acceptance.
    CreateTime,
    /// Close; those that are open come before all that are closed, from the largest on behind them.
    FinishTime,
}

/// Which part of a list is asked for, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<Order> {
    /// What it is sorted by.
    pub order: Order,
    /// From the largest on.
    pub descending: bool,
    /// So many are passed over.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
}

/// How far a running subtask is; the latest only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The task.
    pub task: TaskId,
    /// The subtask.
    pub subtask: SubtaskId,
    /// What it waits for.
    pub message: String,
    /// How much is done; 0 with `total` 0 when it cannot be counted.
    pub done: i64,
    /// How much there is.
    pub total: i64,
    /// When this was observed.
    pub at: Timestamp,
    /// Latest end of the wait.
    pub deadline: Timestamp,
}

/// The lock of a physical cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRow {
    /// Who holds it.
    pub holder: Option<TaskId>,
    /// Its fence.
    pub fence: Fence,
}

/// A task with its place in the global order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    /// The folded task.
    pub task: Task,
    /// Place of its last event.
    pub seq: Seq,
    /// Progress of its running subtasks.
    pub progress: Vec<Progress>,
}

/// The store. Reads never wait for the writer.
#[async_trait]
pub trait Store: Send + Sync {
    /// Queues a commit at once, in the order of the calls.
    fn submit(&self, commit: Commit) -> Pending;

    /// Place of the last committed event; changes after every commit that wrote events, once its answer is out.
    fn committed(&self) -> watch::Receiver<Seq>;

    /// Name of this store: agents count fences per store.
    fn store_id(&self) -> &str;

    /// Reserves `count` consecutive ids; never given again.
    async fn reserve_ids(&self, count: u32) -> Result<i64, StoreError>;

    /// One task, folded in one read transaction.
    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError>;

    /// Events of a task after a revision, at most `limit`, ascending.
    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Events of all tasks after a position, at most `limit`, ascending.
    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Place of the last event; zero in an empty store.
    async fn head(&self) -> Result<Seq, StoreError>;

    /// Tasks with ids below `below`, newest first, at most `limit`.
    async fn list(&self, filter: &TaskFilter, below: Option<TaskId>, limit: u32)
    -> Result<Vec<StoredTask>, StoreError>;

    /// A page of tasks, and how many there are in all, of one moment.
    async fn page(&self, filter: &TaskFilter, page: Page<TaskOrder>) -> Result<(Vec<StoredTask>, u64), StoreError>;

    /// Every open task (moving or at rest) and the head, of one moment.
    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), StoreError>;

    /// The task of a request, and the digest of its arguments.
    async fn request(&self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, StoreError>;

    /// The lock of a physical cluster; `None` when it never was locked.
    async fn lock(&self, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError>;

    /// Takes over a task whose owner is gone: a new fence, or `None` when the task does not hold the lock.
    async fn claim(&self, task: TaskId, cluster: &ClusterKey) -> Result<Option<Fence>, StoreError>;

    /// Log lines of a task, ascending; of one subtask when named.
    async fn log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError>;

    /// Keeps the latest progress of a subtask; coalesced, never waited for.
    fn note(&self, progress: Progress);

    /// Every noted progress from now on; a slow listener misses older ones.
    fn progress_changes(&self) -> broadcast::Receiver<Progress>;
}
