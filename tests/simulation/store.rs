//! The store of one life over the disk: an embedded one, or what one replica has of a shared one, behind its way to the database
//! (`database.rs`). Commits happen in the order of the calls (`store_writer.rs`), and are lost when the life ends before them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::{Clock, Timestamp};
use obsteward::domain::change_freeze::{ChangeFreeze, FreezeScope};
use obsteward::domain::event::{Phase, StoredEvent};
use obsteward::domain::ids::{ClusterId, ClusterKey, Principal, ReplicaId, Revision, Seq, SubtaskId, TaskId};
use obsteward::domain::store_home::StoreHome;
use obsteward::store::change_freezes::ChangeFreezes;
use obsteward::store::home::Located;
use obsteward::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, ClusterOrder, ClusterRow, DeregisterOutcome, HostRoute,
    InventoryStore, NewCluster, RegisterOutcome, ServerRow, ZoneRow,
};
use obsteward::store::{
    AuditRecord, Commit, LockRow, LogLine, Page, PendingCommit, Progress, Store, StoreError, StoredTask, TaskFilter,
    TaskOrder,
};
use tokio::sync::{broadcast, watch};

use crate::database::Link;
use crate::disk::{Content, Disk, StoredCluster, StoredLog};
use crate::life::{Life, Point};
use crate::store_replicas::follow;
use crate::store_writer::{Told, Tries, Writer, gave_up};

/// The id of the store, as agents know it.
pub const STORE_ID: &str = "simulated";
/// Progress that a listener may be behind.
const PROGRESS_KEPT: usize = 64;

pub struct LifeStore {
    pub disk: Disk,
    pub life: Arc<Life>,
    pub link: Arc<Link>,
    /// What the replica is called, and its own clock.
    pub name: String,
    pub clock: Clock,
    /// The id of this replica; zero before it has joined, and in an embedded store.
    me: Arc<AtomicI64>,
    writer: Writer,
    pub committed: Arc<Told<Seq>>,
    pub ownership: Told<i64>,
    progress: broadcast::Sender<Progress>,
    latest: Mutex<Vec<Progress>>,
}

impl LifeStore {
    /// Opens the disk for a life; needs a runtime.
    pub fn open(disk: Disk, life: Arc<Life>, link: Arc<Link>, name: String, clock: Clock) -> Arc<Self> {
        let (head, ownership, news) = {
            let content = disk.lock();
            (content.head(), content.ownership, content.news())
        };
        let (committed, me) = (Arc::new(Told::new(head)), Arc::default());
        let writer =
            Writer::start(disk.clone(), Arc::clone(&life), Arc::clone(&link), Arc::clone(&me), Arc::clone(&committed));
        let store = Arc::new(Self {
            disk,
            life,
            link,
            name,
            clock,
            me,
            writer,
            committed,
            ownership: Told::new(ownership),
            progress: broadcast::Sender::new(PROGRESS_KEPT),
            latest: Mutex::default(),
        });
        if store.link.is_shared() {
            tokio::spawn(follow(Arc::downgrade(&store), news));
        }
        store
    }

    pub fn me(&self) -> Option<ReplicaId> {
        ReplicaId::new(self.me.load(Ordering::SeqCst)).ok()
    }

    pub fn set_me(&self, id: ReplicaId) {
        self.life.joined(id);
        self.me.store(id.get(), Ordering::SeqCst);
    }

    /// What is read, for a life that goes on; tried again over a shared store, because it changes nothing.
    pub async fn read<T>(&self, mut read: impl FnMut(&mut Content) -> T) -> Result<T, StoreError> {
        let takes = if self.life.dice.once_in(8) { self.life.dice.below(4) } else { 0 };
        if takes > 0 {
            tokio::time::sleep(Duration::from_millis(takes)).await;
        }
        let mut tries = Tries::begin();
        loop {
            self.life.goes_on().await;
            let answered = self.link.call(|| read(&mut self.disk.lock())).await;
            self.life.goes_on().await;
            match answered {
                Ok(found) => return Ok(found),
                Err(why) if !tries.again().await => return Err(gave_up(why)),
                Err(_) => {}
            }
        }
    }

    /// What is written besides commits: of a shared store in its turn.
    pub async fn change<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Content, Option<ReplicaId>) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.link.is_shared() { self.writer.ask(work).await } else { self.read(|content| work(content, None)).await }
    }

    async fn cluster_row<T: Default>(
        &self,
        cluster: ClusterId,
        read: impl Fn(&StoredCluster) -> T,
    ) -> Result<T, StoreError> {
        let known = |content: &mut Content| {
            content.cluster.as_ref().filter(|known| known.row.id == cluster).map(&read).unwrap_or_default()
        };
        self.read(known).await
    }

    fn stored(&self, stored: &StoredLog) -> StoredTask {
        let id = stored.task.spec.id;
        let progress = self.latest.lock().unwrap().iter().filter(|progress| progress.task == id).cloned().collect();
        StoredTask { task: stored.task.clone(), seq: stored.seq(), progress }
    }
}

#[async_trait]
impl Store for LifeStore {
    fn submit(&self, commit: Commit) -> PendingCommit {
        let (answer, pending) = PendingCommit::new();
        self.writer.submit(move |content, me| content.commit(commit.clone(), me), answer);
        pending
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.follow()
    }

    fn store_id(&self) -> &str {
        STORE_ID
    }

    async fn reserve_ids(&self, count: u32) -> Result<i64, StoreError> {
        self.change(move |content, _| content.reserve(count)).await
    }

    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError> {
        self.read(|content| content.tasks.get(&task).map(|stored| self.stored(stored))).await
    }

    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let read = |content: &mut Content| {
            let events = content.tasks.get(&task).into_iter().flat_map(|stored| &stored.events);
            events.filter(|event| event.revision > after).take(limit as usize).cloned().collect()
        };
        self.read(read).await
    }

    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let read = |content: &mut Content| {
            let from = content.log.partition_point(|event| event.seq <= after);
            content.log[from..].iter().take(limit as usize).cloned().collect()
        };
        self.read(read).await
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        self.read(|content| content.head()).await
    }

    /// Nobody lists tasks here.
    async fn list(&self, _: &TaskFilter, _: Option<TaskId>, _: u32) -> Result<Vec<StoredTask>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn page(&self, _: &TaskFilter, _: Page<TaskOrder>) -> Result<(Vec<StoredTask>, u64), StoreError> {
        Err(StoreError::Closed)
    }

    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), StoreError> {
        let read = |content: &mut Content| {
            let open = content.tasks.values().filter(|stored| stored.task.state.phase() != Phase::Closed);
            let open = open.filter(|stored| cluster.is_none_or(|id| id == stored.task.spec.cluster.id));
            (open.map(|stored| self.stored(stored)).collect(), content.head())
        };
        self.read(read).await
    }

    async fn pending_tasks(&self) -> Result<Vec<StoredTask>, StoreError> {
        let read = |content: &mut Content| {
            let pending = content.tasks.values().filter(|stored| stored.task.state.phase() == Phase::Pending);
            pending.map(|stored| self.stored(stored)).collect()
        };
        self.read(read).await
    }

    async fn request(&self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        let key = (principal.to_string(), request_id.to_owned());
        self.read(|content| content.requests.get(&key).cloned()).await
    }

    async fn lock(&self, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
        let lock = self.read(|content| content.lock_of(cluster).cloned()).await;
        self.life.pass(Point::Lock, Duration::ZERO).await;
        lock
    }

    async fn log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError> {
        let read = |content: &mut Content| {
            let lines = content.lines.iter().filter(|(of, _)| *of == task).map(|(_, line)| line);
            lines.filter(|line| subtask.is_none_or(|wanted| wanted == line.subtask)).cloned().collect()
        };
        self.read(read).await
    }

    fn note(&self, progress: Progress) {
        if self.life.is_over() {
            return;
        }
        let mut latest = self.latest.lock().unwrap();
        latest.retain(|known| known.subtask != progress.subtask);
        latest.push(progress.clone());
        let _ = self.progress.send(progress);
    }

    fn subscribe_progress(&self) -> broadcast::Receiver<Progress> {
        self.progress.subscribe()
    }
}

/// There is one cluster: a freeze of it is one of everything.
#[async_trait]
impl ChangeFreezes for LifeStore {
    async fn change_freezes(&self) -> Result<Vec<ChangeFreeze>, StoreError> {
        self.read(|content| content.frozen().cloned().into_iter().collect()).await
    }

    async fn freeze_changes(&self, freeze: ChangeFreeze, _: AuditRecord) -> Result<bool, StoreError> {
        self.change(move |content, _| content.freeze(Some(freeze.clone()))).await
    }

    async fn thaw_changes(&self, _: FreezeScope, _: AuditRecord) -> Result<bool, StoreError> {
        self.change(|content, _| content.freeze(None)).await
    }
}

#[async_trait]
impl InventoryStore for LifeStore {
    async fn register(&self, cluster: NewCluster, _: AuditRecord) -> Result<RegisterOutcome, StoreError> {
        Ok(RegisterOutcome::Done(self.read(|content| content.register(cluster.clone())).await?))
    }

    /// Nobody changes a cluster here.
    async fn update(&self, _: ClusterId, _: ClusterChange, _: AuditRecord) -> Result<bool, StoreError> {
        Err(StoreError::Closed)
    }

    async fn deregister(&self, _: ClusterId, _: AuditRecord) -> Result<DeregisterOutcome, StoreError> {
        Err(StoreError::Closed)
    }

    /// What has changed is told to people only, and here are none.
    async fn observe(
        &self,
        _: ClusterId,
        observation: ClusterObservation,
        _: Option<AuditRecord>,
    ) -> Result<Vec<String>, StoreError> {
        self.read(|content| content.observe(&observation)).await?;
        Ok(Vec::new())
    }

    async fn observe_failed(&self, _: ClusterId, _: Timestamp, error: String) -> Result<(), StoreError> {
        let failed = |content: &mut Content| {
            content.cluster.iter_mut().for_each(|cluster| cluster.row.sync_error.clone_from(&error));
        };
        self.read(failed).await
    }

    async fn cluster(&self, cluster: ClusterId) -> Result<Option<ClusterRow>, StoreError> {
        self.cluster_row(cluster, |known| Some(known.row.clone())).await
    }

    async fn cluster_of(&self, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError> {
        let is_it = |content: &mut Content| {
            let row = content.cluster.as_ref().map(|known| &known.row);
            row.filter(|row| row.identity.key() == *key).cloned()
        };
        self.read(is_it).await
    }

    async fn clusters(&self, _: &ClusterFilter, _: Option<ClusterId>, _: u32) -> Result<Vec<ClusterRow>, StoreError> {
        self.read(|content| content.cluster.iter().map(|known| known.row.clone()).collect()).await
    }

    async fn clusters_page(
        &self,
        _: &ClusterFilter,
        _: Page<ClusterOrder>,
    ) -> Result<(Vec<ClusterRow>, u64), StoreError> {
        Err(StoreError::Closed)
    }

    async fn zones(&self, cluster: ClusterId) -> Result<Vec<ZoneRow>, StoreError> {
        self.cluster_row(cluster, |known| known.zones.clone()).await
    }

    async fn servers(&self, cluster: ClusterId) -> Result<Vec<ServerRow>, StoreError> {
        self.cluster_row(cluster, |known| known.servers.clone()).await
    }

    async fn hosts(&self, cluster: ClusterId) -> Result<Vec<(String, HostRoute)>, StoreError> {
        self.cluster_row(cluster, |known| known.hosts.clone()).await
    }
}

/// In no cluster unless the world says otherwise.
#[async_trait]
impl Located for LifeStore {
    async fn home(&self) -> StoreHome {
        self.disk.lock().store_tenant.clone().map_or(StoreHome::InNoCluster, StoreHome::Tenant)
    }
}
