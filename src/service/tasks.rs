//! Calls on tasks: get, list, read a log, retry, cancel, give up.

use std::sync::Arc;

use super::Service;
use super::arguments::{Caller, ListTasks, PageOf, TaskRequest, TaskSelection};
use super::refusals::store_refusal;
use super::{named, visibility};
use crate::domain::call::Call;
use crate::domain::decide::Input;
use crate::domain::event::Verb;
use crate::domain::ids::{SubtaskId, TaskId};
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
            let description = format!("{subtask} is no subtask of task {task}, read the task");
            return Err(Refusal::field("subtaskInstanceId", description));
        }
        self.store.log(task, Some(subtask)).await.map_err(|error| store_refusal(&error))
    }

    /// Runs a task at rest again.
    pub async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (id, task) = self.ask(caller, Verb::Retry, Call::RetryTask, asked).await?;
        self.engine.resume(task).await.map_err(|error| store_refusal(&error))?;
        self.stored_task(id).await
    }

    /// Ends what a task runs; it comes to rest by itself.
    pub async fn cancel_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (id, task) = self.ask(caller, Verb::Cancel, Call::CancelTask, asked).await?;
        self.engine.tell(&task);
        self.stored_task(id).await
    }

    /// Closes a task at rest.
    pub async fn give_up_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (id, task) = self.ask(caller, Verb::GiveUp, Call::GiveUpTask, asked).await?;
        // Statuses are now as a reading finds them: make one soon, without making the caller wait for it.
        let (inventory, cluster) = (self.deps.inventory.clone(), task.spec.cluster.id);
        tokio::spawn(async move {
            if let Err(error) = inventory.sync(cluster).await {
                tracing::info!(cluster = cluster.get(), "no reading after a task was given up: {error}");
            }
        });
        self.stored_task(id).await
    }

    async fn ask(
        &self,
        caller: &Caller,
        verb: Verb,
        call: Call,
        asked: TaskRequest,
    ) -> Result<(TaskId, Arc<Task>), Refusal> {
        let task = Arc::new(self.stored_task(asked.task).await?.task);
        let principal = caller.principal.clone();
        let (if_revision, expire_time) = (asked.if_revision, asked.expire_time);
        let input = Input::Requested { verb, principal: principal.clone(), if_revision, expire_time };
        let author = Author::Request { principal, nonce: uuid::Uuid::new_v4().to_string() };
        let audit = self.audit(caller, call, named::task(&asked, Some(task.spec.cluster.id)));
        let written = self.engine.committer().write(&task, input, author, |_| vec![Write::Audit(audit.clone())]).await;
        match written.map_err(|error| store_refusal(&error))? {
            Written::Done { task, .. } => Ok((asked.task, task)),
            Written::Refused(refusal) => Err(refusal),
            Written::Fenced | Written::LockHeld(_) | Written::Replayed { .. } => {
                Err(Refusal::Internal { what: format!("{verb} of task {} was not written", asked.task) })
            }
        }
    }
}
