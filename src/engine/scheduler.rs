//! Runs the tasks that this replica owns: new and retried ones, and those that `ownership` takes over; releases them at shutdown.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::clock::{BootClock, Clock, Timestamp};
use crate::domain::approval::PlanDigest;
use crate::domain::decide::Input;
use crate::domain::event::TaskSpec;
use crate::domain::graph::OperationName;
use crate::domain::ids::{Fence, ReplicaId, TaskId};
use crate::domain::maintenance::MaintenancePolicy;
use crate::domain::task::Task;
use crate::engine::commit::{Committer, WriteOutcome};
use crate::engine::driven::DrivenTasks;
use crate::engine::error::EngineError;
use crate::engine::executor::{Executor, ExitReason, TakenFrom};
use crate::engine::failpoints::Failpoints;
use crate::engine::lease::{ReplicaLease, TaskLease};
use crate::engine::look_rate::LookRate;
use crate::engine::requests::Requests;
use crate::engine::sightings::Sightings;
use crate::engine::spans;
use crate::engine::step::Registry;
use crate::store::replicas::{OwnedTask, Replicas};
use crate::store::{Author, Store, Write};
use crate::telemetry::metrics::TaskMetrics;

/// Pause before a task whose executor panicked or failed is taken over again.
const PAUSE_AFTER_BREAKDOWN: Duration = Duration::from_secs(1);
/// Time to tell other replicas that this one ends.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that an effect in flight gets at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct EngineSettings {
    /// Name of this process in events, for example `host:pid`.
    pub executor: String,
    pub clock: Clock,
    /// What leases are counted on.
    pub boot_clock: BootClock,
    /// What a test makes go wrong.
    pub failpoints: Arc<Failpoints>,
    pub metrics: TaskMetrics,
}

/// Runs the tasks that this process owns, on a runtime that the caller chooses.
pub struct Engine {
    pub(super) store: Arc<dyn Store>,
    pub(super) replicas: Arc<dyn Replicas>,
    pub(super) lease: Arc<ReplicaLease>,
    pub(super) me: Mutex<Option<ReplicaId>>,
    /// Why this program must not work on the store any more.
    pub(super) outdated: watch::Sender<Option<String>>,
    sightings: Mutex<Sightings>,
    registry: Registry,
    committer: Committer,
    settings: EngineSettings,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) shutdown: CancellationToken,
    tracker: TaskTracker,
    pub(super) driven: Arc<DrivenTasks>,
    look_rate: Arc<LookRate>,
}

impl Engine {
    pub fn new(
        store: Arc<dyn Store>,
        replicas: Arc<dyn Replicas>,
        registry: Registry,
        settings: EngineSettings,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        let (clock, metrics) = (settings.clock.clone(), settings.metrics.clone());
        let committer = Committer::new(Arc::clone(&store), registry.clone(), clock, metrics);
        let lease = ReplicaLease::new(settings.boot_clock, Arc::clone(&settings.failpoints));
        if !replicas.is_shared() {
            lease.never_ends();
        }
        Arc::new(Self {
            store,
            replicas,
            lease: Arc::new(lease),
            me: Mutex::default(),
            outdated: watch::Sender::new(None),
            sightings: Mutex::default(),
            registry,
            committer,
            settings,
            runtime,
            shutdown: CancellationToken::new(),
            tracker: TaskTracker::new(),
            driven: Arc::default(),
            look_rate: Arc::new(LookRate::new()),
        })
    }

    /// Used by requests.
    pub const fn committer(&self) -> &Committer {
        &self.committer
    }

    /// Takes a task over again after its executor failed here. A task that breaks every executor soon rests as CRASH_LOOP,
    /// because its adoptions are counted.
    async fn adopt_again(self: &Arc<Self>, id: TaskId) {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE_AFTER_BREAKDOWN) => {}
        }
        if let Err(error) = self.adopt_own(id).await {
            tracing::error!(task = id.get(), "the task waits until tasks that nobody drives are looked for: {error}");
        }
    }

    /// Records a new task as of a moment at which it may begin; this replica drives it once it is told to [`Engine::begin`].
    pub async fn create(
        &self,
        at: Timestamp,
        spec: TaskSpec,
        author: Author,
        writes: Vec<Write>,
    ) -> Result<WriteOutcome, EngineError> {
        self.committer.create(at, spec, self.settings.executor.clone(), author, writes).await
    }

    /// Of this replica as it is now, for a task that it is about to record.
    pub fn lease(&self) -> TaskLease {
        self.lease.of_task()
    }

    /// Runs a task that was just accepted, under the fence of its acceptance, and the lease of when it was not recorded yet.
    pub fn begin(self: &Arc<Self>, task: Arc<Task>, fence: Fence, lease: TaskLease) {
        self.spawn(task, fence, lease, TakenFrom::Acceptance);
    }

    /// Begins a task that was PENDING, under the approval of this plan if it wants one and if the policy lets it now, and runs it.
    /// [`WriteOutcome::Done`] without a position: it may not any more. What was begun or closed meanwhile is refused.
    pub async fn begin_pending(
        self: &Arc<Self>,
        task: &Arc<Task>,
        plan: Option<PlanDigest>,
        policy: Arc<MaintenancePolicy>,
        author: Author,
    ) -> Result<WriteOutcome, EngineError> {
        let cluster = task.spec.cluster.key.clone();
        let input = Input::Begin { executor: self.settings.executor.clone(), plan, policy };
        let lock = |_: &Task| vec![Write::AcquireLock { cluster: cluster.clone() }];
        let lease = self.lease();
        let outcome = self.committer.write(task, input, author, lock).await?;
        if let WriteOutcome::Done { task, fence, seq: Some(_) } = &outcome {
            self.begin(Arc::clone(task), *fence, lease);
        }
        Ok(outcome)
    }

    /// Runs a task that was at rest and was asked to continue, under a new fence. `seen`: the fence of its lock when that was written.
    /// Somebody else may have taken it up since, if this was slow: then it goes on there.
    pub async fn resume(self: &Arc<Self>, task: Arc<Task>, seen: Fence) -> Result<(), EngineError> {
        let id = task.spec.id;
        // Somebody here takes it up just now who looked for what nobody drives: it goes on there.
        let Some(_taking_up) = self.driven.take_up(id, seen) else { return Ok(()) };
        let owned = OwnedTask { task: id, cluster: task.spec.cluster.key.clone(), fence: seen, owner: None };
        let lease = self.lease.of_task();
        if let Some(fence) = self.replicas.claim(&owned).await? {
            self.spawn(task, fence, lease, TakenFrom::Rest);
        }
        Ok(())
    }

    /// Notifies the owner of a running task that a request was committed. A task without an owner at this moment is read anew
    /// by its next one.
    pub fn notify_request(&self, task: &Task) {
        self.driven.committed(task.spec.id, task.revision);
    }

    /// Whether this version knows the operation of a task.
    pub(super) fn knows(&self, task: &Task) -> bool {
        let OperationName { name, version } = &task.spec.graph.operation;
        let known = self.registry.operation(&task.spec.graph.operation).is_some();
        if !known {
            tracing::error!(
                task = task.spec.id.get(),
                "this version does not know operation {name:?} v{version}; the task waits"
            );
        }
        known
    }

    pub(super) fn spawn(self: &Arc<Self>, task: Arc<Task>, fence: Fence, lease: TaskLease, from: TakenFrom) {
        let id = task.spec.id;
        if self.shutdown.is_cancelled() {
            return; // It is on disk; the next process takes it over.
        }
        let operation = self.registry.operation(&task.spec.graph.operation);
        let Some(operation) = operation.filter(|_| self.knows(&task)) else { return };
        let requested = Arc::new(Requests::new());
        self.driven.begin(id, fence, Arc::clone(&requested));
        let engine = Arc::clone(self);
        let lines = spans::lines_of_task(&task);
        let executor = Executor::new(
            Arc::clone(&self.store),
            self.committer.clone(),
            operation,
            self.settings.clone(),
            fence,
            lease,
            self.shutdown.clone(),
            Arc::clone(&self.look_rate),
            requested,
            task,
        );
        let work = async move {
            // A panic in one step must not leave its task without an owner and without a log line.
            let exit = AssertUnwindSafe(executor.run(from)).catch_unwind().await;
            engine.driven.end(id, fence);
            let Ok(reason) = exit else {
                tracing::error!(task = id.get(), "the executor of the task broke down");
                return engine.adopt_again(id).await;
            };
            match reason {
                ExitReason::Ended => tracing::info!(task = id.get(), "the task ended"),
                ExitReason::ShuttingDown => tracing::info!(task = id.get(), "let go of the task: shutting down"),
                ExitReason::LeaseEnded => {
                    tracing::warn!(task = id.get(), "let go of the task: the lease of this replica ended");
                    engine.adopt_again(id).await;
                }
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
        self.tracker.spawn_on(work.instrument(lines), &self.runtime);
    }

    pub fn running(&self) -> usize {
        self.driven.count()
    }

    /// Who else drives tasks of this store.
    pub const fn replicas(&self) -> &Arc<dyn Replicas> {
        &self.replicas
    }

    /// The id of this replica, once it has joined.
    pub fn me(&self) -> Option<ReplicaId> {
        *self.me.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left of the lease of this replica; `None`: it never ends.
    pub fn lease_left(&self) -> Option<Duration> {
        self.lease.left()
    }

    /// How many leases of this replica have ended.
    pub fn leases_lost(&self) -> u64 {
        self.lease.lost()
    }

    pub(super) const fn metrics(&self) -> &TaskMetrics {
        &self.settings.metrics
    }

    pub(super) fn sightings(&self) -> MutexGuard<'_, Sightings> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn executor_name(&self) -> &str {
        &self.settings.executor
    }

    /// Accepts no new work; waits end at once, an effect in flight gets a few seconds.
    pub async fn shut_down(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        if tokio::time::timeout(SHUTDOWN_GRACE, self.tracker.wait()).await.is_err() {
            tracing::warn!("tasks were still running at the end of the shutdown grace; the next start takes them over");
            return;
        }
        // Only now: what this replica owned, another one may drive at once.
        match tokio::time::timeout(LEAVE_TIMEOUT, self.replicas.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the other replicas find out by themselves that this one ended: {error}"),
            Err(_) => tracing::warn!("the other replicas find out by themselves that this one ended"),
        }
    }
}
