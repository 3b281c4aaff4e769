//! Which tasks this replica drives: it renews its lease, buries replicas that do not renew theirs, and takes over what nobody
//! drives. What is taken over twice is driven once: the claim is a compare-and-set of the lock's fence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt;

use crate::domain::decide::Input;
use crate::domain::event::{EventKind, Phase};
use crate::domain::ids::{Fence, ReplicaId, TaskId};
use crate::engine::commit::WriteOutcome;
use crate::engine::error::{BrokenInvariant, EngineError};
use crate::engine::scheduler::Engine;
use crate::store::replicas::{LEASE, OwnedTask, ReplicaRow, ReplicaState};
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
/// Another replica is buried so long after its lease must have ended.
const BURY_MARGIN: Duration = Duration::from_millis(250);
/// Who could not look for so long has not seen what others did meanwhile, and begins to count anew: behind an outage of the
/// database nobody buries anybody who only could not renew either.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// A task without an owner may be just beginning: whoever began it gets so long to drive it.
const UNOWNED: Duration = Duration::from_secs(2);
/// Tasks of replicas that are gone are shared out among those that have fewest; what is left for so long anybody takes.
const LEFT_OVER: Duration = Duration::from_secs(1);
/// Tasks that are taken over at the same time.
const CONCURRENT: usize = 16;
/// Events that are read at a time.
const RANGE: u32 = 256;

/// What was seen of others, by the boot clock.
#[derive(Default)]
pub(super) struct Sightings {
    /// When others were last looked at.
    looked: Duration,
    /// The last number of renewals, and when it was first seen.
    renewals: BTreeMap<ReplicaId, (i64, Duration)>,
    /// Those that renew their lease.
    live: BTreeSet<ReplicaId>,
    /// Tasks that nobody drives: the fence, and when that was first seen.
    idle: BTreeMap<TaskId, (Fence, Duration)>,
}

impl Sightings {
    /// Replicas whose lease has ended, with their last renewal.
    fn ended(&mut self, rows: &[ReplicaRow], me: ReplicaId, now: Duration) -> Vec<(ReplicaId, i64)> {
        self.live = rows.iter().filter(|row| row.state == ReplicaState::Live).map(|row| row.id).collect();
        if now.saturating_sub(std::mem::replace(&mut self.looked, now)) > LONGEST_GAP {
            self.renewals.clear();
        }
        let others = rows.iter().filter(|row| row.state == ReplicaState::Live && row.id != me);
        let seen: BTreeMap<_, _> = others
            .map(|row| {
                let known = self.renewals.get(&row.id).filter(|(renewals, _)| *renewals == row.renewals);
                (row.id, (row.renewals, known.map_or(now, |(_, since)| *since)))
            })
            .collect();
        self.renewals = seen;
        let ended = self.renewals.iter().filter(|(_, (_, since))| now.saturating_sub(*since) >= LEASE + BURY_MARGIN);
        ended.map(|(id, (renewals, _))| (*id, *renewals)).collect()
    }

    /// Tasks to take over. `at_once`: also those that have no owner, whoever may be beginning them.
    fn orphans(&mut self, owned: Vec<OwnedTask>, situation: &Situation<'_>, at_once: bool) -> Vec<OwnedTask> {
        let Situation { live, me, running, now } = *situation;
        let total = owned.len();
        let idle: Vec<OwnedTask> = owned
            .into_iter()
            .filter(|task| !running.contains(&task.task))
            .filter(|task| task.owner.is_none_or(|owner| owner == me || !live.contains(&owner)))
            .collect();
        let seen: BTreeMap<TaskId, (Fence, Duration)> = idle
            .iter()
            .map(|task| {
                let known = self.idle.get(&task.task).filter(|(fence, _)| *fence == task.fence);
                (task.task, (task.fence, known.map_or(now, |(_, since)| *since)))
            })
            .collect();
        self.idle = seen;
        let mut room = total.div_ceil(live.len().max(1)).saturating_sub(running.len());
        idle.into_iter()
            .filter(|task| {
                let idle_for =
                    self.idle.get(&task.task).map(|(_, since)| now.saturating_sub(*since)).unwrap_or_default();
                let gone = task.owner.is_some_and(|owner| owner != me);
                let wanted = gone || at_once || idle_for >= UNOWNED;
                let takes = wanted && (room > 0 || idle_for >= LEFT_OVER);
                room = room.saturating_sub(usize::from(takes));
                takes
            })
            .collect()
    }
}

/// What a sweep knows.
#[derive(Clone, Copy)]
struct Situation<'a> {
    live: &'a BTreeSet<ReplicaId>,
    me: ReplicaId,
    running: &'a BTreeSet<TaskId>,
    /// By the boot clock.
    now: Duration,
}

/// Which of these replicas has a share of what is numbered so: the one for which both numbers mix to most. When one goes, only its
/// shares move.
fn has_share(live: &BTreeSet<ReplicaId>, me: ReplicaId, number: i64) -> bool {
    let mixed = |replica: &ReplicaId| mix(mix(replica.get().cast_unsigned()) ^ number.cast_unsigned());
    live.iter().max_by_key(|replica| (mixed(replica), **replica)).is_none_or(|first| *first == me)
}

/// The finalizer of SplitMix64: the same in every version of the program, which several replicas may run.
const fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

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
            self.lease.renewed(sent);
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
                    tracing::warn!("this replica was buried, it was silent for too long: it comes back as a new one");
                    match self.join().await {
                        Ok(()) => RENEW_INTERVAL,
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
        let (running, now) = (self.running_tasks(), self.lease.now());
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
                Err(EngineError::Store(error @ (StoreError::Open(_) | StoreError::Failed(_) | StoreError::Closed))) => {
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
        let Some(stored) = self.store.task(id).await? else { return Ok(false) };
        if stored.task.state.phase() != Phase::Moving || !self.knows(&stored.task) {
            return Ok(false);
        }
        let lease = self.lease.of_task();
        let Some(fence) = self.replicas.claim_seen(&owned).await? else { return Ok(false) };
        let input = Input::Adopted { fence, executor: self.executor_name().to_owned() };
        let task = Arc::new(stored.task);
        match self.committer().write(&task, input, Author::Owner { fence }, |_| Vec::new()).await? {
            WriteOutcome::Done { task, .. } => {
                tracing::info!(task = id.get(), fence = fence.get(), state = %task.state, "took the task over");
                if task.state.phase() == Phase::Moving {
                    self.spawn(task, fence, lease, true);
                }
                Ok(true)
            }
            WriteOutcome::Refused(refusal) => Err(BrokenInvariant::OwnDecisionRefused { task: id, refusal }.into()),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) | WriteOutcome::Replayed { .. } => Ok(false),
        }
    }

    /// Takes a task over again whose executor failed here, unless it has another owner by now, or was taken up here meanwhile.
    pub(super) async fn adopt_own(self: &Arc<Self>, id: TaskId) -> Result<(), EngineError> {
        let me = self.me();
        let owned = self.replicas.owned_tasks().await?;
        let own = owned.into_iter().find(|owned| owned.task == id && (owned.owner.is_none() || owned.owner == me));
        if let Some(owned) = own
            && !self.running_tasks().contains(&id)
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
                                self.notify_revision(event.task, event.revision);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::ids::ClusterKey;

    fn replica(id: i64) -> ReplicaId {
        ReplicaId::new(id).unwrap()
    }

    fn row(id: i64, renewals: i64, state: ReplicaState) -> ReplicaRow {
        let at = Timestamp::default();
        ReplicaRow {
            id: replica(id),
            name: String::new(),
            address: String::new(),
            version: String::new(),
            start_time: at,
            end_time: None,
            state,
            renewals,
            renew_time: at,
            tasks: 0,
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_who_does_not_renew_for_a_whole_lease_is_buried() {
        let mut sightings = Sightings::default();
        let rows = |second, third| {
            [row(1, 1, ReplicaState::Live), row(2, second, ReplicaState::Live), row(3, third, ReplicaState::Live)]
        };
        // Looked at all the while, with these numbers of renewals.
        let mut look = |from: u64, to: u64, rows: &[ReplicaRow]| {
            (from..to).fold(Vec::new(), |_, second| sightings.ended(rows, replica(1), secs(second)))
        };
        assert_eq!(look(100, 105, &rows(5, 5)), []);
        assert_eq!(look(105, 110, &rows(5, 6)), []);
        assert_eq!(look(110, 112, &rows(5, 6)), [(replica(2), 5)]);
        // It has come back in time: somebody was slow to look.
        assert_eq!(look(112, 118, &rows(6, 7)), []);
        let mut gone = rows(6, 7);
        gone[1].state = ReplicaState::Left;
        assert_eq!(look(118, 124, &gone), [(replica(3), 7)]);
        // Nobody saw what was in between.
        assert_eq!(look(140, 150, &rows(8, 7)), []);
        assert_eq!(look(150, 152, &rows(8, 7)), [(replica(2), 8), (replica(3), 7)]);
    }

    #[test]
    fn every_share_has_one_replica_and_stays_there() {
        let three: BTreeSet<_> = [1, 2, 3].map(replica).into();
        let two: BTreeSet<_> = [1, 3].map(replica).into();
        let mut counts = [0; 3];
        for number in 1..=3000 {
            let who = |live: &BTreeSet<_>| {
                let all: Vec<_> = live.iter().filter(|one| has_share(live, **one, number)).copied().collect();
                assert_eq!(all.len(), 1, "{number}");
                all[0]
            };
            let (with, without) = (who(&three), who(&two));
            assert!(with == without || with == replica(2), "{number} moved from a replica that is there");
            counts[usize::try_from(with.get() - 1).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!(has_share(&BTreeSet::new(), replica(1), 7), "nobody is seen yet");
    }

    #[test]
    fn what_nobody_drives_is_shared_out_and_what_begins_is_left_alone() {
        let task = |id: i64, owner: Option<i64>| OwnedTask {
            task: TaskId::new(id).unwrap(),
            cluster: ClusterKey::from_stored(id.to_string()),
            fence: Fence::new(1),
            owner: owner.map(replica),
        };
        let live: BTreeSet<_> = [1, 2].map(replica).into();
        let (running, mut sightings) = (BTreeSet::from([TaskId::new(9).unwrap()]), Sightings::default());
        let all = || vec![task(1, Some(3)), task(2, Some(3)), task(3, Some(2)), task(4, None), task(9, Some(1))];
        let mut sweep = |seconds, at_once| {
            let situation = Situation { live: &live, me: replica(1), running: &running, now: secs(seconds) };
            let orphans = sightings.orphans(all(), &situation, at_once);
            orphans.into_iter().map(|owned| owned.task.get()).collect::<Vec<_>>()
        };
        // Five tasks on two replicas: three each, and one runs here already. The fourth may be just beginning.
        assert_eq!(sweep(10, false), [1, 2]);
        assert_eq!(sweep(12, false), [1, 2, 4]);
        assert_eq!(sweep(12, true), [1, 2, 4]);
    }
}
