//! Calls that read tasks: get and list. Those that change one are in `verbs`, those on a subtask in `subtasks`.

use super::Service;
<<<<<<< policy
use super::audit_entry::AuditEntry;
use super::call::{CallSubject, Caller, ServiceCall};
use super::refusals::{engine_refusal, store_refusal};
=======
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
>>>>>>> main
use super::views::PageOf;
use super::visibility;
use crate::domain::call::Call;
use crate::domain::event::TaskState;
use crate::domain::ids::{ClusterId, Principal, ServerId, TaskId};
use crate::domain::refusal::Refusal;
use crate::store::{Page, StoredTask, TaskFilter, TaskOrder};

#[derive(Clone, Copy, Debug)]
pub struct GetTask(pub TaskId);

impl ServiceCall for GetTask {
    const CALL: Call = Call::GetTask;
    type Subject = TaskId;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> TaskId {
        self.0
    }

    async fn run(self, _: &Service, _: &Caller, found: StoredTask) -> Result<StoredTask, Refusal> {
        Ok(found)
    }
}

/// Tasks that the caller may see, newest first.
#[derive(Clone, Debug)]
pub struct ListTasks {
    pub cluster: Option<ClusterId>,
    pub server: Option<ServerId>,
    /// In one of these states; empty: any.
    pub states: Vec<TaskState>,
    pub creator: Option<Principal>,
    /// Only ids below this (from the page token).
    pub below: Option<TaskId>,
    pub limit: u32,
}

impl ServiceCall for ListTasks {
    const CALL: Call = Call::ListTasks;
    type Subject = ();
    type Output = Vec<StoredTask>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<Vec<StoredTask>, Refusal> {
        let filter = TaskFilter {
            cluster: self.cluster,
            server: self.server,
            states: self.states,
            creator: self.creator,
            visible: visibility::of_tasks(&caller.rights),
            name: None,
        };
        service.store.list(&filter, self.below, self.limit).await.map_err(|error| store_refusal(&error))
    }
}

/// Which tasks of those that the caller may see.
#[derive(Clone, Debug, Default)]
pub struct TaskSelection {
    pub cluster: Option<ClusterId>,
    pub server: Option<ServerId>,
    /// In one of these states; empty: any.
    pub states: Vec<TaskState>,
    /// Whose name holds this, whatever the case.
    pub name: Option<String>,
}

/// A page of the tasks that the caller may see.
#[derive(Clone, Debug)]
pub struct TasksPage {
    pub selection: TaskSelection,
    pub page: Page<TaskOrder>,
}

impl ServiceCall for TasksPage {
    const CALL: Call = Call::ListTasks;
    type Subject = ();
    type Output = PageOf<StoredTask>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<PageOf<StoredTask>, Refusal> {
        let TaskSelection { cluster, server, states, name } = self.selection;
        let visible = visibility::of_tasks(&caller.rights);
        let filter = TaskFilter { visible, name, cluster, server, states, creator: None };
        let (items, total) = service.store.page(&filter, self.page).await.map_err(|error| store_refusal(&error))?;
        Ok(PageOf { items, total })
    }
}
<<<<<<< policy

/// Runs a task at rest again. That accepts its risks anew.
#[derive(Clone, Debug)]
pub struct RetryTask {
    /// Which task.
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
    /// New end of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
}

impl ServiceCall for RetryTask {
    const CALL: Call = Call::RetryTask;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> CallSubject {
        CallSubject::Task(self.task)
    }

    fn accepts_risks(&self, accepted: &[Risk]) -> bool {
        !accepted.is_empty()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        verb_entry(self.task, self.if_revision, self.expire_time)
    }

    async fn run(self, service: &Service, caller: &Caller) -> Result<StoredTask, Refusal> {
        let entry = self.audit_entry(caller);
        let task = service
            .ask(
                caller,
                Self::CALL,
                self.task,
                self.if_revision,
                VerbRequest::Retry { expire_time: self.expire_time },
                entry,
            )
            .await?;
        service.go_on(task).await?;
        service.stored_task(self.task).await
    }
}

/// Undoes what a task at rest has done.
#[derive(Clone, Debug)]
pub struct RollbackTask {
    /// Which task.
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
    /// New end of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
}

impl ServiceCall for RollbackTask {
    const CALL: Call = Call::RollbackTask;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> CallSubject {
        CallSubject::Task(self.task)
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        verb_entry(self.task, self.if_revision, self.expire_time)
    }

    async fn run(self, service: &Service, caller: &Caller) -> Result<StoredTask, Refusal> {
        let entry = self.audit_entry(caller);
        let task = service
            .ask(
                caller,
                Self::CALL,
                self.task,
                self.if_revision,
                VerbRequest::Rollback { expire_time: self.expire_time },
                entry,
            )
            .await?;
        service.go_on(task).await?;
        service.stored_task(self.task).await
    }
}

/// Ends what a task runs; it comes to rest by itself.
#[derive(Clone, Debug)]
pub struct CancelTask {
    /// Which task.
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
}

impl ServiceCall for CancelTask {
    const CALL: Call = Call::CancelTask;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> CallSubject {
        CallSubject::Task(self.task)
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        verb_entry(self.task, self.if_revision, None)
    }

    async fn run(self, service: &Service, caller: &Caller) -> Result<StoredTask, Refusal> {
        let entry = self.audit_entry(caller);
        let task = service.ask(caller, Self::CALL, self.task, self.if_revision, VerbRequest::Cancel, entry).await?;
        service.engine.notify_request(&task);
        service.stored_task(self.task).await
    }
}

/// Closes a task at rest, with what it leaves behind on record.
#[derive(Clone, Debug)]
pub struct GiveUpTask {
    /// Which task.
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
}

impl ServiceCall for GiveUpTask {
    const CALL: Call = Call::GiveUpTask;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> CallSubject {
        CallSubject::Task(self.task)
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        verb_entry(self.task, self.if_revision, None)
    }

    async fn run(self, service: &Service, caller: &Caller) -> Result<StoredTask, Refusal> {
        let task = service.stored_task(self.task).await?.task;
        let found = if task.allows(Verb::GiveUp) { service.left_behind(&task).await } else { Vec::new() };
        let (verb, entry) = (VerbRequest::GiveUp { found }, self.audit_entry(caller));
        service.ask(caller, Self::CALL, self.task, self.if_revision, verb, entry).await?;
        service.stored_task(self.task).await
    }
}

fn verb_entry(task: TaskId, if_revision: Option<Revision>, expire_time: Option<Timestamp>) -> AuditEntry {
    AuditEntry::on(format!("task {task}"))
        .of_task(task)
        .with_or_empty("if_revision", if_revision)
        .with_or_empty("expire_time", expire_time.map(Timestamp::as_micros))
}

impl Service {
    /// Gives a task that moves again to an owner.
    pub(super) async fn go_on(&self, task: Arc<Task>) -> Result<(), Refusal> {
        match task.state.phase() {
            Phase::Moving => self.engine.resume(task).await.map_err(|error| engine_refusal(&error)),
            // Another subtask keeps it at rest, or nothing was left to do.
            Phase::AtRest | Phase::Closed => Ok(()),
        }
    }

    /// Asks a verb of a task, with the record of it.
    pub(super) async fn ask(
        &self,
        caller: &Caller,
        call: Call,
        id: TaskId,
        if_revision: Option<Revision>,
        asked: VerbRequest,
        entry: AuditEntry,
    ) -> Result<Arc<Task>, Refusal> {
        let task = Arc::new(self.stored_task(id).await?.task);
        let principal = caller.principal.clone();
        let verb = asked.verb();
        let input =
            Input::Requested { asked, principal: principal.clone(), reason: caller.reason.clone(), if_revision };
        let author = Author::Request { principal, nonce: uuid::Uuid::new_v4().to_string() };
        let audit = self.accepted(caller, call, entry.in_cluster(task.spec.cluster.id));
        let written = self.engine.committer().write(&task, input, author, |_| vec![Write::Audit(audit.clone())]).await;
        match written.map_err(|error| engine_refusal(&error))? {
            WriteOutcome::Done { task, .. } => Ok(task),
            WriteOutcome::Refused(refusal) => Err(refusal.into()),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) | WriteOutcome::Replayed { .. } => {
                Err(Refusal::Internal { what: format!("{verb} of task {id} was not written") })
            }
        }
    }
}
=======
>>>>>>> main
