//! How a task begins: at once when it is accepted, or later when it was PENDING; and how one ends that never does.

use super::{TaskRefusal, dispatch};
use crate::clock::Timestamp;
use crate::domain::approval::{Approval, ApprovalEnd, PlanDigest};
use crate::domain::beginning::causes;
use crate::domain::event::{
    Effect, EventKind, Failure, Phase, SubtaskOperation, SubtaskState, TaskOperation, TaskSpec, TaskState,
};
use crate::domain::graph::SubtaskSpec;
use crate::domain::ids::Principal;
use crate::domain::maintenance::MaintenancePolicy;
use crate::domain::reason::Reason;
use crate::domain::task::Task;

/// The first events of a task.
pub fn create(spec: TaskSpec) -> Vec<EventKind> {
    // One that waits is made ready when it begins.
    let first: Vec<EventKind> = match spec.pending {
        None => first(&spec).map(ready).collect(),
        Some(_) => Vec::new(),
    };
    std::iter::once(EventKind::Created(Box::new(spec))).chain(first).collect()
}

/// The nodes that wait for no other.
fn first(spec: &TaskSpec) -> impl Iterator<Item = &SubtaskSpec> {
    spec.graph.subtasks.iter().filter(|subtask| subtask.upstreams.is_empty())
}

fn ready(subtask: &SubtaskSpec) -> EventKind {
    EventKind::SubtaskStateChanged {
        subtask: subtask.id,
        from: SubtaskState::Pending,
        to: SubtaskState::Ready,
        operation: SubtaskOperation::Execute,
        run_time: 1,
        effect: Effect::None,
        executor: String::new(),
        error: None,
    }
}

/// It takes its cluster and runs.
///
/// `plan`: the one that is approved. Where it may not begin at this very moment (it was long until this was decided, the clock was set, the
/// approval was withdrawn) there are no events.
pub(super) fn begun(
    task: &Task,
    executor: &str,
    plan: Option<&PlanDigest>,
    policy: &MaintenancePolicy,
    now: Timestamp,
) -> Result<Vec<EventKind>, TaskRefusal> {
    is_pending(task)?;
    let approved = !task.wants_approval() || task.approval.as_ref().map(|approval| &approval.plan) == plan;
    // A change freeze is looked for by the commit itself.
    if now >= task.expire_time || !causes(task, policy, None, now).is_empty() || !approved {
        return Ok(Vec::new());
    }
    let operation = TaskOperation::Execute;
    let mut events =
        vec![EventKind::TaskStateChanged { from: task.state, to: TaskState::Running, operation, error: None }];
    events.extend(first(&task.spec).map(ready));
    let running = Task { state: TaskState::Running, ..task.clone() };
    events.extend(dispatch(&running, &first(&task.spec).map(|subtask| subtask.id).collect::<Vec<_>>(), executor));
    Ok(events)
}

/// It never begins.
pub(super) fn refused(task: &Task, operation: TaskOperation, failure: Failure) -> EventKind {
    EventKind::TaskStateChanged { from: task.state, to: TaskState::Refused, operation, error: Some(failure) }
}

/// It is closed by a rule.
pub(super) fn not_begun(task: &Task, failure: Failure) -> Result<Vec<EventKind>, TaskRefusal> {
    is_pending(task)?;
    Ok(vec![refused(task, TaskOperation::Execute, failure)])
}

/// Somebody else agrees with a plan that was shown to them, up to a moment.
pub(super) fn approved(
    task: &Task,
    by: Principal,
    plan: PlanDigest,
    (at, expire_time): (Timestamp, Timestamp),
    reason: Reason,
) -> Result<Vec<EventKind>, TaskRefusal> {
    if by == task.spec.creator {
        return Err(TaskRefusal::OwnTask { task: task.spec.id, principal: by });
    }
    Ok(vec![EventKind::Approved { approval: Approval { by, plan, at, expire_time }, reason }])
}

/// The approval that it has ends.
pub(super) fn approval_ended(task: &Task, by: Principal, why: ApprovalEnd, reason: Reason) -> Vec<EventKind> {
    let ended = task.approval.as_ref().map(|_| EventKind::ApprovalEnded { by, why, reason });
    ended.into_iter().collect()
}

fn is_pending(task: &Task) -> Result<(), TaskRefusal> {
    match task.state.phase() {
        Phase::Pending => Ok(()),
        Phase::Moving | Phase::AtRest | Phase::Closed => {
            Err(TaskRefusal::Contradiction { what: format!("task {} is {}, not PENDING", task.spec.id, task.state) })
        }
    }
}
