//! The store of one life over the disk: commits happen in the order of the calls, take their time, and are lost when the life
//! ends before them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::event::{Phase, StoredEvent};
use obsteward::domain::ids::{ClusterId, ClusterKey, Fence, Principal, ReplicaId, Revision, Seq, SubtaskId, TaskId};
use obsteward::domain::store_home::StoreHome;
use obsteward::store::home::Located;
use obsteward::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, ClusterOrder, ClusterRow, DeregisterOutcome, HostRoute,
    InventoryStore, NewCluster, RegisterOutcome, ServerRow, ZoneRow,
};
use obsteward::store::replicas::{OwnedTask, ReplicaRow, Replicas};
use obsteward::store::{
    AuditRecord, Commit, CommitOutcome, LockRow, LogLine, Page, PendingCommit, Progress, Store, StoreError, StoredTask,
    TaskFilter, TaskOrder,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::disk::{Content, Disk, StoredCluster, StoredLog};
use crate::life::{Life, Point};

/// The id of the store, as agents know it.
pub const STORE_ID: &str = "simulated";
/// Progress that a listener may be behind.
const PROGRESS_KEPT: usize = 64;

type Answer = oneshot::Sender<Result<CommitOutcome, StoreError>>;

pub struct LifeStore {
    disk: Disk,
    life: Arc<Life>,
    queue: mpsc::UnboundedSender<(Commit, Answer)>,
    committed: watch::Sender<Seq>,
    progress: broadcast::Sender<Progress>,
    latest: Mutex<Vec<Progress>>,
}

impl LifeStore {
    /// Opens the disk for a life; needs a runtime.
    pub fn open(disk: Disk, life: Arc<Life>) -> Arc<Self> {
        let (queue, commits) = mpsc::unbounded_channel();
        let committed = watch::Sender::new(disk.lock().head());
        let store = Arc::new(Self {
            committed,
            disk,
            life,
            queue,
            progress: broadcast::Sender::new(PROGRESS_KEPT),
            latest: Mutex::default(),
        });
        tokio::spawn(write(store.disk.clone(), Arc::clone(&store.life), commits, store.committed.clone()));
        store
    }

    /// What is read, for a life that goes on.
    async fn read<T>(&self, read: impl FnOnce(&mut Content) -> T) -> T {
        let takes = if self.life.dice.once_in(8) { self.life.dice.below(4) } else { 0 };
        if takes > 0 {
            tokio::time::sleep(Duration::from_millis(takes)).await;
        }
        if self.life.is_over() {
            std::future::pending::<()>().await;
        }
        read(&mut self.disk.lock())
    }

    async fn cluster_row<T: Default>(
        &self,
        cluster: ClusterId,
        read: impl FnOnce(&StoredCluster) -> T,
    ) -> Result<T, StoreError> {
        let known = |content: &mut Content| {
            content.cluster.as_ref().filter(|known| known.row.id == cluster).map(read).unwrap_or_default()
        };
        Ok(self.read(known).await)
    }

    fn stored(&self, stored: &StoredLog) -> StoredTask {
        let id = stored.task.spec.id;
        let progress = self.latest.lock().unwrap().iter().filter(|progress| progress.task == id).cloned().collect();
        StoredTask { task: stored.task.clone(), seq: stored.seq(), progress }
    }
}

/// The writer of a life.
async fn write(
    disk: Disk,
    life: Arc<Life>,
    mut commits: mpsc::UnboundedReceiver<(Commit, Answer)>,
    committed: watch::Sender<Seq>,
) {
    // Nobody hears of these.
    let mut unanswered = Vec::new();
    while let Some((commit, answer)) = commits.recv().await {
        let takes = match life.dice.below(1000) {
            0..=599 => 0,
            600..=969 => 1 + life.dice.below(3),
            970..=997 => 10 + life.dice.below(200),
            _ => 1000 + life.dice.below(6000),
        };
        if takes > 0 {
            tokio::time::sleep(Duration::from_millis(takes)).await;
        }
        if life.reaches(Point::BeforeCommit) {
            unanswered.push(answer);
            continue;
        }
        let (outcome, head) = {
            let mut content = disk.lock();
            (content.commit(commit), content.head())
        };
        if life.reaches(Point::AfterCommit) {
            unanswered.push(answer);
            continue;
        }
        let _ = answer.send(Ok(outcome));
        committed.send_if_modified(|seq| std::mem::replace(seq, head) != head);
    }
}

#[async_trait]
impl Store for LifeStore {
    fn submit(&self, commit: Commit) -> PendingCommit {
        let (answer, pending) = PendingCommit::new();
        let _ = self.queue.send((commit, answer));
        pending
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.subscribe()
    }

    fn store_id(&self) -> &str {
        STORE_ID
    }

    async fn reserve_ids(&self, count: u32) -> Result<i64, StoreError> {
        Ok(self.read(|content| content.reserve(count)).await)
    }

    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError> {
        Ok(self.read(|content| content.tasks.get(&task).map(|stored| self.stored(stored))).await)
    }

    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let read = |content: &mut Content| {
            let events = content.tasks.get(&task).into_iter().flat_map(|stored| &stored.events);
            events.filter(|event| event.revision > after).take(limit as usize).cloned().collect()
        };
        Ok(self.read(read).await)
    }

    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let read = |content: &mut Content| {
            let from = content.log.partition_point(|event| event.seq <= after);
            content.log[from..].iter().take(limit as usize).cloned().collect()
        };
        Ok(self.read(read).await)
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        Ok(self.read(|content| content.head()).await)
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
        Ok(self.read(read).await)
    }

    async fn request(&self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        let key = (principal.to_string(), request_id.to_owned());
        Ok(self.read(|content| content.requests.get(&key).cloned()).await)
    }

    async fn lock(&self, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
        Ok(self.read(|content| content.lock_of(cluster).cloned()).await)
    }

    async fn claim(&self, task: TaskId, cluster: &ClusterKey) -> Result<Option<Fence>, StoreError> {
        Ok(self.read(|content| content.claim(task, cluster)).await)
    }

    async fn log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError> {
        let read = |content: &mut Content| {
            let lines = content.lines.iter().filter(|(of, _)| *of == task).map(|(_, line)| line);
            lines.filter(|line| subtask.is_none_or(|wanted| wanted == line.subtask)).cloned().collect()
        };
        Ok(self.read(read).await)
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

#[async_trait]
impl InventoryStore for LifeStore {
    async fn register(&self, cluster: NewCluster, _: AuditRecord) -> Result<RegisterOutcome, StoreError> {
        Ok(RegisterOutcome::Done(self.read(|content| content.register(cluster)).await))
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
        self.read(|content| content.observe(&observation)).await;
        Ok(Vec::new())
    }

    async fn observe_failed(&self, _: ClusterId, _: Timestamp, error: String) -> Result<(), StoreError> {
        let failed = |content: &mut Content| {
            content.cluster.iter_mut().for_each(|cluster| cluster.row.sync_error.clone_from(&error));
        };
        self.read(failed).await;
        Ok(())
    }

    async fn cluster(&self, cluster: ClusterId) -> Result<Option<ClusterRow>, StoreError> {
        self.cluster_row(cluster, |known| Some(known.row.clone())).await
    }

    async fn cluster_of(&self, key: &ClusterKey) -> Result<Option<ClusterRow>, StoreError> {
        let is_it = |content: &mut Content| {
            let row = content.cluster.as_ref().map(|known| &known.row);
            row.filter(|row| row.identity.key() == *key).cloned()
        };
        Ok(self.read(is_it).await)
    }

    async fn clusters(&self, _: &ClusterFilter, _: Option<ClusterId>, _: u32) -> Result<Vec<ClusterRow>, StoreError> {
        Ok(self.read(|content| content.cluster.iter().map(|known| known.row.clone()).collect()).await)
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

/// One replica at a time.
#[async_trait]
impl Replicas for LifeStore {
    async fn join(&self) -> Result<ReplicaId, StoreError> {
        Ok(ReplicaId::new(1).unwrap())
    }

    async fn renew(&self, _: usize) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn replicas(&self) -> Result<Vec<ReplicaRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn bury(&self, _: ReplicaId, _: i64) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn owned_tasks(&self) -> Result<Vec<OwnedTask>, StoreError> {
        Ok(self.read(|content| content.moving()).await)
    }

    async fn claim_seen(&self, owned: &OwnedTask) -> Result<Option<Fence>, StoreError> {
        self.claim(owned.task, &owned.cluster).await
    }

    fn ownership(&self) -> watch::Receiver<i64> {
        watch::Sender::new(0).subscribe()
    }

    fn is_shared(&self) -> bool {
        false
    }
}
