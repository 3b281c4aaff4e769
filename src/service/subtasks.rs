//! Calls on subtasks: its log, and what OCP asks of a subtask where we ask it of its task.

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
use super::verbs::{CancelTask, RetryTask, on_subtask};
use crate::domain::call::Call;
use crate::domain::event::SubtaskState;
use crate::domain::ids::{SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::domain::task::{Subtask, Task};
use crate::store::{LogLine, StoredTask};

/// How often a cancellation is asked for while its task goes on from step to step.
const MOST_ATTEMPTS: usize = 4;

/// Log of a subtask: all its lines so far, ascending.
#[derive(Clone, Copy, Debug)]
pub struct SubtaskLog {
    pub task: TaskId,
    pub subtask: SubtaskId,
}

impl ServiceCall for SubtaskLog {
    const CALL: Call = Call::GetSubtaskLog;
    type Subject = TaskId;
    type Output = Vec<LogLine>;

    fn subject(&self, _: &Caller) -> TaskId {
        self.task
    }

    async fn run(self, service: &Service, _: &Caller, found: StoredTask) -> Result<Vec<LogLine>, Refusal> {
        let Self { task, subtask } = self;
        subtask_of(&found.task, subtask)?;
        service.store.log(task, Some(subtask)).await.map_err(|error| store_refusal(&error))
    }
}

/// Runs a failed subtask again: that is the retry of its task. Answers with the task, and which of its subtasks it was.
#[derive(Clone, Copy, Debug)]
pub struct RetrySubtask {
    pub task: TaskId,
    pub subtask: SubtaskId,
}

impl ServiceCall for RetrySubtask {
    const CALL: Call = Call::RetryTask;
    type Subject = TaskId;
    type Output = (StoredTask, SubtaskId);

    fn subject(&self, _: &Caller) -> TaskId {
        self.task
    }

    fn accepts_risks(&self, accepted: &[Risk]) -> Vec<Risk> {
        accepted.to_vec()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        on_subtask(self.task, self.subtask)
    }

    async fn run(
        self,
        service: &Service,
        caller: &Caller,
        found: StoredTask,
    ) -> Result<(StoredTask, SubtaskId), Refusal> {
        failed(&found.task, self.subtask)?;
        // What was looked at is what is run again, or nothing.
        let retry = RetryTask { task: self.task, if_revision: Some(found.task.revision), expire_time: None };
        Ok((retry.run(service, caller, found).await?, self.subtask))
    }
}

/// Ends a running subtask: that is the cancellation of its task.
#[derive(Clone, Copy, Debug)]
pub struct CancelSubtask {
    pub task: TaskId,
    pub subtask: SubtaskId,
}

impl ServiceCall for CancelSubtask {
    const CALL: Call = Call::CancelTask;
    type Subject = TaskId;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> TaskId {
        self.task
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        on_subtask(self.task, self.subtask)
    }

    async fn run(self, service: &Service, caller: &Caller, mut found: StoredTask) -> Result<StoredTask, Refusal> {
        let mut attempt = 1;
        loop {
            running(&found.task, self.subtask)?;
            // What was looked at is what is ended, and no other subtask.
            let cancel = CancelTask { task: self.task, if_revision: Some(found.task.revision) };
            match cancel.run(service, caller, found).await {
                // It did something meanwhile; whether this subtask still runs is looked at again.
                Err(Refusal::TaskMoved { .. }) if attempt < MOST_ATTEMPTS => attempt += 1,
                ended => return ended,
            }
            found = service.stored_task(self.task).await?;
        }
    }
}

fn failed(task: &Task, id: SubtaskId) -> Result<(), Refusal> {
    let subtask = subtask_of(task, id)?;
    match subtask.state {
        SubtaskState::Failed => Ok(()),
        SubtaskState::Pending
        | SubtaskState::Ready
        | SubtaskState::Running
        | SubtaskState::Canceling
        | SubtaskState::Successful => {
            let (name, state) = (subtask.spec.name.clone(), subtask.state);
            Err(Refusal::SubtaskNotFailed { task: task.spec.id, subtask: id, name, state })
        }
    }
}

fn running(task: &Task, id: SubtaskId) -> Result<(), Refusal> {
    match subtask_of(task, id)?.state {
        SubtaskState::Running => Ok(()),
        SubtaskState::Pending
        | SubtaskState::Ready
        | SubtaskState::Canceling
        | SubtaskState::Failed
        | SubtaskState::Successful => Err(Refusal::SubtaskNotRunning { task: task.spec.id, subtask: id }),
    }
}

fn subtask_of(task: &Task, id: SubtaskId) -> Result<&Subtask, Refusal> {
    task.subtask(id).map_err(|_| Refusal::SubtaskNotFound { task: task.spec.id, subtask: id })
}
