//! The one place that turns an input into a commit: decide, fold, write, and on a stale revision fold the new events and decide
//! again. The owner and requests both use it.

use std::sync::Arc;

use tracing::Instrument;

use crate::clock::{Clock, Timestamp};
use crate::domain::decide::{Input, TaskRefusal, create, decide};
use crate::domain::event::{Event, EventKind, Phase, TaskSpec};
use crate::domain::ids::{Fence, Revision, Seq, TaskId};
use crate::domain::task::Task;
use crate::engine::error::{BrokenInvariant, EngineError};
use crate::engine::measuring::measure;
use crate::engine::spans;
use crate::engine::step::Registry;
use crate::store::{Author, Commit, CommitOutcome, Store, StoreError, TaskRow, Write};
use crate::telemetry::metrics::TaskMetrics;

/// Outcome of a write.
#[derive(Clone, Debug)]
pub enum WriteOutcome {
    /// The task as it is on disk now, and the position of the last event that was written; `None`: there was nothing to write.
    Done { task: Arc<Task>, fence: Fence, seq: Option<Seq> },
    /// Refused by a rule; nothing was written.
    Refused(TaskRefusal),
    /// Another owner has taken the task; this one stops.
    Fenced,
    /// Another task holds the cluster.
    LockHeld(TaskId),
    /// Changes are frozen on the cluster: nothing begins.
    Frozen,
    /// The request id was used before.
    Replayed { task: TaskId, digest: String },
}

#[derive(Clone)]
pub struct Committer {
    store: Arc<dyn Store>,
    registry: Registry,
    clock: Clock,
    metrics: TaskMetrics,
}

impl Committer {
    /// `registry` provides the writes that belong to a task's end.
    pub const fn new(store: Arc<dyn Store>, registry: Registry, clock: Clock, metrics: TaskMetrics) -> Self {
        Self { store, registry, clock, metrics }
    }

    /// Records a new task. Unless it waits for its beginning, its first steps run at once: `executor` is who drives it. `writes` hold
    /// its lock, its request and its audit record.
    pub(super) async fn create(
        &self,
        at: Timestamp,
        spec: TaskSpec,
        executor: String,
        author: Author,
        writes: Vec<Write>,
    ) -> Result<WriteOutcome, EngineError> {
        let id = spec.id;
        let does_not_fold = |illegal| BrokenInvariant::DecisionDoesNotFold { task: id, illegal };
        let mut events: Vec<Event> = create(spec).into_iter().map(|kind| Event { at, kind }).collect();
        let mut task = Task::fold(&events).map_err(does_not_fold)?;
        let first = decide(&task, Input::Dispatch { executor }, at)
            .map_err(|refusal| BrokenInvariant::OwnDecisionRefused { task: id, refusal })?;
        for kind in first {
            let event = Event { at, kind };
            task.apply(&event).map_err(does_not_fold)?;
            events.push(event);
        }
        let row = Some(TaskRow::of(&task));
        let span = spans::of_commit(&task, events.len());
        let commit = Commit { task: id, after: Revision::ZERO, author, events, row, writes };
        Ok(match self.store.submit(commit).outcome().instrument(span).await? {
            CommitOutcome::Committed { fence, seq, .. } => {
                measure(&self.metrics, None, &task);
                WriteOutcome::Done { task: Arc::new(task), fence, seq: Some(seq) }
            }
            CommitOutcome::LockHeld { task } => WriteOutcome::LockHeld(task),
            CommitOutcome::Replayed { task, digest } => WriteOutcome::Replayed { task, digest },
            CommitOutcome::Fenced { .. } => WriteOutcome::Fenced,
            CommitOutcome::Frozen => WriteOutcome::Frozen,
            CommitOutcome::Stale { at } => {
                return Err(BrokenInvariant::TaskExists { task: id, at }.into());
            }
        })
    }

    /// Writes what follows from `input`. `writes` is given the state that the events lead to.
    pub async fn write(
        &self,
        task: &Arc<Task>,
        input: Input,
        author: Author,
        writes: impl Fn(&Task) -> Vec<Write>,
    ) -> Result<WriteOutcome, EngineError> {
        let mut before = Arc::clone(task);
        loop {
            let at = self.clock.now();
            let kinds = match decide(&before, input.clone(), at) {
                Ok(kinds) => kinds,
                Err(refusal) => return Ok(WriteOutcome::Refused(refusal)),
            };
            if kinds.is_empty() {
                let fence = author_fence(&author).unwrap_or(before.fence);
                return Ok(WriteOutcome::Done { task: before, fence, seq: None });
            }
            let (after, commit) = self.prepare(&before, kinds, at, &author, &writes)?;
            let span = spans::of_commit(&after, commit.events.len());
            match self.store.submit(commit).outcome().instrument(span).await? {
                CommitOutcome::Committed { fence, seq, .. } => {
                    measure(&self.metrics, Some(&*before), &after);
                    return Ok(WriteOutcome::Done { task: Arc::new(after), fence, seq: Some(seq) });
                }
                CommitOutcome::Stale { .. } => before = self.catch_up(&before).await?,
                CommitOutcome::Fenced { .. } => return Ok(WriteOutcome::Fenced),
                CommitOutcome::Frozen => return Ok(WriteOutcome::Frozen),
                CommitOutcome::LockHeld { task } => return Ok(WriteOutcome::LockHeld(task)),
                CommitOutcome::Replayed { task, digest } => return Ok(WriteOutcome::Replayed { task, digest }),
            }
        }
    }

    fn prepare(
        &self,
        before: &Task,
        kinds: Vec<EventKind>,
        at: Timestamp,
        author: &Author,
        writes: impl Fn(&Task) -> Vec<Write>,
    ) -> Result<(Task, Commit), BrokenInvariant> {
        let events: Vec<Event> = kinds.into_iter().map(|kind| Event { at, kind }).collect();
        let mut after = before.clone();
        for event in &events {
            let task = before.spec.id;
            after.apply(event).map_err(|illegal| BrokenInvariant::DecisionDoesNotFold { task, illegal })?;
        }
        let mut all = writes(&after);
        // What never began holds no lock, and left nothing to write.
        if after.state.phase() == Phase::Closed && before.state.phase() != Phase::Pending {
            if let Some(operation) = self.registry.operation(&after.spec.graph.operation) {
                all.extend(operation.closing_writes(&after));
            }
            all.push(Write::ReleaseLock { cluster: after.spec.cluster.key.clone() });
        }
        let row = TaskRow::of(&after);
        let row = (row != TaskRow::of(before)).then_some(row);
        let task = before.spec.id;
        let commit = Commit { task, after: before.revision, author: author.clone(), events, row, writes: all };
        Ok((after, commit))
    }

    /// The task with all events that others appended.
    pub(super) async fn catch_up(&self, task: &Task) -> Result<Arc<Task>, StoreError> {
        let mut task = task.clone();
        for stored in self.store.events(task.spec.id, task.revision, u32::MAX).await? {
            task.apply(&stored.event).map_err(|illegal| {
                StoreError::Damaged(format!(
                    "event {} of task {} does not fold: {illegal}",
                    stored.revision, stored.task
                ))
            })?;
        }
        Ok(Arc::new(task))
    }
}

const fn author_fence(author: &Author) -> Option<Fence> {
    match author {
        Author::Owner { fence } => Some(*fence),
        Author::Request { .. } => None,
    }
}
