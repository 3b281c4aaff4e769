//! The only thread that writes. It takes everything that is queued, up to a limit, and commits it as one transaction; answers
//! are sent once it is on disk. An error of SQL or of COMMIT leaves the outcome unknown: then the process ends, and recovery
//! reads the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::commit::{self, PreparedCommit};
use super::connection::SqliteConnection;
use super::crash::CrashPoint;
use super::file_lock::FileLock;
use super::shutdown_mark;
use super::sqlite_error;
use crate::clock::monotonic_now;
use crate::domain::ids::Seq;
use crate::store::progress::ProgressCache;
use crate::store::sql::Database;
use crate::store::vault::Vault;
use crate::store::{CommitOutcome, StoreError};
use crate::telemetry::metrics::StoreMetrics;

/// Called with the error after which the outcome of a write is unknown.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

const LARGEST_BATCH: usize = 1024;
/// A transaction takes no further job once its events have so many bytes.
const LARGEST_BATCH_BYTES: usize = 4 << 20;

/// Runs when a job is on disk.
pub(super) type Answer = Box<dyn FnOnce() + Send>;
/// A write that is not a task's commit: runs in the transaction of its batch.
type Change = Box<dyn FnOnce(&mut Database, &SqliteConnection) -> rusqlite::Result<Answer> + Send>;
type CommitSender = oneshot::Sender<Result<CommitOutcome, StoreError>>;

pub(super) enum Job {
    Commit {
        commit: Arc<PreparedCommit>,
        answer: CommitSender,
    },
    Change(Change),
    /// The last job. Answered once the file is closed.
    Close(oneshot::Sender<()>),
}

/// The queue to the writer thread; dropping it ends the thread once everything queued is on disk.
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    head: Arc<AtomicI64>,
    metrics: StoreMetrics,
}

impl Writer {
    /// `connection` is the thread's own.
    pub(super) fn start(
        connection: SqliteConnection,
        vault: Arc<Vault>,
        on_fatal: OnFatal,
        committed: watch::Sender<Seq>,
        progress: Arc<ProgressCache>,
        lock: Arc<FileLock>,
        metrics: StoreMetrics,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = channel();
        let head = Arc::new(AtomicI64::new(committed.borrow().get()));
        let shown = Arc::clone(&head);
        let state = WriterThread {
            head: shown,
            database: Database::over_sqlite(connection.clone(), vault),
            connection,
            queue,
            on_fatal,
            committed,
            progress,
            lock,
            metrics: metrics.clone(),
            crash: CrashPoint::from_environment(),
            closing: None,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || state.run())
            .map_err(|error| StoreError::Open(format!("cannot start the store's writer thread, {error}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), head, metrics })
    }

    /// Position of the last event on disk: at least that of any answer sent so far.
    pub(super) fn head(&self) -> Seq {
        Seq::new(self.head.load(Ordering::Acquire))
    }

    /// Queues a commit; if the thread has ended, its answer is dropped, which means closed.
    pub(super) fn submit(&self, commit: Arc<PreparedCommit>, answer: CommitSender) {
        self.send(Job::Commit { commit, answer });
    }

    /// Queues a change and waits until it is on disk. A change that refuses must not have written anything.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Database, &SqliteConnection) -> rusqlite::Result<Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Job::Change(Box::new(move |database, connection| {
            let outcome = change(database, connection)?;
            Ok(Box::new(move || {
                let _ = sender.send(outcome);
            }))
        })));
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Ends the thread once everything queued is on disk and the file is complete without its log. Later writes are not made.
    pub(super) async fn close(&self) {
        let (sender, receiver) = oneshot::channel();
        self.send(Job::Close(sender));
        // An error: the thread has ended before.
        let _ = receiver.await;
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            if !matches!(job, Job::Close(_)) {
                self.metrics.queued();
            }
            // An error returns the job, and dropping it tells its caller that the store is closed.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct WriterThread {
    connection: SqliteConnection,
    /// Over the same connection, for changes.
    database: Database,
    queue: Receiver<Job>,
    on_fatal: OnFatal,
    committed: watch::Sender<Seq>,
    /// As `committed`, but set before the answers are sent: a caller who was answered finds its event below the head.
    head: Arc<AtomicI64>,
    progress: Arc<ProgressCache>,
    lock: Arc<FileLock>,
    metrics: StoreMetrics,
    crash: CrashPoint,
    closing: Option<oneshot::Sender<()>>,
}

impl WriterThread {
    fn run(mut self) {
        let _guard = PanicIsFatal(Arc::clone(&self.on_fatal));
        while self.closing.is_none()
            && let Ok(first) = self.queue.recv()
        {
            let batch = self.take_waiting(first);
            let mut senders = Vec::new();
            if let Err(error) = self.write(batch, &mut senders) {
                let words = sqlite_error::unknown(self.connection.lock().path().unwrap_or_default(), &error);
                (self.on_fatal)(&words);
                for sender in senders {
                    let _ = sender.send(Err(StoreError::Failed(words.clone())));
                }
                return;
            }
        }
        let Self { connection, database, queue, lock, closing, .. } = self;
        // Callers of writes that are still queued are told that the store is closed.
        drop(queue);
        shutdown_mark::close(&connection.lock());
        drop((connection, database));
        lock.release();
        if let Some(closing) = closing {
            let _ = closing.send(());
        }
    }

    /// Stops at a closing job, if there is one.
    fn take_waiting(&mut self, first: Job) -> Vec<Job> {
        let (mut bytes, mut batch) = (0, Vec::new());
        let mut next = Ok(first);
        loop {
            match next {
                Ok(Job::Close(closing)) => {
                    self.closing = Some(closing);
                    return batch;
                }
                Ok(job) => {
                    bytes += job.bytes();
                    batch.push(job);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return batch,
            }
            if batch.len() >= LARGEST_BATCH || bytes >= LARGEST_BATCH_BYTES {
                return batch;
            }
            next = self.queue.try_recv();
        }
    }

    /// Writes a batch and answers it. On an error `senders` holds the callers of commits.
    fn write(&mut self, batch: Vec<Job>, senders: &mut Vec<CommitSender>) -> rusqlite::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let (began, writes) = (monotonic_now(), batch.len());
        let before = *self.committed.borrow();
        let mut seq = before;
        let mut commits: Vec<(Arc<PreparedCommit>, CommitOutcome)> = Vec::with_capacity(batch.len());
        let mut answers: Vec<Answer> = Vec::new();
        let mut failure = None;
        let begun = run(&self.connection.lock(), "BEGIN IMMEDIATE");
        for job in batch {
            match job {
                Job::Commit { commit, answer } => {
                    senders.push(answer);
                    if failure.is_none() && begun.is_ok() {
                        match commit::write(&self.connection.lock(), &commit, seq) {
                            Ok(outcome) => {
                                seq = seq.max(place(&outcome));
                                commits.push((commit, outcome));
                            }
                            Err(error) => failure = Some(error),
                        }
                    }
                }
                Job::Change(change) if failure.is_none() && begun.is_ok() => {
                    match change(&mut self.database, &self.connection) {
                        Ok(answer) => answers.push(answer),
                        Err(error) => failure = Some(error),
                    }
                }
                Job::Change(_) | Job::Close(_) => {}
            }
        }
        begun?;
        if let Some(error) = failure {
            return Err(error);
        }
        if seq > before {
            commit::set_head(&self.connection.lock(), seq)?;
        }
        let submits = commits.len() as u64;
        self.crash.before_commit(submits);
        run(&self.connection.lock(), "COMMIT")?;
        self.crash.after_commit(submits);
        self.metrics.committed(writes, monotonic_now() - began);
        self.head.store(seq.get(), Ordering::Release);
        if seq > before {
            self.lock.acknowledge(seq);
        }
        for ((commit, outcome), sender) in commits.into_iter().zip(senders.drain(..)) {
            self.progress.forget_moved(&commit.commit);
            // Before its caller is told, who is to be the last to have it.
            drop(commit);
            let _ = sender.send(Ok(outcome));
        }
        for answer in answers {
            answer();
        }
        if seq > before {
            self.committed.send_replace(seq);
        }
        Ok(())
    }
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit { commit, .. } => commit.len(),
            Self::Change(_) | Self::Close(_) => 0,
        }
    }
}

fn run(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// The position of an outcome; an exact repeat has one below the head.
const fn place(outcome: &CommitOutcome) -> Seq {
    match outcome {
        CommitOutcome::Committed { seq, .. } => *seq,
        CommitOutcome::Stale { .. }
        | CommitOutcome::Fenced { .. }
        | CommitOutcome::LockHeld { .. }
        | CommitOutcome::Frozen
        | CommitOutcome::Replayed { .. } => Seq::ZERO,
    }
}

/// A panic of the writer thread is as fatal as an error: the outcome of its transaction is unknown.
struct PanicIsFatal(OnFatal);

impl Drop for PanicIsFatal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)("the store's writer thread panicked");
        }
    }
}
