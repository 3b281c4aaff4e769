//! The loop of one subtask, forward and back: look, commit, check, act, look. A look that finds the goal reached resolves an
//! unknown outcome at once; one that does not counts only after the horizon, which `decide` enforces.

use std::time::Duration;

use crate::domain::attempt::RecordedIntent;
use crate::domain::decide::{Input, StepOutput};
use crate::domain::event::{Direction, Failure, FailureKind, IntentOutcome, TaskState};
use crate::domain::ids::SubtaskId;
use crate::engine::acting::Acted;
use crate::engine::canceling::LookState;
use crate::engine::executor::{Executor, ExitReason, HORIZON_PAUSE};
use crate::engine::failpoints;
use crate::engine::step::{Observation, ProgressReport, Step, StepContext};
use crate::engine::waiting::{Unreadable, Waiting};

/// Pause before the look that follows an unknown outcome: the statement may just be arriving.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(200);
/// A first look that takes longer than this reports progress.
const SILENT_LOOK: Duration = Duration::from_secs(1);

impl Executor {
    pub(super) async fn run_subtask(&self, id: SubtaskId) -> Result<(), ExitReason> {
        let task = self.current().await;
        let step = self.step(&task, id)?;
        let timeout = task.subtask(id).map(|subtask| subtask.spec.timeout).unwrap_or_default();
        let mut context = StepContext::new(task, id, self.clock.clone(), self.fence);
        let timeout = match context.task.direction {
            Direction::Forward => timeout,
            Direction::Back => {
                self.wait_for_horizon(&mut context).await?;
                step.undo_timeout(timeout)
            }
        };
        let mut wait = Waiting::new(step.timeout_policy(), timeout);
        let mut failing: Option<(Failure, StepOutput)> = None;
        let mut unreadable: Option<Unreadable> = None;
        let mut look_state = LookState::at_begin(&context);
        let mut again = failpoints::steps_twice();
        loop {
            context.task = self.caught_up().await?;
            if context.task.state == TaskState::Canceling {
                let waited_for =
                    failing.as_ref().map_or_else(|| wait.waits_for(), |(failure, _)| failure.message.as_str());
                return self.end_cancelled(&*step, &mut context, look_state, waited_for).await;
            }
            context.last_look = wait.is_over();
            let told = self.request_arrived(context.task.revision);
            let look = tokio::select! {
                biased;
                look = self.looked(&*step, &context, &wait) => look,
                // A look only reads: it can be dropped, unless it is needed to resolve something unknown.
                () = told, if look_state == LookState::Current && !context.has_open_effect() => continue,
            };
            if !matches!(look, Observation::Unreadable { .. }) {
                look_state = LookState::Current;
                unreadable = None;
            }
            let pause = match look {
                Observation::Reached { .. } if again => {
                    again = false;
                    context = StepContext::new(self.current().await, id, self.clock.clone(), self.fence);
                    continue;
                }
                Observation::Reached { already_so, output, writes } => {
                    let input = context.reached(already_so, output, &self.name);
                    self.end(&context, input, writes).await?;
                    return Ok(());
                }
                // Going forward needs no horizon: a failure is dropped if its cause has passed while the horizon was awaited.
                Observation::Needed { intent, overrides, effect } if !context.last_look && passes(failing.as_ref()) => {
                    failing = None;
                    wait.for_what(&intent.description);
                    let acted = self.act(&mut context, intent, overrides, effect).await?;
                    // The time to wait for an effect's consequences begins with its end, however long its answer took.
                    wait.restart_progress();
                    match acted {
                        Acted::Tried(outcome) => {
                            look_state = LookState::Due;
                            if outcome == IntentOutcome::Unknown {
                                tokio::time::sleep(UNKNOWN_PAUSE).await;
                            }
                            continue;
                        }
                        Acted::NotBegun => continue,
                        Acted::Ended => return Ok(()),
                        Acted::MayStillHappen => HORIZON_PAUSE,
                    }
                }
                Observation::Needed { intent, .. } => {
                    wait.for_what(&intent.description);
                    HORIZON_PAUSE
                }
                Observation::Happened { message } => {
                    self.settle(&context, &message).await?;
                    continue;
                }
                Observation::Wait { progress, again_in } => {
                    // There is progress: the failure that was about to be declared no longer applies.
                    if failing.take().is_some() {
                        wait = Waiting::new(step.timeout_policy(), timeout);
                    }
                    wait.progressed(&progress);
                    self.note(&context, progress, wait.deadline(&self.clock));
                    again_in
                }
                Observation::Refuse { failure, output } => {
                    failing = failing.or(Some((failure, output)));
                    HORIZON_PAUSE
                }
                Observation::Unreadable { failure } => {
                    let state = unreadable.get_or_insert_with(Unreadable::begin);
                    wait.for_what(&failure.message);
                    if state.lasted() > step.read_failure_timeout() {
                        failing = failing.or(Some((failure.clone(), StepOutput::default())));
                    }
                    context.log(format!("could not look: {}", failure.message));
                    self.note(&context, ProgressReport::uncounted(failure.message), wait.deadline(&self.clock));
                    state.next_pause()
                }
            };
            if wait.is_over() && !context.last_look && failing.is_none() {
                continue;
            }
            let input = match &failing {
                Some((failure, output)) => {
                    let (failure, output) = (failure.clone(), output.clone());
                    Some(Input::StepFailed { subtask: id, failure, output, looked: unreadable.is_none() })
                }
                // A wait that ended during this look gets one more, which knows that it is the last.
                None if context.last_look => {
                    Some(Input::TimedOut { subtask: id, waited_for: wait.waits_for().to_owned() })
                }
                None => None,
            };
            let pause = match input {
                None => pause,
                Some(input) => match self.try_end(&context, input).await? {
                    None => return Ok(()),
                    Some(until) => {
                        let why = failing
                            .as_ref()
                            .map_or_else(|| wait.waits_for().to_owned(), |(failure, _)| failure.message.clone());
                        let message = format!(
                            "waiting until {until}, when a request that was sent can no longer take effect ({why})"
                        );
                        self.note(&context, ProgressReport::uncounted(message), until);
                        HORIZON_PAUSE
                    }
                },
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.request_arrived(context.task.revision) => {}
            }
        }
    }

    /// The first look may be long, and is then reported as progress.
    async fn looked(&self, step: &dyn Step, context: &StepContext, wait: &Waiting) -> Observation {
        let look = context.look(step);
        tokio::pin!(look);
        if !wait.is_silent() {
            return look.await;
        }
        match tokio::time::timeout(SILENT_LOOK, &mut look).await {
            Ok(look) => look,
            Err(_) => {
                let spec = &context.task.spec;
                let (name, ip) = (&spec.cluster.name, spec.server().addr.ip());
                let message = format!("the first answers of cluster {name} and of the host of {ip}");
                self.note(context, ProgressReport::uncounted(message), wait.deadline(&self.clock));
                look.await
            }
        }
    }

    /// An undo that looks while an effect may still happen could find nothing to undo, and be wrong a moment later.
    async fn wait_for_horizon(&self, context: &mut StepContext) -> Result<(), ExitReason> {
        loop {
            let open = context.effects().filter(|intent| intent.is_unresolved()).map(horizon);
            let Some(until) = open.max().filter(|until| *until > self.clock.now()) else { return Ok(()) };
            let message = format!("waiting until {until}, when a request that was sent can no longer take effect");
            self.note(context, ProgressReport::uncounted(message), until);
            tokio::select! {
                () = tokio::time::sleep(HORIZON_PAUSE) => {}
                () = self.request_arrived(context.task.revision) => {}
            }
            context.task = self.caught_up().await?;
            if context.task.state == TaskState::Canceling {
                return Ok(());
            }
        }
    }
}

fn horizon(intent: &RecordedIntent) -> crate::clock::Timestamp {
    intent.intent.horizon
}

/// Whether a failure that waits for a horizon may be dropped when a look finds its step possible again. Not after interference:
/// whether that too was reverted is not for the task to judge.
fn passes(failing: Option<&(Failure, StepOutput)>) -> bool {
    match failing.map(|(failure, _)| failure.kind) {
        None | Some(FailureKind::Refused | FailureKind::Unreachable) => true,
        Some(
            FailureKind::TimedOut
            | FailureKind::Interfered
            | FailureKind::Expired
            | FailureKind::Cancelled
            | FailureKind::CrashLoop
            | FailureKind::Internal,
        ) => false,
    }
}
