//! Progress for those who ask another replica than the one that drives the task: the latest of each subtask, written a few times a
//! second at most, and read when somebody has written. No decision reads it; a write that fails is overtaken by the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::connection::MysqlConnection;
use super::literal::with_values;
use super::options::MysqlOptions;
use crate::domain::ids::{SubtaskId, TaskId};
use crate::store::sql::{Database, SqlRow, SqlValue};
use crate::store::{Progress, StoreError, encode};

/// Between two writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// What is to be written: the latest of each subtask.
#[derive(Default)]
pub(super) struct Unwritten {
    latest: Mutex<BTreeMap<(TaskId, SubtaskId), Progress>>,
    noted: Notify,
}

impl Unwritten {
    pub(super) fn note(&self, progress: Progress) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.insert((progress.task, progress.subtask), progress);
        self.noted.notify_one();
    }

    fn take(&self) -> BTreeMap<(TaskId, SubtaskId), Progress> {
        std::mem::take(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what is noted until `unwritten` has no other owner. `me`: the replica that writes.
pub(super) async fn write(options: Arc<MysqlOptions>, unwritten: Arc<Unwritten>, me: impl Fn() -> i64) {
    let mut session = None;
    let mut number = 0_i64;
    loop {
        let _ = tokio::time::timeout(Duration::from_secs(5), unwritten.noted.notified()).await;
        if Arc::strong_count(&unwritten) == 1 {
            return;
        }
        let latest = unwritten.take();
        if latest.is_empty() {
            continue;
        }
        number += 1;
        if let Err(error) = write_once(&mut session, &options, &latest, me(), number).await {
            tracing::debug!("progress is not told to other replicas, {error}");
            session = None;
        }
        tokio::time::sleep(WRITE_INTERVAL).await;
    }
}

async fn write_once(
    session: &mut Option<MysqlConnection>,
    options: &MysqlOptions,
    latest: &BTreeMap<(TaskId, SubtaskId), Progress>,
    me: i64,
    number: i64,
) -> Result<(), StoreError> {
    let connection = match session {
        Some(connection) if connection.is_open() => connection,
        _ => session.insert(MysqlConnection::open(options).await?),
    };
    let rows = latest.iter().map(|((task, subtask), progress)| {
        let body = encode::progress_to_bytes(progress);
        let row: [SqlValue; 5] = [task.get().into(), subtask.get().into(), me.into(), number.into(), body.into()];
        with_values("(?, ?, ?, ?, ?)", &row)
    });
    let rows: Vec<String> = rows.collect();
    connection
        .all_rows(&format!(
            "INSERT INTO progress (task, subtask, replica, number, body) VALUES {} ON DUPLICATE KEY UPDATE \
             replica = VALUES(replica), number = VALUES(number), body = VALUES(body);\n\
             UPDATE counter SET value = value + 1 WHERE name = 'progress'",
            rows.join(", ")
        ))
        .await
        .map(drop)
}

/// What other replicas have written since: `seen` holds the last number of each.
pub(super) async fn news(
    database: &mut Database,
    (me, seen): &(i64, BTreeMap<i64, i64>),
) -> Result<Vec<(i64, i64, Progress)>, StoreError> {
    let known: Vec<String> = seen.keys().map(i64::to_string).collect();
    let mut newer: Vec<String> =
        seen.iter().map(|(replica, number)| format!("(replica = {replica} AND number > {number})")).collect();
    let others = if known.is_empty() { String::new() } else { format!(", {}", known.join(", ")) };
    newer.push(format!("replica NOT IN ({me}{others})"));
    let sql = format!("SELECT replica, number, task, subtask, body FROM progress WHERE {}", newer.join(" OR "));
    let one = |row: &SqlRow| Ok((row.int(0)?, row.int(1)?, progress(row, 2)?));
    database.rows(&sql, Vec::new()).await?.iter().map(one).collect()
}

/// Of these tasks, whoever drives them.
pub(super) async fn of_tasks(database: &mut Database, (tasks,): &(Vec<TaskId>,)) -> Result<Vec<Progress>, StoreError> {
    let ids: Vec<String> = tasks.iter().map(TaskId::to_string).collect();
    let sql = format!("SELECT task, subtask, body FROM progress WHERE task IN ({})", ids.join(", "));
    database.rows(&sql, Vec::new()).await?.iter().map(|row| progress(row, 0)).collect()
}

/// `first`: the column of the task.
fn progress(row: &SqlRow, first: usize) -> Result<Progress, StoreError> {
    let (task, subtask) = (row.id(first, TaskId::new)?, row.id(first + 1, SubtaskId::new)?);
    encode::progress_from_bytes(task, subtask, row.bytes(first + 2)?)
}
