//! What the tests of permission and audit stand on: the use cases behind their guard, over stores in memory and clusters
//! that nobody can reach. The engine never runs: tasks move only as a test moves them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use obsteward::access::Directory;
use obsteward::clock::Clock;
use obsteward::domain::event::StoredEvent;
use obsteward::domain::ids::{ClusterId, ClusterKey, Fence, Principal, Revision, Seq, SubtaskId, TaskId};
use obsteward::domain::permission::Rights;
use obsteward::domain::reason::Reason;
use obsteward::domain::refusal::Refusal;
use obsteward::engine::{Engine, EngineSettings, Registry};
use obsteward::host::AgentHosts;
use obsteward::inventory::Inventory;
use obsteward::operations::{Deps, Timeouts};
use obsteward::service::{Administration, Caller, Guarded, PasswordHasher, Service};
use obsteward::store::{
    AuditOutcome, AuditRecord, Commit, CommitOutcome, LockRow, LogLine, Page, PendingCommit, Progress, Store,
    StoreError, StoredTask, TaskFilter, TaskOrder, TaskVisibility, Write,
};
use obsteward::watch::Hub;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::fake_access::FakeAccess;
use crate::fake_inventory::{FakeInventory, NoOceanBase};
use crate::fake_store::{FakeStore, task_id};

/// Commits what requests write, which [`FakeStore`] does not.
pub struct CommittingStore {
    pub store: Arc<FakeStore>,
    audit: Arc<FakeAccess>,
    pub locks: Mutex<HashMap<ClusterKey, TaskId>>,
    requests: Mutex<HashMap<(Principal, String), (TaskId, String)>>,
    next_id: AtomicI64,
    /// Whether a new task has gone on before anybody can read it.
    pub moves_on: AtomicBool,
    /// Whether tasks cannot be read any more.
    pub closed: AtomicBool,
    /// Whether the next look at a task panics.
    pub panics: AtomicBool,
    /// Whether nothing is looked up before it is let go on.
    pub held: watch::Sender<bool>,
    /// The log of every task.
    pub lines: Mutex<Vec<LogLine>>,
}

impl CommittingStore {
    fn new(audit: Arc<FakeAccess>) -> Self {
        Self {
            store: Arc::new(FakeStore::new()),
            audit,
            locks: Mutex::default(),
            requests: Mutex::default(),
            next_id: AtomicI64::new(1000),
            moves_on: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            held: watch::Sender::new(false),
            lines: Mutex::default(),
        }
    }

    fn apply(&self, commit: Commit) -> CommitOutcome {
        for write in &commit.writes {
            match write {
                Write::Request { principal, request_id, .. } => {
                    let known = self.requests.lock().unwrap().get(&(principal.clone(), request_id.clone())).cloned();
                    if let Some((task, digest)) = known {
                        return CommitOutcome::Replayed { task, digest };
                    }
                }
                Write::AcquireLock { cluster } => {
                    if let Some(task) = self.locks.lock().unwrap().get(cluster) {
                        return CommitOutcome::LockHeld { task: *task };
                    }
                }
                _ => {}
            }
        }
        let created = commit.after == Revision::ZERO;
        self.store.append(commit.task, commit.events.into_iter().map(|event| event.kind).collect());
        for write in commit.writes {
            match write {
                Write::Request { principal, request_id, digest } => {
                    self.requests.lock().unwrap().insert((principal, request_id), (commit.task, digest));
                }
                Write::AcquireLock { cluster } => _ = self.locks.lock().unwrap().insert(cluster, commit.task),
                Write::ReleaseLock { cluster } => _ = self.locks.lock().unwrap().remove(&cluster),
                Write::Audit(record) => self.audit.audit.lock().unwrap().push(record),
                _ => {}
            }
        }
        let last = self.store.log().last().unwrap().clone();
        if created && self.moves_on.load(Ordering::SeqCst) {
            self.store.dispatch(commit.task);
            self.store.succeed_first(commit.task);
        }
        CommitOutcome::Committed { revision: last.revision, seq: last.seq, fence: Fence::new(1) }
    }

    async fn shown(&self, filter: &TaskFilter) -> Vec<StoredTask> {
        let mut ids: Vec<TaskId> = self.store.log().iter().map(|event| event.task).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut shown = Vec::new();
        for id in ids {
            let stored = self.store.task(id).await.unwrap().unwrap();
            let spec = &stored.task.spec;
            let visible = match &filter.visible {
                TaskVisibility::All => true,
                TaskVisibility::Only { clusters, tasks } => {
                    clusters.contains(&spec.cluster.id.get()) || tasks.contains(&id.get())
                }
            };
            let asked = filter.cluster.is_none_or(|cluster| cluster == spec.cluster.id)
                && filter.creator.as_ref().is_none_or(|creator| *creator == spec.creator)
                && filter.name.as_ref().is_none_or(|part| spec.graph.operation.name.to_lowercase().contains(part))
                && (filter.states.is_empty() || filter.states.contains(&stored.task.state));
            if visible && asked {
                shown.push(stored);
            }
        }
        shown
    }
}

#[async_trait]
impl Store for CommittingStore {
    fn submit(&self, commit: Commit) -> PendingCommit {
        let (sender, pending) = PendingCommit::new();
        sender.send(Ok(self.apply(commit))).unwrap();
        pending
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.store.committed()
    }

    fn store_id(&self) -> &str {
        self.store.store_id()
    }

    async fn reserve_ids(&self, count: u32) -> Result<i64, StoreError> {
        Ok(self.next_id.fetch_add(i64::from(count), Ordering::SeqCst))
    }

    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "a panic of the test's making");
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        self.store.task(task).await
    }

    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events(task, after, limit).await
    }

    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.tail(after, limit).await
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        self.store.head().await
    }

    async fn list(
        &self,
        filter: &TaskFilter,
        below: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<StoredTask>, StoreError> {
        let mut shown = self.shown(filter).await;
        shown.reverse();
        shown.retain(|stored| below.is_none_or(|below| stored.task.spec.id < below));
        shown.truncate(limit as usize);
        Ok(shown)
    }

    async fn page(&self, filter: &TaskFilter, page: Page<TaskOrder>) -> Result<(Vec<StoredTask>, u64), StoreError> {
        let shown = self.shown(filter).await;
        let total = u64::try_from(shown.len()).unwrap();
        Ok((shown.into_iter().skip(page.offset as usize).take(page.limit as usize).collect(), total))
    }

    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), StoreError> {
        self.store.open_tasks(cluster).await
    }

    async fn request(&self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        Ok(self.requests.lock().unwrap().get(&(principal.clone(), request_id.to_owned())).cloned())
    }

    async fn lock(&self, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        let holder = self.locks.lock().unwrap().get(cluster).copied();
        Ok(holder.map(|task| LockRow { holder: Some(task), fence: Fence::new(1) }))
    }

    async fn claim(&self, _: TaskId, _: &ClusterKey) -> Result<Option<Fence>, StoreError> {
        Ok(Some(Fence::new(2)))
    }

    async fn log(&self, _: TaskId, _: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError> {
        Ok(self.lines.lock().unwrap().clone())
    }

    fn note(&self, progress: Progress) {
        self.store.note(progress);
    }

    fn subscribe_progress(&self) -> broadcast::Receiver<Progress> {
        self.store.subscribe_progress()
    }
}

/// A hash that shows nothing, and costs nothing.
struct CheapHash;

#[async_trait]
impl PasswordHasher for CheapHash {
    async fn hash(&self, password: &SecretString) -> Result<String, Refusal> {
        Ok(format!("hashed:{}", password.expose_secret().len()))
    }
}

pub struct Fixture {
    pub store: Arc<CommittingStore>,
    pub access: Arc<FakeAccess>,
    pub directory: Arc<Directory>,
    pub guarded: Guarded,
    engine: Option<tokio::runtime::Runtime>,
}

impl Fixture {
    /// Three clusters. Task 1 is on cluster 1, task 2 too and with accepted risks, task 3 on cluster 2.
    pub async fn new(users: &[(&str, &[&str])]) -> Self {
        let fixture = Self::empty(users, 3).await;
        fixture.store.store.create(task_id(1), crate::fake_store::cluster_id(1));
        fixture.store.store.create_with_risks(task_id(2), crate::fake_store::cluster_id(1));
        fixture.store.store.create(task_id(3), crate::fake_store::cluster_id(2));
        fixture
    }

    pub async fn empty(users: &[(&str, &[&str])], clusters: i64) -> Self {
        Self::over(FakeAccess::with(users), clusters).await
    }

    pub async fn over(access: FakeAccess, clusters: i64) -> Self {
        let access = Arc::new(access);
        let store = Arc::new(CommittingStore::new(Arc::clone(&access)));
        let (clock, oceanbase) = (Clock::system(), Arc::new(NoOceanBase));
        let inventory = Arc::new(FakeInventory::new(clusters, Arc::clone(&access)));
        let deps = Deps {
            oceanbase: oceanbase.clone(),
            hosts: Arc::new(AgentHosts::new(None)),
            inventory: Inventory::new(inventory, oceanbase, clock.clone()),
            clock: clock.clone(),
            store_id: "fake".to_owned(),
            timeouts: Timeouts::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let settings = EngineSettings { executor: "me".to_owned(), clock: clock.clone() };
        let engine = Engine::new(store.clone(), Registry::default(), settings, runtime.handle().clone());
        let directory = Directory::open(access.clone()).await.unwrap();
        let administration = Administration {
            directory: Arc::clone(&directory),
            access: access.clone(),
            backups: access.clone(),
            hasher: Arc::new(CheapHash),
        };
        let service = Service::new(store.clone(), engine, deps, administration);
        let guarded = Guarded::new(service);
        Self { store, access, directory, guarded, engine: Some(runtime) }
    }

    /// The mutation that was asked for last, as the audit log has it.
    pub fn last_call(&self) -> String {
        let records = self.access.audit.lock().unwrap();
        records
            .last()
            .map_or_else(String::new, |record| format!("{} {}: {}", record.call, record.target, record.arguments))
    }

    /// Whether everything that was asked for was refused for its arguments, so that nothing came to the service.
    pub fn nothing_reached(&self) -> bool {
        let invalid = |record: &AuditRecord| matches!(&record.outcome, AuditOutcome::Refused { reason } if reason == "INVALID_ARGUMENT");
        self.store.store.log().is_empty() && self.access.audit.lock().unwrap().iter().all(invalid)
    }

    /// Where the streams of the faces come from.
    pub async fn hub(&self, shutdown: &CancellationToken) -> Arc<Hub> {
        Hub::start(Arc::clone(&self.store) as Arc<dyn Store>, shutdown.clone()).await.unwrap()
    }

    /// A user as authentication would give it now.
    pub fn caller(&self, name: &str) -> Caller {
        let principal: Principal = name.parse().unwrap();
        let user = self.directory.user(&principal).unwrap();
        Caller {
            rights: Arc::new(self.directory.rights(&principal).unwrap_or_default()),
            user: Some(user.id),
            principal,
            proof: Arc::default(),
            address: "192.0.2.7:40000".to_owned(),
            trace_id: "0123456789abcdef".to_owned(),
            reason: Reason::default(),
        }
    }

    /// Everybody, while authentication is off.
    pub fn anonymous() -> Caller {
        Caller {
            principal: Principal::new("anonymous"),
            user: None,
            rights: Arc::new(Rights::everything()),
            proof: Arc::default(),
            address: "127.0.0.1:40000".to_owned(),
            trace_id: "fedcba9876543210".to_owned(),
            reason: Reason::default(),
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.shutdown_background();
        }
    }
}
