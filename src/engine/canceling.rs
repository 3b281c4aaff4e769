//! The end of a step whose task is being cancelled: nothing new begins, and the step looks at what it tried first, as at any
//! other end. A step that is found to have reached its goal wins the race.

use crate::clock::Timestamp;
use crate::domain::attempt::RecordedIntent;
use crate::domain::decide::Input;
use crate::engine::executor::{Executor, ExitReason, HORIZON_PAUSE};
use crate::engine::step::{Observation, ProgressReport, Step, StepContext};
use crate::engine::waiting::Unreadable;

/// Whether the step has looked since its last effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookState {
    /// It has, or there was no effect.
    Current,
    /// It still has to look: after a statement or a signal no step ends without a look.
    Due,
}

impl LookState {
    /// At the start of an execution in this process: an earlier owner may have tried something in the same execution.
    pub(super) fn at_begin(context: &StepContext) -> Self {
        let tried = context.has_open_effect() || context.attempts().any(RecordedIntent::may_have_happened);
        if tried { Self::Due } else { Self::Current }
    }
}

/// What a look of a cancelled step found.
enum FinalLook {
    /// There was nothing to look at, or the goal is not reached and nothing that was tried can still change that.
    NotReached,
    /// Not reached, but a request may still take effect until this time.
    NotYet(Timestamp),
    /// The look failed.
    Unread,
}

impl Executor {
    /// Ends a subtask that was asked to end: at once if it has no unresolved effect, otherwise when the effect is seen to have
    /// happened or can no longer happen.
    pub(super) async fn end_cancelled(
        &self,
        step: &dyn Step,
        context: &mut StepContext,
        mut look_state: LookState,
        waited_for: &str,
    ) -> Result<(), ExitReason> {
        let by = context.task.cancelled_by.as_ref().map(ToString::to_string).unwrap_or_default();
        context.log(format!("cancelled by {by} while waiting for {waited_for}"));
        context.last_look = false;
        let mut unreadable: Option<Unreadable> = None;
        loop {
            context.task = self.current().await;
            let until = context.task.horizon(Some(context.subtask)).filter(|until| *until > self.clock.now());
            let mut pause = HORIZON_PAUSE;
            let seen = if look_state == LookState::Due || context.has_open_effect() {
                match context.look(step).await {
                    Observation::Reached { already_so, output, writes } => {
                        let input = context.reached(already_so, output, &self.name);
                        return self.end(context, input, writes).await.map(drop);
                    }
                    Observation::Happened { message } => {
                        self.settle(context, &message).await?;
                        look_state = LookState::Current;
                        continue;
                    }
                    // Nothing new begins. Only what is seen after the horizon is final.
                    Observation::Needed { .. } | Observation::Wait { .. } | Observation::Refuse { .. } => {
                        look_state = LookState::Current;
                        unreadable = None;
                        until.map_or(FinalLook::NotReached, FinalLook::NotYet)
                    }
                    Observation::Unreadable { failure } => {
                        let state = unreadable.get_or_insert_with(Unreadable::begin);
                        context.log(format!("could not look: {}", failure.message));
                        if state.lasted() > step.read_failure_timeout() {
                            look_state = LookState::Current;
                        }
                        pause = state.next_pause();
                        FinalLook::Unread
                    }
                }
            } else {
                FinalLook::NotReached
            };
            let wait = match (seen, look_state) {
                (FinalLook::NotYet(until), _) => Some(until),
                (FinalLook::Unread, LookState::Due) => None,
                (seen @ (FinalLook::NotReached | FinalLook::Unread), _) => {
                    let (subtask, waited_for) = (context.subtask, waited_for.to_owned());
                    // What could not be looked at stays open, only it can no longer happen later.
                    let looked = matches!(seen, FinalLook::NotReached);
                    match self.try_end(context, Input::StepCancelled { subtask, looked, waited_for }).await? {
                        None => return Ok(()),
                        Some(until) => Some(until),
                    }
                }
            };
            let (message, deadline) = match wait {
                Some(until) => (
                    format!("cancelled, waits until {until}, when a request that was sent can no longer take effect"),
                    until,
                ),
                None => (
                    "cancelled, waits for a look at what was sent".to_owned(),
                    self.clock.now().plus(step.read_failure_timeout()),
                ),
            };
            self.note(context, ProgressReport::uncounted(message), deadline);
            tokio::time::sleep(pause).await;
        }
    }
}
