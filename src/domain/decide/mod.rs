//! What follows from an input, as events: no other module builds events. All events of one decision are one commit.

mod adopt;
mod begin;
mod cancel;
mod intent;
mod refusal;
mod request;
mod retry;
mod rollback;
mod skip;
mod step;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::approval::{ApprovalEnd, PlanDigest};
use crate::domain::attempt::RecordedIntent;
use crate::domain::effect::Intent;
use crate::domain::event::{
    Direction, Effect, EventKind, Failure, FailureKind, IntentOutcome, OverriddenCheck, Phase, SubtaskOperation,
    SubtaskState, TaskState,
};
use crate::domain::facts::Fact;
use crate::domain::ids::{Fence, Principal, Revision, SubtaskId};
use crate::domain::maintenance::MaintenancePolicy;
use crate::domain::reason::Reason;
use crate::domain::task::Task;

pub use begin::create;
pub use intent::consent_ended;
pub use refusal::TaskRefusal;
use request::Requester;
pub use request::VerbRequest;
pub use retry::awaits_retry;

/// An irreversible step never begins after a gap of more than this since the task's last event.
pub const LONGEST_GAP: Duration = Duration::from_secs(600);
/// How long consent to irreversible steps holds when the caller does not say.
pub const DEFAULT_CONSENT: Duration = Duration::from_secs(2 * 3600);
/// A task that was adopted so often without any progress comes to rest.
pub const MAX_ADOPTIONS_WITHOUT_PROGRESS: u32 = 3;

/// What a step reports besides its result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepOutput {
    /// For later steps and for people.
    pub facts: Vec<Fact>,
    pub overrides: Vec<OverriddenCheck>,
    /// Code and words.
    pub warnings: Vec<(String, String)>,
    /// What became of effects that the step's result says nothing of, by their numbers. Every other open effect is done when the
    /// step has reached its goal, and void when it has failed. [`IntentOutcome::Unknown`]: it could not be found out.
    pub outcomes: Vec<(i32, IntentOutcome)>,
}

/// What happened outside the task, for [`decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The owner may begin what is ready.
    Dispatch { executor: String },
    /// A step reached what it should.
    StepSucceeded { subtask: SubtaskId, already_so: bool, output: StepOutput, executor: String },
    /// What a step did is undone, or there was nothing to undo.
    StepUndone { subtask: SubtaskId, output: StepOutput, executor: String },
    /// A step failed; `looked`: its last look succeeded, and found what it tried not done.
    StepFailed { subtask: SubtaskId, failure: Failure, output: StepOutput, looked: bool },
    /// A step ran longer than its timeout.
    TimedOut { subtask: SubtaskId, waited_for: String },
    /// A step that was asked to end has ended; `looked`: a look made after its horizon found what it tried not done.
    StepCancelled { subtask: SubtaskId, looked: bool, output: StepOutput, waited_for: String },
    /// A step asks for permission to try an effect.
    EffectWanted { subtask: SubtaskId, intent: Intent, fence: Fence, output: StepOutput },
    /// The outcome of the effect that was tried.
    EffectEnded { subtask: SubtaskId, number: i32, outcome: IntentOutcome, message: String },
    /// This process took ownership of the task.
    Adopted { fence: Fence, executor: String },
    /// A person made a request.
    Requested { asked: VerbRequest, principal: Principal, reason: Reason, if_revision: Option<Revision> },
    /// The owner found the step from which a retry continues.
    RetryFrom { subtask: SubtaskId },
    /// A task that waited for it may begin, as far as this policy lets it now.
    Begin { executor: String, plan: Option<PlanDigest>, policy: Arc<MaintenancePolicy> },
    /// A task that waited never begins.
    NotBegun { failure: Failure },
    /// The approval of a task that waits does not hold any more, without a request. `plan`: of what it was.
    ApprovalLost { plan: PlanDigest, why: ApprovalEnd },
}

/// What follows from `input`; no event when there is nothing to do. Every returned list folds onto `task`. No task is closed while a
/// statement of it may still come ([`Task::may_come_late`]).
pub fn decide(task: &Task, input: Input, now: Timestamp) -> Result<Vec<EventKind>, TaskRefusal> {
    let events = follows(task, input, now)?;
    let closes =
        |event: &EventKind| matches!(event, EventKind::TaskStateChanged { to, .. } if to.phase() == Phase::Closed);
    let ahead = || task.may_come_late().map(|intent| intent.intent.horizon).max().filter(|until| *until > now);
    match ahead().filter(|_| events.iter().any(closes)) {
        Some(until) => Err(TaskRefusal::EffectMayStillHappen { task: task.spec.id, until }),
        None => Ok(events),
    }
}

fn follows(task: &Task, input: Input, now: Timestamp) -> Result<Vec<EventKind>, TaskRefusal> {
    match input {
        Input::Dispatch { executor } => Ok(dispatch(task, &[], &executor)),
        Input::StepSucceeded { subtask, already_so, output, executor } => {
            running(task, subtask)?;
            in_direction(task, Direction::Forward)?;
            Ok(step::succeeded(task, subtask, already_so, output, &executor))
        }
        Input::StepUndone { subtask, output, executor } => {
            running(task, subtask)?;
            in_direction(task, Direction::Back)?;
            // "Nothing to undo" is true only once no effect can happen any more.
            let open = task.effects(subtask).filter(|intent| intent.is_unresolved());
            if let Some(until) = open.map(|intent| intent.intent.horizon).filter(|until| *until > now).max() {
                return Err(TaskRefusal::EffectMayStillHappen { task: task.spec.id, until });
            }
            Ok(rollback::undone(task, subtask, output, &executor))
        }
        Input::StepFailed { subtask, failure, output, looked } => {
            running(task, subtask)?;
            // Without a look at the end, what is open stays open: not known is never reported as not done.
            let open = if looked { IntentOutcome::Void } else { IntentOutcome::Unknown };
            step::failed(task, subtask, failure, output, open, now)
        }
        Input::TimedOut { subtask, waited_for } => {
            let name = running(task, subtask)?;
            let seconds = task.subtask(subtask).map(|subtask| subtask.spec.timeout.as_secs()).unwrap_or_default();
            let failure = Failure::new(
                FailureKind::TimedOut,
                "SUBTASK_TIMEOUT",
                format!(
                    "{name} did not end within {seconds} s while waiting for {waited_for}; look at it and {}",
                    retry_hint(task)
                ),
            )
            .with("subtask", &name)
            .with("timeout_seconds", seconds)
            .with("waited_for", waited_for);
            // No look was made: what is open stays open, only it can no longer happen later.
            step::failed(task, subtask, failure, StepOutput::default(), IntentOutcome::Unknown, now)
        }
        Input::StepCancelled { subtask, looked, output, waited_for } => {
            cancel::ended(task, subtask, looked, output, &waited_for, now)
        }
        Input::EffectWanted { subtask, intent, fence, output } => {
            running(task, subtask)?;
            intent::wanted(task, subtask, intent, fence, output, now)
        }
        Input::EffectEnded { subtask, number, outcome, message } => {
            intent::ended(task, subtask, number, outcome, message)
        }
        Input::Adopted { fence, executor } => adopt::adopted(task, fence, executor),
        Input::Requested { asked, principal, reason, if_revision } => {
            request::requested(task, asked, Requester { principal, reason }, if_revision, now)
        }
        Input::RetryFrom { subtask } => Ok(retry::retry_from(task, subtask)),
        Input::Begin { executor, plan, policy } => begin::begun(task, &executor, plan.as_ref(), &policy, now),
        Input::NotBegun { failure } => begin::not_begun(task, failure),
        Input::ApprovalLost { plan, why } => {
            // Somebody may have agreed with another plan since.
            let lost = task.approval.as_ref().filter(|approval| approval.plan == plan);
            let lost = lost.map(|approval| begin::approval_ended(task, approval.by.clone(), why, Reason::default()));
            Ok(lost.unwrap_or_default())
        }
    }
}

/// What a person can ask for so that a task at rest continues, as words for a message.
const fn retry_hint(task: &Task) -> &'static str {
    match task.direction {
        Direction::Forward => "retry the task",
        Direction::Back => "roll the task back again",
    }
}

/// The name of a subtask that must be running, or the refusal when it is not.
fn running(task: &Task, id: SubtaskId) -> Result<String, TaskRefusal> {
    match task.subtask(id) {
        Ok(subtask) if matches!(subtask.state, SubtaskState::Running | SubtaskState::Canceling) => {
            Ok(subtask.spec.name.clone())
        }
        Ok(_) | Err(_) => Err(TaskRefusal::SubtaskNotRunning { task: task.spec.id, subtask: id }),
    }
}

fn in_direction(task: &Task, direction: Direction) -> Result<(), TaskRefusal> {
    if task.direction == direction {
        return Ok(());
    }
    Err(TaskRefusal::Contradiction {
        what: format!("task {} goes {:?}, not {direction:?}", task.spec.id, task.direction),
    })
}

fn moved(task: &Task, id: SubtaskId, to: SubtaskState, change: impl FnOnce(&mut Change)) -> Option<EventKind> {
    let subtask = task.subtask(id).ok()?;
    let mut change_to = Change {
        operation: subtask.operation,
        run_time: subtask.run_time,
        effect: subtask.effect,
        executor: subtask.executor.clone(),
        error: None,
    };
    change(&mut change_to);
    let Change { operation, run_time, effect, executor, error } = change_to;
    Some(EventKind::SubtaskStateChanged {
        subtask: id,
        from: subtask.state,
        to,
        operation,
        run_time,
        effect,
        executor,
        error,
    })
}

/// What a transition changes besides the state; initially the subtask's present values.
struct Change {
    operation: SubtaskOperation,
    run_time: i32,
    effect: Effect,
    executor: String,
    error: Option<Failure>,
}

/// RUNNING for everything READY, counting the subtasks of `made_ready` as READY.
fn dispatch(task: &Task, made_ready: &[SubtaskId], executor: &str) -> Vec<EventKind> {
    if task.state != TaskState::Running {
        return Vec::new();
    }
    let ready = task
        .subtasks
        .iter()
        .filter(|subtask| subtask.state == SubtaskState::Ready || made_ready.contains(&subtask.spec.id));
    ready
        .map(|subtask| EventKind::SubtaskStateChanged {
            subtask: subtask.spec.id,
            from: SubtaskState::Ready,
            to: SubtaskState::Running,
            // What is made ready by this very decision still has its old operation.
            operation: match task.direction {
                Direction::Forward => subtask.operation,
                Direction::Back => SubtaskOperation::Rollback,
            },
            run_time: subtask.run_time,
            // An undo keeps the effect of what it undoes.
            effect: match task.direction {
                Direction::Forward => Effect::None,
                Direction::Back => subtask.effect,
            },
            executor: executor.to_owned(),
            error: None,
        })
        .collect()
}

fn output_events(task: &Task, subtask: SubtaskId, output: StepOutput) -> Vec<EventKind> {
    let StepOutput { facts, overrides, warnings, outcomes } = output;
    let mut events: Vec<EventKind> = Vec::new();
    if !facts.is_empty() {
        events.push(EventKind::FactsRecorded { subtask, facts });
    }
    events.extend(overrides.into_iter().map(EventKind::Overridden));
    events.extend(warnings.into_iter().map(|(code, message)| EventKind::Warned { subtask, code, message }));
    let open = |number: i32| task.intents.iter().find(|intent| intent.number == number && intent.is_unresolved());
    events.extend(outcomes.into_iter().filter_map(|(number, outcome)| {
        let news = open(number)?.outcome != Some(outcome);
        news.then(|| EventKind::IntentSettled { subtask, number, outcome, message: found(outcome).to_owned() })
    }));
    events
}

/// Settles the unresolved effects of a subtask with the outcome that a look found, except those in `told`. When one of several
/// that aim at the same (STOP and FORCE STOP) was found done, nobody knows which of them did it: the others are not void.
fn settle(task: &Task, subtask: SubtaskId, outcome: IntentOutcome, told: &[i32]) -> Vec<EventKind> {
    let open = task.attempts(subtask).filter(|intent| intent.is_unresolved() && !told.contains(&intent.number));
    let or_its_equal = |open: &RecordedIntent| {
        let done = |other: &&RecordedIntent| other.outcome == Some(IntentOutcome::Done);
        task.attempts(subtask).filter(done).any(|done| done.intent.irreversible == open.intent.irreversible)
    };
    let known = open.map(|intent| match outcome {
        IntentOutcome::Void if or_its_equal(intent) => (intent, IntentOutcome::Unknown),
        outcome => (intent, outcome),
    });
    let news = known.filter(|(intent, outcome)| intent.outcome != Some(*outcome));
    news.map(|(intent, outcome)| EventKind::IntentSettled {
        subtask,
        number: intent.number,
        outcome,
        message: found(outcome).to_owned(),
    })
    .collect()
}

/// How an outcome is known that no answer told.
const fn found(outcome: IntentOutcome) -> &'static str {
    match outcome {
        IntentOutcome::Done => "found done by looking",
        IntentOutcome::Void => "found not done by looking, and it no longer can be",
        IntentOutcome::Unknown => "whether it happened could not be found out",
        IntentOutcome::Refused => "found refused",
    }
}

/// The effects of which a step's output says itself what became of them.
fn told(output: &StepOutput) -> Vec<i32> {
    output.outcomes.iter().map(|(number, _)| *number).collect()
}

/// No subtask fails, and brings its task to rest, while what it tried may still happen, or a statement of the task may still come.
fn horizon_passed(task: &Task, id: SubtaskId, now: Timestamp) -> Result<(), TaskRefusal> {
    let late = task.may_come_late().map(|intent| intent.intent.horizon).max();
    match task.horizon(Some(id)).max(late).filter(|until| *until > now) {
        Some(until) => Err(TaskRefusal::EffectMayStillHappen { task: task.spec.id, until }),
        None => Ok(()),
    }
}

/// Whether anything but `id` runs or is about to.
fn another_runs(task: &Task, id: SubtaskId) -> bool {
    task.subtasks.iter().any(|subtask| {
        let moves = match subtask.state {
            SubtaskState::Ready | SubtaskState::Running | SubtaskState::Canceling => true,
            SubtaskState::Pending | SubtaskState::Failed | SubtaskState::Successful => false,
        };
        subtask.spec.id != id && moves
    })
}
