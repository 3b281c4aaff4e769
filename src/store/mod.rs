//! What do we store, and why is that enough?
//!
//! * `task_event` is the truth: every event of every task, numbered without gaps per task (`revision`) and growing over all
//!   (`seq`, in commit order). A task is the fold of its events. Events are appended only, those of one commit together.
//! * `task` is an index over it: columns that lists and recovery select by, computed from the folded state by
//!   [`TaskRow::of`] and written in the same commit.
//! * `cluster_lock` says which task acts on which physical cluster, under which fence. A row is never deleted, its fence only
//!   grows, and every write of an owner carries it: a stale owner writes nothing.
//! * `request` maps (principal, request id) to the task that it made, so that a repeat finds it.
//! * `audit` records every mutation that was requested: an accepted one in the same commit as the mutation, a refused one by
//!   itself.
//! * `user`, `access_key` and `role` say who may act. Secrets of keys and passwords of clusters are encrypted ([`vault`])
//!   under a key that is not in the store ([`key_source`]).
//! * Log lines (beside the events of their commit) and progress (the latest only, and not after a restart) are for
//!   people; no decision reads them.
//! * `pending_task` lists the tasks that have not begun, and `change_freeze` what nothing begins on.
//! * `notification` says how far each target of notifications was told ([`notifications`]); no decision reads it.
//! * `cluster`, `zone`, `server`, `host` are the inventory: *observed* columns are written by sync only, *managed* ones
//!   by the lock holder's commits only.
//!
//! One write, [`Store::submit`], holds all of that together: it happens wholly or not at all. This module may use `domain`,
//! `clock`, `proto` and `telemetry::metrics`; it knows no engine.

pub mod access;
pub mod backup;
pub mod change_freezes;
pub mod commit_rules;
#[cfg(debug_assertions)]
pub(crate) mod death;
pub mod derived_key;
pub mod encode;
pub mod home;
pub mod inventory;
pub mod key_source;
pub mod mysql;
pub mod notifications;
mod progress;
pub mod replicas;
mod sql;
pub mod sqlite;
pub mod transfer;
pub mod vault;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::{broadcast, oneshot, watch};

use crate::clock::Timestamp;
use crate::domain::blocker::Blockers;
use crate::domain::call::Call;
use crate::domain::event::{Event, EventKind, StoredEvent, SubtaskOperation, TaskState};
use crate::domain::ids::{
    ClusterId, ClusterKey, Fence, Principal, Revision, Seq, ServerId, SubtaskId, TaskId, ZoneName,
};
use crate::domain::reason::Reason;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::domain::task::Task;
use access::AccessStore;
use backup::Backups;
use change_freezes::ChangeFreezes;
use derived_key::DerivedKeys;
use home::Located;
use inventory::InventoryStore;
use notifications::NotificationStore;
use replicas::Replicas;

/// Whose write a commit is; decides what is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The process that owns the task: refused as [`CommitOutcome::Fenced`] unless the lock still has this fence.
    Owner { fence: Fence },
    /// A request, at any replica: only the revision is compared. `nonce` identifies an exact repeat.
    Request { principal: Principal, nonce: String },
}

/// A line of a subtask's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub subtask: SubtaskId,
    pub run_time: i32,
    /// What was done with the subtask; `None`: the line was written before this field existed.
    pub operation: Option<SubtaskOperation>,
    pub at: Timestamp,
    pub text: String,
}

/// Outcome of a call, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done, or recorded to be done.
    Accepted,
    /// It changed nothing.
    Refused {
        /// Reason code, `UPPER_SNAKE`.
        reason: String,
    },
}

/// A mutation that was requested, accepted or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    pub at: Timestamp,
    pub principal: Principal,
    /// Address of the caller, `ip:port`; empty when not known.
    pub address: String,
    pub call: Call,
    /// The object, for example `cluster 1 server 2`.
    pub target: String,
    /// The cluster that it concerns, if any.
    pub cluster: Option<ClusterId>,
    /// The task that it created or concerns, if any.
    pub task: Option<TaskId>,
    /// Arguments, without secrets.
    pub arguments: String,
    pub reason: Reason,
    pub outcome: AuditOutcome,
    pub trace_id: String,
}

/// What a commit writes besides events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Takes the cluster's lock for the commit's task, with a new fence: [`CommitOutcome::LockHeld`] when another task has it,
    /// [`CommitOutcome::Frozen`] while changes are frozen.
    AcquireLock { cluster: ClusterKey },
    /// Frees the lock; only with the closing event.
    ReleaseLock { cluster: ClusterKey },
    /// Remembers a request: [`CommitOutcome::Replayed`] when it is known.
    Request { principal: Principal, request_id: String, digest: String },
    /// Records the mutation in the audit log.
    Audit(AuditRecord),
    /// Log lines; one row for all lines of a commit.
    Log(Vec<LogLine>),
    /// Managed status of a server; `None`: as observed.
    ServerStatus { server: ServerId, status: Option<ServerStatus> },
    /// Managed status of a zone; `None`: as observed.
    ZoneStatus { cluster: ClusterId, zone: ZoneName, status: Option<ZoneStatus> },
    /// Managed status of a cluster; `None`: as observed.
    ClusterStatus { cluster: ClusterId, status: Option<ClusterStatus> },
}

/// Columns of a task's index row: lists and recovery select by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub name: String,
    pub cluster: ClusterId,
    pub cluster_key: ClusterKey,
    /// That it acts on; they never change.
    pub servers: Vec<ServerId>,
    pub state: TaskState,
    pub creator: Principal,
    /// When the task was accepted.
    pub create_time: Timestamp,
    /// When the task was closed.
    pub finish_time: Option<Timestamp>,
}

impl TaskRow {
    pub fn of(task: &Task) -> Self {
        Self {
            name: task.spec.graph.operation.name.clone(),
            cluster: task.spec.cluster.id,
            cluster_key: task.spec.cluster.key.clone(),
            servers: task.spec.servers.iter().map(|server| server.id).collect(),
            state: task.state,
            creator: task.spec.creator.clone(),
            create_time: task.create_time,
            finish_time: task.finish_time,
        }
    }
}

/// One atomic write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub task: TaskId,
    /// The revision that it follows; [`Revision::ZERO`] creates the task.
    pub after: Revision,
    pub author: Author,
    /// Never empty.
    pub events: Vec<Event>,
    /// Index columns when one of them changes (or the task is new); `None` otherwise.
    pub row: Option<TaskRow>,
    pub writes: Vec<Write>,
}

impl Commit {
    /// Why this commit is invalid whatever the store holds; always a bug of the caller.
    pub fn invalid_because(&self) -> Option<&'static str> {
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

    /// The error of a commit that no store takes.
    fn malformed(&self) -> Option<StoreError> {
        let what = self.invalid_because()?;
        Some(StoreError::Failed(format!("a commit of task {} is malformed, {what}", self.task)))
    }
}

/// Outcome of a commit. All but `Committed` wrote nothing.
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
    /// A change freeze covers the cluster whose lock it takes.
    Frozen,
    /// The request id is known and belongs to this task; `digest` is of its arguments.
    Replayed { task: TaskId, digest: String },
}

/// The store did not answer, or holds impossible content.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// It could not be opened; the text says why and what to do.
    #[error("{0}")]
    Open(String),
    /// A newer program has brought it to a schema that this one must not work on; the text says which and what to do.
    #[error("{0}")]
    Outdated(String),
    /// It failed; the outcome of a commit is then unknown.
    #[error("the store failed: {0}")]
    Failed(String),
    #[error("the store is closed")]
    Closed,
    /// It holds something that does not fold or decode.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// A queued commit. Dropping this does not cancel the commit.
pub struct PendingCommit {
    answer: oneshot::Receiver<Result<CommitOutcome, StoreError>>,
    /// What the store writes, see [`PendingCommit::keeping`].
    kept: Option<Arc<dyn Send + Sync>>,
}

impl PendingCommit {
    /// The receiving end of a commit's outcome, with its sender.
    pub fn new() -> (oneshot::Sender<Result<CommitOutcome, StoreError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self { answer: receiver, kept: None })
    }

    /// Keeps what the store writes until it is answered, so that it is freed here, where it was made, and not on the writer's thread:
    /// that has enough to do, and what one thread allocates and another one frees costs both.
    #[must_use]
    pub fn keeping(self, written: Arc<impl Send + Sync + 'static>) -> Self {
        Self { kept: Some(written), ..self }
    }

    pub async fn outcome(self) -> Result<CommitOutcome, StoreError> {
        let Self { answer, kept } = self;
        let outcome = answer.await.unwrap_or(Err(StoreError::Closed));
        drop(kept);
        outcome
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TaskVisibility {
    #[default]
    All,
    /// Tasks of these clusters, and these tasks.
    Only {
        /// Ascending.
        clusters: Vec<i64>,
        /// Ascending.
        tasks: Vec<i64>,
    },
}

/// Tasks that a list shows; empty or `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only what the caller may see.
    pub visible: TaskVisibility,
    /// Contained in the operation's name, ignoring case.
    pub name: Option<String>,
    pub cluster: Option<ClusterId>,
    pub server: Option<ServerId>,
    pub states: Vec<TaskState>,
    pub creator: Option<Principal>,
}

/// Sort key of a page of tasks; ties by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskOrder {
    /// The order of acceptance.
    #[default]
    Id,
    Name,
    /// The state's word, alphabetically.
    State,
    CreateTime,
    /// Open tasks come before all closed ones when ascending, after them when descending.
    FinishTime,
}

/// Part of a list, by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<Order> {
    pub order: Order,
    pub descending: bool,
    /// Number of entries to skip.
    pub offset: u32,
    pub limit: u32,
}

/// How far a running subtask is; only the latest is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub task: TaskId,
    pub subtask: SubtaskId,
    /// What it waits for, for people.
    pub message: String,
    /// Done so far; 0 with `total` 0 when it cannot be counted.
    pub done: i64,
    pub total: i64,
    pub at: Timestamp,
    /// When the wait ends at the latest.
    pub deadline: Timestamp,
    /// When the wait last moved.
    pub stalled_since: Timestamp,
    /// What the rest of it may take; `None`: no rate is known.
    pub remaining: Option<Duration>,
    /// What holds it.
    pub blockers: Blockers,
}

/// The lock of a physical cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRow {
    /// `None`: the lock is free.
    pub holder: Option<TaskId>,
    pub fence: Fence,
}

/// A task with its position in the global order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    pub task: Task,
    /// Position of its last event.
    pub seq: Seq,
    pub progress: Vec<Progress>,
}

/// The store. Reads never wait for the writer.
#[async_trait]
pub trait Store: Send + Sync {
    /// Queues a commit and returns at once; commits happen in the order of the calls.
    fn submit(&self, commit: Commit) -> PendingCommit;

    /// Position of the last committed event; changes after every commit that wrote events, once its outcome was delivered.
    fn committed(&self) -> watch::Receiver<Seq>;

    /// Identifies this store: agents compare fences only within one store.
    fn store_id(&self) -> &str;

    /// Reserves `count` consecutive ids and returns the first; they are never reserved again.
    async fn reserve_ids(&self, count: u32) -> Result<i64, StoreError>;

    /// `None`: there is no such task. Folded in one read transaction.
    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError>;

    /// Events of a task after a revision, at most `limit`, ascending.
    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Events of all tasks after a position, at most `limit`, ascending.
    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Position of the last event; zero in an empty store.
    async fn head(&self) -> Result<Seq, StoreError>;

    /// Tasks with ids below `below`, newest first, at most `limit`.
    async fn list(&self, filter: &TaskFilter, below: Option<TaskId>, limit: u32)
    -> Result<Vec<StoredTask>, StoreError>;

    /// A page of tasks, and the total number, both of one moment.
    async fn page(&self, filter: &TaskFilter, page: Page<TaskOrder>) -> Result<(Vec<StoredTask>, u64), StoreError>;

    /// Every open task (pending, moving or at rest) and the head, all of one moment.
    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), StoreError>;

    /// Every task that is PENDING, ascending by id.
    async fn pending_tasks(&self) -> Result<Vec<StoredTask>, StoreError>;

    /// The task of a request, and the digest of its arguments.
    async fn request(&self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, StoreError>;

    /// The lock of a physical cluster; `None` when it never was locked.
    async fn lock(&self, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError>;

    /// Log lines of a task, ascending; of one subtask if given.
    async fn log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError>;

    /// Keeps the latest progress of a subtask; never blocks.
    fn note(&self, progress: Progress);

    /// Every progress from now on; a slow listener misses older ones.
    fn subscribe_progress(&self) -> broadcast::Receiver<Progress>;
}

/// All that a store is to the service.
#[async_trait]
pub trait WholeStore:
    Store + InventoryStore + AccessStore + NotificationStore + ChangeFreezes + Backups + Replicas + Located + DerivedKeys
{
    /// Waits until everything queued is written or given up, and lets go of what the store stands on. Reads may go on; writes are
    /// answered as closed.
    async fn close(&self);
}
