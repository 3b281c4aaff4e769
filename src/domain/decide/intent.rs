//! Effects that are about to be tried and how they ended: the consent to irreversible ones is looked at here, and only here.

use super::{LONGEST_GAP, StepOutput, TaskRefusal, output_events, retry_hint, step};
use crate::clock::Timestamp;
use crate::domain::effect::Intent;
use crate::domain::event::{EventKind, Failure, FailureKind, IntentOutcome, Phase, TaskState};
use crate::domain::ids::{Fence, SubtaskId};
use crate::domain::task::Task;

/// The outcome of an effect that was tried.
pub(super) fn ended(
    task: &Task,
    subtask: SubtaskId,
    number: i32,
    outcome: IntentOutcome,
    message: String,
) -> Result<Vec<EventKind>, TaskRefusal> {
    if task.state.phase() == Phase::Closed {
        return Err(TaskRefusal::SubtaskNotRunning { task: task.spec.id, subtask });
    }
    match task.intents.iter().find(|intent| intent.number == number && intent.subtask == subtask) {
        Some(intent) if intent.is_unresolved() => {
            Ok(vec![EventKind::IntentSettled { subtask, number, outcome, message }])
        }
        // A look has resolved it already, and what was seen counts more than an answer.
        Some(_) => Ok(Vec::new()),
        None => Err(TaskRefusal::Contradiction {
            what: format!("task {} has no intent {number} of subtask {subtask} that could end", task.spec.id),
        }),
    }
}

/// A step wants to try an effect: its intent, or the end of the step when the consent to it has ended.
pub(super) fn wanted(
    task: &Task,
    subtask: SubtaskId,
    intent: Intent,
    fence: Fence,
    output: StepOutput,
    now: Timestamp,
) -> Result<Vec<EventKind>, TaskRefusal> {
    // Cancelled between the look and now: nothing new begins, and the step ends as requested.
    if task.state == TaskState::Canceling {
        return Ok(Vec::new());
    }
    if let Some(failure) = consent_ended(task, &intent, now) {
        // What was tried before may be under way: that this one was needed is no look behind its horizon.
        return step::failed(task, subtask, failure, StepOutput::default(), IntentOutcome::Unknown, now);
    }
    let mut events = output_events(task, subtask, output);
    events.push(EventKind::IntentRecorded { subtask, number: task.next_intent(), intent, fence });
    Ok(events)
}

/// Why an intent fails the subtask that wants it, instead of being recorded.
pub fn consent_ended(task: &Task, intent: &Intent, now: Timestamp) -> Option<Failure> {
    if !intent.irreversible {
        return None;
    }
    let gap = now.since(task.last_progress_at).max(task.longest_gap);
    // To wait for clients is what was consented to, and nothing happens meanwhile.
    let longest = LONGEST_GAP + task.spec.drain;
    let why = if now > task.expire_time {
        format!("its expire_time {} has passed", task.expire_time)
    } else if gap > longest {
        format!("nothing happened for {} s before it (at most {} s)", gap.as_secs(), longest.as_secs())
    } else {
        return None;
    };
    let failure = Failure::new(
        FailureKind::Expired,
        "EXPIRED",
        format!("the consent to {:?} has ended, {why}; {} to consent anew", intent.description, retry_hint(task)),
    );
    Some(
        failure
            .with("effect", &intent.description)
            .with("expire_time", task.expire_time)
            .with("gap_seconds", gap.as_secs()),
    )
}
