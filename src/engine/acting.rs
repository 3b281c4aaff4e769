//! One effect of a step: the commit of its intent, the ownership check, the effect, the commit of its outcome.

use crate::clock::monotonic_now;
use crate::domain::attempt::RecordedIntent;
use crate::domain::decide::{Input, StepOutput, TaskRefusal, consent_ended};
use crate::domain::effect::{EffectOutcome, Intent};
use crate::domain::event::{IntentOutcome, TaskState};
use crate::domain::ids::SubtaskId;
use crate::domain::task::Task;
use crate::engine::executor::{Executor, ExitReason};
use crate::engine::failpoints::LostEffect;
use crate::engine::policy::{Acted, Note};
use crate::engine::step::{PreparedEffect, ProgressReport, StepContext};

/// What came of an effect that was to be tried.
pub(super) enum Attempt {
    /// The policy goes on from here.
    Acted(Acted),
    /// The subtask has ended instead.
    EndedSubtask,
}

impl Executor {
    /// Commit of the intent, ownership check, effect, commit of its outcome.
    pub(super) async fn act(
        &self,
        context: &mut StepContext,
        intent: Intent,
        output: StepOutput,
        effect: Box<dyn PreparedEffect>,
    ) -> Result<Attempt, ExitReason> {
        // Before the intent, whose horizon counts from its commit.
        self.lease.wait().await;
        if self.lease.has_ended() {
            return Err(ExitReason::LeaseEnded);
        }
        let _in_flight = self.begin_effect()?;
        // `decide` would fail the subtask, and looks by the machine's clock only.
        if self.keeps_from_rest(context).is_some() && consent_ended(&context.task, &intent, self.clock.now()).is_some()
        {
            return Ok(Attempt::Acted(Acted::MayStillHappen));
        }
        let (id, fence) = (context.subtask, self.fence);
        context.log(format!("{} at {}", intent.description, intent.endpoint));
        let before = last_intent(&context.task, id);
        let input = Input::EffectWanted { subtask: id, intent, fence, output };
        let log = Self::log_write(context);
        let task = match self.try_write(input, move |_| log.iter().cloned().collect()).await? {
            Ok(task) => task,
            // Consent has ended while an earlier attempt may still take effect: wait, as for any failure.
            Err(TaskRefusal::EffectMayStillHappen { .. }) => return Ok(Attempt::Acted(Acted::MayStillHappen)),
            Err(refusal) => return Err(ExitReason::own_decision_refused(context.task.spec.id, refusal)),
        };
        // Its number is known only now: a parallel subtask may have taken the next one meanwhile.
        let recorded = last_intent(&task, id).filter(|last| before.is_none_or(|before| before.number < last.number));
        let Some(recorded) = recorded else {
            if task.state == TaskState::Canceling {
                return Ok(Attempt::Acted(Acted::NotBegun));
            }
            // Consent to an irreversible step has ended: `decide` has failed the subtask instead.
            return Ok(Attempt::EndedSubtask);
        };
        let number = recorded.number;
        let horizon = self.horizons.begin(recorded);
        let progress = ProgressReport::uncounted(format!("waits for the answer to {}", recorded.intent.description));
        let (deadline, stalled_since) = (recorded.intent.horizon, recorded.at);
        self.note(context, Note { progress, deadline, stalled_since, remaining: None });
        let permit = self.permit(&task, id, number, Some(horizon)).await?;
        self.failpoints.at_permit();
        let sent = monotonic_now();
        let answer = match self.failpoints.at_effect() {
            None => effect.send(permit).await,
            Some(LostEffect::Before) => lost(),
            Some(LostEffect::After) => {
                let _ = effect.send(permit).await;
                lost()
            }
        };
        let (outcome, message) = match answer {
            EffectOutcome::Done { message } => {
                context.refused = None;
                (IntentOutcome::Done, message)
            }
            EffectOutcome::Refused { code, message } => {
                context.refused = Some((code, message.clone()));
                (IntentOutcome::Refused, message)
            }
            EffectOutcome::Unknown { message } => {
                context.refused = None;
                (IntentOutcome::Unknown, message)
            }
        };
        if let Some(this) = context.this() {
            self.metrics.acted(&this.spec.kind, outcome.as_str(), monotonic_now() - sent);
        }
        context.log(format!("{outcome}: {message}"));
        let log = Self::log_write(context);
        let input = Input::EffectEnded { subtask: id, number, outcome, message };
        self.write(input, move |_| log.iter().cloned().collect()).await?;
        Ok(Attempt::Acted(Acted::Tried(outcome)))
    }
}

/// The last effect that a subtask tried.
fn last_intent(task: &Task, subtask: SubtaskId) -> Option<&RecordedIntent> {
    task.intents.iter().rev().find(|intent| intent.subtask == subtask)
}

/// The outcome of an effect that a failpoint dropped.
fn lost() -> EffectOutcome {
    EffectOutcome::Unknown { message: "a failpoint lost the answer".to_owned() }
}
