//! How soon watchers of a task see what was committed, and how many deliveries a second they take; beside it the channel of tokio
//! that hands the same bytes to as many readers, in the same run. Writer and store have a thread of their own, as in the service. With
//! `--replicas N`: on MariaDB, and the watchers are at the last of so many replicas while the first one writes.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement may stop where it is")]

#[path = "../tests/it/support/mariadb.rs"]
mod mariadb;
#[path = "support/stores.rs"]
mod stores;
mod support;
#[allow(dead_code, reason = "nothing runs the task")]
#[path = "support/tasks.rs"]
mod tasks;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use obsteward::clock::Clock;
use obsteward::domain::decide::{Input, create, decide};
use obsteward::domain::event::{Event, EventKind};
use obsteward::domain::ids::{ClusterId, Fence, Principal, Revision, SubtaskId, TaskId};
use obsteward::domain::refusal::Refusal;
use obsteward::domain::task::Task;
use obsteward::store::{Author, Commit, CommitOutcome, TaskRow, TaskVisibility, WholeStore, Write};
use obsteward::watch::{Hub, Until, WatchAuthorizer, WatchTask, watch_task};
use stores::{Stores, amount};
use support::{PATIENCE, figure, millis, now, percentile, rate, rounded};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How the writer writes.
#[derive(Clone, Copy)]
enum Pace {
    /// One commit each.
    Every(Duration),
    /// One behind the other.
    Unpaced,
    /// All at once.
    Burst,
}

impl Pace {
    const fn word(self) -> &'static str {
        match self {
            Self::Every(_) => "1000/s",
            Self::Unpaced => "unpaced",
            Self::Burst => "burst",
        }
    }
}

/// May see everything.
struct Anybody;

impl WatchAuthorizer for Anybody {
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn sees(&self, _: TaskId, _: ClusterId) -> bool {
        true
    }

    fn visible(&self) -> TaskVisibility {
        TaskVisibility::default()
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let every = Pace::Every(Duration::from_millis(1));
    let (paced, unpaced) = (amount(3_000, 1_000), amount(10_000, 2_000));
    let alone = runtime.block_on(run(0, unpaced, Pace::Unpaced, None));
    runtime.block_on(run(100, paced, every, None));
    runtime.block_on(run(1_000, unpaced, Pace::Unpaced, Some(alone)));
    runtime.block_on(run(1_000, amount(4_000, 4_000), Pace::Burst, None));
    runtime.block_on(run(1, paced, every, None));
    runtime.block_on(broadcast_of_tokio(1_000, unpaced));
}

/// A store and a task in it to which events are appended.
struct Log {
    /// Of each replica.
    stores: Vec<Arc<dyn WholeStore>>,
    task: TaskId,
    fence: Fence,
    subtask: SubtaskId,
    revision: Revision,
    on: Stores,
}

impl Log {
    async fn new() -> Self {
        let on = Stores::new().await;
        let stores = on.open().await;
        let store = &stores[0];
        let (clock, id) = (Clock::system(), store.reserve_ids(9).await.unwrap());
        let spec = tasks::spec(id, 1, &clock);
        let cluster = spec.cluster.key.clone();
        let at = clock.now();
        let mut events: Vec<Event> = create(spec).into_iter().map(|kind| Event { at, kind }).collect();
        let task = Task::fold(&events).unwrap();
        let dispatched = decide(&task, Input::Dispatch { executor: "bench".to_owned() }, at).unwrap();
        events.extend(dispatched.into_iter().map(|kind| Event { at, kind }));
        let task = Task::fold(&events).unwrap();
        let commit = Commit {
            task: task.spec.id,
            after: Revision::ZERO,
            author: Author::Request { principal: Principal::new("bench"), nonce: "1".to_owned() },
            events,
            row: Some(TaskRow::of(&task)),
            writes: vec![Write::AcquireLock { cluster }],
        };
        let CommitOutcome::Committed { fence, revision, .. } = store.submit(commit).outcome().await.unwrap() else {
            panic!("not committed")
        };
        let subtask = task.subtasks[0].spec.id;
        Self { stores, task: task.spec.id, fence, subtask, revision, on }
    }

    /// The commit behind the last one, with a warning.
    fn next(&mut self) -> Commit {
        let after = self.revision;
        self.revision = after.next();
        let message = "a warning of a common length, as a step of a stop may give it".to_owned();
        let kind = EventKind::Warned { subtask: self.subtask, code: "BENCH".to_owned(), message };
        Commit {
            task: self.task,
            after,
            author: Author::Owner { fence: self.fence },
            events: vec![Event { at: Clock::system().now(), kind }],
            row: None,
            writes: Vec::new(),
        }
    }
}

/// Commits a second.
async fn run(watchers: usize, events: usize, pace: Pace, alone: Option<f64>) -> f64 {
    let mut log = Log::new().await;
    let shutdown = CancellationToken::new();
    let hub = Hub::start(log.stores[log.stores.len() - 1].clone(), shutdown.clone()).await.unwrap();
    let first = log.revision.get() as usize;
    // When each commit was sent, by revision, in nanoseconds from the beginning.
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..=first + events).map(|_| AtomicU64::new(0)).collect());
    let begun = now();
    let mut watching = tokio::task::JoinSet::new();
    for _ in 0..watchers {
        let asked = WatchTask { task: log.task, after: Some(log.revision), until: Until::Closed, progress: false };
        let stream = watch_task(&hub, asked, Arc::new(Anybody)).await.unwrap();
        let sent = Arc::clone(&sent);
        watching.spawn(async move {
            let mut stream = pin!(stream.skip(1).take(events));
            let (mut revision, mut lags) = (first, Vec::new());
            while let Some(item) = stream.next().await {
                item.unwrap();
                revision += 1;
                // Zero: it is here before the writer has heard of its own commit.
                let lag = match sent[revision].load(Ordering::Relaxed) {
                    0 => Duration::ZERO,
                    at => begun.elapsed().saturating_sub(Duration::from_nanos(at)),
                };
                lags.push(lag);
            }
            (lags, begun.elapsed())
        });
    }
    let began = begun.elapsed();
    let writer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(write(&mut log, events, pace, begun, &sent));
        (log, begun.elapsed())
    });
    let (log, wrote) = tokio::task::spawn_blocking(|| writer.join().unwrap()).await.unwrap();
    let ended = watching.join_all().await;
    let per_second = events as f64 / (wrote - began).as_secs_f64();
    let last = ended.iter().map(|(_, at)| *at).max().unwrap_or(wrote);
    let mut lags: Vec<Duration> = ended.into_iter().flat_map(|(lags, _)| lags).collect();
    let mut values = Vec::from(log.on.settings());
    values.extend([
        ("watchers", watchers.into()),
        ("writer", pace.word().into()),
        ("events", events.into()),
        ("commits_per_second", rate(events, wrote - began)),
    ]);
    if watchers > 0 {
        values.push(("deliveries_per_second", rate(lags.len(), last - began)));
        values.push(("p50_ms", millis(percentile(&mut lags, 0.5))));
        values.push(("p99_ms", millis(percentile(&mut lags, 0.99))));
        values.push(("longest_ms", millis(percentile(&mut lags, 1.0))));
    }
    if let Some(alone) = alone {
        values.push(("of_writer_alone", rounded(per_second / alone, 3)));
    }
    figure("fanout", values);
    shutdown.cancel();
    for store in log.stores {
        store.close().await;
    }
    per_second
}

async fn write(log: &mut Log, events: usize, pace: Pace, begun: Instant, sent: &[AtomicU64]) {
    let mark = |log: &Log| {
        let at = u64::try_from(begun.elapsed().as_nanos()).unwrap();
        sent[log.revision.get() as usize].store(at, Ordering::Relaxed);
    };
    let mut pending = Vec::new();
    let mut due = now();
    for _ in 0..events {
        let commit = log.next();
        match pace {
            Pace::Every(pause) => {
                due += pause;
                tokio::time::sleep_until(due).await;
                let outcome = log.stores[0].submit(commit).outcome().await.unwrap();
                mark(log);
                assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
            }
            Pace::Unpaced => {
                let outcome = log.stores[0].submit(commit).outcome().await.unwrap();
                mark(log);
                assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
            }
            Pace::Burst => {
                mark(log);
                pending.push(log.stores[0].submit(commit));
            }
        }
    }
    for one in pending {
        one.outcome().await.unwrap();
    }
}

/// The same bytes through a channel, to as many readers.
async fn broadcast_of_tokio(readers: usize, events: usize) {
    let (sender, _) = broadcast::channel(events);
    let begun = now();
    let mut reading = tokio::task::JoinSet::new();
    for _ in 0..readers {
        let mut receiver = sender.subscribe();
        reading.spawn(async move {
            let mut seen = 0;
            while receiver.recv().await.is_ok() {
                seen += 1;
            }
            seen
        });
    }
    let bytes = bytes::Bytes::from(vec![7_u8; 150]);
    for _ in 0..events {
        sender.send(bytes.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    drop(sender);
    let deliveries: usize = reading.join_all().await.into_iter().sum();
    figure(
        "broadcast_of_tokio",
        [("readers", readers.into()), ("deliveries_per_second", rate(deliveries, begun.elapsed()))],
    );
}
