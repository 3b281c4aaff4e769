//! What follows from an input, as events: nobody else builds an event. All events of one decision are one commit.

mod cancel;
mod intent;
mod request;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::effect::Intent;
use crate::domain::event::{
    Effect, EventKind, Failure, FailureKind, IntentOutcome, Override, Phase, SubtaskOperation, SubtaskState,
    TaskOperation, TaskSpec, TaskState, Verb,
};
use crate::domain::ids::{Fence, Principal, Revision, SubtaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::{RecordedIntent, Task};

pub use request::awaits_retry;

/// An irreversible step never begins after a gap of more than this since the task's last event.
pub const LONGEST_GAP: Duration = Duration::from_secs(600);
/// How long consent to irreversible steps holds when the caller does not say.
pub const DEFAULT_CONSENT: Duration = Duration::from_secs(2 * 3600);
/// A task that is taken over so often without moving rests.
pub const ADOPTIONS_WITHOUT_MOVING: u32 = 3;

/// What a step learned besides its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// New values of the context.
    pub strings: Vec<(String, String)>,
    /// New lists of the context.
    pub lists: Vec<(String, Vec<String>)>,
    /// Checks that were overridden.
    pub overrides: Vec<Override>,
    /// Code and words.
    pub warnings: Vec<(String, String)>,
}

/// What happened outside the task, for [`decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The owner may begin what is ready.
    Dispatch { executor: String },
    /// A step reached what it should.
    StepSucceeded { subtask: SubtaskId, already_so: bool, learned: Learned, executor: String },
    /// A step cannot reach it; `looked`: its last look could be made, and found what it tried not done.
    StepFailed { subtask: SubtaskId, failure: Failure, learned: Learned, looked: bool },
    /// A step ran longer than its timeout.
    TimedOut { subtask: SubtaskId, waited_for: String },
    /// A step that was told to end does; `looked`: a look made behind its horizon found what it tried not done.
    StepCancelled { subtask: SubtaskId, looked: bool, waited_for: String },
    /// A step wants to try an effect.
    EffectWanted { subtask: SubtaskId, intent: Intent, fence: Fence, overrides: Vec<Override> },
    /// How the effect that was tried ended.
    EffectEnded { subtask: SubtaskId, number: i32, outcome: IntentOutcome, message: String },
    /// This process took the task over.
    Adopted { fence: Fence, executor: String },
    /// A person asked for something.
    Requested { verb: Verb, principal: Principal, if_revision: Option<Revision>, expire_time: Option<Timestamp> },
    /// The owner found the step from which a retry goes on.
    RetryFrom { subtask: SubtaskId },
}

/// The first events of a task.
pub fn create(spec: TaskSpec) -> Vec<EventKind> {
    let first: Vec<EventKind> = spec
        .graph
        .subtasks
        .iter()
        .filter(|subtask| subtask.upstreams.is_empty())
        .map(|subtask| EventKind::SubtaskMoved {
            subtask: subtask.id,
            from: SubtaskState::Pending,
            to: SubtaskState::Ready,
            operation: SubtaskOperation::Execute,
            run_time: 1,
            effect: Effect::None,
            executor: String::new(),
            error: None,
        })
        .collect();
    std::iter::once(EventKind::Created(Box::new(spec))).chain(first).collect()
}

/// What follows from `input`. No event: nothing is to be done. Every list that comes back folds onto `task`.
pub fn decide(task: &Task, input: Input, now: Timestamp) -> Result<Vec<EventKind>, Refusal> {
    match input {
        Input::Dispatch { executor } => Ok(dispatch(task, &[], &executor)),
        Input::StepSucceeded { subtask, already_so, learned, executor } => {
            running(task, subtask)?;
            Ok(succeeded(task, subtask, already_so, learned, &executor))
        }
        Input::StepFailed { subtask, failure, learned, looked } => {
            running(task, subtask)?;
            // Without a look at the end, what is open stays open: not known is never reported as not done.
            let open = if looked { IntentOutcome::Void } else { IntentOutcome::Unknown };
            failed(task, subtask, failure, learned, open, now)
        }
        Input::TimedOut { subtask, waited_for } => {
            let name = running(task, subtask)?;
            let seconds = task.subtask(subtask).map(|subtask| subtask.spec.timeout.as_secs()).unwrap_or_default();
            let failure = Failure::new(
                FailureKind::TimedOut,
                "SUBTASK_TIMEOUT",
                format!("{name} did not end within {seconds} s while waiting for {waited_for}; look at it and retry the task"),
            )
            .with("subtask", &name)
            .with("timeout_seconds", seconds)
            .with("waited_for", waited_for);
            // Nobody looked: what is open stays open, only it can no longer happen later.
            failed(task, subtask, failure, Learned::default(), IntentOutcome::Unknown, now)
        }
        Input::StepCancelled { subtask, looked, waited_for } => cancel::ended(task, subtask, looked, &waited_for, now),
        Input::EffectWanted { subtask, intent, fence, overrides } => {
            running(task, subtask)?;
            intent::wanted(task, subtask, intent, fence, overrides, now)
        }
        Input::EffectEnded { subtask, number, outcome, message } => {
            intent::ended(task, subtask, number, outcome, message)
        }
        Input::Adopted { fence, executor } => adopted(task, fence, executor),
        Input::Requested { verb, principal, if_revision, expire_time } => {
            request::requested(task, verb, principal, if_revision, expire_time, now)
        }
        Input::RetryFrom { subtask } => Ok(request::retry_from(task, subtask)),
    }
}

/// The name of a subtask that runs, or why nothing can be said about it.
fn running(task: &Task, id: SubtaskId) -> Result<String, Refusal> {
    match task.subtask(id) {
        Ok(subtask) if matches!(subtask.state, SubtaskState::Running | SubtaskState::Canceling) => {
            Ok(subtask.spec.name.clone())
        }
        Ok(_) | Err(_) => Err(Refusal::SubtaskNotRunning { task: task.spec.id, subtask: id }),
    }
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
    Some(EventKind::SubtaskMoved { subtask: id, from: subtask.state, to, operation, run_time, effect, executor, error })
}

/// What a transition changes besides the state; begins as the subtask is.
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
        .map(|subtask| EventKind::SubtaskMoved {
            subtask: subtask.spec.id,
            from: SubtaskState::Ready,
            to: SubtaskState::Running,
            operation: subtask.operation,
            run_time: subtask.run_time,
            effect: Effect::None,
            executor: executor.to_owned(),
            error: None,
        })
        .collect()
}

fn learn(subtask: SubtaskId, learned: Learned) -> Vec<EventKind> {
    let Learned { strings, lists, overrides, warnings } = learned;
    let mut events: Vec<EventKind> = Vec::new();
    if !strings.is_empty() || !lists.is_empty() {
        events.push(EventKind::ContextRecorded { subtask, strings, lists });
    }
    events.extend(overrides.into_iter().map(EventKind::Overridden));
    events.extend(warnings.into_iter().map(|(code, message)| EventKind::Warned { subtask, code, message }));
    events
}

/// Settles what a look has resolved.
fn settle(task: &Task, subtask: SubtaskId, outcome: IntentOutcome, message: &str) -> Vec<EventKind> {
    let open = task.intents.iter().filter(|intent| intent.subtask == subtask && intent.is_unresolved());
    open.map(|intent| EventKind::IntentSettled { subtask, number: intent.number, outcome, message: message.to_owned() })
        .collect()
}

fn succeeded(task: &Task, id: SubtaskId, already_so: bool, learned: Learned, executor: &str) -> Vec<EventKind> {
    let mut events = learn(id, learned);
    // What was tried and is found to be so counts as ours: undoing it is then right, and too much undone is looked at first.
    events.extend(settle(task, id, IntentOutcome::Done, "found done by looking"));
    let tried = task
        .intents
        .iter()
        .any(|intent| intent.subtask == id && (intent.is_unresolved() || intent.outcome == Some(IntentOutcome::Done)));
    let effect = match (tried, already_so) {
        (true, _) => Effect::Done,
        (false, true) => Effect::AlreadySo,
        (false, false) => Effect::None,
    };
    let canceling = task.state == TaskState::Canceling;
    events.extend(moved(task, id, SubtaskState::Successful, |change| {
        change.effect = effect;
        if canceling {
            change.operation = SubtaskOperation::Cancel;
        }
    }));
    let all_done =
        task.subtasks.iter().all(|subtask| subtask.spec.id == id || subtask.state == SubtaskState::Successful);
    if all_done {
        let operation = if canceling { TaskOperation::Cancel } else { task.operation };
        events.push(EventKind::TaskMoved { from: task.state, to: TaskState::Successful, operation, error: None });
        return events;
    }
    if canceling {
        events.extend(cancel::outrun(task, id, rests(task, id, effect, None)));
        return events;
    }
    let another_failed = task.subtasks.iter().find_map(|subtask| match subtask.state {
        SubtaskState::Failed => subtask.error.clone(),
        SubtaskState::Pending
        | SubtaskState::Ready
        | SubtaskState::Running
        | SubtaskState::Canceling
        | SubtaskState::Successful => None,
    });
    if let Some(failure) = another_failed {
        // A parallel branch had failed: nothing new begins, and the last to end takes the task with it.
        if !another_runs(task, id) {
            events.push(end_failed(task, id, effect, failure));
        }
        return events;
    }
    let next: Vec<SubtaskId> = task
        .subtasks
        .iter()
        .filter(|subtask| subtask.state == SubtaskState::Pending && subtask.spec.upstreams.contains(&id))
        .filter(|subtask| {
            subtask.spec.upstreams.iter().all(|upstream| {
                *upstream == id || task.subtask(*upstream).is_ok_and(|up| up.state == SubtaskState::Successful)
            })
        })
        .map(|subtask| subtask.spec.id)
        .collect();
    for subtask in &next {
        events.extend(moved(task, *subtask, SubtaskState::Ready, |change| {
            change.effect = Effect::None;
            change.executor = String::new();
        }));
    }
    events.extend(dispatch(task, &next, executor));
    events
}

fn failed(
    task: &Task,
    id: SubtaskId,
    failure: Failure,
    learned: Learned,
    open: IntentOutcome,
    now: Timestamp,
) -> Result<Vec<EventKind>, Refusal> {
    horizon_passed(task, id, now)?;
    Ok(fail(task, id, failure, learned, open))
}

/// Nothing ends while what it tried may still happen.
fn horizon_passed(task: &Task, id: SubtaskId, now: Timestamp) -> Result<(), Refusal> {
    match task.horizon(Some(id)).filter(|until| *until > now) {
        Some(until) => Err(Refusal::EffectMayStillHappen { task: task.spec.id, until }),
        None => Ok(()),
    }
}

/// The end of a subtask without success, and of the task when nothing else runs.
fn fail(task: &Task, id: SubtaskId, failure: Failure, learned: Learned, open: IntentOutcome) -> Vec<EventKind> {
    let mut events = learn(id, learned);
    let effect = fail_subtask(task, id, &failure, open, &mut events);
    if !another_runs(task, id) {
        events.push(end_failed(task, id, effect, failure));
    }
    events
}

/// Only the subtask; answers whether it changed anything, or may have.
fn fail_subtask(
    task: &Task,
    id: SubtaskId,
    failure: &Failure,
    open: IntentOutcome,
    events: &mut Vec<EventKind>,
) -> Effect {
    let looked = open == IntentOutcome::Void;
    if looked {
        events.extend(settle(task, id, open, "found not done by looking, and it no longer can be"));
    }
    let counts =
        |intent: &RecordedIntent| intent.outcome == Some(IntentOutcome::Done) || (intent.is_unresolved() && !looked);
    let tried = task.intents.iter().any(|intent| intent.subtask == id && counts(intent));
    let effect = if tried { Effect::Done } else { Effect::None };
    let canceling = task.state == TaskState::Canceling;
    events.extend(moved(task, id, SubtaskState::Failed, |change| {
        change.effect = effect;
        change.error = Some(failure.clone());
        if canceling {
            change.operation = SubtaskOperation::Cancel;
        }
    }));
    effect
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

/// Whether a task that goes no further rests, when `last` has ended with `effect` and this failure, if any. Rest is for what
/// a person must look at: an effect that stays, a consent to renew, a crash to understand.
fn rests(task: &Task, last: SubtaskId, effect: Effect, failure: Option<&Failure>) -> bool {
    let of_another = task.subtasks.iter().any(|subtask| subtask.spec.id != last && subtask.effect == Effect::Done)
        || task.intents.iter().any(|intent| {
            let stays = intent.is_unresolved() || intent.outcome == Some(IntentOutcome::Done);
            intent.subtask != last && stays
        });
    let to_look_at = |failure: &Failure| matches!(failure.kind, FailureKind::Expired | FailureKind::CrashLoop);
    let others = task.subtasks.iter().filter(|subtask| subtask.spec.id != last);
    let someone_must_look = others.filter_map(|subtask| subtask.error.as_ref()).chain(failure).any(to_look_at);
    effect == Effect::Done || of_another || someone_must_look
}

/// The end of a task in which a subtask failed, when `last` has ended with `effect` and nothing else runs.
fn end_failed(task: &Task, last: SubtaskId, effect: Effect, failure: Failure) -> EventKind {
    let rests = rests(task, last, effect, Some(&failure));
    let canceling = task.state == TaskState::Canceling;
    let (to, operation) = match (canceling, rests) {
        (true, true) => (TaskState::Cancelled, TaskOperation::Cancel),
        (true, false) => (TaskState::Refused, TaskOperation::Cancel),
        (false, true) => (TaskState::Failed, task.operation),
        (false, false) => (TaskState::Refused, task.operation),
    };
    EventKind::TaskMoved { from: task.state, to, operation, error: Some(failure) }
}

fn adopted(task: &Task, fence: Fence, executor: String) -> Result<Vec<EventKind>, Refusal> {
    if task.state.phase() == Phase::Closed || fence <= task.fence {
        return Err(Refusal::Internal {
            what: format!(
                "task {} is {} under fence {}, it cannot be adopted under fence {fence}",
                task.spec.id, task.state, task.fence
            ),
        });
    }
    let mut events = vec![EventKind::Adopted { fence, executor }];
    if task.adoptions + 1 < ADOPTIONS_WITHOUT_MOVING || task.state.phase() != Phase::Moving {
        return Ok(events);
    }
    let failure = Failure::new(
        FailureKind::CrashLoop,
        "CRASH_LOOP",
        format!(
            "the task was taken over {ADOPTIONS_WITHOUT_MOVING} times without getting further; read the service's log, then retry or give up"
        ),
    )
    .with("adoptions", ADOPTIONS_WITHOUT_MOVING);
    let running =
        task.subtasks.iter().filter(|subtask| matches!(subtask.state, SubtaskState::Running | SubtaskState::Canceling));
    for subtask in running {
        // Its horizon may lie ahead: the intents stay open, and giving up waits for them.
        fail_subtask(task, subtask.spec.id, &failure, IntentOutcome::Unknown, &mut events);
    }
    let (to, operation) = match task.state {
        TaskState::Canceling => (TaskState::Cancelled, TaskOperation::Cancel),
        TaskState::Running
        | TaskState::Failed
        | TaskState::Cancelled
        | TaskState::Successful
        | TaskState::RolledBack
        | TaskState::Refused
        | TaskState::GivenUp => (TaskState::Failed, task.operation),
    };
    events.push(EventKind::TaskMoved { from: task.state, to, operation, error: Some(failure) });
    Ok(events)
}
