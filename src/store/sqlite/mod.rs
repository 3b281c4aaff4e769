//! The embedded store: one SQLite file, one thread that writes, a few connections that read. `flock` on `<file>.lock` is
//! the ownership, so there are no leases here. Nothing above this module knows SQL.

mod backup;
mod commit;
mod connection;
mod crash;
mod file_lock;
pub(in crate::store) mod import;
mod readers;
mod replicas;
mod restored;
mod schema;
mod secrets;
mod shutdown_mark;
mod sqlite_error;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use futures::FutureExt;
use ring::hmac;
use tokio::sync::{broadcast, watch};

use crate::clock::{Clock, Timestamp};
use crate::domain::event::StoredEvent;
use crate::domain::ids::{ClusterId, ClusterKey, Principal, Revision, Seq, SubtaskId, TaskId};
use crate::domain::store_home::StoreHome;
use crate::store::access::AccessRows;
use crate::store::backup::{Backup, Backups};
use crate::store::derived_key::{DerivedKeys, KeyPurpose};
use crate::store::home::Located;
use crate::store::key_source::KeySource;
use crate::store::progress::ProgressCache;
use crate::store::replicas::ReplicaName;
use crate::store::sql::{Change, Database, Domain, access_read, task_read};
use crate::store::vault::Vault;
use crate::store::{
    Commit, LockRow, LogLine, Page, PendingCommit, Progress, Store, StoreError, StoredTask, TaskFilter, TaskOrder,
    WholeStore,
};
use crate::telemetry::metrics::StoreMetrics;
use commit::PreparedCommit;
use file_lock::FileLock;
use readers::Readers;

use writer::Writer;

pub use backup::{check as check_backup, is_backup};
pub use connection::SqliteConnection;
pub(in crate::store) use restored::restored;
pub use writer::OnFatal;

/// Smallest block in which ids are reserved, so that most reservations cost no commit.
const ID_BLOCK: i64 = 1024;

#[derive(Clone)]
pub struct SqliteOptions {
    /// Connections that read at the same time.
    pub readers: usize,
    pub key: KeySource,
    pub replica: ReplicaName,
    /// Called when the outcome of a write is unknown. Must end the process, at once or after pending callers were answered: the
    /// store takes no more writes.
    pub on_fatal: OnFatal,
    pub metrics: StoreMetrics,
}

impl Default for SqliteOptions {
    /// Four readers; the key is in a file beside the store; a failed write ends the process.
    fn default() -> Self {
        let (key, replica, metrics) = Default::default();
        Self { readers: 4, key, replica, on_fatal: Arc::new(sqlite_error::end_process), metrics }
    }
}

/// The store in a file. Dropping it blocks until everything queued is on disk.
pub struct SqliteStore {
    // Before the lock: fields are dropped in this order, and the file must stay locked until the writer has finished.
    writer: Writer,
    readers: Arc<Readers>,
    vault: Arc<Vault>,
    progress: Arc<ProgressCache>,
    committed: watch::Receiver<Seq>,
    ids: tokio::sync::Mutex<IdBlock>,
    store_id: String,
    replica: ReplicaName,
    opened_at: Timestamp,
    /// How many tasks are driven here.
    running: AtomicUsize,
    /// Nobody else ever leaves.
    ownership: watch::Sender<i64>,
    path: PathBuf,
    /// Held while a backup is made: one at a time.
    backing_up: tokio::sync::Mutex<()>,
    _lock: Arc<FileLock>,
}

/// Ids that are reserved on disk and not given out yet.
#[derive(Default)]
struct IdBlock {
    next: i64,
    left: i64,
}

impl SqliteStore {
    /// Opens the store in a file; creates a missing one, its key first. Blocks for the time of a migration. Refuses a file that
    /// is damaged, newer, in use or not ours, and a key that is missing or not the file's.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Arc<Self>, StoreError> {
        let path = path.as_ref();
        let lock = Arc::new(FileLock::take(path)?);
        backup::sweep(path);
        let (connection, vault) = schema::open_writer(path, &options.key, &lock)?;
        let store_id = connection.query_row("SELECT value FROM meta WHERE name = 'store_id'", [], |row| row.get(0))?;
        let head = commit::head(&connection)?;
        lock.check(path, head)?;
        shutdown_mark::begin(path, &connection)?;
        let (sender, committed) = watch::channel(head);
        let progress = Arc::new(ProgressCache::new());
        let vault = Arc::new(vault);
        let readers = Arc::new(Readers::open(path, options.readers, Arc::clone(&vault))?);
        let connection = SqliteConnection::new(connection);
        let (told, held) = (Arc::clone(&progress), Arc::clone(&lock));
        let writer =
            Writer::start(connection, Arc::clone(&vault), options.on_fatal, sender, told, held, options.metrics)?;
        Ok(Arc::new(Self {
            writer,
            readers,
            vault,
            progress,
            committed,
            ids: Default::default(),
            store_id,
            replica: options.replica,
            opened_at: Clock::system().now(),
            running: AtomicUsize::new(0),
            ownership: watch::Sender::new(0),
            path: path.to_owned(),
            backing_up: Default::default(),
            _lock: lock,
        }))
    }

    /// Reads with one of the functions of `sql`.
    pub(super) async fn read<A, T>(
        &self,
        read: impl AsyncFn(&mut Database, &A) -> Result<T, StoreError> + Send + 'static,
        arguments: A,
    ) -> Result<T, StoreError>
    where
        A: Send + 'static,
        T: Send + 'static,
    {
        self.readers.read(move |database| at_once(read(database, &arguments))).await
    }

    /// Reads a few rows by their keys likewise.
    pub(super) async fn read_by_key<A, T>(
        &self,
        read: impl AsyncFn(&mut Database, &A) -> Result<T, StoreError>,
        arguments: A,
    ) -> Result<T, StoreError> {
        self.readers.read_here(|database| at_once(read(database, &arguments))).await
    }

    /// Writes what one of the functions of `sql` decides. There is one writer, so that nothing changes meanwhile.
    pub(super) async fn change<A, T>(
        &self,
        _: Domain,
        decide: impl AsyncFn(&mut Database, &A) -> Result<Change<T>, StoreError> + Send + 'static,
        arguments: A,
    ) -> Result<T, StoreError>
    where
        A: Send + 'static,
        T: Send + 'static,
    {
        let change = move |database: &mut Database, connection: &SqliteConnection| {
            let Change { answer, statements, while_free: _ } = match at_once(decide(database, &arguments)) {
                Ok(change) => change,
                Err(error) => return Ok(Err(error)),
            };
            commit::execute(&connection.lock(), statements)?;
            Ok(Ok(answer))
        };
        self.writer.change(change).await
    }

    /// The same; whoever decided it before has kept others from changing anything.
    pub(super) async fn change_at<A, T>(
        &self,
        domain: Domain,
        _: i64,
        decide: impl AsyncFn(&mut Database, &A) -> Result<Change<T>, StoreError> + Send + 'static,
        arguments: &A,
    ) -> Result<Option<T>, StoreError>
    where
        A: Clone + Send + 'static,
        T: Send + 'static,
    {
        self.change(domain, decide, arguments.clone()).await.map(Some)
    }

    /// Nobody else changes anything.
    pub(super) fn access_version(&self) -> watch::Receiver<i64> {
        self.ownership.subscribe()
    }

    /// In one transaction, and so of one moment.
    pub(super) async fn read_access(&self) -> Result<AccessRows, StoreError> {
        self.read(access_read::access, ()).await
    }

    fn with_progress(&self, mut stored: StoredTask) -> StoredTask {
        stored.progress = task_read::moving(&stored.task)
            .filter_map(|subtask| self.progress.of(stored.task.spec.id, subtask))
            .collect();
        stored
    }

    fn all_with_progress(&self, tasks: Vec<StoredTask>) -> Vec<StoredTask> {
        tasks.into_iter().map(|stored| self.with_progress(stored)).collect()
    }
}

/// What a connection to the file never lets wait.
fn at_once<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.now_or_never().unwrap_or_else(|| Err(StoreError::Failed("a read of the file waits".to_owned())))
}

#[async_trait]
impl Located for SqliteStore {
    async fn home(&self) -> StoreHome {
        StoreHome::InNoCluster
    }
}

impl DerivedKeys for SqliteStore {
    fn derived_key(&self, purpose: KeyPurpose) -> Result<hmac::Key, StoreError> {
        self.vault.derive(purpose).map_err(|error| StoreError::Failed(error.to_string()))
    }
}

#[async_trait]
impl WholeStore for SqliteStore {
    async fn close(&self) {
        self.writer.close().await;
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn submit(&self, commit: Commit) -> PendingCommit {
        let (answer, pending) = PendingCommit::new();
        if let Some(malformed) = commit.malformed() {
            let _ = answer.send(Err(malformed));
            return pending;
        }
        let commit = Arc::new(PreparedCommit::of(commit));
        self.writer.submit(Arc::clone(&commit), answer);
        pending.keeping(commit)
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.clone()
    }

    fn store_id(&self) -> &str {
        &self.store_id
    }

    async fn reserve_ids(&self, count: u32) -> Result<i64, StoreError> {
        let count = i64::from(count);
        let mut block = self.ids.lock().await;
        if block.left < count {
            let size = count.max(ID_BLOCK);
            let reserved = self.writer.change(move |_, connection| Ok(Ok(commit::reserve(&connection.lock(), size)?)));
            let first = reserved.await?;
            let next = first.ok_or_else(|| StoreError::Failed("all ids below 2^53 are given".to_owned()))?;
            *block = IdBlock { next, left: size };
        }
        let first = block.next;
        block.next += count;
        block.left -= count;
        Ok(first)
    }

    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError> {
        Ok(self.read(task_read::task, task).await?.map(|stored| self.with_progress(stored)))
    }

    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(task_read::events, (task, after, limit)).await
    }

    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(task_read::tail, (after, limit)).await
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        Ok(self.writer.head())
    }

    async fn list(
        &self,
        filter: &TaskFilter,
        below: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<StoredTask>, StoreError> {
        let tasks = self.read(task_read::list, (filter.clone(), below, limit)).await?;
        Ok(self.all_with_progress(tasks))
    }

    async fn page(&self, filter: &TaskFilter, page: Page<TaskOrder>) -> Result<(Vec<StoredTask>, u64), StoreError> {
        let (tasks, total) = self.read(task_read::page, (filter.clone(), page)).await?;
        Ok((self.all_with_progress(tasks), total))
    }

    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), StoreError> {
        let (tasks, head) = self.read(task_read::open_tasks, cluster).await?;
        Ok((self.all_with_progress(tasks), head))
    }

    async fn pending_tasks(&self) -> Result<Vec<StoredTask>, StoreError> {
        // Mostly nothing, which needs no other thread.
        if self.read_by_key(task_read::has_pending, ()).await? {
            self.read(task_read::pending, ()).await
        } else {
            Ok(Vec::new())
        }
    }

    async fn request(&self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        self.read_by_key(task_read::request, (principal.clone(), request_id.to_owned())).await
    }

    async fn lock(&self, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
        self.read_by_key(task_read::lock, cluster.clone()).await
    }

    async fn log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError> {
        self.read(task_read::log, (task, subtask)).await
    }

    fn note(&self, progress: Progress) {
        self.progress.note(progress);
    }

    fn subscribe_progress(&self) -> broadcast::Receiver<Progress> {
        self.progress.changes()
    }
}

#[async_trait]
impl Backups for SqliteStore {
    async fn back_up(&self, at: Timestamp) -> Result<Backup, StoreError> {
        let _turn = self.backing_up.lock().await;
        let path = self.path.clone();
        let copying = tokio::task::spawn_blocking(move || backup::copy(&path, at)).await;
        copying.map_err(|error| StoreError::Failed(format!("a backup ended early, {error}")))?
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if sqlite_error::is_damage(&error) { Self::Damaged(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}
