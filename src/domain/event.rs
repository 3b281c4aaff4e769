//! What can happen to a task. The log of these events is the truth; everything else about a task is folded from it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::approval::{Approval, ApprovalEnd};
use crate::domain::beginning::Pending;
use crate::domain::effect::Intent;
use crate::domain::facts::Fact;
use crate::domain::graph::{Graph, TaskTarget};
use crate::domain::hold::Hold;
use crate::domain::ids::{
    ClusterId, ClusterKey, Fence, Principal, Revision, Seq, ServerAddr, ServerId, SubtaskId, TaskId, ZoneName,
};
use crate::domain::reason::Reason;
use crate::domain::rollout::Rollout;
use crate::domain::status::{OverriddenBy, Risk, StopType};
use crate::domain::trace::TraceContext;
use crate::domain::words::words;

words!(
    /// State of a task: PENDING has not begun, RUNNING and CANCELING move, FAILED and CANCELLED rest, the others are closed
    /// (docs/architecture.md#tasks).
    TaskState, "task state", {
        /// It was accepted and has not begun: it holds no lock.
        Pending = "PENDING",
        /// A subtask runs or is about to.
        Running = "RUNNING",
        /// The running subtask was asked to end.
        Canceling = "CANCELING",
        /// At rest: holds the cluster's lock.
        Failed = "FAILED",
        /// At rest: holds the cluster's lock.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its beginning, and holds nothing.
    Pending,
    /// The owner works on it.
    Moving,
    /// It holds its cluster and waits for a person.
    AtRest,
    /// It is over; the lock is released.
    Closed,
}

impl TaskState {
    pub const fn phase(self) -> Phase {
        match self {
            Self::Pending => Phase::Pending,
            Self::Running | Self::Canceling => Phase::Moving,
            Self::Failed | Self::Cancelled => Phase::AtRest,
            Self::Successful | Self::RolledBack | Self::Refused | Self::GivenUp => Phase::Closed,
        }
    }
}

words!(
    TaskOperation, "task operation", {
        Execute = "EXECUTE",
        Retry = "RETRY",
        /// Undoes what was done.
        Rollback = "ROLLBACK",
        Cancel = "CANCEL",
        GiveUp = "GIVE_UP",
    }
);

/// Which way a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Its steps are done.
    Forward,
    /// What the steps did is undone.
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
        /// Asked to end.
        Canceling = "CANCELING",
        Failed = "FAILED",
        Successful = "SUCCESSFUL",
    }
);

words!(
    /// What is done with a subtask, as OCP writes it.
    SubtaskOperation, "subtask operation", {
        Execute = "EXECUTE",
        Retry = "RETRY",
        /// Undoes what was done.
        Rollback = "ROLLBACK",
        /// Marked successful by a person.
        Skip = "SKIP",
        /// Marked undone by a person.
        RollbackSkip = "ROLLBACK_SKIP",
        Cancel = "CANCEL",
    }
);

words!(
    /// Whether a subtask changed anything.
    Effect, "effect", {
        None = "NONE",
        /// Yes, and undo may restore it.
        Done = "DONE",
        /// The desired state was there before the task acted.
        AlreadySo = "ALREADY_SO",
    }
);

words!(
    /// Outcome of an effect that was tried.
    IntentOutcome, "intent outcome", {
        Done = "DONE",
        /// Refused; it did not happen.
        Refused = "REFUSED",
        /// Not known until a later look resolves it.
        Unknown = "UNKNOWN",
        /// It did not happen, and no longer can.
        Void = "VOID",
    }
);

words!(
    /// What people can request of a task.
    Verb, "verb", {
        /// Run again from the first step whose result no longer holds.
        Retry = "RETRY",
        /// Undo what was done, and close.
        Rollback = "ROLLBACK",
        /// Mark a failed subtask as successful (while undoing: as undone), and continue behind it.
        SkipSubtask = "SKIP_SUBTASK",
        /// End what runs, and rest.
        Cancel = "CANCEL",
        /// Close as it is, with what was done.
        GiveUp = "GIVE_UP",
        /// The work on a server that is held is done: bring it back.
        CompleteHold = "COMPLETE_HOLD",
        /// Begin no further batch of a rollout.
        Pause = "PAUSE",
        /// Go on with a rollout that is paused.
        Resume = "RESUME",
        /// Agree with a task that somebody else asked for, so that it may begin.
        Approve = "APPROVE",
        /// Take back the approval of a task that has not begun.
        WithdrawApproval = "WITHDRAW_APPROVAL",
    }
);

impl Verb {
    /// The task states in which it is allowed.
    pub const fn allowed_in(self) -> &'static [TaskState] {
        match self {
            Self::Retry | Self::GiveUp | Self::Rollback | Self::SkipSubtask => {
                &[TaskState::Failed, TaskState::Cancelled]
            }
            Self::Cancel => &[TaskState::Pending, TaskState::Running],
            Self::CompleteHold | Self::Pause | Self::Resume => &[TaskState::Running],
            Self::Approve | Self::WithdrawApproval => &[TaskState::Pending],
        }
    }
}

words!(
    /// Class of a failure; decides the gRPC code on the subtask.
    FailureKind, "failure kind", {
        /// By a rule, the root service or the host.
        Refused = "REFUSED",
        /// A wait reached its limit.
        TimedOut = "TIMED_OUT",
        /// Something could not be reached or read.
        Unreachable = "UNREACHABLE",
        /// Somebody else changed what this task relies on.
        Interfered = "INTERFERED",
        /// The consent to irreversible steps ran out.
        Expired = "EXPIRED",
        /// By a person.
        Cancelled = "CANCELLED",
        /// Adopted too often without progress.
        CrashLoop = "CRASH_LOOP",
        /// A bug, or a store with impossible content.
        Internal = "INTERNAL",
    }
);

/// Why a step failed or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// `UPPER_SNAKE` reason for programs, for example `LOG_NOT_IN_SYNC`.
    pub reason: String,
    /// For people: what was wrong, with which value, and what to do next.
    pub message: String,
    /// Every dynamic value of the message.
    pub metadata: Vec<(String, String)>,
}

impl Failure {
    pub fn new(kind: FailureKind, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, reason: reason.to_owned(), message: message.into(), metadata: Vec::new() }
    }

    /// Adds a value to the metadata.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.push((key.to_owned(), value.to_string()));
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverriddenCheck {
    pub check: String,
    pub evidence: String,
    pub overridden_by: OverriddenBy,
    /// Who gave the force or accepted the risk.
    pub principal: Principal,
}

/// Cluster of a task, as it was when the task was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskCluster {
    /// Our id, not the `cluster_id` parameter.
    pub id: ClusterId,
    pub name: String,
    /// OceanBase's `cluster_id` parameter.
    pub ob_cluster_id: i64,
    /// The physical cluster, which is locked.
    pub key: ClusterKey,
}

/// Server of a task, as it was when the task was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskServer {
    /// Our id, not `DBA_OB_SERVERS.ID`.
    pub id: ServerId,
    pub addr: ServerAddr,
    /// `DBA_OB_SERVERS.ID`: tells a server that was deleted and added again at the same address apart.
    pub ob_server_id: i64,
    pub zone: ZoneName,
}

/// Everything that was requested and decided at acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    pub id: TaskId,
    pub cluster: TaskCluster,
    pub target: TaskTarget,
    /// Every server that it or one of its subtasks acts on, ascending by id; never empty.
    pub servers: Vec<TaskServer>,
    pub creator: Principal,
    pub reason: Reason,
    /// An irreversible step never begins after this.
    pub expire_time: Timestamp,
    pub force: bool,
    /// Risks that were accepted by name.
    pub accepted_risks: Vec<Risk>,
    /// Kind of stop; `None`: nothing is stopped.
    pub stop_type: Option<StopType>,
    /// Whether the server is frozen before its process is ended.
    pub freeze_before_stop: bool,
    /// `None`: no server is held.
    pub hold: Option<Hold>,
    /// `None`: it is no rollout.
    pub rollout: Option<Rollout>,
    /// How long clients are waited for before a process is ended; zero: not at all.
    pub drain: Duration,
    /// What it waits for before it begins; `None`: it began when it was accepted.
    pub pending: Option<Pending>,
    pub graph: Graph,
    /// What was known at acceptance.
    pub facts: Vec<Fact>,
    /// The request that made it, in its trace; `None`: it was made before that was kept.
    pub trace: Option<TraceContext>,
}

impl TaskSpec {
    /// `None`: it does not act on this server.
    pub fn server(&self, id: ServerId) -> Option<&TaskServer> {
        self.servers.iter().find(|server| server.id == id)
    }

    /// The zone that a target is, or is in; `None`: all of them.
    pub fn zone_of<'a>(&'a self, target: &'a TaskTarget) -> Option<&'a ZoneName> {
        match target {
            TaskTarget::Server(server) => self.server(*server).map(|server| &server.zone),
            TaskTarget::Zone(zone) => Some(zone),
            TaskTarget::Cluster => None,
        }
    }

    /// Whether it takes the whole cluster at once; a rollout takes parts of it, one after the other.
    pub fn is_of_whole_cluster(&self) -> bool {
        self.target == TaskTarget::Cluster && self.rollout.is_none()
    }

    /// What it acts on, for people.
    pub fn describe_target(&self) -> String {
        match &self.target {
            TaskTarget::Server(id) => self.server(*id).map(|server| server.addr.to_string()).unwrap_or_default(),
            TaskTarget::Zone(zone) => format!("zone {zone}"),
            TaskTarget::Cluster if self.rollout.is_some() => format!("{} servers", self.servers.len()),
            TaskTarget::Cluster => "the whole cluster".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Always the first event: the task was accepted.
    Created(Box<TaskSpec>),
    /// The task changed its state.
    TaskStateChanged { from: TaskState, to: TaskState, operation: TaskOperation, error: Option<Failure> },
    /// A subtask changed its state.
    SubtaskStateChanged {
        subtask: SubtaskId,
        from: SubtaskState,
        to: SubtaskState,
        operation: SubtaskOperation,
        run_time: i32,
        effect: Effect,
        executor: String,
        error: Option<Failure>,
    },
    /// Committed before the effect is tried.
    IntentRecorded { subtask: SubtaskId, number: i32, intent: Intent, fence: Fence },
    /// The outcome of an effect that was tried.
    IntentSettled { subtask: SubtaskId, number: i32, outcome: IntentOutcome, message: String },
    /// A step learned this.
    FactsRecorded { subtask: SubtaskId, facts: Vec<Fact> },
    /// A check was overridden.
    Overridden(OverriddenCheck),
    /// A process took ownership of the task.
    Adopted { fence: Fence, executor: String },
    /// `subtask`: the one that the request is about; `None`: the whole task.
    VerbRequested {
        verb: Verb,
        principal: Principal,
        reason: Reason,
        expire_time: Option<Timestamp>,
        subtask: Option<SubtaskId>,
    },
    /// Worth knowing, although the task continues.
    Warned { subtask: SubtaskId, code: String, message: String },
    /// Somebody else than its creator agreed that it begins.
    Approved { approval: Approval, reason: Reason },
    /// The approval does not hold any more; `by`: who withdrew it, or gave the approval that ended by itself.
    ApprovalEnded { by: Principal, why: ApprovalEnd, reason: Reason },
}

/// An event with the time at which it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub at: Timestamp,
    pub kind: EventKind,
}

/// An event with its position in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Position in the store's global order.
    pub seq: Seq,
    pub task: TaskId,
    /// Position among the task's events.
    pub revision: Revision,
    /// Fence of the owner that wrote it; for a request, the fence that was current.
    pub fence: Fence,
    pub event: Event,
}
