//! Drives one task as its owner: runs whatever is READY, and for each subtask the loop look, commit, check, act, look.
//! A positive look ends an unknown at once; a negative one counts only after the horizon, which `decide` enforces.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::decide::{Input, Learned, awaits_retry};
use crate::domain::effect::{EffectOutcome, Intent, Permit};
use crate::domain::event::{Failure, FailureKind, IntentOutcome, Override, Phase, SubtaskState, TaskSpec, TaskState};
use crate::domain::ids::{Fence, Revision, SubtaskId};
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;
use crate::engine::canceling::Sight;
use crate::engine::commit::{Committer, Written};
use crate::engine::step::{Look, Operation, PreparedEffect, ProgressReport, Step, StepContext};
use crate::engine::waiting::{Unreadable, Waiting};
use crate::store::{Author, LogLine, Progress, Store, StoreError, Write};

/// Pause before the look that follows an unknown outcome: what was lost on the way may just be arriving.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(200);
/// Pause between looks while a request may still take effect.
pub(super) const HORIZON_PAUSE: Duration = Duration::from_millis(500);

/// A first look that takes longer says what it waits for.
const SILENT_LOOK: Duration = Duration::from_secs(1);

/// Why the executor lets go of a task.
#[derive(Debug)]
pub(super) enum LetGo {
    /// It rests or is closed.
    Ended,
    /// The process ends.
    ShuttingDown,
    /// Another owner has it.
    Fenced,
    /// The store failed or says what cannot be.
    Store(StoreError),
    /// This version does not know the operation or the step.
    UnknownOperation(String),
}

/// The owner of one task.
pub(super) struct Executor {
    pub store: Arc<dyn Store>,
    pub committer: Committer,
    pub operation: Arc<dyn Operation>,
    pub clock: Clock,
    pub name: String,
    pub fence: Fence,
    pub shutdown: CancellationToken,
    /// Revision up to which requests of others were committed.
    requested: watch::Receiver<Revision>,
    task: Mutex<Arc<Task>>,
}

impl Executor {
    #[expect(clippy::too_many_arguments, reason = "a constructor that names every part once")]
    pub fn new(
        store: Arc<dyn Store>,
        committer: Committer,
        operation: Arc<dyn Operation>,
        clock: Clock,
        name: String,
        fence: Fence,
        shutdown: CancellationToken,
        requested: watch::Receiver<Revision>,
        task: Arc<Task>,
    ) -> Self {
        Self { store, committer, operation, clock, name, fence, shutdown, requested, task: Mutex::new(task) }
    }

    /// Runs the task until it rests, is closed, or is let go.
    pub async fn run(&self) -> LetGo {
        match self.drive().await {
            Ok(()) => LetGo::Ended,
            Err(let_go) => let_go,
        }
    }

    async fn drive(&self) -> Result<(), LetGo> {
        let mut driven: HashSet<SubtaskId> = HashSet::new();
        let mut running = FuturesUnordered::new();
        loop {
            let mut task = self.current().await;
            if task.state.phase() != Phase::Moving {
                return Ok(());
            }
            if self.shutdown.is_cancelled() {
                return Err(LetGo::ShuttingDown);
            }
            if awaits_retry(&task) {
                self.find_retry_start(&task).await?;
                continue;
            }
            if task.subtasks.iter().any(|subtask| subtask.state == SubtaskState::Ready) {
                task = self.write(Input::Dispatch { executor: self.name.clone() }, |_| Vec::new()).await?;
            }
            for subtask in &task.subtasks {
                let id = subtask.spec.id;
                let runs = matches!(subtask.state, SubtaskState::Running | SubtaskState::Canceling);
                if runs && driven.insert(id) {
                    running.push(async move { (id, self.run_subtask(id).await) });
                }
            }
            let Some((id, ended)) = running.next().await else {
                let (task, state) = (task.spec.id, task.state);
                let message = format!("task {task} is {state} and has nothing to run");
                return Err(LetGo::Store(StoreError::Damaged(message)));
            };
            driven.remove(&id);
            ended?;
        }
    }

    pub(super) async fn current(&self) -> Arc<Task> {
        Arc::clone(&*self.task.lock().await)
    }

    /// The task with what others asked of it meanwhile.
    async fn caught_up(&self) -> Result<Arc<Task>, LetGo> {
        let mut task = self.task.lock().await;
        let requested = *self.requested.borrow();
        if requested > task.revision {
            *task = self.committer.catch_up(&task).await.map_err(LetGo::Store)?;
        }
        Ok(Arc::clone(&task))
    }

    /// Returns once somebody asked for something that the task of this revision does not know of.
    async fn told(&self, since: Revision) {
        let mut requested = self.requested.clone();
        if requested.wait_for(|revision| *revision > since).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }

    /// Commits what follows from an input; holds the task meanwhile, so that two subtasks cannot decide on one revision.
    async fn write(&self, input: Input, writes: impl Fn(&Task) -> Vec<Write>) -> Result<Arc<Task>, LetGo> {
        match self.try_write(input, writes).await? {
            Ok(task) => Ok(task),
            Err(refusal) => Err(LetGo::Store(StoreError::Damaged(format!("a decision was refused: {refusal:?}")))),
        }
    }

    async fn try_write(
        &self,
        input: Input,
        writes: impl Fn(&Task) -> Vec<Write>,
    ) -> Result<Result<Arc<Task>, Refusal>, LetGo> {
        let mut task = self.task.lock().await;
        let author = Author::Owner { fence: self.fence };
        match self.committer.write(&task, input, author, writes).await.map_err(LetGo::Store)? {
            Written::Done { task: after, .. } => {
                *task = Arc::clone(&after);
                Ok(Ok(after))
            }
            Written::Refused(refusal) => Ok(Err(refusal)),
            Written::Fenced => Err(LetGo::Fenced),
            Written::LockHeld(other) => Err(LetGo::Store(StoreError::Damaged(format!("lock held by task {other}")))),
            Written::Replayed { task, .. } => Err(LetGo::Store(StoreError::Damaged(format!("request of task {task}")))),
        }
    }

    fn step(&self, task: &Task, subtask: SubtaskId) -> Result<Arc<dyn Step>, LetGo> {
        let name = task.subtask(subtask).map(|subtask| subtask.spec.name.clone()).unwrap_or_default();
        self.operation.step(&name).ok_or_else(|| {
            LetGo::UnknownOperation(format!(
                "{} v{}, step {name:?}",
                task.spec.graph.operation.name, task.spec.graph.operation.version
            ))
        })
    }

    /// Begins with what an earlier owner left open: its sessions are ended, as far as that is possible.
    pub async fn take_over(&self) -> Result<(), LetGo> {
        let task = {
            // With what was asked before this owner could be told of it.
            let mut task = self.task.lock().await;
            *task = self.committer.catch_up(&task).await.map_err(LetGo::Store)?;
            Arc::clone(&task)
        };
        for intent in task.intents.iter().filter(|intent| intent.is_unresolved()) {
            let context = StepContext::new(Arc::clone(&task), intent.subtask, self.clock.clone(), self.fence);
            let permit = self.permit(&task, intent.subtask, intent.number).await?;
            match self.operation.take_over(&context, intent, permit).await {
                Ok(done) => tracing::info!(task = task.spec.id.get(), intent = intent.number, "{done}"),
                Err(failure) => {
                    tracing::warn!(task = task.spec.id.get(), intent = intent.number, "{}", failure.message)
                }
            }
        }
        Ok(())
    }

    async fn find_retry_start(&self, task: &Arc<Task>) -> Result<(), LetGo> {
        let mut from = None;
        for subtask in task.in_execution_order() {
            let id = subtask.spec.id;
            if subtask.state != SubtaskState::Successful {
                from = Some(id);
                break;
            }
            let step = self.step(task, id)?;
            let context = StepContext::new(Arc::clone(task), id, self.clock.clone(), self.fence);
            // Not known counts as holding: the step that failed looks again, and the gate reads everything anew.
            if step.still_holds(&context).await == Ok(false) {
                from = Some(id);
                break;
            }
        }
        let Some(subtask) = from else {
            return Err(LetGo::Store(StoreError::Damaged(format!("task {} has nothing to retry", task.spec.id))));
        };
        self.write(Input::RetryFrom { subtask }, |_| Vec::new()).await.map(drop)
    }

    /// The right to try an effect: only while the lock has our fence.
    async fn permit(&self, task: &Task, subtask: SubtaskId, intent: i32) -> Result<Permit, LetGo> {
        let key = &task.spec.cluster.key;
        let lock = self.store.lock(key).await.map_err(LetGo::Store)?;
        let ours = lock.is_some_and(|lock| lock.holder == Some(task.spec.id) && lock.fence == self.fence);
        if !ours {
            return Err(LetGo::Fenced);
        }
        let run_time = task.subtask(subtask).map(|subtask| subtask.run_time).unwrap_or_default();
        Ok(Permit::issue(task.spec.id, subtask, intent, run_time, key.clone(), self.fence))
    }

    async fn run_subtask(&self, id: SubtaskId) -> Result<(), LetGo> {
        let task = self.current().await;
        let step = self.step(&task, id)?;
        let timeout = task.subtask(id).map(|subtask| subtask.spec.timeout).unwrap_or_default();
        let mut context = StepContext::new(task, id, self.clock.clone(), self.fence);
        let mut wait = Waiting::new(step.patience(), timeout);
        let mut failing: Option<(Failure, Learned)> = None;
        let mut unreadable: Option<Unreadable> = None;
        let mut sight = Sight::at_begin(&context);
        loop {
            if self.shutdown.is_cancelled() {
                return Err(LetGo::ShuttingDown);
            }
            context.task = self.caught_up().await?;
            if context.task.state == TaskState::Canceling {
                let waited_for =
                    failing.as_ref().map_or_else(|| wait.waits_for(), |(failure, _)| failure.message.as_str());
                return self.end_cancelled(&*step, &mut context, sight, waited_for).await;
            }
            context.last_look = wait.is_over();
            let told = self.told(context.task.revision);
            let look = tokio::select! {
                biased;
                look = self.looked(&*step, &context, &wait) => look,
                // A look only reads: it is dropped, unless something is not known without it.
                () = told, if sight == Sight::Had && !context.has_open_effect() => continue,
            };
            if !matches!(look, Look::Unreadable { .. }) {
                sight = Sight::Had;
                unreadable = None;
            }
            let pause = match look {
                Look::Reached { already_so, learned, writes } => {
                    let executor = self.name.clone();
                    let input = Input::StepSucceeded { subtask: id, already_so, learned, executor };
                    self.end(&context, input, writes).await?;
                    return Ok(());
                }
                // Going forward needs no horizon: a refusal that has passed while it was waited for is no reason to fail.
                Look::Needed { intent, overrides, effect } if !context.last_look && passes(failing.as_ref()) => {
                    failing = None;
                    wait.for_what(&intent.description);
                    let acted = self.act(&mut context, intent, overrides, effect).await?;
                    // What follows from an effect begins with its end, however long its answer took.
                    wait.begins_anew();
                    match acted {
                        Acted::Tried(outcome) => {
                            sight = Sight::Owed;
                            if outcome == IntentOutcome::Unknown {
                                tokio::time::sleep(UNKNOWN_PAUSE).await;
                            }
                            continue;
                        }
                        Acted::NotBegun => continue,
                        Acted::Ended => return Ok(()),
                        Acted::MayStillHappen => HORIZON_PAUSE,
                    }
                }
                Look::Needed { intent, .. } => {
                    wait.for_what(&intent.description);
                    HORIZON_PAUSE
                }
                Look::Happened { message } => {
                    self.settle(&context, &message).await?;
                    continue;
                }
                Look::Wait { progress, again_in } => {
                    // Something moves: a failure that was about to be declared no longer describes what is.
                    if failing.take().is_some() {
                        wait = Waiting::new(step.patience(), timeout);
                    }
                    wait.progressed(&progress);
                    self.note(&context, progress, wait.deadline(&self.clock));
                    again_in
                }
                Look::Refuse { failure, learned } => {
                    failing = failing.or(Some((failure, learned)));
                    HORIZON_PAUSE
                }
                Look::Unreadable { failure } => {
                    let state = unreadable.get_or_insert_with(Unreadable::begin);
                    wait.for_what(&failure.message);
                    if state.lasted() > step.read_patience() {
                        failing = failing.or(Some((failure.clone(), Learned::default())));
                    }
                    context.log(format!("could not look: {}", failure.message));
                    self.note(&context, ProgressReport::uncounted(failure.message), wait.deadline(&self.clock));
                    state.next_pause()
                }
            };
            if wait.is_over() && !context.last_look && failing.is_none() {
                continue;
            }
            let input = match &failing {
                Some((failure, learned)) => {
                    let (failure, learned) = (failure.clone(), learned.clone());
                    Some(Input::StepFailed { subtask: id, failure, learned, looked: unreadable.is_none() })
                }
                // A wait that ended during this look gets one more, which knows that it is the last.
                None if context.last_look => {
                    Some(Input::TimedOut { subtask: id, waited_for: wait.waits_for().to_owned() })
                }
                None => None,
            };
            let pause = match input {
                None => pause,
                Some(input) => match self.try_end(&context, input).await? {
                    None => return Ok(()),
                    Some(until) => {
                        let why = failing
                            .as_ref()
                            .map_or_else(|| wait.waits_for().to_owned(), |(failure, _)| failure.message.clone());
                        let message = format!(
                            "waiting until {until}, when a request that was sent can no longer take effect ({why})"
                        );
                        self.note(&context, ProgressReport::uncounted(message), until);
                        HORIZON_PAUSE
                    }
                },
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.told(context.task.revision) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
    }

    /// A look. The first may be long, and is a wait that must not be silent either.
    async fn looked(&self, step: &dyn Step, context: &StepContext, wait: &Waiting) -> Look {
        let look = step.look(context);
        tokio::pin!(look);
        if !wait.is_silent() {
            return look.await;
        }
        match tokio::time::timeout(SILENT_LOOK, &mut look).await {
            Ok(look) => look,
            Err(_) => {
                let TaskSpec { cluster, server, .. } = &context.task.spec;
                let (name, ip) = (&cluster.name, server.addr.ip());
                let message = format!("the first answers of cluster {name} and of the host of {ip}");
                self.note(context, ProgressReport::uncounted(message), wait.deadline(&self.clock));
                look.await
            }
        }
    }

    /// Commits that the oldest open attempt of a subtask has happened. Later ones stay open: they may still be on their
    /// way, and their horizon counts.
    pub(super) async fn settle(&self, context: &StepContext, message: &str) -> Result<(), LetGo> {
        let subtask = context.subtask;
        let mut intents = context.task.intents.iter();
        if let Some(open) = intents.find(|intent| intent.subtask == subtask && intent.is_unresolved()) {
            let (number, outcome, message) = (open.number, IntentOutcome::Done, message.to_owned());
            self.write(Input::EffectEnded { subtask, number, outcome, message }, |_| Vec::new()).await?;
        }
        Ok(())
    }

    /// Commits the end of a subtask with its log.
    pub(super) async fn end(
        &self,
        context: &StepContext,
        input: Input,
        writes: Vec<Write>,
    ) -> Result<Arc<Task>, LetGo> {
        let log = Self::log_write(context);
        self.write(input, move |_| writes.iter().cloned().chain(log.clone()).collect()).await
    }

    /// Commits a failure; `Some` moment when an effect that was tried may still happen until then.
    pub(super) async fn try_end(
        &self,
        context: &StepContext,
        input: Input,
    ) -> Result<Option<crate::clock::Timestamp>, LetGo> {
        let log = Self::log_write(context);
        match self.try_write(input, move |_| log.iter().cloned().collect()).await? {
            Ok(_) => Ok(None),
            Err(Refusal::EffectMayStillHappen { until, .. }) => Ok(Some(until)),
            Err(refusal) => Err(LetGo::Store(StoreError::Damaged(format!("a decision was refused: {refusal:?}")))),
        }
    }

    fn log_write(context: &StepContext) -> Option<Write> {
        let run_time = context.this().map_or(1, |subtask| subtask.run_time);
        let subtask = context.subtask;
        let lines = context.take_lines().into_iter().map(|(at, text)| LogLine { subtask, run_time, at, text });
        let lines: Vec<LogLine> = lines.collect();
        (!lines.is_empty()).then_some(Write::Log(lines))
    }

    pub(super) fn note(&self, context: &StepContext, report: ProgressReport, deadline: crate::clock::Timestamp) {
        let ProgressReport { message, done, total } = report;
        let (task, subtask, at) = (context.task.spec.id, context.subtask, self.clock.now());
        self.store.note(Progress { task, subtask, message, done, total, at, deadline });
    }

    /// Commit of the intent, ownership check, effect, commit of what is known of it.
    async fn act(
        &self,
        context: &mut StepContext,
        intent: Intent,
        overrides: Vec<Override>,
        effect: Box<dyn PreparedEffect>,
    ) -> Result<Acted, LetGo> {
        let (id, fence) = (context.subtask, self.fence);
        context.log(format!("{} at {}", intent.description, intent.endpoint));
        let number = context.task.next_intent();
        let input = Input::EffectWanted { subtask: id, intent, fence, overrides };
        let log = Self::log_write(context);
        let task = match self.try_write(input, move |_| log.iter().cloned().collect()).await? {
            Ok(task) => task,
            // Consent has ended while an earlier attempt may still take effect: wait, as for any failure.
            Err(Refusal::EffectMayStillHappen { .. }) => return Ok(Acted::MayStillHappen),
            Err(refusal) => {
                return Err(LetGo::Store(StoreError::Damaged(format!("a decision was refused: {refusal:?}"))));
            }
        };
        let recorded = task.intents.iter().any(|intent| intent.number == number);
        if !recorded && task.state == TaskState::Canceling {
            return Ok(Acted::NotBegun);
        }
        if !recorded {
            // Consent to an irreversible step has ended: the decision failed the subtask instead.
            return Ok(Acted::Ended);
        }
        if let Some(recorded) = task.intents.iter().find(|intent| intent.number == number) {
            let progress =
                ProgressReport::uncounted(format!("waits for the answer to {}", recorded.intent.description));
            self.note(context, progress, recorded.intent.horizon);
        }
        let permit = self.permit(&task, id, number).await?;
        crate::engine::scheduler::crash_hook_permit();
        let (outcome, message) = match effect.send(permit).await {
            EffectOutcome::Done { message } => {
                context.refused = None;
                (IntentOutcome::Done, message)
            }
            EffectOutcome::Refused { code, message } => {
                context.refused = Some((code, message.clone()));
                (IntentOutcome::Refused, message)
            }
            EffectOutcome::Unknown { message } => {
                context.refused = None;
                (IntentOutcome::Unknown, message)
            }
        };
        context.log(format!("{outcome}: {message}"));
        let log = Self::log_write(context);
        let input = Input::EffectEnded { subtask: id, number, outcome, message };
        self.write(input, move |_| log.iter().cloned().collect()).await?;
        Ok(Acted::Tried(outcome))
    }
}

/// Whether a failure that waits for a horizon may be forgotten when a look finds its step possible again. Not when
/// somebody interfered: that this too has changed back is not for the task to judge.
fn passes(failing: Option<&(Failure, Learned)>) -> bool {
    match failing.map(|(failure, _)| failure.kind) {
        None | Some(FailureKind::Refused | FailureKind::Unreachable) => true,
        Some(
            FailureKind::TimedOut
            | FailureKind::Interfered
            | FailureKind::Expired
            | FailureKind::Cancelled
            | FailureKind::CrashLoop
            | FailureKind::Internal,
        ) => false,
    }
}

/// How an attempt at an effect ended for the loop.
enum Acted {
    /// It was tried: look again.
    Tried(IntentOutcome),
    /// The subtask ended instead.
    Ended,
    /// The task was cancelled before it was tried.
    NotBegun,
    /// It may not be tried any more, and an earlier attempt is open.
    MayStillHappen,
}
