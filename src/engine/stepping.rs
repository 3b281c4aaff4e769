//! The driver of one subtask, forward and back: it looks, acts, commits and waits as the step's policy (`policy`) says.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::clock::{Timestamp, monotonic_now};
use crate::domain::attempt::RecordedIntent;
use crate::domain::decide::{Input, StepOutput};
use crate::domain::event::{Direction, Failure, FailureKind, SubtaskState, TaskState};
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};
use crate::engine::acting::Attempt;
use crate::engine::executor::{Executor, ExitReason};
use crate::engine::policy::{Ending, Next, Note, Policy, Situation, Turn};
use crate::engine::spans;
use crate::engine::step::{Observation, ProgressReport, Step, StepContext, Unresolved};
use crate::engine::waiting::Waiting;
use crate::store::Write;

/// A first look that takes longer than this says that it is looked.
const SILENT_LOOK: Duration = Duration::from_secs(1);

/// What has become of an execution.
enum Execution {
    GoesOn,
    Ended,
}

impl Executor {
    /// Runs a subtask until it ends, as one span of its task's trace.
    pub(super) async fn run_subtask(&self, id: SubtaskId) -> Result<(), ExitReason> {
        let task = self.current().await;
        let execution = spans::of_execution(&task, id);
        let lines = execution.in_scope(|| spans::lines_of_subtask(task.subtask(id).ok()));
        let ended = self.execute(task, id).instrument(lines).instrument(execution.clone()).await;
        if !execution.is_disabled() {
            spans::executed(&execution, &*self.current().await, id);
        }
        ended
    }

    async fn execute(&self, task: Arc<Task>, id: SubtaskId) -> Result<(), ExitReason> {
        let step = self.step(&task, id)?;
        let timeout = task.subtask(id).map(|subtask| subtask.spec.timeout).unwrap_or_default();
        self.wait_for_first_turn(&task, id).await;
        let mut context = self.context(task, id);
        let direction = context.task.direction;
        let timeout = match direction {
            Direction::Forward => timeout,
            Direction::Back => step.undo_timeout(timeout),
        };
        let wait = Waiting::new(step.timeout_policy(), timeout, monotonic_now(), self.clock.now());
        let tried = context.has_open_effect() || context.attempts().any(RecordedIntent::may_have_happened);
        let mut policy = Policy::begin(direction, wait, step.read_failure_timeout(), tried);
        let mut again = self.failpoints.steps_twice;
        loop {
            context.task = self.caught_up().await?;
            if context.task.state == TaskState::Canceling
                && let Some(waited_for) = policy.cancel()
            {
                let by = context.task.cancelled_by.as_ref().map(ToString::to_string).unwrap_or_default();
                context.log(format!("cancelled by {by} while waiting for {waited_for}"));
            }
            let next = match policy.turn(&self.situation(&context)) {
                Turn::Next(next) => next,
                Turn::Look { last, droppable } => {
                    context.last_look = last;
                    context.unmoved = policy.unmoved(&self.situation(&context));
                    let found = tokio::select! {
                        biased;
                        found = self.looked(&*step, &context, &policy, droppable) => found,
                        () = self.request_arrived(context.task.revision), if droppable => continue,
                    };
                    if let Observation::Unreadable { failure } = &found {
                        context.log(format!("could not look: {}", failure.message));
                    }
                    if matches!(found, Observation::Reached { .. }) && std::mem::take(&mut again) {
                        context = self.context(self.current().await, id);
                        continue;
                    }
                    policy.next(found, &self.situation(&context))
                }
            };
            if let Execution::Ended = self.follow(&mut context, &mut policy, next).await? {
                return Ok(());
            }
        }
    }

    /// Does what the policy says, and what it says of how that ended.
    async fn follow(
        &self,
        context: &mut StepContext,
        policy: &mut Policy,
        mut next: Next,
    ) -> Result<Execution, ExitReason> {
        loop {
            next = match next {
                Next::Act { intent, output, effect } => match self.act(context, intent, output, effect).await? {
                    Attempt::EndedSubtask => return Ok(Execution::Ended),
                    Attempt::Acted(acted) => policy.acted(acted, &self.situation(context)),
                },
                Next::Settle { message } => {
                    self.settle(context, &message).await?;
                    return Ok(Execution::GoesOn);
                }
                Next::End(ending) => {
                    let mut until = self.holds_back(context, &ending);
                    if until.is_none() {
                        let (input, writes) = self.end_of(context, ending);
                        until = self.try_end(context, input, writes).await?;
                    }
                    match until {
                        None => return Ok(Execution::Ended),
                        Some(until) => policy.end_refused(until),
                    }
                }
                Next::Pause(pause, note) => {
                    self.pause(context, pause, note).await;
                    return Ok(Execution::GoesOn);
                }
            };
        }
    }

    /// An end as `decide` knows it.
    fn end_of(&self, context: &StepContext, ending: Ending) -> (Input, Vec<Write>) {
        let subtask = context.subtask;
        let input = match ending {
            Ending::Reached { already_so, output, writes } => {
                return (context.reached(already_so, output, &self.name), writes);
            }
            Ending::Failed { failure, output, looked } => Input::StepFailed { subtask, failure, output, looked },
            Ending::TimedOut { waited_for } => Input::TimedOut { subtask, waited_for },
            Ending::Cancelled { looked, output, waited_for } => {
                Input::StepCancelled { subtask, looked, output, waited_for }
            }
        };
        (input, Vec::new())
    }

    /// Until when something that was tried keeps the step from ending like that. `decide` looks too, by the machine's clock.
    fn holds_back(&self, context: &StepContext, ending: &Ending) -> Option<Timestamp> {
        // Whoever comes behind the task is not to meet what it sent.
        let task = &context.task;
        let late = || self.may_come_late(context).filter(|_| task.ends_with(context.subtask));
        match (ending, task.direction) {
            (Ending::Reached { .. }, Direction::Forward) => late(),
            (Ending::Reached { .. }, Direction::Back) => self.situation(context).forward_horizon.or_else(late),
            (Ending::Failed { .. } | Ending::TimedOut { .. } | Ending::Cancelled { .. }, _) => {
                self.keeps_from_rest(context)
            }
        }
    }

    /// Until when the subtask may not bring its task to rest. A task at rest is given up by whoever is asked to, by a clock that may have
    /// been set, and goes on at whichever replica is asked: so nothing that it sent may come behind that.
    pub(super) fn keeps_from_rest(&self, context: &StepContext) -> Option<Timestamp> {
        self.situation(context).horizon.max(self.may_come_late(context))
    }

    /// Until when a statement of the task may still come, whatever was found of it.
    fn may_come_late(&self, context: &StepContext) -> Option<Timestamp> {
        self.horizons.latest(context.task.may_come_late(), self.clock.now())
    }

    fn situation(&self, context: &StepContext) -> Situation {
        let (wall, at) = (self.clock.now(), monotonic_now());
        let unresolved = |intent: &&RecordedIntent| intent.is_unresolved();
        let own = context.task.intents.iter().filter(|intent| intent.subtask == context.subtask);
        Situation {
            at,
            wall,
            effect_open: context.has_open_effect(),
            horizon: self.horizons.latest(own.filter(unresolved), wall),
            forward_horizon: self.horizons.latest(context.effects().filter(unresolved), wall),
            jitter: jitter(&context.task, context.subtask),
        }
    }

    /// Until the pause is over, or somebody asked something of the task.
    async fn pause(&self, context: &StepContext, pause: Duration, note: Option<Note>) {
        if let Some(note) = note {
            self.note(context, note);
        }
        if pause.is_zero() {
            return;
        }
        tokio::select! {
            biased;
            () = self.request_arrived(context.task.revision) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// A look. The first may be long, and is a wait that must not be silent either.
    async fn looked(&self, step: &dyn Step, context: &StepContext, policy: &Policy, droppable: bool) -> Observation {
        if let Some(this) = context.this()
            && self.failpoints.at_look(&this.spec.name, context.task.direction)
        {
            let failure = Failure::new(FailureKind::Internal, "FAILPOINT", "a failpoint lets this step fail");
            return Observation::Refuse { failure, output: StepOutput::default(), unresolved: Unresolved::NotKnown };
        }
        let look = async {
            if droppable && policy.is_unanswered() && self.operation.asks_clusters() {
                self.look_rate.again.take().await;
            }
            context.look(step).await
        };
        tokio::pin!(look);
        if !policy.is_silent() {
            return look.await;
        }
        match tokio::time::timeout(SILENT_LOOK, &mut look).await {
            Ok(look) => look,
            Err(_) => {
                let name = &context.task.spec.cluster.name;
                let host = context.server().map(|server| format!(" and of the host of {}", server.addr.ip()));
                let message = format!("the first answers of cluster {name}{}", host.unwrap_or_default());
                let situation = self.situation(context);
                self.note(
                    context,
                    Note {
                        progress: ProgressReport::uncounted(message),
                        deadline: policy.deadline(&situation),
                        stalled_since: situation.wall.minus(context.waited()),
                        remaining: None,
                    },
                );
                look.await
            }
        }
    }

    /// A task that has asked nothing yet waits for its turn, before the time of its first step begins to count. Whoever asks something
    /// of it ends the wait.
    async fn wait_for_first_turn(&self, task: &Arc<Task>, id: SubtaskId) {
        let asked = |subtask: &Subtask| subtask.state == SubtaskState::Successful;
        if !self.operation.asks_clusters() || !task.intents.is_empty() || task.subtasks.iter().any(asked) {
            return;
        }
        let (now, wall) = (monotonic_now(), self.clock.now());
        let Some(at) = self.look_rate.first.take_at(now) else { return };
        let progress = ProgressReport::uncounted("its turn: many tasks begin at the same time");
        let note = Note { progress, deadline: wall.plus(at - now), stalled_since: wall, remaining: Some(at - now) };
        self.pause(&self.context(Arc::clone(task), id), at - now, Some(note)).await;
    }
}

/// Spreads pauses: those of another task, and the next of this subtask, are of another length.
fn jitter(task: &Task, subtask: SubtaskId) -> u8 {
    let mut hasher = DefaultHasher::new();
    (subtask.get(), task.revision.get()).hash(&mut hasher);
    hasher.finish().to_le_bytes()[0]
}
