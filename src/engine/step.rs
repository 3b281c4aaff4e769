//! What a step is to the engine, and what the engine gives a step. A step never commits, never holds the store and never
//! sends an effect without a permit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp, monotonic_now};
use crate::domain::attempt::RecordedIntent;
use crate::domain::decide::{Input, StepOutput};
use crate::domain::effect::{EffectOutcome, Intent, Permit};
use crate::domain::event::{Direction, Failure, FailureKind, OverriddenCheck};
use crate::domain::graph::OperationName;
use crate::domain::ids::{Fence, SubtaskId};
use crate::domain::task::{Subtask, Task};
use crate::engine::failpoints;
use crate::store::Write;

/// How far a wait is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressReport {
    /// What is waited for, for example `17 of 40 leaders still on zone2 10.0.0.2:2882`.
    pub message: String,
    /// How much is done.
    pub done: i64,
    /// How much there is; 0 when it cannot be counted.
    pub total: i64,
}

impl ProgressReport {
    /// A wait that cannot be counted.
    pub fn uncounted(message: impl Into<String>) -> Self {
        Self { message: message.into(), done: 0, total: 0 }
    }
}

/// An effect that is ready to be sent: its session is open, its statement made.
#[async_trait]
pub trait PreparedEffect: Send {
    /// Sends it, once.
    async fn send(self: Box<Self>, permit: Permit) -> EffectOutcome;
}

/// What a look found.
pub enum Observation {
    /// What the step should bring about is so.
    Reached {
        /// Nothing had to be done for it.
        already_so: bool,
        /// What to record.
        output: StepOutput,
        /// Inventory changes, in the same commit.
        writes: Vec<Write>,
    },
    /// An effect is needed.
    Needed {
        /// What will be recorded before.
        intent: Intent,
        /// Checks that are overridden by going on.
        overrides: Vec<OverriddenCheck>,
        /// How it is sent.
        effect: Box<dyn PreparedEffect>,
    },
    /// What was tried is seen to have happened, and there is more to wait for: it is settled, and looked again. A step
    /// that finds it undone later knows then that somebody else undid it.
    Happened {
        /// What was seen.
        message: String,
    },
    /// Nothing to do but wait.
    Wait {
        /// For what, how far.
        progress: ProgressReport,
        /// When to look again.
        again_in: Duration,
    },
    /// The step cannot reach it.
    Refuse {
        /// Why.
        failure: Failure,
        /// What to record all the same.
        output: StepOutput,
    },
    /// The look could not be made; looked again after a pause, for as long as the step's patience for reading.
    Unreadable {
        /// Why.
        failure: Failure,
    },
}

/// When a step's wait is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutPolicy {
    /// The subtask's timeout counts from its beginning.
    Total,
    /// The subtask's timeout counts from the last change of its progress; `at_most` in all.
    WithoutProgress { at_most: Duration },
}

/// One step of an operation. Every method may be called again after a crash, at any time.
#[async_trait]
pub trait Step: Send + Sync {
    /// Looks, and says what follows. Reads only.
    async fn look(&self, context: &StepContext) -> Observation;

    /// Looks what is left of the step's own effect, and says what follows to take it back; reached: nothing is. Reads only.
    /// Asked only when nothing that the step tried on its way forward can happen any more.
    async fn undo_look(&self, _context: &StepContext) -> Observation {
        Observation::Reached { already_so: true, output: StepOutput::default(), writes: Vec::new() }
    }

    /// Whether the result of a step that succeeded earlier still holds; asked when a task is retried. An error: not known.
    async fn still_holds(&self, _context: &StepContext) -> Result<bool, Failure> {
        Ok(true)
    }

    /// When its wait is too long.
    fn timeout_policy(&self) -> TimeoutPolicy {
        TimeoutPolicy::Total
    }

    /// How long its undo waits, by the same count; the subtask's timeout is that of its way forward.
    fn undo_timeout(&self, timeout: Duration) -> Duration {
        timeout
    }

    /// How long a look may fail before the step does.
    fn read_patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// An operation: its steps, and what happens around them.
#[async_trait]
pub trait Operation: Send + Sync {
    /// The step of a subtask, by the subtask's name.
    fn step(&self, name: &str) -> Option<Arc<dyn Step>>;

    /// Makes sure that an effect which an earlier owner tried and did not settle can do nothing more, as far as that is
    /// possible (its session is ended). Its horizon protects what this cannot.
    async fn take_over(
        &self,
        context: &StepContext,
        intent: &RecordedIntent,
        permit: Permit,
    ) -> Result<String, Failure>;

    /// Inventory changes that belong to the task's end, in the same commit: statuses are restored when it was refused.
    fn closing_writes(&self, task: &Task) -> Vec<Write>;
}

/// The operations that an engine knows, by name and version.
#[derive(Clone, Default)]
pub struct Registry(HashMap<OperationName, Arc<dyn Operation>>);

impl Registry {
    /// With one more operation.
    #[must_use]
    pub fn with(mut self, name: OperationName, operation: Arc<dyn Operation>) -> Self {
        self.0.insert(name, operation);
        self
    }

    /// The operation of a task.
    pub fn operation(&self, name: &OperationName) -> Option<Arc<dyn Operation>> {
        self.0.get(name).cloned()
    }
}

/// What a step knows while it looks.
#[derive(Clone)]
pub struct StepContext {
    /// The task, as committed.
    pub task: Arc<Task>,
    /// The step's subtask.
    pub subtask: SubtaskId,
    /// Wall time.
    pub clock: Clock,
    /// Fence of this owner.
    pub fence: Fence,
    /// When this process began with the subtask, by the clock that does not jump.
    began: Instant,
    /// What the last effect of this execution was refused with: code and words.
    pub refused: Option<(String, String)>,
    /// The wait is over: this is the last look before the step times out.
    pub last_look: bool,
    lines: Arc<Mutex<Vec<(Timestamp, String)>>>,
}

impl StepContext {
    /// For one execution of a subtask.
    pub fn new(task: Arc<Task>, subtask: SubtaskId, clock: Clock, fence: Fence) -> Self {
        let began = monotonic_now();
        Self { task, subtask, clock, fence, began, refused: None, last_look: false, lines: Arc::default() }
    }

    /// How long this process has been at the subtask.
    pub fn waited(&self) -> Duration {
        monotonic_now().saturating_duration_since(self.began)
    }

    /// Adds a line to the subtask's log; it is kept with the next commit.
    pub fn log(&self, line: impl Into<String>) {
        let line = line.into();
        tracing::info!(task = self.task.spec.id.get(), subtask = self.subtask.get(), "{line}");
        if let Ok(mut lines) = self.lines.lock() {
            lines.push((self.clock.now(), line));
        }
    }

    /// Takes the lines that were not kept yet.
    pub(super) fn take_lines(&self) -> Vec<(Timestamp, String)> {
        self.lines.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }

    /// The step's subtask as folded.
    pub fn this(&self) -> Option<&Subtask> {
        self.task.subtask(self.subtask).ok()
    }

    /// A value of the task's context.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.task.context.get(key).map(String::as_str)
    }

    /// The step's own look, the one of the task's course.
    pub(super) async fn look(&self, step: &dyn Step) -> Observation {
        if self.this().is_some_and(|this| failpoints::at_look(&this.spec.name, self.task.direction)) {
            let failure = Failure::new(FailureKind::Internal, "FAILPOINT", "a failpoint lets this step fail");
            return Observation::Refuse { failure, output: StepOutput::default() };
        }
        match self.task.direction {
            Direction::Forward => step.look(self).await,
            Direction::Back => step.undo_look(self).await,
        }
    }

    /// What the end of this step is to `decide`, once it has reached what it should.
    pub(super) fn reached(&self, already_so: bool, output: StepOutput, executor: &str) -> Input {
        let (subtask, executor) = (self.subtask, executor.to_owned());
        match self.task.direction {
            Direction::Forward => Input::StepSucceeded { subtask, already_so, output, executor },
            Direction::Back => Input::StepUndone { subtask, output, executor },
        }
    }

    /// Whether it is not known of something that this subtask tried on this course whether it happened.
    pub(super) fn has_open_effect(&self) -> bool {
        self.task.attempts(self.subtask).any(RecordedIntent::is_unresolved)
    }

    /// Whether this subtask, in any execution, tried an effect on this course that happened or may have.
    pub fn tried(&self) -> bool {
        self.task.attempts(self.subtask).any(RecordedIntent::may_stand)
    }

    /// What this execution of the subtask tried, oldest first. Undoing again is another execution, although its number stays.
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

    /// What this subtask did on its way forward, or may have done.
    pub fn effects(&self) -> impl Iterator<Item = &RecordedIntent> + Clone {
        self.task.effects(self.subtask)
    }
}
