//! What can happen to a task. The log of these is the truth; everything else about a task is folded from it.

use crate::clock::Timestamp;
use crate::domain::effect::Intent;
use crate::domain::graph::Graph;
use crate::domain::ids::{
    ClusterId, ClusterKey, Fence, Principal, Revision, Seq, ServerAddr, ServerId, SubtaskId, TaskId, ZoneName,
};
use crate::domain::reason::Reason;
use crate::domain::status::{OverriddenBy, Risk, StopType};
use crate::domain::words::words;

words!(
    /// State of a task: RUNNING and CANCELING move, FAILED and CANCELLED rest, the others are closed
    /// (docs/architecture.md#tasks).
    TaskState, "task state", {
        /// A subtask runs or is about to.
        Running = "RUNNING",
        /// The running subtask was told to end.
        Canceling = "CANCELING",
        /// At rest, lock held.
        Failed = "FAILED",
        /// At rest, lock held.
        Cancelled = "CANCELLED",
        /// Closed: every subtask succeeded.
        Successful = "SUCCESSFUL",
        /// Closed: effects undone.
        RolledBack = "ROLLED_BACK",
        /// Closed: refused before any effect.
        Refused = "REFUSED",
        /// Closed by a person; what was done stays.
        GivenUp = "GIVEN_UP",
    }
);

/// Which of the three kinds a task state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The owner works on it.
    Moving,
    /// It holds its cluster and waits for a person.
    AtRest,
    /// It is over; the lock is released.
    Closed,
}

impl TaskState {
    /// Which kind of state this is.
    pub const fn phase(self) -> Phase {
        match self {
            Self::Running | Self::Canceling => Phase::Moving,
            Self::Failed | Self::Cancelled => Phase::AtRest,
            Self::Successful | Self::RolledBack | Self::Refused | Self::GivenUp => Phase::Closed,
        }
    }
}

words!(
    /// What a task is doing.
    TaskOperation, "task operation", {
        /// First execution.
        Execute = "EXECUTE",
        /// After a retry.
        Retry = "RETRY",
        /// Undoing.
        Rollback = "ROLLBACK",
        /// Being cancelled.
        Cancel = "CANCEL",
        /// Being given up.
        GiveUp = "GIVE_UP",
    }
);

/// Which way a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Its steps are done.
    Forward,
    /// What they did is undone.
    Back,
}

words!(
    /// State of a subtask, as OCP writes it.
    SubtaskState, "subtask state", {
        /// Waits for its upstreams.
        Pending = "PENDING",
        /// May run.
        Ready = "READY",
        /// Runs.
        Running = "RUNNING",
        /// Told to end.
        Canceling = "CANCELING",
        /// Ended without success.
        Failed = "FAILED",
        /// Ended with success.
        Successful = "SUCCESSFUL",
    }
);

words!(
    /// What is done with a subtask, as OCP writes it.
    SubtaskOperation, "subtask operation", {
        /// First execution.
        Execute = "EXECUTE",
        /// After a retry.
        Retry = "RETRY",
        /// Undoing.
        Rollback = "ROLLBACK",
        /// Marked successful by a person.
        Skip = "SKIP",
        /// Marked undone by a person.
        RollbackSkip = "ROLLBACK_SKIP",
        /// Cancelled.
        Cancel = "CANCEL",
    }
);

words!(
    /// Whether a subtask changed anything.
    Effect, "effect", {
        /// No.
        None = "NONE",
        /// Yes, and undo may restore it.
        Done = "DONE",
        /// What it should bring about was so already.
        AlreadySo = "ALREADY_SO",
    }
);

words!(
    /// What is known of an effect that was tried.
    IntentOutcome, "intent outcome", {
        /// It happened.
        Done = "DONE",
        /// Refused; it did not happen.
        Refused = "REFUSED",
        /// Resolved by looking.
        Unknown = "UNKNOWN",
        /// It did not happen and no longer can.
        Void = "VOID",
    }
);

words!(
    /// What a person can ask of a task.
    Verb, "verb", {
        /// Run again from the first step whose result no longer holds.
        Retry = "RETRY",
        /// Undo what was done, and close.
        Rollback = "ROLLBACK",
        /// Count a failed subtask as successful (while undoing: as undone), and go on behind it.
        SkipSubtask = "SKIP_SUBTASK",
        /// End what runs, and rest.
        Cancel = "CANCEL",
        /// Close as it is.
        GiveUp = "GIVE_UP",
    }
);

impl Verb {
    /// The states of a task in which it can be asked for.
    pub const fn allowed_in(self) -> &'static [TaskState] {
        match self {
            Self::Retry | Self::GiveUp | Self::Rollback | Self::SkipSubtask => {
                &[TaskState::Failed, TaskState::Cancelled]
            }
            Self::Cancel => &[TaskState::Running],
        }
    }
}

words!(
    /// Why a step failed, as a class; decides the gRPC code on the subtask.
    FailureKind, "failure kind", {
        /// A rule, the root service or the host said no.
        Refused = "REFUSED",
        /// A bounded wait ended.
        TimedOut = "TIMED_OUT",
        /// Something could not be reached or read.
        Unreachable = "UNREACHABLE",
        /// Somebody else changed what this task relies on.
        Interfered = "INTERFERED",
        /// Consent ran out.
        Expired = "EXPIRED",
        /// A person asked for its end.
        Cancelled = "CANCELLED",
        /// Taken over too often without moving.
        CrashLoop = "CRASH_LOOP",
        /// A bug or a store that says what cannot be.
        Internal = "INTERNAL",
    }
);

/// Why a step failed or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Class.
    pub kind: FailureKind,
    /// `UPPER_SNAKE` reason for programs, for example `LOG_NOT_IN_SYNC`.
    pub reason: String,
    /// For people: what was wrong, with which value, and what to do next.
    pub message: String,
    /// Every dynamic value of the message.
    pub metadata: Vec<(String, String)>,
}

impl Failure {
    /// Without metadata.
    pub fn new(kind: FailureKind, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, reason: reason.to_owned(), message: message.into(), metadata: Vec::new() }
    }

    /// With one more value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.push((key.to_owned(), value.to_string()));
        self
    }
}

/// A check that was overridden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverriddenCheck {
    /// Name of the check.
    pub check: String,
    /// What was found.
    pub evidence: String,
    /// What overrode it.
    pub overridden_by: OverriddenBy,
    /// Whose request it was.
    pub principal: Principal,
}

/// Cluster of a task, as it was when the task was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskCluster {
    /// Id here.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// Its own `cluster_id`.
    pub ob_cluster_id: i64,
    /// The physical cluster: what is locked.
    pub key: ClusterKey,
}

/// Server of a task, as it was when the task was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskServer {
    /// Id here.
    pub id: ServerId,
    /// Its address.
    pub addr: ServerAddr,
    /// `DBA_OB_SERVERS.ID`: tells a server that was deleted and added again at the same address apart.
    pub ob_server_id: i64,
    /// Its zone.
    pub zone: ZoneName,
}

/// What of its cluster a task acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskTarget {
    /// One server.
    Server(TaskServer),
}

/// Everything that was asked and decided at acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// The task.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: TaskCluster,
    /// What of it the task acts on.
    pub target: TaskTarget,
    /// Who asked.
    pub creator: Principal,
    /// Why.
    pub reason: Reason,
    /// An irreversible step never begins after this.
    pub expire_time: Timestamp,
    /// Whether force was asked for.
    pub force: bool,
    /// Risks that were accepted by name.
    pub accepted_risks: Vec<Risk>,
    /// Kind of stop; `None`: nothing is stopped.
    pub stop_type: Option<StopType>,
    /// Whether the server is frozen before its process is ended.
    pub freeze_before_stop: bool,
    /// Its graph.
    pub graph: Graph,
    /// First values of the context.
    pub context: Vec<(String, String)>,
    /// First lists of the context.
    pub lists: Vec<(String, Vec<String>)>,
}

impl TaskSpec {
    /// The server that the task acts on.
    pub const fn server(&self) -> &TaskServer {
        let TaskTarget::Server(server) = &self.target;
        server
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The task was accepted.
    Created(Box<TaskSpec>),
    /// The task changed its state.
    TaskMoved { from: TaskState, to: TaskState, operation: TaskOperation, error: Option<Failure> },
    /// A subtask changed its state.
    SubtaskMoved {
        subtask: SubtaskId,
        from: SubtaskState,
        to: SubtaskState,
        operation: SubtaskOperation,
        run_time: i32,
        effect: Effect,
        executor: String,
        error: Option<Failure>,
    },
    /// An effect is about to be tried.
    IntentRecorded { subtask: SubtaskId, number: i32, intent: Intent, fence: Fence },
    /// How an effect that was tried ended.
    IntentSettled { subtask: SubtaskId, number: i32, outcome: IntentOutcome, message: String },
    /// The task recorded what it learned.
    ContextRecorded { subtask: SubtaskId, strings: Vec<(String, String)>, lists: Vec<(String, Vec<String>)> },
    /// A check was overridden.
    Overridden(OverriddenCheck),
    /// A process took the task over.
    Adopted { fence: Fence, executor: String },
    /// Somebody asked for something; of one subtask when that is named.
    VerbRequested {
        verb: Verb,
        principal: Principal,
        reason: Reason,
        expire_time: Option<Timestamp>,
        subtask: Option<SubtaskId>,
    },
    /// Worth knowing although the task goes on.
    Warned { subtask: SubtaskId, code: String, message: String },
}

/// An event with the moment at which it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// An event with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Place in the store's global order.
    pub seq: Seq,
    /// The task.
    pub task: TaskId,
    /// Place among the task's events.
    pub revision: Revision,
    /// Fence of the author; of a request, the fence that it found.
    pub fence: Fence,
    /// The event.
    pub event: Event,
}
