//! What a caller can ask of a task: retry, rollback, skip, cancel, give up. The calls differ in their arguments only; what is
//! asked is data, [`TaskRequest`], and there is one way from it to the task.

use std::sync::Arc;

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::decide::{Input, VerbRequest};
use crate::domain::event::{Phase, Verb};
use crate::domain::ids::{Revision, SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::domain::task::Task;
use crate::engine::WriteOutcome;
use crate::store::{Author, StoredTask, Write};

/// A verb asked of a task.
pub struct TaskRequest {
    pub(super) task: TaskId,
    /// Refused unless the task is at this revision.
    pub(super) if_revision: Option<Revision>,
    pub(super) verb: VerbRequest,
}

impl TaskRequest {
    fn audit_entry(&self) -> AuditEntry {
        let expire_time = match &self.verb {
            VerbRequest::SkipSubtask { subtask } => {
                return on_subtask(self.task, *subtask).with_or_empty("if_revision", self.if_revision);
            }
            VerbRequest::Retry { expire_time } | VerbRequest::Rollback { expire_time } => *expire_time,
            VerbRequest::Cancel | VerbRequest::GiveUp { .. } => None,
        };
        AuditEntry::on(format!("task {}", self.task))
            .of_task(self.task)
            .with_or_empty("if_revision", self.if_revision)
            .with_or_empty("expire_time", expire_time.map(Timestamp::as_micros))
    }
}

/// On a subtask of a task.
pub(super) fn on_subtask(task: TaskId, subtask: SubtaskId) -> AuditEntry {
    AuditEntry::on(format!("task {task} subtask {subtask}")).of_task(task)
}

/// Whether what a task was accepted with is accepted anew: a retry and a skip lead on to the steps that are irreversible.
pub(super) const fn accepts_anew(verb: Verb, accepted: &[Risk]) -> bool {
    match verb {
        Verb::Retry | Verb::SkipSubtask => !accepted.is_empty(),
        Verb::Rollback | Verb::Cancel | Verb::GiveUp => false,
    }
}

const fn call(verb: Verb) -> Call {
    match verb {
        Verb::Retry => Call::RetryTask,
        Verb::Rollback => Call::RollbackTask,
        Verb::SkipSubtask => Call::SkipSubtask,
        Verb::Cancel => Call::CancelTask,
        Verb::GiveUp => Call::GiveUpTask,
    }
}

/// The arguments of a call that asks a verb of a task.
pub trait TaskVerb: Send + Sync + 'static {
    /// That of every request.
    const VERB: Verb;

    /// The arguments, as data.
    fn request(&self) -> TaskRequest;
}

impl<V: TaskVerb> ServiceCall for V {
    const CALL: Call = call(V::VERB);
    type Subject = TaskId;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> TaskId {
        self.request().task
    }

    fn accepts_risks(&self, accepted: &[Risk]) -> bool {
        accepts_anew(V::VERB, accepted)
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        self.request().audit_entry()
    }

    async fn run(self, service: &Service, caller: &Caller, found: StoredTask) -> Result<StoredTask, Refusal> {
        service.ask(caller, self.request(), found.task).await
    }
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

impl TaskVerb for RetryTask {
    const VERB: Verb = Verb::Retry;

    fn request(&self) -> TaskRequest {
        let verb = VerbRequest::Retry { expire_time: self.expire_time };
        TaskRequest { task: self.task, if_revision: self.if_revision, verb }
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

impl TaskVerb for RollbackTask {
    const VERB: Verb = Verb::Rollback;

    fn request(&self) -> TaskRequest {
        let verb = VerbRequest::Rollback { expire_time: self.expire_time };
        TaskRequest { task: self.task, if_revision: self.if_revision, verb }
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

impl TaskVerb for SkipSubtask {
    const VERB: Verb = Verb::SkipSubtask;

    fn request(&self) -> TaskRequest {
        let verb = VerbRequest::SkipSubtask { subtask: self.subtask };
        TaskRequest { task: self.task, if_revision: self.if_revision, verb }
    }
}

/// Ends what a task runs; it comes to rest by itself.
#[derive(Clone, Debug)]
pub struct CancelTask {
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
}

impl TaskVerb for CancelTask {
    const VERB: Verb = Verb::Cancel;

    fn request(&self) -> TaskRequest {
        TaskRequest { task: self.task, if_revision: self.if_revision, verb: VerbRequest::Cancel }
    }
}

/// Closes a task at rest, with what it leaves behind on record.
#[derive(Clone, Debug)]
pub struct GiveUpTask {
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
}

impl TaskVerb for GiveUpTask {
    const VERB: Verb = Verb::GiveUp;

    /// What is left behind is looked at when the caller may.
    fn request(&self) -> TaskRequest {
        let verb = VerbRequest::GiveUp { found: Vec::new() };
        TaskRequest { task: self.task, if_revision: self.if_revision, verb }
    }
}

impl Service {
    /// Asks a verb of a task, with the record of it, and answers with the task as it is then. `task` is as it was read for the
    /// permission; what it has come to since is seen by the commit, which decides again over it.
    pub(super) async fn ask(
        &self,
        caller: &Caller,
        mut request: TaskRequest,
        task: Task,
    ) -> Result<StoredTask, Refusal> {
        if let VerbRequest::GiveUp { found } = &mut request.verb
            && task.allows(Verb::GiveUp)
        {
            *found = self.left_behind(&task).await;
        }
        let (id, verb) = (request.task, request.verb.verb());
        let task = self.write(caller, request, Arc::new(task)).await?;
        match verb {
            Verb::Retry | Verb::Rollback | Verb::SkipSubtask => self.go_on(task).await?,
            Verb::Cancel => self.engine.tell(&task),
            Verb::GiveUp => {}
        }
        self.stored_task(id).await
    }

    async fn write(&self, caller: &Caller, request: TaskRequest, task: Arc<Task>) -> Result<Arc<Task>, Refusal> {
        let entry = request.audit_entry().in_cluster(task.spec.cluster.id);
        let TaskRequest { task: id, if_revision, verb: asked } = request;
        let (verb, principal) = (asked.verb(), caller.principal.clone());
        let author = Author::Request { principal: principal.clone(), nonce: uuid::Uuid::new_v4().to_string() };
        let input = Input::Requested { asked, principal, reason: caller.reason.clone(), if_revision };
        let audit = self.accepted(caller, call(verb), entry);
        let written = self.engine.committer().write(&task, input, author, |_| vec![Write::Audit(audit.clone())]).await;
        match written.map_err(|error| store_refusal(&error))? {
            WriteOutcome::Done { task, .. } => Ok(task),
            WriteOutcome::Refused(refusal) => Err(refusal),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) | WriteOutcome::Replayed { .. } => {
                Err(Refusal::Internal { what: format!("{verb} of task {id} was not written") })
            }
        }
    }

    /// Gives a task that moves again to an owner.
    pub(super) async fn go_on(&self, task: Arc<Task>) -> Result<(), Refusal> {
        match task.state.phase() {
            Phase::Moving => self.engine.resume(task).await.map_err(|error| store_refusal(&error)),
            // Another subtask keeps it at rest, or nothing was left to do.
            Phase::AtRest | Phase::Closed => Ok(()),
        }
    }
}
