//! Reads of tasks, events, locks and logs. Each function runs inside one read transaction and writes nothing.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::commit::{lock_row, task_id};
use super::conditions::{Conditions, order_of_tasks};
use crate::domain::event::{StoredEvent, SubtaskState};
use crate::domain::ids::{ClusterId, ClusterKey, Fence, Revision, Seq, SubtaskId, TaskId};
use crate::domain::task::Task;
use crate::store::{LockRow, LogLine, Page, StoreError, StoredTask, TaskFilter, TaskOrder, encode};

pub(super) fn head(connection: &Connection) -> Result<Seq, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM counter WHERE name = 'seq'")?;
    Ok(Seq::new(statement.query_row([], |row| row.get(0))?))
}

pub(super) fn task(connection: &Connection, task: TaskId) -> Result<Option<StoredTask>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT seq, revision, bodies FROM task_event WHERE task = ?1 ORDER BY revision")?;
    let mut rows = statement.query([task.get()])?;
    let (mut folded, mut seq): (Option<Task>, Seq) = (None, Seq::ZERO);
    while let Some(row) = rows.next()? {
        seq = Seq::new(row.get(0)?);
        for event in encode::events_from_bytes(blob(row, 2)?).map_err(|error| of_task(task, &error))? {
            match &mut folded {
                None => folded = Some(Task::begin(&event).map_err(|error| of_task(task, &error))?),
                Some(folded) => folded.apply(&event).map_err(|error| of_task(task, &error))?,
            }
        }
        let revision = Revision::new(row.get(1)?);
        if folded.as_ref().is_none_or(|folded| folded.revision != revision) {
            return Err(of_task(task, &format!("the events up to revision {revision} are not all there")));
        }
    }
    Ok(folded.map(|task| StoredTask { task, seq, progress: Vec::new() }))
}

/// The subtasks of a task that can have progress: those that run.
pub(super) fn moving(task: &Task) -> impl Iterator<Item = SubtaskId> + '_ {
    let moving = |state| matches!(state, SubtaskState::Running | SubtaskState::Canceling);
    task.subtasks.iter().filter(move |subtask| moving(subtask.state)).map(|subtask| subtask.spec.id)
}

/// Events of a task after a revision, ascending.
pub(super) fn events(
    connection: &Connection,
    task: TaskId,
    after: Revision,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    // Each row holds at least one event, so `limit` rows are enough.
    let mut statement = connection.prepare_cached(
        "SELECT seq, task, revision, events, fence, bodies FROM task_event \
         WHERE task = ?1 AND revision > ?2 ORDER BY revision LIMIT ?3",
    )?;
    let rows = statement.query(params![task.get(), after.get(), limit])?;
    unpack(rows, limit, |event| event.revision > after)
}

/// Events of all tasks after a position, ascending.
pub(super) fn tail(connection: &Connection, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, task, revision, events, fence, bodies FROM task_event WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let rows = statement.query(params![after.get(), limit])?;
    unpack(rows, limit, |event| event.seq > after)
}

/// The events of commit rows, with their positions.
fn unpack(
    mut rows: rusqlite::Rows<'_>,
    limit: u32,
    wanted: impl Fn(&StoredEvent) -> bool,
) -> Result<Vec<StoredEvent>, StoreError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut events = Vec::new();
    while events.len() < limit {
        let Some(row) = rows.next()? else { break };
        let task = task_id(row.get(1)?)?;
        let count: i64 = row.get(3)?;
        let first_seq = row.get::<_, i64>(0)? - count + 1;
        let first_revision = row.get::<_, i64>(2)? - count + 1;
        let bodies = encode::events_from_bytes(blob(row, 5)?).map_err(|error| of_task(task, &error))?;
        let fence = Fence::new(row.get(4)?);
        for (offset, event) in (0..).zip(bodies) {
            let seq = Seq::new(first_seq + offset);
            let revision = Revision::new(first_revision + offset);
            let stored = StoredEvent { seq, task, revision, fence, event };
            if wanted(&stored) && events.len() < limit {
                events.push(stored);
            }
        }
    }
    Ok(events)
}

/// Tasks that pass a filter, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &TaskFilter,
    below: Option<TaskId>,
    limit: u32,
) -> Result<Vec<StoredTask>, StoreError> {
    let Conditions { text, mut values } = Conditions::of_tasks_below(filter, below);
    values.push(i64::from(limit).into());
    fold_all(connection, &format!("SELECT id FROM task WHERE {text} ORDER BY id DESC LIMIT ?"), values)
}

/// A page of the tasks that pass a filter, and how many pass in all.
pub(super) fn page(
    connection: &Connection,
    filter: &TaskFilter,
    page: Page<TaskOrder>,
) -> Result<(Vec<StoredTask>, u64), StoreError> {
    let Conditions { text, mut values } = Conditions::of_tasks(filter);
    let total = count(connection, &format!("SELECT count(*) FROM task WHERE {text}"), &values)?;
    let order = order_of_tasks(page);
    values.extend([i64::from(page.limit).into(), i64::from(page.offset).into()]);
    let sql = format!("SELECT id FROM task WHERE {text} ORDER BY {order} LIMIT ? OFFSET ?");
    Ok((fold_all(connection, &sql, values)?, total))
}

pub(super) fn count(connection: &Connection, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
    let count: i64 = connection.prepare_cached(sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
    u64::try_from(count).map_err(|_| StoreError::Damaged(format!("{count} rows were counted")))
}

/// Tasks that are not closed, and the head.
pub(super) fn open_tasks(
    connection: &Connection,
    cluster: Option<ClusterId>,
) -> Result<(Vec<StoredTask>, Seq), StoreError> {
    let (sql, values) = match cluster {
        Some(cluster) => {
            ("SELECT id FROM task WHERE finish_us IS NULL AND cluster = ? ORDER BY id", vec![cluster.get().into()])
        }
        None => ("SELECT id FROM task WHERE finish_us IS NULL ORDER BY id", Vec::new()),
    };
    Ok((fold_all(connection, sql, values)?, head(connection)?))
}

fn fold_all(connection: &Connection, sql: &str, values: Vec<Value>) -> Result<Vec<StoredTask>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map(params_from_iter(values), |row| task_id(row.get(0)?))?;
    ids.map(|id| {
        let id = id?;
        task(connection, id)?.ok_or_else(|| of_task(id, &"it has no events"))
    })
    .collect()
}

pub(super) fn lock(connection: &Connection, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
    let Some((holder, fence)) = lock_row(connection, cluster)? else { return Ok(None) };
    Ok(Some(LockRow { holder: holder.map(task_id).transpose()?, fence }))
}

/// Log lines of a task, ascending.
pub(super) fn log(
    connection: &Connection,
    task: TaskId,
    subtask: Option<SubtaskId>,
) -> Result<Vec<LogLine>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT lines FROM task_event WHERE task = ?1 AND lines IS NOT NULL ORDER BY revision")?;
    let mut rows = statement.query([task.get()])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let more = encode::lines_from_bytes(blob(row, 0)?).map_err(|error| of_task(task, &error))?;
        lines.extend(more.into_iter().filter(|line| subtask.is_none_or(|subtask| line.subtask == subtask)));
    }
    Ok(lines)
}

/// The task that holds a cluster's lock.
pub(super) fn holder(connection: &Connection, cluster: &str) -> rusqlite::Result<Option<TaskId>> {
    let mut statement =
        connection.prepare_cached("SELECT holder FROM cluster_lock WHERE cluster_key = ?1 AND holder IS NOT NULL")?;
    statement.query_row([cluster], |row| task_id(row.get(0)?)).optional()
}

fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], StoreError> {
    row.get_ref(column)?.as_blob().map_err(|error| StoreError::Damaged(error.to_string()))
}

fn of_task(task: TaskId, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("task {task}: {error}"))
}
