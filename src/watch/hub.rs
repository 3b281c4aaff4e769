//! The hub: one per replica. It tails the store's log for all watchers, encodes each event once, and wakes the watchers in
//! rounds. It never waits for a watcher: one that has fallen behind the ring buffer reads the log itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::monotonic_now;
use crate::domain::event::{EventKind, Phase, StoredEvent};
use crate::domain::ids::{ClusterId, Revision, Seq, SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::proto::v1::watch_task_response::Kind;
use crate::store::{LogLine, Progress, Store, StoreError, StoredTask};
use crate::watch::encode;
use crate::watch::encode_event::{TaskFacts, encode_event, state_after};
use crate::watch::encoded::Encoded;
use crate::watch::ring::{Channel, Entry, LatestProgress, SharedSnapshot, lock};

/// The pause after a round, as a multiple of the round: waking a thousand watchers costs milliseconds, and at 20 the hub's
/// share of a core stays below a twentieth however fast tasks change.
const PAUSE_FACTOR: u32 = 20;
/// Shorter pauses are left out: tokio's timers count milliseconds, a shorter sleep would only add lag.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);
/// A round in which the thread was kept from running looks long and is not: watchers wait no longer than this for the next.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// Events of one read of the log.
pub(super) const RANGE: u32 = 256;
/// Concurrent readers of the log: after a restart, thousands of watchers come back at once.
const READERS: usize = 16;
/// Between two rounds of progress: people read it, and only the latest counts.
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);
/// Pause after a failed read.
const RETRY_PERIOD: Duration = Duration::from_millis(200);
/// Tasks whose facts are cached; there are far fewer watched open tasks, and what is evicted is read again.
const FACTS_KEPT: usize = 20_000;

/// How many watchers each task has.
#[derive(Default)]
struct WatcherCounts {
    tasks: HashMap<TaskId, (Arc<Channel>, usize)>,
    all: usize,
}

impl WatcherCounts {
    fn concerns(&self, task: TaskId) -> bool {
        self.all > 0 || self.tasks.contains_key(&task)
    }

    fn is_empty(&self) -> bool {
        self.all == 0 && self.tasks.is_empty()
    }
}

/// Tails the store's log and wakes the watchers.
pub struct Hub {
    pub(super) store: Arc<dyn Store>,
    pub(super) shutdown: CancellationToken,
    watched: Mutex<WatcherCounts>,
    /// Shared by the watchers of all tasks; the head of its ring is the hub's position.
    all: Arc<Channel>,
    facts: Mutex<HashMap<TaskId, Arc<TaskFacts>>>,
    readers: Semaphore,
}

impl Hub {
    /// Whether the service is shutting down: new calls are refused.
    pub fn is_ending(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Starts tailing on the current runtime until `shutdown`, which also ends every watch.
    pub async fn start(store: Arc<dyn Store>, shutdown: CancellationToken) -> Result<Arc<Self>, StoreError> {
        // Subscribed before the head is read: an event between the two wakes the hub again.
        let committed = store.committed();
        let progress = store.subscribe_progress();
        let head = store.head().await?;
        let hub = Arc::new(Self {
            store,
            shutdown,
            watched: Mutex::default(),
            all: Arc::new(Channel::new(head)),
            facts: Mutex::default(),
            readers: Semaphore::new(READERS),
        });
        tokio::spawn(Arc::clone(&hub).tail(committed));
        tokio::spawn(Arc::clone(&hub).follow_progress(progress));
        Ok(hub)
    }

    /// Position up to which watchers were woken; the distance to the store's head is the lag.
    pub fn position(&self) -> Seq {
        self.all.ring().head()
    }

    /// Events that were committed and that watchers were not woken for yet.
    pub fn lag(&self) -> i64 {
        (self.store.committed().borrow().get() - self.position().get()).max(0)
    }

    pub fn watchers(&self) -> usize {
        let watched = lock(&self.watched);
        watched.all + watched.tasks.values().map(|(_, count)| count).sum::<usize>()
    }

    /// From here on every event above the registration's position reaches its channel. Must precede the read of the state.
    pub(super) fn register(self: &Arc<Self>, task: Option<TaskId>) -> Registration {
        let mut watched = lock(&self.watched);
        let position = self.position();
        let channel = match task {
            Some(task) => {
                let (channel, count) =
                    watched.tasks.entry(task).or_insert_with(|| (Arc::new(Channel::new(position)), 0));
                *count += 1;
                Arc::clone(channel)
            }
            None => {
                watched.all += 1;
                Arc::clone(&self.all)
            }
        };
        Registration { hub: Arc::clone(self), task, channel, position }
    }

    async fn tail(self: Arc<Self>, mut committed: watch::Receiver<Seq>) {
        let mut not_before = monotonic_now();
        loop {
            let changed = self.shutdown.run_until_cancelled(committed.changed()).await;
            if !matches!(changed, Some(Ok(()))) {
                return;
            }
            if not_before > monotonic_now() + SHORTEST_PAUSE {
                tokio::time::sleep_until(not_before).await;
            }
            let head = *committed.borrow_and_update();
            match self.round(head).await {
                Ok(length) => not_before = monotonic_now() + (length * PAUSE_FACTOR).min(LONGEST_PAUSE),
                Err(error) => {
                    warn!(%error, "the log could not be read for watchers, trying again");
                    committed.mark_changed();
                    not_before = monotonic_now() + RETRY_PERIOD;
                }
            }
        }
    }

    /// Publishes everything committed, and returns how long publishing (not reading) took.
    async fn round(&self, head: Seq) -> Result<Duration, StoreError> {
        if self.skip_unwatched(head) {
            return Ok(Duration::ZERO);
        }
        let mut length = Duration::ZERO;
        loop {
            let events = self.store.tail(self.position(), RANGE).await?;
            let facts = self.facts_of(&events).await?;
            let began = monotonic_now();
            let bells = self.publish(&events, &facts);
            bells.iter().for_each(|channel| channel.notify.send_replace(()));
            length += monotonic_now() - began;
            if events.len() < RANGE as usize {
                return Ok(length);
            }
        }
    }

    /// Without watchers nothing has to be read. A later watcher reads a state that includes what is committed now.
    fn skip_unwatched(&self, head: Seq) -> bool {
        let watched = lock(&self.watched);
        if watched.is_empty() {
            self.all.ring().skip_to(head);
        }
        watched.is_empty()
    }

    /// Facts of the tasks that are watched.
    async fn facts_of(&self, events: &[StoredEvent]) -> Result<HashMap<TaskId, Arc<TaskFacts>>, StoreError> {
        let wanted: Vec<&StoredEvent> = {
            let watched = lock(&self.watched);
            events.iter().filter(|event| watched.concerns(event.task)).collect()
        };
        let mut facts = HashMap::new();
        for event in wanted {
            if let Slot::Vacant(slot) = facts.entry(event.task) {
                slot.insert(self.facts(event.task, Some(event)).await?);
            }
        }
        Ok(facts)
    }

    /// Puts events into the rings and returns the channels to wake.
    fn publish(&self, events: &[StoredEvent], facts: &HashMap<TaskId, Arc<TaskFacts>>) -> Vec<Arc<Channel>> {
        let watched = lock(&self.watched);
        let mut bells: HashMap<TaskId, Arc<Channel>> = HashMap::new();
        let mut all = self.all.ring();
        for event in events {
            let channel = watched.tasks.get(&event.task).map(|(channel, _)| channel);
            if let Some(channel) = channel {
                bells.entry(event.task).or_insert_with(|| Arc::clone(channel));
            }
            match facts.get(&event.task) {
                Some(facts) if channel.is_some() || watched.all > 0 => {
                    let entry = entry_of(event, facts);
                    channel.inspect(|channel| channel.ring().push(entry.clone()));
                    if watched.all > 0 { all.push(entry) } else { all.skip_to(event.seq) }
                }
                // A watcher who registered since the facts were read has this event in its state, or finds it in the log.
                Some(_) | None => {
                    channel.inspect(|channel| channel.ring().skip_to(event.seq));
                    all.skip_to(event.seq);
                }
            }
            self.forget_after(event, channel.map(Arc::as_ref));
        }
        let mut bells: Vec<Arc<Channel>> = bells.into_values().collect();
        if watched.all > 0 && !events.is_empty() {
            bells.push(Arc::clone(&self.all));
        }
        bells
    }

    fn forget_after(&self, event: &StoredEvent, channel: Option<&Channel>) {
        if let EventKind::SubtaskStateChanged { subtask, to, .. } = &event.event.kind {
            self.all.progress().changed(event.task, *subtask, *to);
            channel.inspect(|channel| channel.progress().changed(event.task, *subtask, *to));
        }
        if state_after(event).is_some_and(|state| state.phase() == Phase::Closed) {
            lock(&self.facts).remove(&event.task);
        }
    }

    /// Facts of a task, from its first event, which is `event` or is read from the log.
    pub(super) async fn facts(&self, task: TaskId, event: Option<&StoredEvent>) -> Result<Arc<TaskFacts>, StoreError> {
        if let Some(facts) = lock(&self.facts).get(&task) {
            return Ok(Arc::clone(facts));
        }
        let facts = match event.map(|event| &event.event.kind) {
            Some(EventKind::Created(spec)) => TaskFacts::of(spec),
            Some(_) | None => {
                let first = self.store.events(task, Revision::ZERO, 1).await?;
                match first.first().map(|event| &event.event.kind) {
                    Some(EventKind::Created(spec)) => TaskFacts::of(spec),
                    Some(_) | None => {
                        return Err(StoreError::Damaged(format!("the first event of task {task} is not its creation")));
                    }
                }
            }
        };
        let facts = Arc::new(facts);
        let mut kept = lock(&self.facts);
        if kept.len() >= FACTS_KEPT {
            kept.clear();
        }
        kept.insert(task, Arc::clone(&facts));
        Ok(facts)
    }

    async fn follow_progress(self: Arc<Self>, mut changes: broadcast::Receiver<Progress>) {
        loop {
            let mut latest = HashMap::new();
            let first = self.shutdown.run_until_cancelled(changes.recv()).await;
            let mut next = match first {
                Some(received) => received,
                None => return,
            };
            loop {
                match next {
                    Ok(progress) => _ = latest.insert((progress.task, progress.subtask), progress),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        debug!(missed, "progress was overtaken by newer")
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
                next = match changes.try_recv() {
                    Ok(progress) => Ok(progress),
                    Err(broadcast::error::TryRecvError::Lagged(missed)) => {
                        Err(broadcast::error::RecvError::Lagged(missed))
                    }
                    Err(broadcast::error::TryRecvError::Closed) => return,
                    Err(broadcast::error::TryRecvError::Empty) => break,
                };
            }
            for progress in latest.into_values() {
                self.publish_progress(&progress).await;
            }
            tokio::time::sleep(PROGRESS_PERIOD).await;
        }
    }

    async fn publish_progress(&self, progress: &Progress) {
        let channels: Vec<Arc<Channel>> = {
            let watched = lock(&self.watched);
            let of_task = watched.tasks.get(&progress.task).map(|(channel, _)| Arc::clone(channel));
            of_task.into_iter().chain((watched.all > 0).then(|| Arc::clone(&self.all))).collect()
        };
        if channels.is_empty() {
            return;
        }
        let facts = match self.facts(progress.task, None).await {
            Ok(facts) => facts,
            Err(error) => {
                return debug!(%error, task = %progress.task, "progress is not shown, its task cannot be read");
            }
        };
        let encoded = Encoded::of(Kind::Progress(encode::progress(progress)));
        for channel in channels {
            channel.progress().put(progress.task, progress.subtask, facts.cluster, encoded.clone());
            channel.progress_notify.send_replace(());
        }
    }

    /// As committed now.
    pub(super) async fn read(&self, task: TaskId) -> Result<Option<StoredTask>, Refusal> {
        // The semaphore is never closed; without a permit the number of readers is only less limited.
        let _permit = self.readers.acquire().await.ok();
        self.store.task(task).await.map_err(refusal)
    }

    /// Log lines of a task as committed now, ascending; of one subtask if given.
    pub(super) async fn read_log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Result<Vec<LogLine>, Refusal> {
        let _permit = self.readers.acquire().await.ok();
        self.store.log(task, subtask).await.map_err(refusal)
    }

    /// Every open task and the head, all of one moment.
    pub(super) async fn read_open(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), Refusal> {
        let _permit = self.readers.acquire().await.ok();
        self.store.open_tasks(cluster).await.map_err(refusal)
    }
}

pub(super) fn entry_of(event: &StoredEvent, facts: &TaskFacts) -> Entry {
    Entry {
        seq: event.seq,
        revision: event.revision,
        task: event.task,
        cluster: facts.cluster,
        state: state_after(event),
        encoded: encode_event(event, facts),
    }
}

/// Why a watch ends when the store does not answer.
pub(super) fn refusal(error: StoreError) -> Refusal {
    match error {
        error @ (StoreError::Open(_) | StoreError::Outdated(_) | StoreError::Failed(_) | StoreError::Closed) => {
            Refusal::Unavailable { why: error.to_string(), retry_after_millis: 1000 }
        }
        StoreError::Damaged(what) => Refusal::Internal { what },
    }
}

/// A watcher's registration; dropping it unregisters.
pub(super) struct Registration {
    pub hub: Arc<Hub>,
    task: Option<TaskId>,
    pub channel: Arc<Channel>,
    /// Any state that is read from now on includes what is committed up to here.
    pub position: Seq,
}

impl Registration {
    /// The snapshot of a task, encoded once for all watchers of the same state.
    pub fn snapshot(&self, stored: &StoredTask) -> Encoded {
        let mut shared = self.channel.snapshot();
        if let Some(same) = shared.as_ref().filter(|one| one.seq == stored.seq && one.progress == stored.progress) {
            return same.encoded.clone();
        }
        let encoded = Encoded::of(Kind::Snapshot(encode::task(stored)));
        *shared = Some(SharedSnapshot { seq: stored.seq, progress: stored.progress.clone(), encoded: encoded.clone() });
        encoded
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut watched = lock(&self.hub.watched);
        match self.task {
            Some(task) => {
                if let Slot::Occupied(mut slot) = watched.tasks.entry(task) {
                    slot.get_mut().1 -= 1;
                    if slot.get().1 == 0 {
                        slot.remove();
                    }
                }
            }
            None => {
                watched.all -= 1;
                if watched.all == 0 {
                    // What ends while nobody looks is not seen here.
                    *self.hub.all.progress() = LatestProgress::default();
                }
            }
        }
    }
}
