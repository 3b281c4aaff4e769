//! Which tasks this process owns: takes over every open task at start, runs new and retried ones, and releases them at
//! shutdown.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::domain::decide::Input;
use crate::domain::event::Phase;
use crate::domain::graph::OperationName;
use crate::domain::ids::{Fence, Revision, TaskId};
use crate::domain::task::Task;
use crate::engine::commit::{Committer, WriteOutcome};
use crate::engine::error::{BrokenInvariant, EngineError};
use crate::engine::executor::{Executor, ExitReason};
use crate::engine::failpoints::Failpoints;
use crate::engine::step::Registry;
use crate::store::{Author, Store, StoreError};

/// Pause before a task whose executor panicked or failed is taken over again.
const PAUSE_AFTER_BREAKDOWN: Duration = Duration::from_secs(1);
/// Time that an effect in flight gets at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct EngineSettings {
    /// Name of this process in events, for example `host:pid`.
    pub executor: String,
    pub clock: Clock,
    /// What a test makes go wrong.
    pub failpoints: Arc<Failpoints>,
}

/// A task that this process drives.
struct Running {
    fence: Fence,
    /// Revision up to which requests were committed while it ran.
    requested: watch::Sender<Revision>,
}

/// Runs the tasks that this process owns, on a runtime that the caller chooses.
pub struct Engine {
    store: Arc<dyn Store>,
    registry: Registry,
    committer: Committer,
    settings: EngineSettings,
    runtime: tokio::runtime::Handle,
    shutdown: CancellationToken,
    tracker: TaskTracker,
    running: Mutex<HashMap<TaskId, Running>>,
}

impl Engine {
    pub fn new(
        store: Arc<dyn Store>,
        registry: Registry,
        settings: EngineSettings,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        let committer = Committer::new(Arc::clone(&store), registry.clone(), settings.clock.clone());
        Arc::new(Self {
            store,
            registry,
            committer,
            settings,
            runtime,
            shutdown: CancellationToken::new(),
            tracker: TaskTracker::new(),
            running: Mutex::default(),
        })
    }

    /// Used by requests.
    pub const fn committer(&self) -> &Committer {
        &self.committer
    }

    /// Takes over every task that an earlier process left moving. The store's lock guarantees that there is no other process.
    pub async fn recover(self: &Arc<Self>) -> Result<usize, StoreError> {
        let (open, _) = self.store.open_tasks(None).await?;
        let moving: Vec<Task> =
            open.into_iter().map(|stored| stored.task).filter(|task| task.state.phase() == Phase::Moving).collect();
        let count = moving.len();
        for task in moving {
            let id = task.spec.id;
            match self.adopt(Arc::new(task)).await {
                Ok(()) => {}
                // A task that cannot be taken over keeps its own cluster locked, but blocks no other task.
                Err(error @ (EngineError::Broken(_) | EngineError::Store(StoreError::Damaged(_)))) => {
                    tracing::error!(task = id.get(), "the task waits: {error}");
                }
                Err(EngineError::Store(error @ (StoreError::Open(_) | StoreError::Failed(_) | StoreError::Closed))) => {
                    return Err(error);
                }
            }
        }
        Ok(count)
    }

    /// Takes a task over again after its executor failed here. A task that breaks every executor soon rests as CRASH_LOOP,
    /// because its adoptions are counted.
    async fn adopt_again(self: &Arc<Self>, id: TaskId) {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE_AFTER_BREAKDOWN) => {}
        }
        let adopted = async {
            match self.store.task(id).await? {
                Some(stored) if stored.task.state.phase() == Phase::Moving => self.adopt(Arc::new(stored.task)).await,
                Some(_) | None => Ok::<(), EngineError>(()),
            }
        };
        if let Err(error) = adopted.await {
            tracing::error!(task = id.get(), "the task waits for the next start: {error}");
        }
    }

    async fn adopt(self: &Arc<Self>, task: Arc<Task>) -> Result<(), EngineError> {
        let id = task.spec.id;
        let Some(fence) = self.store.claim(id, &task.spec.cluster.key).await? else {
            return Err(BrokenInvariant::LockNotHeld { task: id }.into());
        };
        let input = Input::Adopted { fence, executor: self.settings.executor.clone() };
        match self.committer.write(&task, input, Author::Owner { fence }, |_| Vec::new()).await? {
            WriteOutcome::Done { task, .. } => {
                tracing::info!(task = id.get(), fence = fence.get(), state = %task.state, "took the task over");
                if task.state.phase() == Phase::Moving {
                    self.spawn(task, fence, true);
                }
                Ok(())
            }
            WriteOutcome::Refused(refusal) => Err(BrokenInvariant::OwnDecisionRefused { task: id, refusal }.into()),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) | WriteOutcome::Replayed { .. } => Ok(()),
        }
    }

    /// Runs a task that was just accepted, under the fence of its acceptance.
    pub fn begin(self: &Arc<Self>, task: Arc<Task>, fence: Fence) {
        self.spawn(task, fence, false);
    }

    /// Runs a task that was at rest and was asked to continue, under a new fence.
    pub async fn resume(self: &Arc<Self>, task: Arc<Task>) -> Result<(), EngineError> {
        match self.store.claim(task.spec.id, &task.spec.cluster.key).await? {
            Some(fence) => {
                self.spawn(task, fence, true);
                Ok(())
            }
            None => Err(BrokenInvariant::LockNotHeld { task: task.spec.id }.into()),
        }
    }

    /// Notifies the owner of a running task that a request was committed. A task without an owner at this moment is read anew
    /// by its next one.
    pub fn notify_request(&self, task: &Task) {
        if let Ok(running) = self.running.lock()
            && let Some(running) = running.get(&task.spec.id)
        {
            running.requested.send_if_modified(|revision| {
                let newer = task.revision > *revision;
                *revision = task.revision.max(*revision);
                newer
            });
        }
    }

    fn spawn(self: &Arc<Self>, task: Arc<Task>, fence: Fence, earlier_owner: bool) {
        let id = task.spec.id;
        if self.shutdown.is_cancelled() {
            return; // It is on disk; the next process takes it over.
        }
        let Some(operation) = self.registry.operation(&task.spec.graph.operation) else {
            let OperationName { name, version } = &task.spec.graph.operation;
            tracing::error!(
                task = id.get(),
                "this version does not know operation {name:?} v{version}; the task waits"
            );
            return;
        };
        let (requested, told) = watch::channel(Revision::ZERO);
        if let Ok(mut running) = self.running.lock() {
            running.insert(id, Running { fence, requested });
        }
        let engine = Arc::clone(self);
        let executor = Executor::new(
            Arc::clone(&self.store),
            self.committer.clone(),
            operation,
            self.settings.clone(),
            fence,
            self.shutdown.clone(),
            told,
            task,
        );
        let work = async move {
            // A panic in one step must not leave its task without an owner and without a log line.
            let exit = AssertUnwindSafe(executor.run(earlier_owner)).catch_unwind().await;
            engine.forget(id, fence);
            let Ok(reason) = exit else {
                tracing::error!(task = id.get(), "the executor of the task broke down");
                return engine.adopt_again(id).await;
            };
            match reason {
                ExitReason::Ended => tracing::info!(task = id.get(), "the task ended"),
                ExitReason::ShuttingDown => tracing::info!(task = id.get(), "let go of the task: shutting down"),
                ExitReason::Fenced => tracing::warn!(task = id.get(), "let go of the task: another owner has it"),
                ExitReason::Failed(error) => {
                    tracing::error!(task = id.get(), "let go of the task: {error}");
                    engine.adopt_again(id).await;
                }
                ExitReason::UnknownOperation(what) => {
                    tracing::error!(task = id.get(), "let go of the task: this version does not know {what}");
                }
            }
        };
        self.tracker.spawn_on(work, &self.runtime);
    }

    fn forget(&self, task: TaskId, fence: Fence) {
        if let Ok(mut running) = self.running.lock()
            && running.get(&task).is_some_and(|running| running.fence == fence)
        {
            running.remove(&task);
        }
    }

    pub fn running(&self) -> usize {
        self.running.lock().map(|running| running.len()).unwrap_or_default()
    }

    /// Accepts no new work; waits end at once, an effect in flight gets a few seconds.
    pub async fn shut_down(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        if tokio::time::timeout(SHUTDOWN_GRACE, self.tracker.wait()).await.is_err() {
            tracing::warn!("tasks were still running at the end of the shutdown grace; the next start takes them over");
        }
    }
}
