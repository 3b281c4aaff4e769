//! Calls that read tasks: get and list. Those that change one are in `verbs`, those on a subtask in `subtasks`.

use super::Service;
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
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
