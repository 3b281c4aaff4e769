//! One effect of a step: the commit of its intent, the ownership check, the effect, the commit of its outcome.

use crate::domain::decide::{Input, StepOutput, TaskRefusal};
use crate::domain::effect::{EffectOutcome, Intent};
use crate::domain::event::{IntentOutcome, TaskState};
use crate::engine::executor::{Executor, ExitReason};
use crate::engine::failpoints::LostEffect;
use crate::engine::policy::Acted;
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
        let _in_flight = self.begin_effect()?;
        let (id, fence) = (context.subtask, self.fence);
        context.log(format!("{} at {}", intent.description, intent.endpoint));
        let number = context.task.next_intent();
        let input = Input::EffectWanted { subtask: id, intent, fence, output };
        let log = Self::log_write(context);
        let task = match self.try_write(input, move |_| log.iter().cloned().collect()).await? {
            Ok(task) => task,
            // Consent has ended while an earlier attempt may still take effect: wait, as for any failure.
            Err(TaskRefusal::EffectMayStillHappen { .. }) => return Ok(Attempt::Acted(Acted::MayStillHappen)),
            Err(refusal) => return Err(ExitReason::own_decision_refused(context.task.spec.id, refusal)),
        };
        let recorded = task.intents.iter().any(|intent| intent.number == number);
        if !recorded && task.state == TaskState::Canceling {
            return Ok(Attempt::Acted(Acted::NotBegun));
        }
        if !recorded {
            // Consent to an irreversible step has ended: `decide` has failed the subtask instead.
            return Ok(Attempt::EndedSubtask);
        }
        if let Some(recorded) = task.intents.iter().find(|intent| intent.number == number) {
            self.horizons.begin(recorded);
            let progress =
                ProgressReport::uncounted(format!("waits for the answer to {}", recorded.intent.description));
            self.note(context, progress, recorded.intent.horizon);
        }
        let permit = self.permit(&task, id, number).await?;
        self.failpoints.at_permit();
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
        context.log(format!("{outcome}: {message}"));
        let log = Self::log_write(context);
        let input = Input::EffectEnded { subtask: id, number, outcome, message };
        self.write(input, move |_| log.iter().cloned().collect()).await?;
        Ok(Attempt::Acted(Acted::Tried(outcome)))
    }
}

/// The outcome of an effect that a failpoint dropped.
fn lost() -> EffectOutcome {
    EffectOutcome::Unknown { message: "a failpoint lost the answer".to_owned() }
}
