//! What people request of a task.

use super::{DEFAULT_CONSENT, TaskRefusal, begin, cancel, rollback, skip};
use crate::clock::Timestamp;
use crate::domain::approval::{ApprovalEnd, PlanDigest};
use crate::domain::attempt::RecordedIntent;
use crate::domain::event::{
    Direction, EventKind, IntentOutcome, SubtaskOperation, SubtaskState, TaskOperation, TaskState, Verb,
};
use crate::domain::ids::{Principal, Revision, SubtaskId};
use crate::domain::reason::Reason;
use crate::domain::refusal::{NoUse, SkipRefusal};
use crate::domain::task::{Subtask, Task};

/// A verb with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerbRequest {
    /// Run again; `None`: the consent to irreversible steps ends after [`DEFAULT_CONSENT`].
    Retry { expire_time: Option<Timestamp> },
    /// Undo what was done; the consent as for a retry.
    Rollback { expire_time: Option<Timestamp> },
    /// Mark a failed subtask as successful, or as undone.
    SkipSubtask { subtask: SubtaskId },
    /// End what runs.
    Cancel,
    /// Bring back what is held.
    CompleteHold,
    /// Begin no further batch.
    Pause,
    /// Go on with the next batch.
    Resume,
    /// Close as it is.
    GiveUp {
        /// What a look at cluster and host found just before: code and message.
        found: Vec<(String, String)>,
    },
    /// Agree with the plan that was shown, up to a moment.
    Approve { plan: PlanDigest, expire_time: Timestamp },
    /// Take the approval back.
    WithdrawApproval,
}

impl VerbRequest {
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Retry { .. } => Verb::Retry,
            Self::Rollback { .. } => Verb::Rollback,
            Self::SkipSubtask { .. } => Verb::SkipSubtask,
            Self::Cancel => Verb::Cancel,
            Self::CompleteHold => Verb::CompleteHold,
            Self::Pause => Verb::Pause,
            Self::Resume => Verb::Resume,
            Self::GiveUp { .. } => Verb::GiveUp,
            Self::Approve { .. } => Verb::Approve,
            Self::WithdrawApproval => Verb::WithdrawApproval,
        }
    }
}

/// Who requests it, and why.
pub(super) struct Requester {
    pub(super) principal: Principal,
    pub(super) reason: Reason,
}

impl Requester {
    /// The event that records the request.
    pub(super) fn asks(self, verb: Verb, expire_time: Option<Timestamp>, subtask: Option<SubtaskId>) -> EventKind {
        let Self { principal, reason } = self;
        EventKind::VerbRequested { verb, principal, reason, expire_time, subtask }
    }
}

pub(super) fn requested(
    task: &Task,
    asked: VerbRequest,
    by: Requester,
    if_revision: Option<Revision>,
    now: Timestamp,
) -> Result<Vec<EventKind>, TaskRefusal> {
    if let Some(expected) = if_revision.filter(|expected| *expected != task.revision) {
        return Err(TaskRefusal::TaskMoved {
            task: task.spec.id,
            expected,
            revision: task.revision,
            state: task.state,
        });
    }
    let verb = asked.verb();
    allowed(task, &asked)?;
    match asked {
        VerbRequest::Retry { expire_time } => Ok(vec![
            consent(verb, by, expire_time, now)?,
            EventKind::TaskStateChanged {
                from: task.state,
                to: TaskState::Running,
                operation: TaskOperation::Retry,
                error: None,
            },
        ]),
        VerbRequest::Rollback { expire_time } => {
            let mut events = vec![consent(verb, by, expire_time, now)?];
            events.extend(rollback::begun(task));
            Ok(events)
        }
        VerbRequest::SkipSubtask { subtask } => {
            nothing_may_happen(task, Some(subtask), now)?;
            skip::skipped(task, subtask, by)
        }
        VerbRequest::Cancel => Ok(cancel::asked(task, by)),
        // The step that waits for it sees it.
        VerbRequest::CompleteHold | VerbRequest::Pause | VerbRequest::Resume => Ok(vec![by.asks(verb, None, None)]),
        VerbRequest::Approve { plan, expire_time } => {
            begin::approved(task, by.principal, plan, (now, expire_time), by.reason)
        }
        VerbRequest::WithdrawApproval => {
            Ok(begin::approval_ended(task, by.principal, ApprovalEnd::Withdrawn, by.reason))
        }
        VerbRequest::GiveUp { found } => {
            nothing_may_happen(task, None, now)?;
            let mut events = vec![by.asks(verb, None, None)];
            events.extend(left_behind(task));
            if let Some(last) = task.in_execution_order().iter().rfind(|it| it.state != SubtaskState::Pending) {
                let subtask = last.spec.id;
                events.extend(found.into_iter().map(|(code, message)| EventKind::Warned { subtask, code, message }));
            }
            events.push(EventKind::TaskStateChanged {
                from: task.state,
                to: TaskState::GivenUp,
                operation: TaskOperation::GiveUp,
                error: task.error.clone(),
            });
            Ok(events)
        }
    }
}

/// The event of a request that gives new consent to irreversible steps.
fn consent(
    verb: Verb,
    by: Requester,
    expire_time: Option<Timestamp>,
    now: Timestamp,
) -> Result<EventKind, TaskRefusal> {
    let expire_time = expire_time.unwrap_or_else(|| now.plus(DEFAULT_CONSENT));
    if expire_time <= now {
        return Err(TaskRefusal::ExpireTimePassed { expire_time, now });
    }
    Ok(by.asks(verb, Some(expire_time), None))
}

/// Nothing is closed or marked as done while what was tried may still happen.
fn nothing_may_happen(task: &Task, subtask: Option<SubtaskId>, now: Timestamp) -> Result<(), TaskRefusal> {
    match task.horizon(subtask).filter(|until| *until > now) {
        Some(until) => Err(TaskRefusal::EffectMayStillHappen { task: task.spec.id, until }),
        None => Ok(()),
    }
}

fn allowed(task: &Task, asked: &VerbRequest) -> Result<(), TaskRefusal> {
    let (id, state, verb) = (task.spec.id, task.state, asked.verb());
    let allowed_in = verb.allowed_in();
    if !allowed_in.contains(&state) {
        return Err(TaskRefusal::VerbNotAllowed { task: id, verb, state, allowed_in });
    }
    if let VerbRequest::SkipSubtask { subtask } = asked {
        let found = task.subtask(*subtask).map_err(|_| TaskRefusal::SubtaskNotFound { task: id, subtask: *subtask })?;
        if !task.can_skip(found) {
            let (subtask, name) = (*subtask, found.spec.name.clone());
            let why = match (found.state, task.direction) {
                (SubtaskState::Failed, Direction::Forward) if found.spec.prohibit_skip => SkipRefusal::Checks,
                (SubtaskState::Failed, Direction::Forward | Direction::Back) => SkipRefusal::NotItsTurn,
                (state, Direction::Forward | Direction::Back) => SkipRefusal::NotFailed(state),
            };
            return Err(TaskRefusal::SubtaskNotSkippable { task: id, subtask, name, why });
        }
    }
    if task.allows(verb) {
        return Ok(());
    }
    // The state would allow it: what is missing is a running subtask, or a forward course.
    let next = task.in_execution_order().into_iter().find(|subtask| subtask.state != SubtaskState::Successful);
    match (verb, next) {
        (Verb::Cancel, Some(next)) => Err(TaskRefusal::SubtaskNotRunning { task: id, subtask: next.spec.id }),
        (Verb::Retry, _) if task.direction == Direction::Back => Err(TaskRefusal::RollbackUnfinished { task: id }),
        (Verb::Retry, _) => Err(TaskRefusal::NothingToDo { task: id, verb, why: NoUse::PassedOver }),
        (Verb::CompleteHold, _) => Err(TaskRefusal::NothingToDo { task: id, verb, why: NoUse::NothingHeld }),
        (Verb::Pause, _) => Err(TaskRefusal::NothingToDo { task: id, verb, why: NoUse::NoBatchAhead }),
        (Verb::Resume, _) => Err(TaskRefusal::NothingToDo { task: id, verb, why: NoUse::NotPaused }),
        (Verb::Approve, _) => Err(TaskRefusal::NothingToDo { task: id, verb, why: NoUse::NoApprovalWanted }),
        (Verb::WithdrawApproval, _) => Err(TaskRefusal::NothingToDo { task: id, verb, why: NoUse::NotApproved }),
        (Verb::Cancel | Verb::Rollback | Verb::SkipSubtask | Verb::GiveUp, _) => {
            Err(TaskRefusal::VerbNotAllowed { task: id, verb, state, allowed_in })
        }
    }
}

/// The warnings that a task which is given up leaves behind as facts.
fn left_behind(task: &Task) -> Vec<EventKind> {
    let warned = |intent: &RecordedIntent, what: &str| EventKind::Warned {
        subtask: intent.subtask,
        code: "EFFECT_STAYS".to_owned(),
        message: format!("{what} at {}: {}", intent.at, intent.intent.description),
    };
    // What was only marked as undone may well still be there.
    let undone = |id: SubtaskId| {
        let undone = |it: &Subtask| task.is_undone(it) && it.operation != SubtaskOperation::RollbackSkip;
        task.direction == Direction::Back && task.subtask(id).is_ok_and(undone)
    };
    let left = task.intents.iter().filter(|intent| !undone(intent.subtask));
    let left = left.filter_map(|intent| match intent.outcome {
        Some(IntentOutcome::Done) => Some(warned(intent, "this was done and stays, it was tried")),
        Some(IntentOutcome::Unknown) | None => Some(warned(intent, "look whether this was done, it was tried")),
        Some(IntentOutcome::Refused | IntentOutcome::Void) => None,
    });
    left.collect()
}
