//! The real store over a temporary file, as the tests of what stands above it see it: every call goes through to it, unless a
//! switch says otherwise. What tests put into it is in `stored_tasks` and `stored_rows`.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::event::StoredEvent;
use obsteward::domain::ids::{ClusterId, ClusterKey, Principal, Revision, Seq, SubtaskId, TaskId};
use obsteward::store::access::{
    AccessChange, AccessChangeOutcome, AccessRows, AccessStore, AuditFilter, StoredAuditRecord,
};
use obsteward::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, ClusterOrder, ClusterRow, DeregisterOutcome, HostRoute,
    InventoryStore, NewCluster, RegisterOutcome, ServerRow, ZoneRow,
};
use obsteward::store::key_source::KeySource;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{
    AuditRecord, Commit, CommitOutcome, LockRow, LogLine, Page, PendingCommit, Progress, Store, StoreError, StoredTask,
    TaskFilter, TaskOrder,
};
use secrecy::SecretString;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

type Answer<T> = Result<T, StoreError>;

/// What a test wants to go otherwise.
pub struct Switches {
    /// Whether a new task has gone on before anybody can read it.
    pub moves_on: AtomicBool,
    /// Whether tasks cannot be read any more.
    pub closed: AtomicBool,
    /// Whether the next look at a task panics.
    pub panics: AtomicBool,
    /// Whether no lock is looked up, and no id given, before it is let go on.
    pub held: watch::Sender<bool>,
    /// Whether users, keys and roles cannot be read.
    pub access_fails: AtomicBool,
    /// Whether refusals cannot be recorded.
    pub records_fail: AtomicBool,
    /// Reads of the log of events so far.
    pub log_reads: AtomicUsize,
}

impl Switches {
    async fn go_on(&self) {
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
    }
}

#[derive(Clone)]
pub struct TemporaryStore {
    pub real: Arc<SqliteStore>,
    pub switches: Arc<Switches>,
    /// As the store's own, but told before the answer of a commit: whoever was answered finds that all others know.
    committed: Arc<watch::Sender<Seq>>,
    directory: Arc<tempfile::TempDir>,
}

/// Waits here, where nothing else goes on meanwhile. Only for what needs none of the runtime's tasks.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let runtime = Handle::current();
    std::thread::scope(|threads| threads.spawn(|| runtime.block_on(future)).join().unwrap())
}

/// Waits for a write on a thread that tokio knows of: paused time stands still meanwhile, as it does for reads.
async fn written<T: Send + 'static>(write: impl Future<Output = T> + Send + 'static) -> T {
    tokio::task::spawn_blocking(|| Handle::current().block_on(write)).await.unwrap()
}

impl TemporaryStore {
    /// Empty.
    pub fn new() -> Self {
        // In memory where that can be: what a disk makes of it is for the tests of the store, and makes others wait.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let directory = Arc::new(directory.unwrap());
        let key = KeySource::Given(SecretString::from(format!("{}=", "A".repeat(43))));
        let options = SqliteOptions { readers: 2, key, ..SqliteOptions::default() };
        let real = SqliteStore::open(directory.path().join("store.db"), options).unwrap();
        let switches = Switches {
            moves_on: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            held: watch::Sender::new(false),
            access_fails: AtomicBool::new(false),
            records_fail: AtomicBool::new(false),
            log_reads: AtomicUsize::new(0),
        };
        Self { real, switches: Arc::new(switches), committed: Arc::new(watch::Sender::new(Seq::ZERO)), directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }

    /// What became of a commit, once everybody who looks at the store is told.
    pub(super) fn outcome(&self, pending: PendingCommit) -> Answer<CommitOutcome> {
        let outcome = block_on(pending.outcome());
        if let Ok(CommitOutcome::Committed { seq, .. }) = outcome {
            self.committed.send_if_modified(|at| std::mem::replace(at, seq.max(*at)) < seq);
        }
        outcome
    }
}

#[async_trait]
impl Store for TemporaryStore {
    fn submit(&self, commit: Commit) -> PendingCommit {
        let (answer, pending) = PendingCommit::new();
        let (this, task, created) = (self.clone(), commit.task, commit.after == Revision::ZERO);
        let submitted = self.real.submit(commit);
        tokio::task::spawn_blocking(move || {
            let outcome = this.outcome(submitted);
            let created = created && matches!(outcome, Ok(CommitOutcome::Committed { .. }));
            if created && this.switches.moves_on.load(Ordering::SeqCst) {
                this.dispatch(task);
                this.succeed_first(task);
            }
            answer.send(outcome)
        });
        pending
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.subscribe()
    }

    fn store_id(&self) -> &str {
        self.real.store_id()
    }

    async fn reserve_ids(&self, count: u32) -> Answer<i64> {
        self.switches.go_on().await;
        let real = Arc::clone(&self.real);
        written(async move { real.reserve_ids(count).await }).await
    }

    async fn task(&self, task: TaskId) -> Answer<Option<StoredTask>> {
        assert!(!self.switches.panics.swap(false, Ordering::SeqCst), "a panic of the test's making");
        if self.switches.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        self.real.task(task).await
    }

    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Answer<Vec<StoredEvent>> {
        self.switches.log_reads.fetch_add(1, Ordering::SeqCst);
        self.real.events(task, after, limit).await
    }

    async fn tail(&self, after: Seq, limit: u32) -> Answer<Vec<StoredEvent>> {
        self.switches.log_reads.fetch_add(1, Ordering::SeqCst);
        self.real.tail(after, limit).await
    }

    async fn head(&self) -> Answer<Seq> {
        self.real.head().await
    }

    async fn list(&self, filter: &TaskFilter, below: Option<TaskId>, limit: u32) -> Answer<Vec<StoredTask>> {
        self.real.list(filter, below, limit).await
    }

    async fn page(&self, filter: &TaskFilter, page: Page<TaskOrder>) -> Answer<(Vec<StoredTask>, u64)> {
        self.real.page(filter, page).await
    }

    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Answer<(Vec<StoredTask>, Seq)> {
        self.real.open_tasks(cluster).await
    }

    async fn pending_tasks(&self) -> Answer<Vec<StoredTask>> {
        self.real.pending_tasks().await
    }

    async fn request(&self, principal: &Principal, request_id: &str) -> Answer<Option<(TaskId, String)>> {
        self.real.request(principal, request_id).await
    }

    async fn lock(&self, cluster: &ClusterKey) -> Answer<Option<LockRow>> {
        self.switches.go_on().await;
        self.real.lock(cluster).await
    }

    async fn log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Answer<Vec<LogLine>> {
        Store::log(&*self.real, task, subtask).await
    }

    fn note(&self, progress: Progress) {
        self.real.note(progress);
    }

    fn subscribe_progress(&self) -> broadcast::Receiver<Progress> {
        self.real.subscribe_progress()
    }
}

#[async_trait]
impl AccessStore for TemporaryStore {
    fn access_changes(&self) -> watch::Receiver<i64> {
        self.real.access_changes()
    }

    async fn access(&self) -> Answer<AccessRows> {
        if self.switches.access_fails.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("no session".to_owned()));
        }
        self.real.access().await
    }

    async fn change_access(
        &self,
        change: AccessChange,
        audit: AuditRecord,
        version: i64,
    ) -> Answer<Option<AccessChangeOutcome>> {
        let real = Arc::clone(&self.real);
        written(async move { real.change_access(change, audit, version).await }).await
    }

    async fn record(&self, audit: AuditRecord) -> Answer<()> {
        if self.switches.records_fail.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("the disk is full".to_owned()));
        }
        let real = Arc::clone(&self.real);
        written(async move { real.record(audit).await }).await
    }

    async fn audit_records(
        &self,
        filter: &AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Answer<Vec<StoredAuditRecord>> {
        self.real.audit_records(filter, below, limit).await
    }
}

#[async_trait]
impl InventoryStore for TemporaryStore {
    async fn register(&self, cluster: NewCluster, audit: AuditRecord) -> Answer<RegisterOutcome> {
        let real = Arc::clone(&self.real);
        written(async move { real.register(cluster, audit).await }).await
    }

    async fn update(&self, cluster: ClusterId, change: ClusterChange, audit: AuditRecord) -> Answer<bool> {
        let real = Arc::clone(&self.real);
        written(async move { real.update(cluster, change, audit).await }).await
    }

    async fn deregister(&self, cluster: ClusterId, audit: AuditRecord) -> Answer<DeregisterOutcome> {
        let real = Arc::clone(&self.real);
        written(async move { real.deregister(cluster, audit).await }).await
    }

    async fn observe(
        &self,
        cluster: ClusterId,
        observation: ClusterObservation,
        audit: Option<AuditRecord>,
    ) -> Answer<Vec<String>> {
        let real = Arc::clone(&self.real);
        written(async move { real.observe(cluster, observation, audit).await }).await
    }

    async fn observe_failed(&self, cluster: ClusterId, at: Timestamp, error: String) -> Answer<()> {
        let real = Arc::clone(&self.real);
        written(async move { real.observe_failed(cluster, at, error).await }).await
    }

    async fn cluster(&self, cluster: ClusterId) -> Answer<Option<ClusterRow>> {
        self.real.cluster(cluster).await
    }

    async fn cluster_of(&self, key: &ClusterKey) -> Answer<Option<ClusterRow>> {
        self.real.cluster_of(key).await
    }

    async fn clusters(&self, filter: &ClusterFilter, above: Option<ClusterId>, limit: u32) -> Answer<Vec<ClusterRow>> {
        self.real.clusters(filter, above, limit).await
    }

    async fn clusters_page(&self, filter: &ClusterFilter, page: Page<ClusterOrder>) -> Answer<(Vec<ClusterRow>, u64)> {
        self.real.clusters_page(filter, page).await
    }

    async fn zones(&self, cluster: ClusterId) -> Answer<Vec<ZoneRow>> {
        self.real.zones(cluster).await
    }

    async fn servers(&self, cluster: ClusterId) -> Answer<Vec<ServerRow>> {
        self.real.servers(cluster).await
    }

    async fn hosts(&self, cluster: ClusterId) -> Answer<Vec<(String, HostRoute)>> {
        self.real.hosts(cluster).await
    }
}
