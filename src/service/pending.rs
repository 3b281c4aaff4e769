//! Tends the tasks that are PENDING: each is begun when it may, refused when it never may, or told what it waits for. Nobody owns them:
//! every replica looks after its share, and what one decides is written by compare-and-set, so that a replica that dies loses no
//! place and two that overlap begin nothing twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

use super::Service;
use super::views::{AssessedCheck, CheckVerdict, StopPlanView};
use crate::clock::{Timestamp, monotonic_now};
use crate::domain::approval::{ApprovalEnd, PlanDigest};
use crate::domain::beginning::{Cause, NEXT_LOOK, Outlook, Rules, causes, outlook};
use crate::domain::blocker::Blockers;
use crate::domain::call::{Subject, permits};
use crate::domain::change_freeze::ChangeFreeze;
use crate::domain::decide::Input;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::ids::{ClusterKey, Principal, TaskId};
use crate::domain::task::Task;
use crate::engine::{EngineError, WriteOutcome};
use crate::inventory::InventoryError;
use crate::operations::definition::Definition;
use crate::store::{Author, Progress, StoreError, StoredTask};

/// Looks come no closer together than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// While something waits it is looked at this often at least: a clock may be set.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a pending task is told, or what becomes of it.
enum Look {
    Begun,
    Refuse(Failure),
    /// What somebody approved is not what would happen.
    ApprovalLost(PlanDigest, ApprovalEnd),
    /// Nor is this, but what stands against it may pass by itself within seconds.
    MayPass(PlanDigest),
    Wait(Cause),
}

/// Which tasks are at their beginning, and which are left alone until a moment.
#[derive(Default)]
struct Beginning {
    running: JoinSet<(TaskId, Result<Option<Timestamp>, EngineError>)>,
    busy: HashMap<TaskId, Option<Timestamp>>,
}

impl Service {
    /// Looks after what is PENDING whenever something was committed, and when the next of it is due. Returns when the store is closed.
    pub async fn tend_pending(self) {
        let mut committed = self.store.committed();
        let mut beginning = Beginning::default();
        loop {
            _ = committed.borrow_and_update();
            let due = match self.look_at_pending(&mut beginning).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!("what is pending could not be looked at: {error}");
                    Some(self.deps.clock.now().plus(NEXT_LOOK))
                }
            };
            tokio::time::sleep(SHORTEST_PAUSE).await;
            let pause = due.map(|due| due.since(self.deps.clock.now()).min(LONGEST_PAUSE));
            tokio::select! {
                biased;
                Some(ended) = beginning.running.join_next() => beginning.ended(ended),
                changed = committed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }

    /// When the next of it is due; `None`: nothing is pending.
    async fn look_at_pending(&self, beginning: &mut Beginning) -> Result<Option<Timestamp>, StoreError> {
        let pending = self.store.pending_tasks().await?;
        if pending.is_empty() {
            beginning.busy.clear();
            return Ok(None);
        }
        let freezes = self.freezes.change_freezes().await?;
        // The first of each cluster that may begin, by all that does not change with its turn.
        let mut first: HashMap<ClusterKey, TaskId> = HashMap::new();
        let mut due = None;
        for StoredTask { task, .. } in pending {
            let (now, id, key) = (self.deps.clock.now(), task.spec.id, task.spec.cluster.key.clone());
            let task = Arc::new(task);
            let rules = self.rules(&task, &freezes);
            let before = first.get(&key).copied();
            if before.is_none() && task.expire_time > now && causes(&task, rules.policy, rules.freeze, now).is_empty() {
                first.insert(key.clone(), id);
            }
            if let Some(until) = beginning.left_alone(id, now) {
                due = earlier(due, until.unwrap_or_else(|| now.plus(LONGEST_PAUSE)));
                continue;
            }
            if !self.engine.has_share(id.get()) {
                due = earlier(due, now.plus(NEXT_LOOK));
                continue;
            }
            let holder = self.store.lock(&key).await?.and_then(|lock| lock.holder);
            match outlook(&task, &rules, holder, before, now) {
                Outlook::Begin => {
                    let service = self.clone();
                    beginning.busy.insert(id, None);
                    beginning.running.spawn(async move { (id, service.begin_or_settle(task).await) });
                }
                Outlook::ApprovalExpired(plan) => {
                    self.write(&task, Input::ApprovalLost { plan, why: ApprovalEnd::Expired }).await?;
                }
                Outlook::Refuse(failure) => self.write(&task, Input::NotBegun { failure }).await?,
                Outlook::Wait { causes, again_at } => {
                    self.tell(&task, &causes, again_at, now);
                    due = earlier(due, again_at);
                }
            }
        }
        Ok(due)
    }

    fn rules<'a>(&'a self, task: &Task, freezes: &'a [ChangeFreeze]) -> Rules<'a> {
        let freeze = freezes.iter().find(|freeze| freeze.scope.covers(&task.spec.cluster.key));
        let policy = self.beginnings.policies.of(&task.spec.cluster.name);
        Rules { policy, freeze, store_id: self.store.store_id() }
    }

    /// Begins it, or does what keeps it from that. Answers until when it is left alone.
    async fn begin_or_settle(&self, task: Arc<Task>) -> Result<Option<Timestamp>, EngineError> {
        let deadline = monotonic_now() + self.deps.timeouts.precheck;
        loop {
            let now = self.deps.clock.now();
            let input = match self.begin_or_not(&task, now).await? {
                Look::Begun => return Ok(None),
                // As the precheck of the task itself waits for what may pass by itself.
                Look::MayPass(_) if monotonic_now() < deadline => {
                    tokio::time::sleep(NEXT_LOOK).await;
                    continue;
                }
                Look::Wait(cause) => {
                    let again_at = now.plus(NEXT_LOOK);
                    self.tell(&task, &[cause], again_at, now);
                    return Ok(Some(again_at));
                }
                Look::Refuse(failure) => Input::NotBegun { failure },
                Look::MayPass(plan) => Input::ApprovalLost { plan, why: ApprovalEnd::PlanChanged },
                Look::ApprovalLost(plan, why) => Input::ApprovalLost { plan, why },
            };
            return self.write(&task, input).await.map(|()| None).map_err(EngineError::Store);
        }
    }

    async fn write(&self, task: &Arc<Task>, input: Input) -> Result<(), StoreError> {
        let system = Principal::new("system");
        let author = Author::Request { principal: system, nonce: Uuid::new_v4().to_string() };
        match self.engine.committer().write(task, input, author, |_| Vec::new()).await {
            // Refused: it was begun or closed meanwhile.
            Ok(_) => Ok(()),
            Err(EngineError::Store(error)) => Err(error),
            Err(error @ EngineError::Broken(_)) => {
                tracing::error!(task = task.spec.id.get(), "the task waits: {error}");
                Ok(())
            }
        }
    }

    /// Its turn has come: whether it is still allowed, and still what was approved.
    async fn begin_or_not(&self, task: &Arc<Task>, now: Timestamp) -> Result<Look, EngineError> {
        let spec = &task.spec;
        if let Err(error) = self.deps.inventory.cluster(spec.cluster.id).await {
            return Ok(match error {
                InventoryError::ClusterNotFound(_) => {
                    let words = format!("cluster {} is not registered any more", spec.cluster.name);
                    Look::Refuse(Failure::new(FailureKind::Refused, "CLUSTER_NOT_FOUND", words))
                }
                InventoryError::ServerNotFound { .. } | InventoryError::Cluster(_) | InventoryError::Store(_) => {
                    Look::Wait(Cause::Unknown(error.to_string()))
                }
            });
        }
        if let Err(need) = self.still_may(task, &spec.creator) {
            let words = format!(
                "{} asked for the task and may not begin it any more, {need} is missing; ask again with somebody who may",
                spec.creator
            );
            let failure = Failure::new(FailureKind::Refused, "PERMISSION_DENIED", words);
            return Ok(Look::Refuse(failure.with("principal", &spec.creator).with("permission", need)));
        }
        let mut approved = None;
        if let Some(approval) = task.approval_at(now).filter(|_| task.wants_approval()) {
            if self.still_may(task, &approval.by).is_err() {
                return Ok(Look::ApprovalLost(approval.plan.clone(), ApprovalEnd::ApproverNotPermitted));
            }
            match self.plan_of(task).await {
                Ok((_, digest)) if digest == approval.plan => approved = Some(digest),
                Ok((plans, _)) if is_unread(&plans) => {
                    return Ok(Look::Wait(Cause::Unknown("the cluster cannot be read".to_owned())));
                }
                Ok((plans, _)) if may_pass(&plans) => return Ok(Look::MayPass(approval.plan.clone())),
                Ok(_) => return Ok(Look::ApprovalLost(approval.plan.clone(), ApprovalEnd::PlanChanged)),
                Err(refusal) => return Ok(Look::Wait(Cause::Unknown(refusal.reason().to_owned()))),
            }
        }
        let author = Author::Request { principal: spec.creator.clone(), nonce: Uuid::new_v4().to_string() };
        let policy = Arc::clone(self.beginnings.policies.of(&spec.cluster.name));
        Ok(match self.engine.begin_pending(task, approved, policy, author).await? {
            WriteOutcome::Done { seq: Some(_), .. } => {
                tracing::info!(task = spec.id.get(), "a task that was pending begins");
                Look::Begun
            }
            WriteOutcome::LockHeld(holder) => Look::Wait(Cause::Held(holder)),
            // It was begun, closed or frozen, lost its approval, or its window is over, since it was read: the next look sees that.
            WriteOutcome::Done { seq: None, .. }
            | WriteOutcome::Refused(_)
            | WriteOutcome::Fenced
            | WriteOutcome::Frozen
            | WriteOutcome::Replayed { .. } => Look::Begun,
        })
    }

    /// Whether somebody may do now what the task does.
    fn still_may(&self, task: &Task, who: &Principal) -> Result<(), String> {
        if !self.beginnings.authentication {
            return Ok(());
        }
        let Some(definition) = Definition::of_task(task) else { return Ok(()) };
        let rights = self.directory.rights(who).ok_or_else(|| "the user".to_owned())?;
        let subject = Subject::Cluster(task.spec.cluster.id.get());
        permits(&rights, definition.call, subject, &task.spec.accepted_risks).map_err(|need| need.to_string())
    }

    /// Says what it waits for, as the progress of its first subtask.
    fn tell(&self, task: &Task, causes: &[Cause], again_at: Timestamp, now: Timestamp) {
        let Some(subtask) = task.first_subtask() else { return };
        let words: Vec<String> = causes.iter().map(ToString::to_string).collect();
        self.store.note(Progress {
            task: task.spec.id,
            subtask,
            message: words.join("; "),
            done: 0,
            total: 0,
            at: now,
            deadline: again_at,
            stalled_since: task.create_time,
            remaining: None,
            blockers: Blockers::default(),
        });
    }
}

impl Beginning {
    /// Until when a task is left alone; inner `None`: it is at its beginning.
    fn left_alone(&mut self, task: TaskId, now: Timestamp) -> Option<Option<Timestamp>> {
        let until = *self.busy.get(&task)?;
        if until.is_some_and(|until| until <= now) {
            self.busy.remove(&task);
            return None;
        }
        Some(until)
    }

    fn ended(&mut self, ended: Result<(TaskId, Result<Option<Timestamp>, EngineError>), JoinError>) {
        match ended {
            Ok((task, Ok(Some(until)))) => _ = self.busy.insert(task, Some(until)),
            Ok((task, Ok(None))) => _ = self.busy.remove(&task),
            Ok((task, Err(error))) => {
                tracing::warn!(task = task.get(), "the task could not begin: {error}");
                self.busy.remove(&task);
            }
            // Which one is not known: all are looked at again.
            Err(error) => {
                tracing::error!("the beginning of a task broke down: {error}");
                self.busy.retain(|_, until| until.is_some());
            }
        }
    }
}

fn is_unread(plans: &[StopPlanView]) -> bool {
    let read = |check: &AssessedCheck| check.name == "CLUSTER_READABLE" && check.verdict == CheckVerdict::Pass;
    !plans.iter().all(|plan| plan.checks.iter().any(read))
}

/// Whether something refuses, and all that does may pass by itself.
fn may_pass(plans: &[StopPlanView]) -> bool {
    let mut refusing = plans.iter().flat_map(|plan| &plan.checks).filter(|check| check.refuses()).peekable();
    refusing.peek().is_some() && refusing.all(|check| check.retriable)
}

fn earlier(due: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(due.map_or(at, |due| due.min(at)))
}
