//! Which tasks this replica drives: it renews its lease, buries replicas that do not renew theirs, and takes over what nobody
//! drives. What is taken over twice is driven once: the claim is a compare-and-set of the lock's fence.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt;

use crate::domain::decide::Input;
use crate::domain::event::{EventKind, Phase};
use crate::domain::ids::{ReplicaId, TaskId};
use crate::engine::commit::WriteOutcome;
use crate::engine::error::{BrokenInvariant, EngineError};
use crate::engine::executor::TakenFrom;
use crate::engine::scheduler::Engine;
use crate::engine::sightings::{Situation, has_share};
use crate::engine::spans;
use crate::store::replicas::{OwnedTask, ReplicaState};
use crate::store::{Author, StoreError};

/// A lease is renewed so often: three renewals can be lost.
const RENEW_INTERVAL: Duration = Duration::from_millis(2500);
/// After a renewal that failed.
const RENEW_AGAIN: Duration = Duration::from_millis(500);
/// How often others are looked at, while there can be others.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How often tasks are looked for that nobody drives, if nothing tells of them.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The same for the only replica: such a task is one whose executor broke down.
const LONE_SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Tasks that are taken over at the same time.
const CONCURRENT: usize = 16;
/// Events that are read at a time.
const RANGE: u32 = 256;

impl Engine {
    /// Whether this replica has the share of what is numbered so, of work that replicas share out.
    pub fn has_share(&self, number: i64) -> bool {
        let Some(me) = self.me() else { return true };
        has_share(&self.sightings().live, me, number)
    }

    /// Joins the replicas. From then on what an earlier one left moving is taken over, the lease is kept, others are looked after,
    /// and what nobody drives is taken over, until the engine is shut down.
    pub async fn recover(self: &Arc<Self>) -> Result<(), StoreError> {
        self.join().await?;
        // Seen before the first request: what moves now, none of them has begun.
        let left = self.orphans(true).await?;
        self.spawn_beside(|engine| engine.look_after(left));
        if self.replicas.is_shared() {
            self.spawn_beside(Self::keep_lease);
            self.spawn_beside(Self::follow_requests);
        }
        Ok(())
    }

    /// Beside the tasks: nobody waits for it at shutdown.
    fn spawn_beside<F: Future<Output = ()> + Send + 'static>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) {
        let shutdown = self.shutdown.clone();
        let work = work(Arc::clone(self));
        self.runtime.spawn(async move { shutdown.run_until_cancelled(work).await });
    }

    async fn join(&self) -> Result<(), StoreError> {
        let sent = self.lease.now();
        let me = self.replicas.join().await?;
        *self.me.lock().unwrap_or_else(PoisonError::into_inner) = Some(me);
        if self.replicas.is_shared() {
            self.lease.begins(sent);
            tracing::info!(replica = me.get(), "joined the replicas of this store");
        }
        Ok(())
    }

    async fn keep_lease(self: Arc<Self>) {
        loop {
            let sent = self.lease.now();
            let pause = match self.replicas.renew(self.running()).await {
                Ok(true) => {
                    self.lease.renewed(sent);
                    RENEW_INTERVAL
                }
                Ok(false) => {
                    // Its tasks have other owners: what still runs here finds itself fenced.
                    self.lease.end();
                    match self.join().await {
                        Ok(()) => {
                            tracing::warn!(
                                "this replica was buried, it was silent for too long: it came back as a new one"
                            );
                            RENEW_INTERVAL
                        }
                        Err(StoreError::Outdated(why)) => {
                            self.outdated.send_replace(Some(why));
                            return;
                        }
                        Err(error) => {
                            tracing::error!("this replica cannot come back: {error}");
                            RENEW_AGAIN
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    RENEW_AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns once this program must not work on the store any more, with the reason: it can never come back to it.
    pub async fn outdated(&self) -> String {
        let mut outdated = self.outdated.subscribe();
        match outdated.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            // The sender lives as long as the engine.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// `left`: what is to be taken over first.
    async fn look_after(self: Arc<Self>, left: Vec<OwnedTask>) {
        let mut ownership = self.replicas.ownership();
        let shared = self.replicas.is_shared();
        let (look, sweep) =
            if shared { (LOOK_INTERVAL, SWEEP_INTERVAL) } else { (LONE_SWEEP_INTERVAL, LONE_SWEEP_INTERVAL) };
        let mut swept = self.lease.now();
        let mut outcome = self.adopt_all(left).await;
        loop {
            if let Err(error) = &outcome {
                tracing::warn!("tasks that nobody drives could not be looked for: {error}");
            }
            let told = tokio::select! {
                biased;
                Ok(()) = ownership.changed() => true,
                () = tokio::time::sleep(if outcome.is_ok() { look } else { RENEW_AGAIN }) => outcome.is_err(),
            };
            // A replica that may not act has nothing to take over.
            if shared {
                self.lease.wait().await;
            }
            let buried = if shared { self.bury_ended().await } else { Ok(false) };
            outcome = match buried {
                Ok(buried) if told || buried || self.lease.now().saturating_sub(swept) >= sweep => {
                    swept = self.lease.now();
                    match self.orphans(told || buried).await {
                        Ok(orphans) => self.adopt_all(orphans).await,
                        Err(error) => Err(error),
                    }
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
        }
    }

    /// Whether a replica was buried.
    async fn bury_ended(&self) -> Result<bool, StoreError> {
        let Some(me) = self.me() else { return Ok(false) };
        let rows = self.replicas.replicas().await?;
        // Behind the read: a renewal that it shows was sent before.
        let now = self.lease.now();
        let ended = self.sightings().ended(&rows, me, now);
        let mut any = false;
        for (replica, renewals) in ended {
            if self.replicas.bury(replica, renewals).await? {
                tracing::warn!(replica = replica.get(), "buried a replica that does not renew its lease");
                any = true;
            }
        }
        Ok(any)
    }

    /// What nobody drives. `at_once`: also what has no owner and may be just beginning.
    async fn orphans(&self, at_once: bool) -> Result<Vec<OwnedTask>, StoreError> {
        let Some(me) = self.me() else { return Ok(Vec::new()) };
        let live: BTreeSet<ReplicaId> = {
            let rows = self.replicas.replicas().await?;
            rows.into_iter().filter(|row| row.state == ReplicaState::Live).map(|row| row.id).collect()
        };
        let owned = self.replicas.owned_tasks().await?;
        let (running, now) = (self.driven.tasks(), self.lease.now());
        let situation = Situation { live: &live, me, running: &running, now };
        Ok(self.sightings().orphans(owned, &situation, at_once))
    }

    async fn adopt_all(self: &Arc<Self>, orphans: Vec<OwnedTask>) -> Result<(), StoreError> {
        let adopted = futures::stream::iter(orphans).map(|owned| async move {
            let task = owned.task;
            (task, self.adopt(owned).await)
        });
        let mut adopted = adopted.buffer_unordered(CONCURRENT);
        let mut count = 0;
        while let Some((task, outcome)) = adopted.next().await {
            match outcome {
                Ok(true) => count += 1,
                Ok(false) => {}
                // A task that cannot be taken over keeps its own cluster locked, but blocks no other task.
                Err(error @ (EngineError::Broken(_) | EngineError::Store(StoreError::Damaged(_)))) => {
                    tracing::error!(task = task.get(), "the task waits: {error}");
                }
                Err(EngineError::Store(
                    error
                    @ (StoreError::Open(_) | StoreError::Outdated(_) | StoreError::Failed(_) | StoreError::Closed),
                )) => {
                    return Err(error);
                }
            }
        }
        if count > 0 {
            tracing::info!("took over {count} open tasks");
        }
        Ok(())
    }

    /// Takes a task over, unless somebody was faster, or this version does not know what it does.
    async fn adopt(self: &Arc<Self>, owned: OwnedTask) -> Result<bool, EngineError> {
        let id = owned.task;
        let Some(_taking_up) = self.driven.take_up(id, owned.fence) else { return Ok(false) };
        let Some(stored) = self.store.task(id).await? else { return Ok(false) };
        if stored.task.state.phase() != Phase::Moving || !self.knows(&stored.task) {
            return Ok(false);
        }
        let lease = self.lease.of_task();
        let Some(fence) = self.replicas.claim(&owned).await? else { return Ok(false) };
        let input = Input::Adopted { fence, executor: self.executor_name().to_owned() };
        let task = Arc::new(stored.task);
        match self.committer().write(&task, input, Author::Owner { fence }, |_| Vec::new()).await? {
            WriteOutcome::Done { task, .. } => {
                self.metrics().taken_over();
                spans::lines_of_task(&task).in_scope(|| {
                    tracing::info!(task = id.get(), fence = fence.get(), state = %task.state, "took the task over");
                });
                if task.state.phase() == Phase::Moving {
                    self.spawn(task, fence, lease, TakenFrom::EarlierOwner);
                }
                Ok(true)
            }
            WriteOutcome::Refused(refusal) => Err(BrokenInvariant::OwnDecisionRefused { task: id, refusal }.into()),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) | WriteOutcome::Frozen | WriteOutcome::Replayed { .. } => {
                Ok(false)
            }
        }
    }

    /// Takes a task over again whose executor failed here, unless it has another owner by now, or was taken up here meanwhile.
    pub(super) async fn adopt_own(self: &Arc<Self>, id: TaskId) -> Result<(), EngineError> {
        let me = self.me();
        let owned = self.replicas.owned_tasks().await?;
        let own = owned.into_iter().find(|owned| owned.task == id && (owned.owner.is_none() || owned.owner == me));
        if let Some(owned) = own
            && !self.driven.tasks().contains(&id)
        {
            self.adopt(owned).await?;
        }
        Ok(())
    }

    /// Notifies the executors here of what was asked of their tasks at other replicas.
    async fn follow_requests(self: Arc<Self>) {
        let mut committed = self.store.committed();
        let mut position = *committed.borrow_and_update();
        while committed.changed().await.is_ok() {
            let head = *committed.borrow_and_update();
            if self.running() == 0 {
                position = head;
                continue;
            }
            while position < head {
                match self.store.tail(position, RANGE).await {
                    Ok(events) => {
                        let Some(last) = events.last() else { break };
                        position = last.seq;
                        for event in &events {
                            if matches!(event.event.kind, EventKind::VerbRequested { .. }) {
                                self.driven.committed(event.task, event.revision);
                            }
                        }
                    }
                    Err(error) => {
                        tracing::warn!("what was asked at other replicas could not be read: {error}");
                        break;
                    }
                }
            }
        }
    }
}
