//! How the steps of a task end, and the task with them.

use super::{
    StepOutput, TaskRefusal, another_runs, cancel, dispatch, horizon_passed, moved, output_events, settle, told,
};
use crate::clock::Timestamp;
use crate::domain::attempt::RecordedIntent;
use crate::domain::event::{
    Direction, Effect, Event, EventKind, Failure, FailureKind, IntentOutcome, SubtaskOperation, SubtaskState,
    TaskOperation, TaskState,
};
use crate::domain::graph::TaskTarget;
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};

pub(super) fn succeeded(
    task: &Task,
    id: SubtaskId,
    already_so: bool,
    output: StepOutput,
    executor: &str,
) -> Vec<EventKind> {
    let told = told(&output);
    let mut events = output_events(task, id, output);
    // What was tried and is found to be so counts as ours: then undoing it is right, and an undo looks before it acts anyway.
    events.extend(settle(task, id, IntentOutcome::Done, &told));
    let tried = task.effects(id).next().is_some();
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
        events.push(EventKind::TaskStateChanged {
            from: task.state,
            to: TaskState::Successful,
            operation,
            error: None,
        });
        return events;
    }
    if canceling {
        events.extend(cancel::finished_before_cancel(task, id, rests(task, id, effect, None)));
        return events;
    }
    if let Some(failure) = stopping_failure(task) {
        // A parallel branch had failed: nothing new begins, and the last to end takes the task with it.
        if !another_runs(task, id) {
            events.push(end_failed(task, id, effect, failure));
        }
        return events;
    }
    let next = waiting(task, Some(id));
    if next.is_empty() && !another_runs(task, id) {
        events.push(end_failed(task, id, effect, passed_over(task)));
        return events;
    }
    events.extend(make_ready(task, &next));
    events.extend(dispatch(task, &next, executor));
    events
}

/// Why nothing new begins: a failure of a parallel branch, unless the rollout goes on without its server.
fn stopping_failure(task: &Task) -> Option<Failure> {
    let failed = task.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Failed);
    failed.filter(|subtask| !task.is_passed_over(subtask)).find_map(|subtask| subtask.error.clone())
}

/// The failure of a rollout that is done but for some of its servers.
fn passed_over(task: &Task) -> Failure {
    let failed = task.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Failed);
    let each: Vec<String> = failed
        .filter_map(|subtask| {
            let TaskTarget::Server(server) = subtask.spec.target else { return None };
            let (addr, why) = (task.spec.server(server)?.addr, subtask.error.as_ref()?);
            Some(format!("{addr} ({})", why.message))
        })
        .collect();
    let total = task.spec.servers.len();
    let message = format!(
        "{} of {total} servers were passed over: {}; nothing was done to them; give this task up and roll out to them anew",
        each.len(),
        each.join(", ")
    );
    let failure = Failure::new(FailureKind::Refused, "SERVERS_PASSED_OVER", message);
    failure.with("passed_over", each.len()).with("servers", total)
}

pub(super) fn failed(
    task: &Task,
    id: SubtaskId,
    failure: Failure,
    output: StepOutput,
    open: IntentOutcome,
    now: Timestamp,
) -> Result<Vec<EventKind>, TaskRefusal> {
    horizon_passed(task, id, now)?;
    Ok(fail(task, id, failure, output, open))
}

/// The end of a subtask without success, and of the task when nothing else runs.
pub(super) fn fail(
    task: &Task,
    id: SubtaskId,
    failure: Failure,
    output: StepOutput,
    open: IntentOutcome,
) -> Vec<EventKind> {
    let told = told(&output);
    let mut events = output_events(task, id, output);
    let effect = fail_subtask(task, id, &failure, open, &told, &mut events);
    if another_runs(task, id) {
        return events;
    }
    if let Some(next) = goes_on_without(task, id, &events) {
        events.extend(next);
        return events;
    }
    events.push(end_failed(task, id, effect, failure));
    events
}

/// What a rollout begins behind the failure of a server without which it goes on; `None`: it does not.
fn goes_on_without(task: &Task, id: SubtaskId, failed: &[EventKind]) -> Option<Vec<EventKind>> {
    if task.spec.rollout.is_none() || task.state != TaskState::Running {
        return None;
    }
    let after = behind(task, failed)?;
    let passed = after.subtask(id).is_ok_and(|subtask| after.is_passed_over(subtask));
    let next = waiting(&after, None);
    (passed && stopping_failure(&after).is_none() && !next.is_empty()).then(|| make_ready(&after, &next))
}

/// The task behind these events; `None`: they do not fold.
pub(super) fn behind(task: &Task, events: &[EventKind]) -> Option<Task> {
    let mut after = task.clone();
    for kind in events {
        after.apply(&Event { at: task.last_progress_at, kind: kind.clone() }).ok()?;
    }
    Some(after)
}

/// Ends only the subtask; returns whether it changed anything, or may have.
pub(super) fn fail_subtask(
    task: &Task,
    id: SubtaskId,
    failure: &Failure,
    open: IntentOutcome,
    told: &[i32],
    events: &mut Vec<EventKind>,
) -> Effect {
    let looked = open == IntentOutcome::Void;
    if looked {
        events.extend(settle(task, id, open, told));
    }
    let stands = |intent: &RecordedIntent| {
        intent.outcome == Some(IntentOutcome::Done) || !looked || told.contains(&intent.number)
    };
    let effect = match task.direction {
        Direction::Forward if task.effects(id).any(stands) => Effect::Done,
        Direction::Forward => Effect::None,
        // Whatever its undo achieved, it is still to be undone.
        Direction::Back => task.subtask(id).map_or(Effect::None, |subtask| subtask.effect),
    };
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

/// Whether a task that cannot continue rests (instead of closing), when `last` has ended with `effect` and this failure, if
/// any. Rest is for what a person must look at: an effect that stays, a consent to renew, a crash to understand.
pub(super) fn rests(task: &Task, last: SubtaskId, effect: Effect, failure: Option<&Failure>) -> bool {
    let of_another = task.subtasks.iter().any(|subtask| subtask.spec.id != last && subtask.effect == Effect::Done)
        || task.intents.iter().any(|intent| intent.subtask != last && intent.may_have_happened());
    let to_look_at = |failure: &Failure| matches!(failure.kind, FailureKind::Expired | FailureKind::CrashLoop);
    let others = task.subtasks.iter().filter(|subtask| subtask.spec.id != last);
    let someone_must_look = others.filter_map(|subtask| subtask.error.as_ref()).chain(failure).any(to_look_at);
    // A person requested the undo, and must learn how far it came.
    let half_undone = task.direction == Direction::Back;
    effect == Effect::Done || of_another || someone_must_look || half_undone
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
    EventKind::TaskStateChanged { from: task.state, to, operation, error: Some(failure) }
}

/// The subtasks that wait for nothing any more, now that `just` succeeds.
pub(super) fn waiting(task: &Task, just: Option<SubtaskId>) -> Vec<SubtaskId> {
    let waiting = task.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Pending);
    let pass = |subtask: &Subtask, upstream: SubtaskId| Some(upstream) == just || task.lets_pass(upstream, subtask);
    waiting
        .filter(|subtask| subtask.spec.upstreams.iter().all(|upstream| pass(subtask, *upstream)))
        .map(|subtask| subtask.spec.id)
        .collect()
}

pub(super) fn make_ready(task: &Task, next: &[SubtaskId]) -> Vec<EventKind> {
    let ready = next.iter().filter_map(|subtask| {
        moved(task, *subtask, SubtaskState::Ready, |change| {
            change.effect = Effect::None;
            change.executor = String::new();
        })
    });
    ready.collect()
}
