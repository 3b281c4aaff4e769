//! Drives one task as its owner: runs whatever is READY (`stepping`: the loop of one subtask; `acting`: one effect) and commits
//! the results.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::clock::{Clock, Timestamp};
use crate::domain::decide::{Input, TaskRefusal, awaits_retry};
use crate::domain::effect::{Lease, Permit};
use crate::domain::event::{IntentOutcome, Phase, SubtaskOperation, SubtaskState};
use crate::domain::graph::OperationName;
use crate::domain::ids::{Fence, Revision, SubtaskId, TaskId};
use crate::domain::task::Task;
use crate::engine::commit::{Committer, WriteOutcome};
use crate::engine::error::{BrokenInvariant, EngineError};
use crate::engine::failpoints::Failpoints;
use crate::engine::horizons::Horizons;
use crate::engine::lease::{EffectLease, TaskLease};
use crate::engine::look_rate::LookRate;
use crate::engine::policy::Note;
use crate::engine::requests::Requests;
use crate::engine::scheduler::EngineSettings;
use crate::engine::step::{Operation, ProgressReport, Step, StepContext};
use crate::store::{Author, LogLine, Progress, Store, Write};
use crate::telemetry::metrics::TaskMetrics;

/// Who had the task before its executor.
#[derive(Clone, Copy, Debug)]
pub(super) enum TakenFrom {
    /// Nobody: it was just accepted, or begins now.
    Acceptance,
    /// Nobody since it came to rest, which it did when nothing that was sent could come any more.
    Rest,
    /// An owner of which nobody knows when it sent what it tried.
    EarlierOwner,
}

/// Why the executor stops driving a task.
#[derive(Debug)]
pub(super) enum ExitReason {
    /// The task rests or is closed.
    Ended,
    /// The process is shutting down.
    ShuttingDown,
    /// Another owner has taken the task.
    Fenced,
    /// The lease ended between the intent and its effect.
    LeaseEnded,
    /// The store failed, or the engine contradicts itself.
    Failed(EngineError),
    /// This version does not know the operation or the step.
    UnknownOperation(String),
}

impl ExitReason {
    pub(super) fn own_decision_refused(task: TaskId, refusal: TaskRefusal) -> Self {
        BrokenInvariant::OwnDecisionRefused { task, refusal }.into()
    }
}

impl<E: Into<EngineError>> From<E> for ExitReason {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(super) struct Executor {
    pub store: Arc<dyn Store>,
    pub committer: Committer,
    pub operation: Arc<dyn Operation>,
    pub clock: Clock,
    pub name: String,
    pub fence: Fence,
    /// Of this replica; no effect begins without it.
    pub lease: Arc<TaskLease>,
    pub shutdown: CancellationToken,
    pub failpoints: Arc<Failpoints>,
    pub metrics: TaskMetrics,
    /// What others ask of the task.
    requested: Arc<Requests>,
    task: Mutex<Arc<Task>>,
    pub horizons: Arc<Horizons>,
    pub look_rate: Arc<LookRate>,
    /// Effects in flight: from the commit of their intent to the commit of their outcome.
    effects: TaskTracker,
}

impl Executor {
    #[expect(clippy::too_many_arguments, reason = "a constructor that names every part once")]
    pub fn new(
        store: Arc<dyn Store>,
        committer: Committer,
        operation: Arc<dyn Operation>,
        settings: EngineSettings,
        fence: Fence,
        lease: TaskLease,
        shutdown: CancellationToken,
        look_rate: Arc<LookRate>,
        requested: Arc<Requests>,
        task: Arc<Task>,
    ) -> Self {
        let effects = TaskTracker::new();
        // Closed, so that waiting for an empty tracker can end.
        effects.close();
        let EngineSettings { executor: name, clock, failpoints, metrics, boot_clock: _ } = settings;
        let task = Mutex::new(task);
        let (horizons, lease) = (Arc::default(), Arc::new(lease));
        Self {
            store,
            committer,
            operation,
            clock,
            name,
            fence,
            lease,
            shutdown,
            failpoints,
            metrics,
            requested,
            task,
            horizons,
            look_rate,
            effects,
        }
    }

    /// Drives the task until it rests, is closed, or must be left to another owner. The open effects of whoever had it before are
    /// resolved first.
    ///
    /// Once the process is asked to end, whatever is awaited is dropped, as a crash would drop it: a look, a pause, even a
    /// queued write. Only an effect in flight is awaited to its end.
    pub async fn run(&self, from: TakenFrom) -> ExitReason {
        let driven = async {
            match from {
                TakenFrom::Acceptance => {}
                TakenFrom::Rest => self.take_over().await?,
                TakenFrom::EarlierOwner => {
                    self.horizons.take_over(&self.current().await.intents);
                    self.take_over().await?;
                }
            }
            self.drive().await
        };
        tokio::select! {
            biased;
            ended = driven => match ended {
                Ok(()) => ExitReason::Ended,
                Err(reason) => reason,
            },
            () = self.shutdown_requested() => ExitReason::ShuttingDown,
        }
    }

    async fn shutdown_requested(&self) {
        self.shutdown.cancelled().await;
        self.effects.wait().await;
    }

    /// Held while an effect is in flight. None begins once the process is asked to end.
    pub(super) fn begin_effect(&self) -> Result<TaskTrackerToken, ExitReason> {
        // Counted before the check, so that no effect begins between the last look at the count and the end.
        let in_flight = self.effects.token();
        if self.shutdown.is_cancelled() { Err(ExitReason::ShuttingDown) } else { Ok(in_flight) }
    }

    async fn drive(&self) -> Result<(), ExitReason> {
        let mut driven: HashSet<SubtaskId> = HashSet::new();
        let mut running = FuturesUnordered::new();
        let mut ended = Vec::new();
        loop {
            let mut dispatching = pin!(self.dispatch());
            let task = loop {
                tokio::select! {
                    biased;
                    task = &mut dispatching => break task?,
                    // Running subtasks continue meanwhile: one of them may hold the task's mutex, which this waits for.
                    Some(one) = running.next() => ended.push(one),
                }
            };
            let Some(task) = task else { return Ok(()) };
            for subtask in &task.subtasks {
                let id = subtask.spec.id;
                let runs = matches!(subtask.state, SubtaskState::Running | SubtaskState::Canceling);
                if runs && driven.insert(id) {
                    running.push(async move { (id, self.run_subtask(id).await) });
                }
            }
            let one = match ended.pop() {
                Some(one) => Some(one),
                None => running.next().await,
            };
            let Some((id, ended)) = one else {
                let (task, state) = (task.spec.id, task.state);
                return Err(BrokenInvariant::NothingToRun { task, state }.into());
            };
            driven.remove(&id);
            ended?;
        }
    }

    /// Begins everything that is READY and returns the task; `None`: it rests or is closed.
    async fn dispatch(&self) -> Result<Option<Arc<Task>>, ExitReason> {
        loop {
            let task = self.current().await;
            if task.state.phase() != Phase::Moving {
                return Ok(None);
            }
            if self.shutdown.is_cancelled() {
                return Err(ExitReason::ShuttingDown);
            }
            if awaits_retry(&task) {
                self.find_retry_start(&task).await?;
                continue;
            }
            if task.subtasks.iter().any(|subtask| subtask.state == SubtaskState::Ready) {
                let input = Input::Dispatch { executor: self.name.clone() };
                return self.write(input, |_| Vec::new()).await.map(Some);
            }
            return Ok(Some(task));
        }
    }

    pub(super) async fn current(&self) -> Arc<Task> {
        Arc::clone(&*self.task.lock().await)
    }

    /// The task with the requests that were committed meanwhile.
    pub(super) async fn caught_up(&self) -> Result<Arc<Task>, ExitReason> {
        let mut task = self.task.lock().await;
        let requested = self.requested.upto();
        if requested > task.revision {
            *task = self.committer.catch_up(&task).await?;
        }
        Ok(Arc::clone(&task))
    }

    /// Returns once a request was committed that is not in this revision.
    pub(super) async fn request_arrived(&self, since: Revision) {
        self.requested.arrived(since).await;
    }

    /// Commits what follows from an input; holds the task meanwhile, so that two subtasks cannot decide on the same revision.
    pub(super) async fn write(
        &self,
        input: Input,
        writes: impl Fn(&Task) -> Vec<Write>,
    ) -> Result<Arc<Task>, ExitReason> {
        match self.try_write(input, writes).await? {
            Ok(task) => Ok(task),
            Err(refusal) => Err(ExitReason::own_decision_refused(self.current().await.spec.id, refusal)),
        }
    }

    pub(super) async fn try_write(
        &self,
        input: Input,
        writes: impl Fn(&Task) -> Vec<Write>,
    ) -> Result<Result<Arc<Task>, TaskRefusal>, ExitReason> {
        let mut task = self.task.lock().await;
        let author = Author::Owner { fence: self.fence };
        match self.committer.write(&task, input, author, writes).await? {
            WriteOutcome::Done { task: after, .. } => {
                *task = Arc::clone(&after);
                Ok(Ok(after))
            }
            WriteOutcome::Refused(refusal) => Ok(Err(refusal)),
            WriteOutcome::Fenced => Err(ExitReason::Fenced),
            WriteOutcome::LockHeld(holder) => Err(BrokenInvariant::LockOfAnother { task: task.spec.id, holder }.into()),
            WriteOutcome::Frozen => Err(BrokenInvariant::StepTakesLock { task: task.spec.id }.into()),
            WriteOutcome::Replayed { task: of, .. } => {
                Err(BrokenInvariant::StepTakenForRequest { task: task.spec.id, of }.into())
            }
        }
    }

    pub(super) fn context(&self, task: Arc<Task>, subtask: SubtaskId) -> StepContext {
        StepContext::new(task, subtask, self.clock.clone(), self.fence, Arc::clone(&self.horizons))
    }

    pub(super) fn step(&self, task: &Task, subtask: SubtaskId) -> Result<Arc<dyn Step>, ExitReason> {
        let spec = task.subtask(subtask).ok().map(|subtask| &subtask.spec);
        spec.and_then(|spec| self.operation.step(spec)).ok_or_else(|| {
            let OperationName { name, version } = &task.spec.graph.operation;
            let step = spec.map(|spec| format!("{:?} ({})", spec.name, spec.kind)).unwrap_or_default();
            ExitReason::UnknownOperation(format!("{name} v{version}, step {step}"))
        })
    }

    /// Resolves what an earlier owner left open: its sessions are ended, as far as that is possible.
    async fn take_over(&self) -> Result<(), ExitReason> {
        let task = {
            // With requests that were committed before this owner could be notified.
            let mut task = self.task.lock().await;
            *task = self.committer.catch_up(&task).await?;
            Arc::clone(&task)
        };
        for intent in task.intents.iter().filter(|intent| intent.is_unresolved()) {
            let context = self.context(Arc::clone(&task), intent.subtask);
            let permit = self.permit(&task, intent.subtask, intent.number, None).await?;
            match self.operation.take_over(&context, intent, permit).await {
                Ok(done) => tracing::info!(task = task.spec.id.get(), intent = intent.number, "{done}"),
                Err(failure) => {
                    tracing::warn!(task = task.spec.id.get(), intent = intent.number, "{}", failure.message)
                }
            }
        }
        Ok(())
    }

    async fn find_retry_start(&self, task: &Arc<Task>) -> Result<(), ExitReason> {
        let mut from = None;
        for subtask in task.in_execution_order() {
            let id = subtask.spec.id;
            if subtask.state != SubtaskState::Successful {
                from = Some(id);
                break;
            }
            // A person has marked it as successful.
            if subtask.operation == SubtaskOperation::Skip {
                continue;
            }
            let step = self.step(task, id)?;
            let context = self.context(Arc::clone(task), id);
            // Not known counts as holding: the failed step looks again, and the gate reads everything anew.
            if step.still_holds(&context).await == Ok(false) {
                from = Some(id);
                break;
            }
        }
        let Some(subtask) = from else {
            return Err(BrokenInvariant::NothingToRetry { task: task.spec.id }.into());
        };
        self.write(Input::RetryFrom { subtask }, |_| Vec::new()).await.map(drop)
    }

    /// Permission to try an effect; given only while the lock has our fence.
    /// `horizon`: behind which its effect may not happen.
    pub(super) async fn permit(
        &self,
        task: &Task,
        subtask: SubtaskId,
        intent: i32,
        horizon: Option<Instant>,
    ) -> Result<Permit, ExitReason> {
        let key = &task.spec.cluster.key;
        let lock = self.store.lock(key).await?;
        let ours = lock.is_some_and(|lock| lock.holder == Some(task.spec.id) && lock.fence == self.fence);
        if !ours {
            return Err(ExitReason::Fenced);
        }
        if !self.lease.is_held() {
            return Err(ExitReason::LeaseEnded);
        }
        let lease: Arc<dyn Lease> = Arc::new(EffectLease { of_task: self.lease.clone(), horizon });
        let run_time = task.subtask(subtask).map(|subtask| subtask.run_time).unwrap_or_default();
        Ok(Permit::issue(task.spec.id, subtask, intent, run_time, key.clone(), self.fence, lease))
    }

    /// Commits that the oldest open attempt of a subtask has happened. Later ones stay open: they may still be on their way,
    /// and their horizon counts.
    pub(super) async fn settle(&self, context: &StepContext, message: &str) -> Result<(), ExitReason> {
        let subtask = context.subtask;
        if let Some(open) = context.task.attempts(subtask).find(|intent| intent.is_unresolved()) {
            let (number, outcome, message) = (open.number, IntentOutcome::Done, message.to_owned());
            self.write(Input::EffectEnded { subtask, number, outcome, message }, |_| Vec::new()).await?;
        }
        Ok(())
    }

    /// Commits the end of a subtask with its log lines; returns the horizon when an effect that was tried may still happen
    /// until then.
    pub(super) async fn try_end(
        &self,
        context: &StepContext,
        input: Input,
        writes: Vec<Write>,
    ) -> Result<Option<Timestamp>, ExitReason> {
        let log = Self::log_write(context);
        match self.try_write(input, move |_| writes.iter().cloned().chain(log.clone()).collect()).await? {
            Ok(_) => Ok(None),
            Err(TaskRefusal::EffectMayStillHappen { until, .. }) => Ok(Some(until)),
            Err(refusal) => Err(ExitReason::own_decision_refused(context.task.spec.id, refusal)),
        }
    }

    pub(super) fn log_write(context: &StepContext) -> Option<Write> {
        let of = context.this();
        let (run_time, operation) = (of.map_or(1, |of| of.run_time), of.map(|of| of.operation));
        let subtask = context.subtask;
        let line = |(at, text)| LogLine { subtask, run_time, operation, at, text };
        let lines = context.take_lines().into_iter().map(line);
        let lines: Vec<LogLine> = lines.collect();
        (!lines.is_empty()).then_some(Write::Log(lines))
    }

    pub(super) fn note(&self, context: &StepContext, note: Note) {
        let Note { progress, deadline, stalled_since, remaining } = note;
        let ProgressReport { message, done, total, blockers } = progress;
        let (task, subtask, at) = (context.task.spec.id, context.subtask, self.clock.now());
        let progress =
            Progress { task, subtask, message, done, total, at, deadline, stalled_since, remaining, blockers };
        self.store.note(progress);
    }
}
