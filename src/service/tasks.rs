//! Calls on tasks: get, list, retry, give up.

use std::sync::Arc;

use super::Service;
use super::arguments::{Caller, ListTasks, TaskRequest};
use super::refusals::store_refusal;
use crate::domain::call::Call;
use crate::domain::decide::Input;
use crate::domain::event::Verb;
use crate::domain::ids::TaskId;
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;
use crate::engine::Written;
use crate::store::{Author, StoredTask, TaskFilter, Write};

impl Service {
    /// One task.
    pub async fn get_task(&self, _caller: &Caller, task: TaskId) -> Result<StoredTask, Refusal> {
        self.stored_task(task).await
    }

    /// Tasks, newest first.
    pub async fn list_tasks(&self, _caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal> {
        let filter = TaskFilter {
            cluster: asked.cluster,
            server: asked.server,
            states: asked.states,
            creator: asked.creator,
            ..TaskFilter::default()
        };
        self.store.list(&filter, asked.below, asked.limit).await.map_err(|error| store_refusal(&error))
    }

    /// Runs a task at rest again.
    pub async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (id, task) = self.ask(caller, Verb::Retry, Call::RetryTask, asked).await?;
        self.engine.resume(task).await.map_err(|error| store_refusal(&error))?;
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
        let what = format!("task {}", asked.task);
        let audit = self.audit(caller, call, what, format!("if_revision={if_revision:?}"));
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
