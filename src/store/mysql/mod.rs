//! The shared store: a database that speaks the MySQL protocol (OceanBase, MariaDB, MySQL), for several replicas of the service.
//! The database is the only thing that they share. Nothing above this module knows SQL.
//!
//! What it rests on: rows counted by compare-and-set, primary keys, and the order in which one locked row was had. Not on isolation
//! above READ COMMITTED, on gap locks, on the detection of deadlocks, or on the number of an error: whatever fails is unknown
//! until it was read again (docs/architecture.md#the-shared-store).

mod batch;
mod connection;
mod durability;
mod home;
pub(in crate::store) mod import;
mod literal;
mod options;
mod outcome;
mod progress;
mod readers;
mod replicas;
mod ring;
mod schema;
mod tail;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ::ring::hmac;
use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use crate::clock::{Clock, Timestamp};
use crate::domain::event::StoredEvent;
use crate::domain::ids::{ClusterId, ClusterKey, Principal, ReplicaId, Revision, Seq, SubtaskId, TaskId};
use crate::store::access::AccessRows;
use crate::store::backup::{Backup, Backups};
use crate::store::derived_key::{DerivedKeys, KeyPurpose};
use crate::store::home::Located;
use crate::store::progress::ProgressCache;
use crate::store::sql::{Change, Database, Domain, access_read, damaged, task_read};
use crate::store::sqlite::import::SqliteRows;
use crate::store::transfer::copy;
use crate::store::vault::Vault;
use crate::store::{
    Commit, LockRow, LogLine, Page, PendingCommit, Progress, Store, StoreError, StoredTask, TaskFilter, TaskOrder,
    WholeStore,
};
use batch::{PreparedChange, PreparedCommit, counter};
use home::KnownHome;
use progress::Unwritten;
use readers::Readers;
use ring::Ring;
use tail::Counters;
use writer::{Job, Writer, Written};

pub use connection::MysqlConnection;
pub use options::{MysqlOptions, StoreTls};
pub use schema::{Schema, SchemaStep};

/// Events that are read at a time.
const TAIL_RANGE: u32 = 1024;

/// The store in a shared database, as one replica has it. Needs the runtime on which it was opened.
pub struct MysqlStore {
    writer: Writer,
    readers: Arc<Readers>,
    vault: Arc<Vault>,
    shared: Arc<Shared>,
    unwritten: Arc<Unwritten>,
    /// The last events as they were read, by one reader at a time.
    tail: tokio::sync::Mutex<Ring>,
    store_id: String,
    options: Arc<MysqlOptions>,
    clock: Clock,
    /// The id of this replica; zero before it has joined.
    me: Arc<AtomicI64>,
    home: KnownHome,
    /// Held while a backup is made: one at a time.
    backing_up: tokio::sync::Mutex<()>,
    /// The session that renews the lease, and waits for nothing else.
    renewal: tokio::sync::Mutex<Option<MysqlConnection>>,
}

/// What the writer tells everybody else.
struct Shared {
    committed: watch::Sender<Seq>,
    /// How often users, keys or roles have changed.
    access: watch::Sender<i64>,
    /// How often a replica has left or was buried.
    ownership: watch::Sender<i64>,
    progress: ProgressCache,
}

impl Written for Shared {
    fn written(&self, commits: &[&PreparedCommit], head: Seq) {
        commits.iter().for_each(|prepared| self.progress.forget_moved(&prepared.commit));
        self.advance(head);
    }
}

impl Shared {
    /// Everything up to here is committed.
    fn advance(&self, head: Seq) -> bool {
        raise(&self.committed, head)
    }

    /// What was read of the counters; whether one of them has grown.
    fn counted(&self, counters: &Counters) -> bool {
        let Counters { seq, access, ownership, progress: _, open: _ } = counters;
        // Each is told, whatever the others are.
        let grown = [self.advance(*seq), raise(&self.access, *access), raise(&self.ownership, *ownership)];
        grown.contains(&true)
    }
}

fn raise<T: Ord + Copy>(known: &watch::Sender<T>, to: T) -> bool {
    known.send_if_modified(|known| {
        let newer = to > *known;
        *known = to.max(*known);
        newer
    })
}

impl MysqlStore {
    /// Opens the store, and makes or migrates its tables first.
    pub async fn open(options: MysqlOptions, clock: Clock) -> Result<Arc<Self>, StoreError> {
        let options = Arc::new(options);
        let mut connection = MysqlConnection::open(&options).await?;
        durability::check(&mut connection, &options).await?;
        let (store_id, vault) = schema::open(&mut connection, &options).await?;
        let vault: Arc<Vault> = Arc::new(vault);
        let readers = Arc::new(Readers::new(Arc::clone(&options), Arc::clone(&vault)));
        let Counters { seq, access, ownership, .. } = readers.read(tail::counters, &()).await?;
        let shared = Arc::new(Shared {
            committed: watch::Sender::new(seq),
            access: watch::Sender::new(access),
            ownership: watch::Sender::new(ownership),
            progress: ProgressCache::new(),
        });
        let (me, told): (Arc<AtomicI64>, Arc<dyn Written>) = (Arc::default(), shared.clone());
        let writer = Writer::start(Arc::clone(&options), connection, Arc::clone(&me), told);
        let replica = Arc::clone(&me);
        let id = move || replica.load(Ordering::Relaxed);
        tokio::spawn(tail::follow(Arc::clone(&readers), Arc::downgrade(&shared), options.tail_interval, id.clone()));
        let unwritten = Arc::new(Unwritten::default());
        tokio::spawn(progress::write(Arc::clone(&options), Arc::clone(&unwritten), id));
        let (renewal, backing_up, home) = Default::default();
        let tail = tokio::sync::Mutex::new(Ring::new(seq));
        let store = Arc::new(Self {
            writer,
            readers,
            vault,
            shared,
            unwritten,
            tail,
            store_id,
            options,
            clock,
            me,
            home,
            backing_up,
            renewal,
        });
        store.home().await;
        Ok(store)
    }

    /// Reads with one of the functions of `sql`.
    pub(super) async fn read<A, T>(
        &self,
        read: impl AsyncFn(&mut Database, &A) -> Result<T, StoreError>,
        arguments: A,
    ) -> Result<T, StoreError> {
        self.readers.read(read, &arguments).await
    }

    /// The same: every read takes a round trip.
    pub(super) async fn read_by_key<A, T>(
        &self,
        read: impl AsyncFn(&mut Database, &A) -> Result<T, StoreError>,
        arguments: A,
    ) -> Result<T, StoreError> {
        self.read(read, arguments).await
    }

    /// Writes what one of the functions of `sql` decides, unless something of its domain has changed since: then it decides again.
    pub(super) async fn change<A, T>(
        &self,
        domain: Domain,
        decide: impl AsyncFn(&mut Database, &A) -> Result<Change<T>, StoreError> + Copy,
        arguments: A,
    ) -> Result<T, StoreError> {
        loop {
            let version = match counter(domain) {
                Some(counter) => self.version(counter).await?,
                None => 0,
            };
            if let Some(answer) = self.change_at(domain, version, decide, &arguments).await? {
                return Ok(answer);
            }
        }
    }

    /// The same, if its domain is still at this version; `None`: it is not.
    pub(super) async fn change_at<A, T>(
        &self,
        domain: Domain,
        version: i64,
        decide: impl AsyncFn(&mut Database, &A) -> Result<Change<T>, StoreError> + Copy,
        arguments: &A,
    ) -> Result<Option<T>, StoreError> {
        let read = counter(domain).map(|counter| (counter, version));
        let Change { answer, statements, while_free } = self.readers.read(decide, arguments).await?;
        if statements.is_empty() {
            return Ok(Some(answer));
        }
        let prepared = PreparedChange::decided(read, while_free, statements, self.clock.now());
        Ok(self.written(prepared).await?.then_some(answer))
    }

    pub(super) fn access_version(&self) -> watch::Receiver<i64> {
        self.shared.access.subscribe()
    }

    /// Whether a change was written.
    async fn written(&self, change: PreparedChange) -> Result<bool, StoreError> {
        self.writer.ask(|answer| Job::Change(Box::new(change), answer)).await
    }

    fn me(&self) -> i64 {
        self.me.load(Ordering::Relaxed)
    }

    fn set_me(&self, id: ReplicaId) {
        self.me.store(id.get(), Ordering::Relaxed);
    }

    /// How often what is counted by this counter has changed.
    async fn version(&self, counter: &str) -> Result<i64, StoreError> {
        self.readers.read(version, &counter.to_owned()).await
    }

    /// Several queries, repeated until nothing has changed between them.
    pub(super) async fn read_access(&self) -> Result<AccessRows, StoreError> {
        loop {
            let before = self.version("access").await?;
            let rows = self.readers.read(access_read::access, &()).await?;
            if self.version("access").await? == before {
                return Ok(AccessRows { version: before, ..rows });
            }
        }
    }

    /// With the progress of running subtasks: as noted here, or as another replica has written it.
    async fn with_progress(&self, mut tasks: Vec<StoredTask>) -> Result<Vec<StoredTask>, StoreError> {
        for stored in &mut tasks {
            let id = stored.task.spec.id;
            let noted = task_read::moving(&stored.task).filter_map(|subtask| self.shared.progress.of(id, subtask));
            stored.progress = noted.collect();
        }
        let lacks = |stored: &&StoredTask| stored.progress.len() < task_read::moving(&stored.task).count();
        let elsewhere: Vec<TaskId> = tasks.iter().filter(lacks).map(|stored| stored.task.spec.id).collect();
        if elsewhere.is_empty() {
            return Ok(tasks);
        }
        let written = self.read(progress::of_tasks, (elsewhere,)).await?;
        for stored in &mut tasks {
            let running: Vec<SubtaskId> = task_read::moving(&stored.task).collect();
            for one in written.iter().filter(|one| one.task == stored.task.spec.id) {
                let began = stored.task.subtask(one.subtask).ok().and_then(|subtask| subtask.started_at);
                let known = stored.progress.iter().any(|known| known.subtask == one.subtask);
                if running.contains(&one.subtask) && !known && began.is_none_or(|began| one.at >= began) {
                    stored.progress.push(one.clone());
                }
            }
        }
        Ok(tasks)
    }
}

async fn version(database: &mut Database, counter: &String) -> Result<i64, StoreError> {
    let row = database.row("SELECT value FROM counter WHERE name = ?", vec![counter.as_str().into()]).await?;
    row.ok_or_else(|| damaged(format!("there is no counter {counter}")))?.int(0)
}

impl DerivedKeys for MysqlStore {
    fn derived_key(&self, purpose: KeyPurpose) -> Result<hmac::Key, StoreError> {
        self.vault.derive(purpose).map_err(|error| StoreError::Failed(error.to_string()))
    }
}

#[async_trait]
impl WholeStore for MysqlStore {
    async fn close(&self) {
        self.writer.close().await;
    }
}

#[async_trait]
impl Store for MysqlStore {
    fn submit(&self, commit: Commit) -> PendingCommit {
        let (answer, pending) = PendingCommit::new();
        if let Some(malformed) = commit.malformed() {
            let _ = answer.send(Err(malformed));
            return pending;
        }
        self.writer.submit(Job::Commit(Box::new(PreparedCommit::of(commit)), answer));
        pending
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.shared.committed.subscribe()
    }

    fn store_id(&self) -> &str {
        &self.store_id
    }

    async fn reserve_ids(&self, count: u32) -> Result<i64, StoreError> {
        let count = i64::from(count);
        // Not in blocks: ids of all replicas are to follow the order of acceptance, as far as requests that overlap have one.
        let last = self.writer.ask(|answer| Job::Reserve(count, answer)).await?;
        let last = last.ok_or_else(|| StoreError::Failed("all ids below 2^53 are given".to_owned()))?;
        Ok(last - count + 1)
    }

    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError> {
        let found = self.read(task_read::task, task).await?;
        Ok(self.with_progress(found.into_iter().collect()).await?.pop())
    }

    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(task_read::events, (task, after, limit)).await
    }

    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let mut ring = self.tail.lock().await;
        while ring.head() < *self.shared.committed.borrow() {
            let events = self.read(task_read::tail, (ring.head(), TAIL_RANGE)).await?;
            if events.is_empty() {
                break;
            }
            ring.extend(events);
        }
        let kept = ring.after(after, limit);
        drop(ring);
        match kept {
            Some(events) => Ok(events),
            None => self.read(task_read::tail, (after, limit)).await,
        }
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        Ok(*self.shared.committed.borrow())
    }

    async fn list(
        &self,
        filter: &TaskFilter,
        below: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<StoredTask>, StoreError> {
        let tasks = self.read(task_read::list, (filter.clone(), below, limit)).await?;
        self.with_progress(tasks).await
    }

    async fn page(&self, filter: &TaskFilter, page: Page<TaskOrder>) -> Result<(Vec<StoredTask>, u64), StoreError> {
        let (tasks, total) = self.read(task_read::page, (filter.clone(), page)).await?;
        Ok((self.with_progress(tasks).await?, total))
    }

    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), StoreError> {
        let (tasks, head) = self.read(task_read::open_tasks, cluster).await?;
        Ok((self.with_progress(tasks).await?, head))
    }

    async fn pending_tasks(&self) -> Result<Vec<StoredTask>, StoreError> {
        self.read(task_read::pending, ()).await
    }

    async fn request(&self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        self.read(task_read::request, (principal.clone(), request_id.to_owned())).await
    }

    async fn lock(&self, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
        self.read(task_read::lock, cluster.clone()).await
    }

    async fn log(&self, task: TaskId, subtask: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError> {
        self.read(task_read::log, (task, subtask)).await
    }

    fn note(&self, progress: Progress) {
        self.unwritten.note(progress.clone());
        self.shared.progress.note(progress);
    }

    fn subscribe_progress(&self) -> broadcast::Receiver<Progress> {
        self.shared.progress.changes()
    }
}

#[async_trait]
impl Backups for MysqlStore {
    /// As a file of the embedded store, in the folder for temporary files.
    async fn back_up(&self, at: Timestamp) -> Result<Backup, StoreError> {
        let _turn = self.backing_up.lock().await;
        let path = std::env::temp_dir().join(format!("obsteward-backup-{}", uuid::Uuid::new_v4()));
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::Failed(format!("the store {} was not copied to {}, {error}", self.options, path.display()))
        };
        let mut rows = SqliteRows::create(&path)?;
        copy(&mut import::snapshot(&self.options).await?, &mut rows).await.map_err(|error| failed(&error))?;
        let head = rows.finish(Some(at))?;
        let opened = std::fs::File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        // From here on the file lives as long as it is open.
        let removed = std::fs::remove_file(&path);
        let (bytes, file) = opened.and_then(|opened| removed.map(|()| opened)).map_err(|error| failed(&error))?;
        Ok(Backup { file, bytes, store_id: self.store_id.clone(), head, at })
    }
}
