//! Calls on tasks: get, list, read a log, retry, roll back, skip, cancel, give up.

use std::sync::Arc;

use super::Service;
use super::arguments::{Caller, ListTasks, PageOf, SkipSubtask, TaskRequest, TaskSelection};
use super::named::{self, Named};
use super::refusals::store_refusal;
use super::visibility;
use crate::domain::call::Call;
use crate::domain::decide::{Asked, Input};
use crate::domain::event::{Phase, Verb};
use crate::domain::ids::{Revision, SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;
use crate::engine::Written;
use crate::store::{Author, LogLine, Page, StoredTask, TaskFilter, TaskOrder, Write};

impl Service {
    /// One task.
    pub async fn get_task(&self, _caller: &Caller, task: TaskId) -> Result<StoredTask, Refusal> {
        self.stored_task(task).await
    }

    /// Tasks, newest first.
    pub async fn list_tasks(&self, caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal> {
        let filter = TaskFilter {
            cluster: asked.cluster,
            server: asked.server,
            states: asked.states,
            creator: asked.creator,
            visible: visibility::of_tasks(&caller.rights),
            name: None,
        };
        self.store.list(&filter, asked.below, asked.limit).await.map_err(|error| store_refusal(&error))
    }

    /// A page of tasks.
    pub async fn tasks_page(
        &self,
        caller: &Caller,
        asked: TaskSelection,
        page: Page<TaskOrder>,
    ) -> Result<PageOf<StoredTask>, Refusal> {
        let TaskSelection { cluster, server, states, name } = asked;
        let visible = visibility::of_tasks(&caller.rights);
        let filter = TaskFilter { visible, name, cluster, server, states, creator: None };
        let (items, total) = self.store.page(&filter, page).await.map_err(|error| store_refusal(&error))?;
        Ok(PageOf { items, total })
    }

    /// Log of a subtask: all its lines so far, ascending.
    pub async fn subtask_log(&self, task: TaskId, subtask: SubtaskId) -> Result<Vec<LogLine>, Refusal> {
        let stored = self.stored_task(task).await?;
        if stored.task.subtask(subtask).is_err() {
            return Err(Refusal::SubtaskNotFound { task, subtask });
        }
        self.store.log(task, Some(subtask)).await.map_err(|error| store_refusal(&error))
    }

    /// Runs a task at rest again.
    pub async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let verb = Asked::Retry { expire_time: asked.expire_time };
        let task = self.ask(caller, asked.task, asked.if_revision, verb, Call::RetryTask, named::task(&asked)).await?;
        self.go_on(task).await?;
        self.stored_task(asked.task).await
    }

    /// Undoes what a task at rest has done.
    pub async fn rollback_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let verb = Asked::Rollback { expire_time: asked.expire_time };
        let named = named::task(&asked);
        let task = self.ask(caller, asked.task, asked.if_revision, verb, Call::RollbackTask, named).await?;
        self.go_on(task).await?;
        self.stored_task(asked.task).await
    }

    /// Counts a failed subtask as successful, and goes on behind it.
    pub async fn skip_subtask(&self, caller: &Caller, asked: SkipSubtask) -> Result<StoredTask, Refusal> {
        let verb = Asked::SkipSubtask { subtask: asked.subtask };
        let named = named::skip_subtask(&asked);
        let task = self.ask(caller, asked.task, asked.if_revision, verb, Call::SkipSubtask, named).await?;
        self.go_on(task).await?;
        self.stored_task(asked.task).await
    }

    /// Ends what a task runs; it comes to rest by itself.
    pub async fn cancel_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let named = named::task(&asked);
        let task = self.ask(caller, asked.task, asked.if_revision, Asked::Cancel, Call::CancelTask, named).await?;
        self.engine.tell(&task);
        self.stored_task(asked.task).await
    }

    /// Closes a task at rest.
    pub async fn give_up_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let task = self.stored_task(asked.task).await?.task;
        let found = if task.allows(Verb::GiveUp) { self.left_behind(&task).await } else { Vec::new() };
        let verb = Asked::GiveUp { found };
        self.ask(caller, asked.task, asked.if_revision, verb, Call::GiveUpTask, named::task(&asked)).await?;
        self.stored_task(asked.task).await
    }

    /// Gives a task that moves again to an owner.
    pub(super) async fn go_on(&self, task: Arc<Task>) -> Result<(), Refusal> {
        match task.state.phase() {
            Phase::Moving => self.engine.resume(task).await.map_err(|error| store_refusal(&error)),
            // Another subtask keeps it at rest, or nothing was left to do.
            Phase::AtRest | Phase::Closed => Ok(()),
        }
    }

    async fn ask(
        &self,
        caller: &Caller,
        id: TaskId,
        if_revision: Option<Revision>,
        asked: Asked,
        call: Call,
        named: Named,
    ) -> Result<Arc<Task>, Refusal> {
        let task = Arc::new(self.stored_task(id).await?.task);
        let principal = caller.principal.clone();
        let verb = asked.verb();
        let input = Input::Requested { asked, principal: principal.clone(), if_revision };
        let author = Author::Request { principal, nonce: uuid::Uuid::new_v4().to_string() };
        let audit = self.audit(caller, call, Named { cluster: Some(task.spec.cluster.id), ..named });
        let written = self.engine.committer().write(&task, input, author, |_| vec![Write::Audit(audit.clone())]).await;
        match written.map_err(|error| store_refusal(&error))? {
            Written::Done { task, .. } => Ok(task),
            Written::Refused(refusal) => Err(refusal),
            Written::Fenced | Written::LockHeld(_) | Written::Replayed { .. } => {
                Err(Refusal::Internal { what: format!("{verb} of task {id} was not written") })
            }
        }
    }
}
