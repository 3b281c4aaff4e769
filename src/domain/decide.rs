//! What follows from an input, as events: nobody else builds an event. All events of one decision are one commit.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::effect::Intent;
use crate::domain::event::{
    Effect, EventKind, Failure, FailureKind, IntentOutcome, Override, Phase, SubtaskOperation, SubtaskState,
    TaskOperation, TaskSpec, TaskState, Verb,
};
use crate::domain::ids::{Fence, Principal, Revision, SubtaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;

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
    /// A step cannot reach it.
    StepFailed { subtask: SubtaskId, failure: Failure, learned: Learned },
    /// A step ran longer than its timeout.
    TimedOut { subtask: SubtaskId, waited_for: String },
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
        Input::StepFailed { subtask, failure, learned } => {
            running(task, subtask)?;
            failed(task, subtask, failure, learned, now)
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
            failed(task, subtask, failure, Learned::default(), now)
        }
        Input::EffectWanted { subtask, intent, fence, overrides } => {
            running(task, subtask)?;
            effect_wanted(task, subtask, intent, fence, overrides, now)
        }
        Input::EffectEnded { subtask, number, outcome, message } => {
            Ok(vec![EventKind::IntentSettled { subtask, number, outcome, message }])
        }
        Input::Adopted { fence, executor } => Ok(adopted(task, fence, executor)),
        Input::Requested { verb, principal, if_revision, expire_time } => {
            requested(task, verb, principal, if_revision, expire_time, now)
        }
        Input::RetryFrom { subtask } => Ok(retry_from(task, subtask)),
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
        let (to, operation) = (TaskState::Cancelled, TaskOperation::Cancel);
        events.push(EventKind::TaskMoved { from: task.state, to, operation, error: None });
        return events;
    }
    let another_runs = task
        .subtasks
        .iter()
        .any(|subtask| subtask.spec.id != id && matches!(subtask.state, SubtaskState::Running | SubtaskState::Ready));
    let another_failed = task.subtasks.iter().any(|subtask| subtask.state == SubtaskState::Failed);
    if another_failed && !another_runs {
        // A parallel branch had failed; this was the last to end.
        let error = task.subtasks.iter().find_map(|subtask| subtask.error.clone());
        events.push(EventKind::TaskMoved { from: task.state, to: TaskState::Failed, operation: task.operation, error });
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
    now: Timestamp,
) -> Result<Vec<EventKind>, Refusal> {
    if let Some(until) = task.horizon(Some(id)).filter(|until| *until > now) {
        return Err(Refusal::EffectMayStillHappen { task: task.spec.id, until });
    }
    Ok(fail(task, id, failure, learned, IntentOutcome::Void))
}

/// The end of a subtask without success, and of the task when nothing else runs.
fn fail(task: &Task, id: SubtaskId, failure: Failure, learned: Learned, open: IntentOutcome) -> Vec<EventKind> {
    let mut events = learn(id, learned);
    if open == IntentOutcome::Void {
        events.extend(settle(task, id, open, "found not done by looking, and it no longer can be"));
    }
    let counts = |outcome: Option<IntentOutcome>| match outcome {
        Some(IntentOutcome::Done) => true,
        None | Some(IntentOutcome::Unknown) => open == IntentOutcome::Unknown,
        Some(IntentOutcome::Refused | IntentOutcome::Void) => false,
    };
    let tried = task.intents.iter().any(|intent| intent.subtask == id && counts(intent.outcome));
    let canceling = task.state == TaskState::Canceling;
    events.extend(moved(task, id, SubtaskState::Failed, |change| {
        change.effect = if tried { Effect::Done } else { Effect::None };
        change.error = Some(failure.clone());
        if canceling {
            change.operation = SubtaskOperation::Cancel;
        }
    }));
    let another_runs = task
        .subtasks
        .iter()
        .any(|subtask| subtask.spec.id != id && matches!(subtask.state, SubtaskState::Running | SubtaskState::Ready));
    if another_runs {
        return events;
    }
    let elsewhere = task.subtasks.iter().any(|subtask| subtask.spec.id != id && subtask.effect == Effect::Done)
        || task.intents.iter().any(|intent| intent.subtask != id && counts(intent.outcome));
    // Rest is for what a person must look at: an effect that stays, a consent to renew, a crash to understand.
    let rests = tried || elsewhere || matches!(failure.kind, FailureKind::Expired | FailureKind::CrashLoop);
    let (to, operation) = match (canceling, rests) {
        (true, true) => (TaskState::Cancelled, TaskOperation::Cancel),
        (true, false) => (TaskState::Refused, TaskOperation::Cancel),
        (false, true) => (TaskState::Failed, task.operation),
        (false, false) => (TaskState::Refused, task.operation),
    };
    events.push(EventKind::TaskMoved { from: task.state, to, operation, error: Some(failure) });
    events
}

fn effect_wanted(
    task: &Task,
    subtask: SubtaskId,
    intent: Intent,
    fence: Fence,
    overrides: Vec<Override>,
    now: Timestamp,
) -> Result<Vec<EventKind>, Refusal> {
    if let Some(failure) = consent_ended(task, &intent, now) {
        return failed(task, subtask, failure, Learned::default(), now);
    }
    let mut events: Vec<EventKind> = overrides.into_iter().map(EventKind::Overridden).collect();
    events.push(EventKind::IntentRecorded { subtask, number: task.next_intent(), intent, fence });
    Ok(events)
}

fn consent_ended(task: &Task, intent: &Intent, now: Timestamp) -> Option<Failure> {
    if !intent.irreversible {
        return None;
    }
    let gap = now.since(task.last_moved_at);
    let why = if now > task.expire_time {
        format!("its expire_time {} has passed", task.expire_time)
    } else if gap > LONGEST_GAP {
        format!("nothing happened for {} s before it (at most {} s)", gap.as_secs(), LONGEST_GAP.as_secs())
    } else {
        return None;
    };
    let failure = Failure::new(
        FailureKind::Expired,
        "EXPIRED",
        format!("the consent to {:?} has ended, {why}; retry the task to consent anew", intent.description),
    );
    Some(
        failure
            .with("effect", &intent.description)
            .with("expire_time", task.expire_time)
            .with("gap_seconds", gap.as_secs()),
    )
}

fn adopted(task: &Task, fence: Fence, executor: String) -> Vec<EventKind> {
    let mut events = vec![EventKind::Adopted { fence, executor }];
    if task.adoptions + 1 < ADOPTIONS_WITHOUT_MOVING || task.state.phase() != Phase::Moving {
        return events;
    }
    let running =
        task.subtasks.iter().find(|subtask| matches!(subtask.state, SubtaskState::Running | SubtaskState::Canceling));
    let failure = Failure::new(
        FailureKind::CrashLoop,
        "CRASH_LOOP",
        format!(
            "the task was taken over {ADOPTIONS_WITHOUT_MOVING} times without getting further; read the service's log, then retry or give up"
        ),
    )
    .with("adoptions", ADOPTIONS_WITHOUT_MOVING);
    match running {
        Some(subtask) => {
            // Its horizon may lie ahead: the intents stay open, and giving up waits for them.
            events.extend(fail(task, subtask.spec.id, failure, Learned::default(), IntentOutcome::Unknown));
        }
        None => events.push(EventKind::TaskMoved {
            from: task.state,
            to: TaskState::Failed,
            operation: task.operation,
            error: Some(failure),
        }),
    }
    events
}

fn requested(
    task: &Task,
    verb: Verb,
    principal: Principal,
    if_revision: Option<Revision>,
    expire_time: Option<Timestamp>,
    now: Timestamp,
) -> Result<Vec<EventKind>, Refusal> {
    if let Some(expected) = if_revision.filter(|expected| *expected != task.revision) {
        return Err(Refusal::TaskMoved { task: task.spec.id, expected, revision: task.revision, state: task.state });
    }
    if !task.allowed_verbs().contains(&verb) {
        return Err(Refusal::VerbNotAllowed {
            task: task.spec.id,
            verb,
            state: task.state,
            allowed_in: &[TaskState::Failed, TaskState::Cancelled],
        });
    }
    match verb {
        Verb::Retry => {
            let expire_time = expire_time.unwrap_or_else(|| now.plus(DEFAULT_CONSENT));
            if expire_time <= now {
                return Err(Refusal::ExpireTimePassed { expire_time, now });
            }
            Ok(vec![
                EventKind::VerbRequested { verb, principal, expire_time: Some(expire_time) },
                EventKind::TaskMoved {
                    from: task.state,
                    to: TaskState::Running,
                    operation: TaskOperation::Retry,
                    error: None,
                },
            ])
        }
        Verb::GiveUp => {
            if let Some(until) = task.horizon(None).filter(|until| *until > now) {
                return Err(Refusal::EffectMayStillHappen { task: task.spec.id, until });
            }
            let mut events = vec![EventKind::VerbRequested { verb, principal, expire_time: None }];
            events.extend(left_behind(task));
            events.push(EventKind::TaskMoved {
                from: task.state,
                to: TaskState::GivenUp,
                operation: TaskOperation::GiveUp,
                error: task.error.clone(),
            });
            Ok(events)
        }
    }
}

/// The facts that a task which is given up leaves as they are.
fn left_behind(task: &Task) -> Vec<EventKind> {
    let done = task.intents.iter().filter(|intent| match intent.outcome {
        Some(IntentOutcome::Done | IntentOutcome::Unknown) | None => true,
        Some(IntentOutcome::Refused | IntentOutcome::Void) => false,
    });
    done.map(|intent| EventKind::Warned {
        subtask: intent.subtask,
        code: "EFFECT_STAYS".to_owned(),
        message: match intent.outcome {
            Some(IntentOutcome::Done) => format!("done at {} and stays: {}", intent.at, intent.intent.description),
            Some(_) | None => format!("tried at {}, look whether it is so: {}", intent.at, intent.intent.description),
        },
    })
    .collect()
}

/// Whether a retry was asked for and its first step is still to be found.
pub fn awaits_retry(task: &Task) -> bool {
    task.state == TaskState::Running
        && task.operation == TaskOperation::Retry
        && !task.subtasks.iter().any(|subtask| {
            matches!(subtask.state, SubtaskState::Ready | SubtaskState::Running | SubtaskState::Canceling)
        })
}

fn retry_from(task: &Task, first: SubtaskId) -> Vec<EventKind> {
    if !awaits_retry(task) {
        return Vec::new();
    }
    let order = task.in_execution_order();
    // Everything behind the first step that ended runs again; a parallel branch that holds stays.
    let mut again: Vec<SubtaskId> = vec![first];
    for subtask in &order {
        if subtask.spec.upstreams.iter().any(|upstream| again.contains(upstream)) && !again.contains(&subtask.spec.id) {
            again.push(subtask.spec.id);
        }
        if subtask.state == SubtaskState::Failed && !again.contains(&subtask.spec.id) {
            again.push(subtask.spec.id);
        }
    }
    let mut events = Vec::new();
    for subtask in order {
        let id = subtask.spec.id;
        let ended = matches!(subtask.state, SubtaskState::Successful | SubtaskState::Failed);
        let waits = subtask.spec.upstreams.iter().any(|upstream| {
            again.contains(upstream) || task.subtask(*upstream).is_ok_and(|up| up.state != SubtaskState::Successful)
        });
        if again.contains(&id) && ended {
            let to = if waits { SubtaskState::Pending } else { SubtaskState::Ready };
            events.extend(moved(task, id, to, |change| {
                change.operation = SubtaskOperation::Retry;
                change.run_time += 1;
                change.effect = Effect::None;
                change.executor = String::new();
            }));
        } else if subtask.state == SubtaskState::Pending && !waits {
            events.extend(moved(task, id, SubtaskState::Ready, |_| {}));
        }
    }
    events
}
