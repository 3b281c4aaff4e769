//! The interface between steps and the engine. A step never commits, never holds the store and never sends an effect without a
//! permit.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp, monotonic_now};
use crate::domain::attempt::RecordedIntent;
use crate::domain::blocker::Blockers;
use crate::domain::decide::{Input, StepOutput};
use crate::domain::effect::{EffectOutcome, Intent, Permit};
use crate::domain::event::{Direction, Failure, IntentOutcome, TaskServer};
use crate::domain::facts::ServerFacts;
use crate::domain::graph::{OperationName, SubtaskSpec, TaskTarget};
use crate::domain::ids::{Fence, SubtaskId, ZoneName};
use crate::domain::task::{Subtask, Task};
use crate::engine::horizons::Horizons;
use crate::store::Write;

/// Progress of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressReport {
    /// What the step waits for, for example `17 of 40 leaders still on zone2 10.0.0.2:2882`.
    pub message: String,
    pub done: i64,
    /// 0 when it cannot be counted.
    pub total: i64,
    /// What holds it, as far as the look tells. A wait that is not counted has moved when this changes.
    pub blockers: Blockers,
}

impl ProgressReport {
    pub fn uncounted(message: impl Into<String>) -> Self {
        Self::counted(message, 0, 0)
    }

    pub fn counted(message: impl Into<String>, done: i64, total: i64) -> Self {
        Self { message: message.into(), done, total, blockers: Blockers::default() }
    }

    #[must_use]
    pub fn held_by(self, blockers: impl Into<Blockers>) -> Self {
        Self { blockers: blockers.into(), ..self }
    }
}

/// What a look keeps for later ones of the same execution, to ask the cluster less. Nothing decides by it: it is for people.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of the cluster's tenants; `None`: not asked yet.
    pub tenant_names: Option<BTreeMap<i64, String>>,
    /// Why log streams (tenant, `LS_ID`) are still led where they should not be.
    pub leaders_stay: BTreeMap<(i64, i64), String>,
    /// When that was last looked at.
    pub leaders_looked_at: Option<Instant>,
}

/// An effect that is ready to be sent: its session is open, its statement is built.
#[async_trait]
pub trait PreparedEffect: Send {
    /// Called once.
    async fn send(self: Box<Self>, permit: Permit) -> EffectOutcome;
}

/// What a look found, and what the step needs next.
pub enum Observation {
    /// The goal of the step is reached.
    Reached {
        /// Nothing had to be done for it.
        already_so: bool,
        output: StepOutput,
        /// Inventory changes, in the same commit.
        writes: Vec<Write>,
    },
    Needed {
        intent: Intent,
        /// What the look learned, and which checks are overridden if the effect is tried: in the commit of its intent.
        output: StepOutput,
        effect: Box<dyn PreparedEffect>,
    },
    /// An effect that was tried is seen to have happened, and there is more to wait for: it is settled, then the step looks
    /// again. If a later look finds it undone, the step knows that somebody else undid it.
    Happened {
        /// What was seen, for people.
        message: String,
    },
    Wait {
        progress: ProgressReport,
        again_in: Duration,
    },
    /// The goal cannot be reached.
    Refuse {
        failure: Failure,
        /// Recorded although the step fails.
        output: StepOutput,
        unresolved: Unresolved,
    },
    /// The look failed; it is repeated after pauses, up to the step's limit for failed looks.
    Unreadable {
        failure: Failure,
    },
}

/// What a look that refuses has seen of the effects that the step tried and whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// They are not done.
    NotDone,
    /// It did not look at what they change, or what it saw does not tell.
    NotKnown,
}

impl Observation {
    /// The step takes nothing back, and nobody looks: what is not known of its effects stays so.
    pub fn nothing_to_undo(context: &StepContext) -> Self {
        let open = context.effects().filter(|intent| intent.is_unresolved());
        let outcomes = open.map(|intent| (intent.number, IntentOutcome::Unknown)).collect();
        Self::Reached { already_so: true, output: StepOutput { outcomes, ..StepOutput::default() }, writes: Vec::new() }
    }
}

/// How the subtask's timeout is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutPolicy {
    /// From the start of the execution.
    Total,
    /// From the last change of its progress; `at_most` in all.
    WithoutProgress { at_most: Duration },
}

/// One step of an operation. Every method may be called again at any time, also after a crash.
#[async_trait]
pub trait Step: Send + Sync {
    /// Reads the present state and decides what is needed. Changes nothing.
    async fn look(&self, context: &StepContext) -> Observation;

    /// Reads what is left of the step's own effect and decides how to take it back; `Reached`: nothing is left. Reads only.
    /// Called only when nothing that the step tried on the way forward can happen any more.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        Observation::nothing_to_undo(context)
    }

    /// Whether the result of a step that succeeded earlier still holds; called when a task is retried. `Err`: not known.
    async fn still_holds(&self, _context: &StepContext) -> Result<bool, Failure> {
        Ok(true)
    }

    fn timeout_policy(&self) -> TimeoutPolicy {
        TimeoutPolicy::Total
    }

    /// Timeout of its undo, measured the same way; `timeout` is that of its way forward.
    fn undo_timeout(&self, timeout: Duration) -> Duration {
        timeout
    }

    /// For how long looks may fail before the step fails.
    fn read_failure_timeout(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// An operation: its steps, and what happens around them.
#[async_trait]
pub trait Operation: Send + Sync {
    /// What runs a subtask; `None`: this version has no such step.
    fn step(&self, subtask: &SubtaskSpec) -> Option<Arc<dyn Step>>;

    /// Makes sure that an effect which an earlier owner left unresolved can no longer happen, as far as possible (by ending its
    /// session). The horizon covers the rest.
    async fn take_over(
        &self,
        context: &StepContext,
        intent: &RecordedIntent,
        permit: Permit,
    ) -> Result<String, Failure>;

    /// Whether its steps ask clusters and hosts: what has not answered yet is asked at a bounded rate.
    fn asks_clusters(&self) -> bool {
        false
    }

    /// Inventory changes in the commit that closes the task: statuses are restored when it was refused.
    fn closing_writes(&self, task: &Task) -> Vec<Write>;
}

/// The operations that an engine knows, by name and version.
#[derive(Clone, Default)]
pub struct Registry(HashMap<OperationName, Arc<dyn Operation>>);

impl Registry {
    #[must_use]
    pub fn with(mut self, name: OperationName, operation: Arc<dyn Operation>) -> Self {
        self.0.insert(name, operation);
        self
    }

    pub fn operation(&self, name: &OperationName) -> Option<Arc<dyn Operation>> {
        self.0.get(name).cloned()
    }
}

/// What a step can use while it looks.
#[derive(Clone)]
pub struct StepContext {
    /// As committed.
    pub task: Arc<Task>,
    pub subtask: SubtaskId,
    pub clock: Clock,
    pub fence: Fence,
    /// When this process began with the subtask, on the monotonic clock.
    began: Instant,
    /// The refusal of this execution's last effect: code and message.
    pub refused: Option<(String, String)>,
    /// The wait is over: this is the last look before the step times out.
    pub last_look: bool,
    /// For how long the wait has not moved.
    pub unmoved: Duration,
    horizons: Arc<Horizons>,
    memory: Arc<Mutex<Memory>>,
    lines: Arc<Mutex<Vec<(Timestamp, String)>>>,
}

impl StepContext {
    pub(super) fn new(
        task: Arc<Task>,
        subtask: SubtaskId,
        clock: Clock,
        fence: Fence,
        horizons: Arc<Horizons>,
    ) -> Self {
        Self {
            task,
            subtask,
            clock,
            fence,
            began: monotonic_now(),
            refused: None,
            last_look: false,
            unmoved: Duration::ZERO,
            horizons,
            memory: Arc::default(),
            lines: Arc::default(),
        }
    }

    /// Time that this process has spent on the subtask.
    pub fn waited(&self) -> Duration {
        monotonic_now().saturating_duration_since(self.began)
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the subtask's log; it is stored with the next commit.
    pub fn log(&self, line: impl Into<String>) {
        let line = line.into();
        tracing::info!(task = self.task.spec.id.get(), subtask = self.subtask.get(), "{line}");
        if let Ok(mut lines) = self.lines.lock() {
            lines.push((self.clock.now(), line));
        }
    }

    /// Takes the lines that are not stored yet.
    pub(super) fn take_lines(&self) -> Vec<(Timestamp, String)> {
        self.lines.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }

    /// `None` never happens: the subtask is in the task's graph.
    pub fn this(&self) -> Option<&Subtask> {
        self.task.subtask(self.subtask).ok()
    }

    /// `None`: the subtask acts on no single server.
    pub fn server(&self) -> Option<&TaskServer> {
        match &self.this()?.spec.target {
            TaskTarget::Server(server) => self.task.spec.server(*server),
            TaskTarget::Zone(_) | TaskTarget::Cluster => None,
        }
    }

    /// The zone that the subtask acts on, or of its server; `None`: it acts on the cluster.
    pub fn zone(&self) -> Option<&ZoneName> {
        self.task.spec.zone_of(&self.this()?.spec.target)
    }

    /// What the task knows of the server that the subtask acts on; nothing when it acts on none.
    pub fn server_facts(&self) -> &ServerFacts {
        self.server().map_or(&ServerFacts::NONE, |server| self.task.facts.server(server.id))
    }

    /// `look` or `undo_look`, by the task's course.
    pub(super) async fn look(&self, step: &dyn Step) -> Observation {
        match self.task.direction {
            Direction::Forward => step.look(self).await,
            Direction::Back => step.undo_look(self).await,
        }
    }

    /// The input for `decide` once the step has reached its goal.
    pub(super) fn reached(&self, already_so: bool, output: StepOutput, executor: &str) -> Input {
        let (subtask, executor) = (self.subtask, executor.to_owned());
        match self.task.direction {
            Direction::Forward => Input::StepSucceeded { subtask, already_so, output, executor },
            Direction::Back => Input::StepUndone { subtask, output, executor },
        }
    }

    /// The moment ahead until which one of these can still take effect, whatever was found of them. Whoever sets the machine's clock
    /// forward brings it no nearer.
    pub fn may_happen_until<'a>(&self, intents: impl Iterator<Item = &'a RecordedIntent>) -> Option<Timestamp> {
        self.horizons.latest(intents, self.clock.now())
    }

    /// Whether an effect that this subtask tried on the present course is unresolved.
    pub(super) fn has_open_effect(&self) -> bool {
        self.task.attempts(self.subtask).any(RecordedIntent::is_unresolved)
    }

    /// Whether this subtask, in any execution, tried an effect on the present course that happened or may have.
    pub fn tried(&self) -> bool {
        self.task.attempts(self.subtask).any(RecordedIntent::may_have_happened)
    }

    /// Intents of this execution of the subtask, oldest first. A repeated undo is another execution, although its number stays.
    pub fn attempts(&self) -> impl DoubleEndedIterator<Item = &RecordedIntent> + Clone {
        let (run_time, began_at) = self.this().map_or((1, None), |subtask| (subtask.run_time, subtask.started_at));
        let direction = self.task.direction;
        let of_this = move |intent: &&RecordedIntent| {
            intent.direction == direction
                && match direction {
                    Direction::Forward => intent.run_time == run_time,
                    Direction::Back => began_at.is_none_or(|began_at| intent.at >= began_at),
                }
        };
        self.task.intents.iter().filter(|intent| intent.subtask == self.subtask).filter(of_this)
    }

    /// Intents of this subtask on its way forward that happened or may have.
    pub fn effects(&self) -> impl Iterator<Item = &RecordedIntent> + Clone {
        self.task.effects(self.subtask)
    }
}
