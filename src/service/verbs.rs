//! What a caller can ask of a task: retry, rollback, skip, cancel, give up, and what holds and rollouts take besides. The calls differ in their arguments only; what is
//! asked is data, [`TaskRequest`], and there is one way from it to the task.

use std::sync::Arc;

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{CallFamily, Caller, FamilyCall};
use super::refusals::engine_refusal;
use crate::clock::Timestamp;
use crate::domain::approval::PlanDigest;
use crate::domain::call::Call;
use crate::domain::decide::{Input, VerbRequest};
use crate::domain::event::{Phase, Verb};
use crate::domain::ids::{Fence, Revision, SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::domain::task::Task;
use crate::engine::WriteOutcome;
use crate::store::{Author, StoredTask, Write};

/// A verb asked of a task.
pub struct TaskRequest {
    call: Call,
    task: TaskId,
    if_revision: Option<Revision>,
    verb: VerbRequest,
}

impl CallFamily for TaskRequest {
    type Subject = TaskId;
    type Output = StoredTask;

    fn subject(&self) -> TaskId {
        self.task
    }

    /// A retry and a skip lead on to what the risks of the task were accepted for: that accepts them anew.
    fn accepts_risks(&self, accepted: &[Risk]) -> Vec<Risk> {
        match self.verb {
            VerbRequest::Retry { .. } | VerbRequest::SkipSubtask { .. } => accepted.to_vec(),
            // Going on with a rollout leads to the stop of the next server.
            VerbRequest::Resume => accepted.to_vec(),
            // Who approves answers for the risks as who asks does.
            VerbRequest::Approve { .. } => accepted.to_vec(),
            VerbRequest::Rollback { .. }
            | VerbRequest::Cancel
            | VerbRequest::CompleteHold
            | VerbRequest::Pause
            | VerbRequest::WithdrawApproval
            | VerbRequest::GiveUp { .. } => Vec::new(),
        }
    }

    fn audit_entry(&self) -> AuditEntry {
        let expire_time = match &self.verb {
            VerbRequest::SkipSubtask { subtask } => {
                return on_subtask(self.task, *subtask).with_or_empty("if_revision", self.if_revision);
            }
            VerbRequest::Approve { plan, .. } => {
                return AuditEntry::on(format!("task {}", self.task))
                    .of_task(self.task)
                    .with_or_empty("if_revision", self.if_revision)
                    .with("plan_digest", plan);
            }
            VerbRequest::Retry { expire_time } | VerbRequest::Rollback { expire_time } => *expire_time,
            VerbRequest::Cancel
            | VerbRequest::CompleteHold
            | VerbRequest::Pause
            | VerbRequest::Resume
            | VerbRequest::WithdrawApproval
            | VerbRequest::GiveUp { .. } => None,
        };
        AuditEntry::on(format!("task {}", self.task))
            .of_task(self.task)
            .with_or_empty("if_revision", self.if_revision)
            .with_or_empty("expire_time", expire_time.map(Timestamp::as_micros))
    }

    /// What the task has come to since it was read for the permission is seen by the commit, which decides again over it.
    async fn run(mut self, service: &Service, caller: &Caller, found: StoredTask) -> Result<StoredTask, Refusal> {
        let task = found.task;
        if let VerbRequest::GiveUp { found } = &mut self.verb
            && task.allows(Verb::GiveUp)
        {
            *found = service.left_behind(&task).await;
        }
        if let VerbRequest::Approve { plan, expire_time } = &mut self.verb
            && task.allows(Verb::Approve)
        {
            service.may_approve(caller, &task, plan).await?;
            let policy = service.beginnings.policies.of(&task.spec.cluster.name);
            *expire_time = service.deps.clock.now().plus(policy.approval_time);
        }
        let (id, verb) = (self.task, self.verb.verb());
        let (task, fence) = service.ask(caller, self, Arc::new(task)).await?;
        match verb {
            Verb::Retry | Verb::Rollback | Verb::SkipSubtask => service.go_on(task, fence).await?,
            Verb::Cancel | Verb::CompleteHold | Verb::Pause | Verb::Resume => service.engine.notify_request(&task),
            Verb::GiveUp | Verb::Approve | Verb::WithdrawApproval => {}
        }
        service.stored_task(id).await
    }
}

pub(super) fn on_subtask(task: TaskId, subtask: SubtaskId) -> AuditEntry {
    AuditEntry::on(format!("task {task} subtask {subtask}")).of_task(task)
}

/// Runs a task at rest again. That accepts its risks anew.
#[derive(Clone, Debug)]
pub struct RetryTask {
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
    /// New end of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
}

impl FamilyCall for RetryTask {
    const CALL: Call = Call::RetryTask;
    type Family = TaskRequest;

    fn data(&self) -> TaskRequest {
        let verb = VerbRequest::Retry { expire_time: self.expire_time };
        TaskRequest { call: Self::CALL, task: self.task, if_revision: self.if_revision, verb }
    }
}

/// Undoes what a task at rest has done.
#[derive(Clone, Debug)]
pub struct RollbackTask {
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
    /// New end of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
}

impl FamilyCall for RollbackTask {
    const CALL: Call = Call::RollbackTask;
    type Family = TaskRequest;

    fn data(&self) -> TaskRequest {
        let verb = VerbRequest::Rollback { expire_time: self.expire_time };
        TaskRequest { call: Self::CALL, task: self.task, if_revision: self.if_revision, verb }
    }
}

/// Counts a failed subtask as successful, and goes on behind it. That accepts the risks of its task anew.
#[derive(Clone, Debug)]
pub struct SkipSubtask {
    pub task: TaskId,
    pub subtask: SubtaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
}

impl FamilyCall for SkipSubtask {
    const CALL: Call = Call::SkipSubtask;
    type Family = TaskRequest;

    fn data(&self) -> TaskRequest {
        let verb = VerbRequest::SkipSubtask { subtask: self.subtask };
        TaskRequest { call: Self::CALL, task: self.task, if_revision: self.if_revision, verb }
    }
}

/// Agrees with a task that somebody else asked for, as its plan was shown. That accepts its risks too.
#[derive(Clone, Debug)]
pub struct ApproveTask {
    pub task: TaskId,
    /// Of the plan that was shown.
    pub plan: PlanDigest,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
}

impl FamilyCall for ApproveTask {
    const CALL: Call = Call::ApproveTask;
    type Family = TaskRequest;

    fn data(&self) -> TaskRequest {
        // How long it holds is the policy's to say.
        let verb = VerbRequest::Approve { plan: self.plan.clone(), expire_time: Timestamp::default() };
        TaskRequest { call: Self::CALL, task: self.task, if_revision: self.if_revision, verb }
    }
}

/// Verbs with no argument of their own.
macro_rules! of_task {
    ($($(#[$doc:meta])* $name:ident asks $verb:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            pub task: TaskId,
            /// Refused unless the task is at this revision.
            pub if_revision: Option<Revision>,
        }

        impl FamilyCall for $name {
            const CALL: Call = Call::$name;
            type Family = TaskRequest;

            fn data(&self) -> TaskRequest {
                TaskRequest { call: Self::CALL, task: self.task, if_revision: self.if_revision, verb: $verb }
            }
        }
    )+};
}

of_task! {
    /// Ends what a task runs; it comes to rest by itself.
    CancelTask asks VerbRequest::Cancel;
    /// Brings back what a task holds out of service.
    CompleteHold asks VerbRequest::CompleteHold;
    /// Lets a rollout begin no further batch.
    PauseRollout asks VerbRequest::Pause;
    /// Goes on with a rollout that is paused. That accepts the risks of its task anew.
    ResumeRollout asks VerbRequest::Resume;
    /// Takes back the approval of a task that has not begun.
    WithdrawApproval asks VerbRequest::WithdrawApproval;
    /// Closes a task at rest, with what it leaves behind on record; that is looked at when the caller may.
    GiveUpTask asks VerbRequest::GiveUp { found: Vec::new() };
}

impl Service {
    /// The task behind the request, and the fence of its lock then.
    async fn ask(&self, caller: &Caller, request: TaskRequest, task: Arc<Task>) -> Result<(Arc<Task>, Fence), Refusal> {
        let entry = request.audit_entry().in_cluster(task.spec.cluster.id);
        let TaskRequest { call, task: id, if_revision, verb: asked } = request;
        let (verb, principal) = (asked.verb(), caller.principal.clone());
        let author = Author::Request { principal: principal.clone(), nonce: uuid::Uuid::new_v4().to_string() };
        let input = Input::Requested { asked, principal, reason: caller.reason.clone(), if_revision };
        let audit = self.accepted(caller, call, entry);
        let written = self.engine.committer().write(&task, input, author, |_| vec![Write::Audit(audit.clone())]).await;
        match written.map_err(|error| engine_refusal(&error))? {
            WriteOutcome::Done { task, fence, .. } => Ok((task, fence)),
            WriteOutcome::Refused(refusal) => Err(refusal.into()),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) | WriteOutcome::Frozen | WriteOutcome::Replayed { .. } => {
                Err(Refusal::Internal { what: format!("{verb} of task {id} was not written") })
            }
        }
    }

    /// Gives a task that moves again to an owner.
    pub(super) async fn go_on(&self, task: Arc<Task>, fence: Fence) -> Result<(), Refusal> {
        match task.state.phase() {
            Phase::Moving => self.engine.resume(task, fence).await.map_err(|error| engine_refusal(&error)),
            // Another subtask keeps it at rest, or nothing was left to do.
            Phase::Pending | Phase::AtRest | Phase::Closed => Ok(()),
        }
    }
}
