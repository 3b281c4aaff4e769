//! Whether a task may begin: the one place of admission for windows, exclusions, change freezes and approvals. A request that may not
//! begin is refused, or recorded as a task that is PENDING: it holds no lock, and is looked at again until it begins, is refused, or
//! is cancelled. Pure.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::approval::PlanDigest;
use crate::domain::change_freeze::ChangeFreeze;
use crate::domain::event::{Failure, FailureKind, TaskState};
use crate::domain::hold::HoldUntil;
use crate::domain::ids::TaskId;
use crate::domain::maintenance::{Closed, MaintenancePolicy};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::domain::task::Task;

/// How long a task that waits for something that can come at any time is not looked at again.
pub const NEXT_LOOK: Duration = Duration::from_secs(1);
/// The same where its coming is committed, and so seen at once.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a request says of its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BeginRequest {
    /// It is not to begin before this.
    pub not_before: Option<Timestamp>,
    /// What may not begin now waits, instead of being refused.
    pub queue: bool,
}

/// What a task waits for that was not begun when it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The store in which it was accepted. One that is restored from a backup is another, and may know of tasks that have begun since:
    /// none of them begins there once more.
    pub store_id: String,
    pub not_before: Option<Timestamp>,
    /// Somebody else must approve it.
    pub approval: bool,
    /// It only brings something back into service.
    pub starts: bool,
}

/// What decides over a beginning besides the request.
pub struct Rules<'a> {
    pub policy: &'a MaintenancePolicy,
    /// The change freeze that covers its cluster, if one is on.
    pub freeze: Option<&'a ChangeFreeze>,
    pub store_id: &'a str,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It begins now.
    Begin,
    /// It is recorded, and waits. `earliest`: it does not begin before.
    Wait { pending: Pending, earliest: Timestamp },
}

/// What becomes of a request for a task that accepts these risks.
pub fn admit(
    asked: BeginRequest,
    rules: &Rules<'_>,
    accepted: &[Risk],
    starts: bool,
    cluster: &str,
    now: Timestamp,
) -> Result<Admission, Refusal> {
    let not_before = asked.not_before.filter(|at| *at > now);
    let from = not_before.unwrap_or(now);
    let closed = rules.policy.admits(from, starts).err();
    if !asked.queue {
        if let Some(closed) = closed {
            return Err(Refusal::OutsideWindow { cluster: cluster.to_owned(), from, closed });
        }
        if let Some(freeze) = rules.freeze {
            return Err(Refusal::ChangesFrozen { cluster: cluster.to_owned(), freeze: Box::new(freeze.clone()) });
        }
    }
    let approval = rules.policy.wants_approval(accepted, starts);
    if not_before.is_none() && closed.is_none() && rules.freeze.is_none() && !approval {
        return Ok(Admission::Begin);
    }
    let earliest = closed.and_then(|closed| closed.next).unwrap_or(from);
    let store_id = rules.store_id.to_owned();
    Ok(Admission::Wait { pending: Pending { store_id, not_before, approval, starts }, earliest })
}

/// Something that a pending task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    NotBefore(Timestamp),
    Window(Closed),
    Frozen(ChangeFreeze),
    Approval,
    /// A task holds the cluster.
    Held(TaskId),
    /// A task of the same cluster that was accepted earlier begins first.
    Behind(TaskId),
    /// What it needs could not be looked at.
    Unknown(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBefore(at) => write!(formatter, "its moment, {at}"),
            Self::Window(Closed { exclusion, next }) => {
                match exclusion {
                    None => formatter.write_str("a window of its cluster")?,
                    Some(exclusion) => write!(formatter, "the end of the exclusion {exclusion}")?,
                }
                match next {
                    Some(next) => write!(formatter, ", the next opening is at {next}"),
                    None => formatter.write_str(", no opening is in sight"),
                }
            }
            Self::Frozen(freeze) => {
                write!(formatter, "the end of the change freeze of {} since {}", freeze.by, freeze.since)
            }
            Self::Approval => formatter.write_str("the approval of somebody else"),
            Self::Held(task) => write!(formatter, "task {task}, which holds the cluster"),
            Self::Behind(task) => write!(formatter, "task {task}, which was accepted earlier"),
            Self::Unknown(why) => write!(formatter, "an answer: {why}"),
        }
    }
}

/// What becomes of a pending task now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    Begin,
    Wait {
        /// Never empty.
        causes: Vec<Cause>,
        /// When it is looked at again at the latest.
        again_at: Timestamp,
    },
    /// It is refused, not begun.
    Refuse(Failure),
    /// The time of the approval that it has is over.
    ApprovalExpired(PlanDigest),
}

/// What policy, freeze and approval say of a pending task; the lock of its cluster and its place among others are not asked.
pub fn causes(task: &Task, policy: &MaintenancePolicy, freeze: Option<&ChangeFreeze>, now: Timestamp) -> Vec<Cause> {
    let Some(pending) = &task.spec.pending else { return Vec::new() };
    let mut causes = Vec::new();
    causes.extend(pending.not_before.filter(|at| now < *at).map(Cause::NotBefore));
    causes.extend(policy.admits(now, pending.starts).err().map(Cause::Window));
    causes.extend(freeze.cloned().map(Cause::Frozen));
    if pending.approval && task.approval_at(now).is_none() {
        causes.push(Cause::Approval);
    }
    causes
}

/// `holder`: the task that holds its cluster; `before`: one of its cluster that was accepted earlier and may begin.
pub fn outlook(
    task: &Task,
    rules: &Rules<'_>,
    holder: Option<TaskId>,
    before: Option<TaskId>,
    now: Timestamp,
) -> Outlook {
    if let Some(failure) = too_late(task, rules.store_id, now) {
        return Outlook::Refuse(failure);
    }
    if let Some(approval) = task.approval.as_ref().filter(|approval| approval.expire_time <= now) {
        return Outlook::ApprovalExpired(approval.plan.clone());
    }
    let mut causes = causes(task, rules.policy, rules.freeze, now);
    causes.extend(holder.map(Cause::Held));
    causes.extend(before.map(Cause::Behind));
    if causes.is_empty() {
        return Outlook::Begin;
    }
    // Where a moment is known before which nothing changes for the better, that. What is committed is seen at once, a thaw is not.
    let known = causes.iter().filter_map(|cause| match cause {
        Cause::NotBefore(at) => Some(*at),
        Cause::Window(closed) => closed.next,
        Cause::Frozen(_) | Cause::Unknown(_) => Some(now.plus(NEXT_LOOK)),
        Cause::Approval | Cause::Held(_) | Cause::Behind(_) => None,
    });
    let again_at = known.max().unwrap_or_else(|| now.plus(LONGEST_WAIT));
    let ends = task.approval.iter().map(|approval| approval.expire_time).chain([task.expire_time]);
    let again_at = ends.fold(again_at, Timestamp::min);
    Outlook::Wait { causes, again_at }
}

/// Why a pending task never begins any more.
fn too_late(task: &Task, store_id: &str, now: Timestamp) -> Option<Failure> {
    debug_assert_eq!(task.state, TaskState::Pending);
    let next = "ask again";
    if task.expire_time <= now {
        let expire_time = task.expire_time;
        let words = format!("the task did not begin before its expire_time {expire_time}, it is {now}; {next}");
        let failure = Failure::new(FailureKind::Expired, "EXPIRE_TIME_PASSED", words);
        return Some(failure.with("expire_time", expire_time));
    }
    if task.spec.pending.as_ref().is_some_and(|pending| pending.store_id != store_id) {
        let words =
            format!("the task was waiting when the store was backed up, and may have begun since; look, then {next}");
        return Some(Failure::new(FailureKind::Refused, "STORE_RESTORED", words));
    }
    match task.spec.hold?.until {
        HoldUntil::Deadline(until) if until <= now => {
            let words = format!("the task did not begin before the end of its hold, {until}, it is {now}; {next}");
            Some(Failure::new(FailureKind::Expired, "HOLD_DEADLINE_PASSED", words).with("hold_until", until))
        }
        HoldUntil::Deadline(_) | HoldUntil::For(_) => None,
    }
}
