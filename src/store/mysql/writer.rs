//! The one task of a replica that writes. It takes everything that is queued, up to a limit, and sends it as one batch. An error
//! leaves the batch unknown: it is sent again as it was, over another session, until it is answered or given up. That writes
//! nothing twice: a commit that was written is recognised by its bytes, a change by its nonce, a claim by its fence; and ids that
//! were reserved twice are only lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{self, BatchWrite, PreparedChange, PreparedCommit};
use super::connection::{IDLE_TIMEOUT, MysqlConnection};
use super::options::MysqlOptions;
use super::outcome::Answers;
use crate::clock::monotonic_now;
use crate::domain::ids::{Fence, Seq};
use crate::store::replicas::OwnedTask;
use crate::store::{CommitOutcome, StoreError};
use crate::telemetry::metrics::StoreMetrics;

const LARGEST_BATCH: usize = 256;
/// A batch takes no further write once it has so many bytes.
const LARGEST_BATCH_BYTES: usize = 1 << 20;
/// How long a write is tried. Then its caller hears that its outcome is unknown.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);
/// Between two tries: from, to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The session is used at least so often, or the database would close it.
const KEEP_ALIVE: Duration = Duration::from_secs(IDLE_TIMEOUT.as_secs() / 3);

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A write that waits for its batch, with who waits for it.
pub(super) enum Job {
    Commit(Box<PreparedCommit>, Answer<CommitOutcome>),
    /// Answers whether it is written: it is not when what it was decided by has changed.
    Change(Box<PreparedChange>, Answer<bool>),
    Claim(OwnedTask, Answer<Option<Fence>>),
    /// So many ids; answers the last of them.
    Reserve(i64, Answer<Option<i64>>),
    /// The last job. Answered once the session is closed.
    Close(oneshot::Sender<()>),
}

impl Job {
    fn len(&self) -> usize {
        match self {
            Self::Commit(prepared, _) => prepared.len(),
            Self::Change(prepared, _) => prepared.len(),
            Self::Claim(..) | Self::Reserve(..) | Self::Close(_) => 0,
        }
    }

    fn write(&self) -> Option<BatchWrite<'_>> {
        match self {
            Self::Commit(prepared, _) => Some(BatchWrite::Commit(prepared)),
            Self::Change(prepared, _) => Some(BatchWrite::Change(prepared)),
            Self::Claim(owned, _) => Some(BatchWrite::Claim(owned)),
            Self::Reserve(count, _) => Some(BatchWrite::Reserve(*count)),
            Self::Close(_) => None,
        }
    }

    fn answer(self, number: usize, answers: &Answers, me: i64) {
        match self {
            Self::Commit(prepared, answer) => _ = answer.send(answers.commit(number, &prepared)),
            Self::Change(_, answer) => _ = answer.send(answers.changed(number)),
            Self::Claim(owned, answer) => _ = answer.send(answers.claimed(number, owned.fence, me)),
            Self::Reserve(_, answer) => _ = answer.send(answers.reserved(number)),
            Self::Close(_) => {}
        }
    }

    fn fail(self, error: &StoreError) {
        match self {
            Self::Commit(_, answer) => _ = answer.send(Err(error.clone())),
            Self::Change(_, answer) => _ = answer.send(Err(error.clone())),
            Self::Claim(_, answer) => _ = answer.send(Err(error.clone())),
            Self::Reserve(_, answer) => _ = answer.send(Err(error.clone())),
            Self::Close(answer) => _ = answer.send(()),
        }
    }
}

struct Queued {
    job: Job,
    until: Instant,
}

/// Told of what the writer has written.
pub(super) trait Written: Send + Sync {
    /// Before the answers are sent: `commits` were tried, the last event has the position `head`.
    fn written(&self, commits: &[&PreparedCommit], head: Seq);
}

#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::UnboundedSender<Queued>,
    metrics: StoreMetrics,
}

impl Writer {
    /// Starts the writer of a replica on the current runtime.
    pub(super) fn start(
        options: Arc<MysqlOptions>,
        connection: MysqlConnection,
        me: Arc<AtomicI64>,
        told: Arc<dyn Written>,
    ) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        let metrics = options.metrics.clone();
        let state = WriterTask { options, connection: Some(connection), me, told, jobs, again: VecDeque::new() };
        tokio::spawn(state.run());
        Self { jobs: queue, metrics }
    }

    pub(super) fn submit(&self, job: Job) {
        if !matches!(job, Job::Close(_)) {
            self.metrics.queued();
        }
        let queued = Queued { job, until: monotonic_now() + GIVE_UP_AFTER };
        if let Err(closed) = self.jobs.send(queued) {
            closed.0.job.fail(&StoreError::Closed);
        }
    }

    /// Queues a job and waits for its answer.
    pub(super) async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.submit(job(sender));
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Ends the writer once everything queued is written or given up.
    pub(super) async fn close(&self) {
        let (sender, receiver) = oneshot::channel();
        self.submit(Job::Close(sender));
        // An error: the writer has ended before.
        let _ = receiver.await;
    }
}

struct WriterTask {
    options: Arc<MysqlOptions>,
    connection: Option<MysqlConnection>,
    /// The replica's id: another one when it was buried and has come back.
    me: Arc<AtomicI64>,
    told: Arc<dyn Written>,
    jobs: mpsc::UnboundedReceiver<Queued>,
    /// Writes of a batch that failed, in their order: sent again one by one, in case one of them is what fails.
    again: VecDeque<Queued>,
}

impl WriterTask {
    async fn run(mut self) {
        let mut pause = PAUSES.0;
        while let Some(batch) = self.next().await {
            if let Some(Queued { job: Job::Close(_), .. }) = batch.last() {
                self.connection = None;
                batch.into_iter().for_each(|queued| queued.job.fail(&StoreError::Closed));
                return;
            }
            let began = monotonic_now();
            match self.send(&batch).await {
                Ok(answers) => {
                    pause = PAUSES.0;
                    self.options.metrics.committed(batch.len(), monotonic_now() - began);
                    self.answer(batch, &answers);
                }
                Err(error) => {
                    tracing::warn!("a batch of {} writes failed, it is sent again: {error}", batch.len());
                    self.connection = None;
                    self.keep(batch, &error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// What is written next; `None`: the store is gone. A closing job comes alone.
    async fn next(&mut self) -> Option<Vec<Queued>> {
        if let Some(queued) = self.again.pop_front() {
            return Some(vec![queued]);
        }
        let first = loop {
            match tokio::time::timeout(KEEP_ALIVE, self.jobs.recv()).await {
                Ok(received) => break received?,
                Err(_) => self.keep_alive().await,
            }
        };
        let mut bytes = first.job.len();
        let mut batch = vec![first];
        while batch.len() < LARGEST_BATCH
            && bytes < LARGEST_BATCH_BYTES
            && !matches!(batch.last(), Some(Queued { job: Job::Close(_), .. }))
            && let Ok(next) = self.jobs.try_recv()
        {
            if matches!(next.job, Job::Close(_)) {
                self.again.push_back(next);
                break;
            }
            bytes += next.job.len();
            batch.push(next);
        }
        Some(batch)
    }

    async fn keep_alive(&mut self) {
        if let Some(connection) = &mut self.connection
            && connection.all_rows("SELECT 1").await.is_err()
        {
            self.connection = None;
        }
    }

    async fn send(&mut self, batch: &[Queued]) -> Result<Answers, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(MysqlConnection::open(&self.options).await?),
        };
        let writes: Vec<BatchWrite<'_>> = batch.iter().filter_map(|queued| queued.job.write()).collect();
        let me = self.me.load(Ordering::Relaxed);
        Answers::of(connection.all_rows(&batch::message(&writes, me)).await?)
    }

    fn answer(&self, batch: Vec<Queued>, answers: &Answers) {
        match answers.head() {
            Ok(head) => {
                let commits: Vec<&PreparedCommit> = batch
                    .iter()
                    .filter_map(|queued| match &queued.job {
                        Job::Commit(prepared, _) => Some(&**prepared),
                        _ => None,
                    })
                    .collect();
                self.told.written(&commits, head);
            }
            Err(error) => tracing::error!("{error}"),
        }
        for (number, queued) in batch.into_iter().enumerate() {
            queued.job.answer(number, answers, self.me.load(Ordering::Relaxed));
        }
    }

    /// Keeps what is sent again; whoever has waited long enough is told that the outcome is unknown.
    fn keep(&mut self, batch: Vec<Queued>, error: &StoreError) {
        batch.into_iter().rev().for_each(|queued| self.again.push_front(queued));
        // What is behind must not wait for longer because of what cannot be written.
        while let Ok(queued) = self.jobs.try_recv() {
            self.again.push_back(queued);
        }
        let now = monotonic_now();
        let (given_up, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.again).into_iter().partition(|queued| queued.until <= now);
        self.again = kept;
        self.options.metrics.given_up(given_up.len());
        let unknown = StoreError::Failed(format!("{error}; whether it was written is unknown"));
        given_up.into_iter().for_each(|queued| queued.job.fail(&unknown));
    }
}
