//! How many durable tasks the engine carries through its eight steps, and how long one takes; beside it what raw SQLite does with the
//! same rows, in the same run. With `--replicas N`: so many engines over one MariaDB.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement may stop where it is")]

#[path = "../tests/it/support/mariadb.rs"]
mod mariadb;
#[path = "support/stores.rs"]
mod stores;
mod support;
#[path = "support/tasks.rs"]
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use obsteward::clock::Clock;
use obsteward::domain::event::TaskSpec;
use obsteward::domain::ids::Principal;
use obsteward::engine::{Engine, WriteOutcome};
use obsteward::store::{Author, WholeStore, Write};
use stores::{Stores, amount};
use support::{PATIENCE, figure, millis, now, percentile, rate, rounded, syncs};

/// Ids that are reserved at a time.
const IDS: u32 = 9 * 512;

fn main() {
    syncs::count_from_here();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (in_flight, tasks) in [(1, amount(2_000, 500)), (64, amount(30_000, 6_000)), (256, amount(30_000, 6_000))] {
            let raw = raw_sqlite(in_flight, tasks);
            engine(in_flight, tasks, raw).await;
        }
    });
}

struct Replica {
    store: Arc<dyn WholeStore>,
    engine: Arc<Engine>,
    next_id: i64,
    end_of_ids: i64,
}

impl Replica {
    async fn start(store: Arc<dyn WholeStore>, clock: &Clock) -> Self {
        let engine = tasks::engine(&store, clock).await;
        Self { store, engine, next_id: 0, end_of_ids: 0 }
    }

    /// As a request takes it: one for the task, one for each step behind it.
    async fn take_ids(&mut self) -> i64 {
        if self.next_id + tasks::STEPS >= self.end_of_ids {
            self.next_id = self.store.reserve_ids(IDS).await.unwrap();
            self.end_of_ids = self.next_id + i64::from(IDS);
        }
        self.next_id += tasks::STEPS + 1;
        self.next_id - tasks::STEPS - 1
    }
}

async fn engine(in_flight: usize, count: usize, raw: f64) {
    let (stores, clock) = (Stores::new().await, Clock::system());
    let mut replicas = Vec::new();
    for store in stores.open().await {
        replicas.push(Replica::start(store, &clock).await);
    }
    let (before, begun) = (syncs::so_far(), now());
    let mut lasted = Vec::new();
    let mut creating: Vec<tokio::task::JoinHandle<()>> = Vec::new();
    for number in 1..=count {
        let one = now();
        let cluster = i64::try_from(number).unwrap();
        let of = number % replicas.len();
        let spec = tasks::spec(replicas[of].take_ids().await, cluster, &clock);
        creating.push(tokio::spawn(begin(Arc::clone(&replicas[of].engine), spec)));
        loop {
            creating.retain(|one| !one.is_finished());
            if creating.len() + running(&replicas) < in_flight {
                break;
            }
            tokio::task::yield_now().await;
        }
        lasted.push(one.elapsed());
    }
    while creating.iter().any(|one| !one.is_finished()) || running(&replicas) > 0 {
        tokio::task::yield_now().await;
    }
    let took = begun.elapsed();
    let per_second = count as f64 / took.as_secs_f64();
    let mut values = Vec::from(stores.settings());
    values.extend([
        ("in_flight", in_flight.into()),
        ("tasks", count.into()),
        ("per_second", rate(count, took)),
        ("of_raw_sqlite", rounded(per_second / raw, 3)),
        ("syncs_per_task", syncs::for_each(before, count)),
    ]);
    if in_flight == 1 {
        values.push(("p50_ms", millis(percentile(&mut lasted, 0.5))));
        values.push(("p99_ms", millis(percentile(&mut lasted, 0.99))));
    }
    figure("engine", values);
    for replica in replicas {
        replica.engine.shut_down().await;
        replica.store.close().await;
    }
}

fn running(replicas: &[Replica]) -> usize {
    replicas.iter().map(|replica| replica.engine.running()).sum()
}

async fn begin(engine: Arc<Engine>, spec: TaskSpec) {
    let writes = vec![Write::AcquireLock { cluster: spec.cluster.key.clone() }];
    let author = Author::Request { principal: Principal::new("bench"), nonce: spec.id.to_string() };
    let lease = engine.lease();
    match engine.create(Clock::system().now(), spec, author, writes).await.unwrap() {
        WriteOutcome::Done { task, fence, .. } => engine.begin(task, fence, lease),
        other => panic!("{other:?}"),
    }
}

/// The same rows by one connection, whose transactions hold what so many tasks write at a time: tasks a second.
fn raw_sqlite(in_flight: usize, count: usize) -> f64 {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut connection = rusqlite::Connection::open(directory.path().join("raw.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
             CREATE TABLE event (seq INTEGER PRIMARY KEY, task INTEGER, revision INTEGER, at INTEGER, body BLOB);
             CREATE UNIQUE INDEX event_task ON event (task, revision);
             CREATE TABLE task (id INTEGER PRIMARY KEY, state TEXT, revision INTEGER, updated INTEGER)",
        )
        .unwrap();
    let (before, begun) = (syncs::so_far(), now());
    let body = [7_u8; 120];
    let rounds = count.div_ceil(in_flight);
    for round in 0..rounds {
        // A commit for the creation and one for the end of each step, of two or three events.
        for step in 0..=tasks::STEPS {
            let transaction = connection.transaction().unwrap();
            for one in 0..in_flight {
                let task = i64::try_from(round * in_flight + one).unwrap();
                let mut event = transaction
                    .prepare_cached("INSERT INTO event (task, revision, at, body) VALUES (?1, ?2, ?3, ?4)")
                    .unwrap();
                for event_of_step in 0..3 {
                    event.execute((task, step * 3 + event_of_step, step, body.as_slice())).unwrap();
                }
                let sql = "INSERT INTO task VALUES (?1, 'RUNNING', ?2, ?2) ON CONFLICT (id) DO UPDATE SET revision = ?2, updated = ?2";
                transaction.prepare_cached(sql).unwrap().execute((task, step)).unwrap();
            }
            transaction.commit().unwrap();
        }
    }
    let (took, done) = (begun.elapsed(), rounds * in_flight);
    let values = [
        ("in_flight", in_flight.into()),
        ("per_second", rate(done, took)),
        ("syncs_per_task", syncs::for_each(before, done)),
    ];
    figure("raw_sqlite", values);
    done as f64 / took.max(Duration::from_nanos(1)).as_secs_f64()
}
