//! Reads of tasks, events, locks and logs. Each is one query, and so of one moment.

use super::conditions::{Conditions, task_order};
use super::database::Database;
use super::statement::Dialect;
use super::value::{SqlRow, SqlValue, damaged};
use crate::domain::event::{Phase, StoredEvent, SubtaskState, TaskState};
use crate::domain::ids::{ClusterId, ClusterKey, Fence, Principal, ReplicaId, Revision, Seq, SubtaskId, TaskId};
use crate::domain::task::Task;
use crate::store::replicas::OwnedTask;
use crate::store::{LockRow, LogLine, Page, StoreError, StoredTask, TaskFilter, TaskOrder, encode};

/// What is read of an event row to fold a task.
const FOLDED: &str = "e.task, e.seq, e.revision, e.bodies";

pub async fn task(database: &mut Database, task: &TaskId) -> Result<Option<StoredTask>, StoreError> {
    let sql = format!("SELECT {FOLDED} FROM task_event e WHERE e.task = ? ORDER BY e.revision");
    let rows = database.rows(&sql, vec![task.get().into()]).await?;
    Ok(folded(&rows, 0)?.pop())
}

/// The tasks of rows that are grouped by task, ascending by revision; `first` is the column of the task's id. Rows of no task
/// are passed over.
fn folded(rows: &[SqlRow], first: usize) -> Result<Vec<StoredTask>, StoreError> {
    let mut tasks: Vec<StoredTask> = Vec::new();
    for row in rows.iter().filter(|row| !row.is_null(first)) {
        let id = row.id(first, TaskId::new)?;
        let (seq, revision) = (Seq::new(row.int(first + 1)?), Revision::new(row.int(first + 2)?));
        let mut events = encode::events_from_bytes(row.bytes(first + 3)?).map_err(|error| of_task(id, &error))?;
        if tasks.last().is_none_or(|last| last.task.spec.id != id) {
            let rest = if events.is_empty() { Vec::new() } else { events.split_off(1) };
            let begun = events.first().ok_or_else(|| of_task(id, &"its first row has no event"))?;
            let task = Task::begin(begun).map_err(|error| of_task(id, &error))?;
            tasks.push(StoredTask { task, seq, progress: Vec::new() });
            events = rest;
        }
        let Some(stored) = tasks.last_mut() else { continue };
        for event in events {
            stored.task.apply(&event).map_err(|error| of_task(id, &error))?;
        }
        stored.seq = seq;
        if stored.task.revision != revision {
            return Err(of_task(id, &format!("the events up to revision {revision} are not all there")));
        }
    }
    Ok(tasks)
}

/// The subtasks of a task that can have progress: those that run; of one that has not begun, the first.
pub fn moving(task: &Task) -> impl Iterator<Item = SubtaskId> + '_ {
    let first = task.first_subtask().filter(|_| task.state.phase() == Phase::Pending);
    let moving = |state| matches!(state, SubtaskState::Running | SubtaskState::Canceling);
    let moving = task.subtasks.iter().filter(move |subtask| moving(subtask.state)).map(|subtask| subtask.spec.id);
    first.into_iter().chain(moving)
}

/// Events of a task after a revision, ascending.
pub async fn events(
    database: &mut Database,
    (task, after, limit): &(TaskId, Revision, u32),
) -> Result<Vec<StoredEvent>, StoreError> {
    // Each row holds at least one event, so `limit` rows are enough.
    let sql = "SELECT seq, task, revision, events, fence, bodies FROM task_event \
               WHERE task = ? AND revision > ? ORDER BY revision LIMIT ?";
    let rows = database.rows(sql, vec![task.get().into(), after.get().into(), (*limit).into()]).await?;
    unpacked(&rows, *limit, |event| event.revision > *after)
}

/// Events of all tasks after a position, ascending.
pub async fn tail(database: &mut Database, (after, limit): &(Seq, u32)) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = "SELECT seq, task, revision, events, fence, bodies FROM task_event WHERE seq > ? ORDER BY seq LIMIT ?";
    let rows = database.rows(sql, vec![after.get().into(), (*limit).into()]).await?;
    unpacked(&rows, *limit, |event| event.seq > *after)
}

/// The events of commit rows, with their positions.
fn unpacked(
    rows: &[SqlRow],
    limit: u32,
    wanted: impl Fn(&StoredEvent) -> bool,
) -> Result<Vec<StoredEvent>, StoreError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut events = Vec::new();
    for row in rows {
        let task = row.id(1, TaskId::new)?;
        let count = row.int(3)?;
        let (first_seq, first_revision) = (row.int(0)? - count + 1, row.int(2)? - count + 1);
        let bodies = encode::events_from_bytes(row.bytes(5)?).map_err(|error| of_task(task, &error))?;
        let fence = Fence::new(row.int(4)?);
        for (offset, event) in (0..).zip(bodies) {
            let (seq, revision) = (Seq::new(first_seq + offset), Revision::new(first_revision + offset));
            let stored = StoredEvent { seq, task, revision, fence, event };
            if wanted(&stored) {
                events.push(stored);
            }
        }
        if events.len() >= limit {
            events.truncate(limit);
            break;
        }
    }
    Ok(events)
}

/// Tasks that pass a filter, newest first.
pub async fn list(
    database: &mut Database,
    (filter, below, limit): &(TaskFilter, Option<TaskId>, u32),
) -> Result<Vec<StoredTask>, StoreError> {
    let Conditions { text, mut values } = Conditions::of_tasks_below(filter, *below, database.dialect());
    values.push((*limit).into());
    let sql = format!(
        "SELECT {FOLDED} FROM (SELECT id FROM task WHERE {text} ORDER BY id DESC LIMIT ?) t \
         JOIN task_event e ON e.task = t.id ORDER BY t.id DESC, e.revision"
    );
    folded(&database.rows(&sql, values).await?, 0)
}

/// A page of the tasks that pass a filter, and how many pass in all.
pub async fn page(
    database: &mut Database,
    (filter, page): &(TaskFilter, Page<TaskOrder>),
) -> Result<(Vec<StoredTask>, u64), StoreError> {
    let Conditions { text, values } = Conditions::of_tasks(filter, database.dialect());
    let order = task_order(*page);
    let sql = format!(
        "SELECT c.total, {FOLDED} FROM (SELECT count(*) AS total FROM task WHERE {text}) c \
         LEFT JOIN (SELECT id, {} AS sort_key FROM task WHERE {text} ORDER BY {} LIMIT ? OFFSET ?) t ON true \
         LEFT JOIN task_event e ON e.task = t.id ORDER BY t.sort_key {}, t.id {}, e.revision",
        order.column,
        order.clause(),
        order.direction,
        order.direction
    );
    let bounds: [SqlValue; 2] = [page.limit.into(), page.offset.into()];
    let rows = database.rows(&sql, values.iter().cloned().chain(values.clone()).chain(bounds).collect()).await?;
    Ok((folded(&rows, 1)?, total(&rows)?))
}

/// The total in the first column of a page's rows, of which there is one at least.
pub fn total(rows: &[SqlRow]) -> Result<u64, StoreError> {
    let total = rows.first().ok_or_else(|| damaged("a page without a total"))?.int(0)?;
    u64::try_from(total).map_err(|_| damaged(format!("{total} rows were counted")))
}

/// Tasks that are not closed, ascending by id, and the head.
pub async fn open_tasks(
    database: &mut Database,
    cluster: &Option<ClusterId>,
) -> Result<(Vec<StoredTask>, Seq), StoreError> {
    let (of_cluster, values) = match cluster {
        Some(cluster) => (" AND cluster = ?", vec![cluster.get().into()]),
        None => ("", Vec::new()),
    };
    let sql = format!(
        "SELECT c.value, {FOLDED} FROM counter c LEFT JOIN (SELECT id FROM task WHERE finish_us IS NULL{of_cluster}) t \
         ON true LEFT JOIN task_event e ON e.task = t.id WHERE c.name = 'seq' ORDER BY t.id, e.revision"
    );
    let rows = database.rows(&sql, values).await?;
    let head = rows.first().ok_or_else(|| damaged("there is no counter of events"))?.int(0)?;
    Ok((folded(&rows, 1)?, Seq::new(head)))
}

/// Whether anything has not begun.
pub async fn has_pending(database: &mut Database, (): &()) -> Result<bool, StoreError> {
    Ok(!database.rows("SELECT 1 FROM pending_task LIMIT 1", Vec::new()).await?.is_empty())
}

/// Tasks that have not begun, ascending by id.
pub async fn pending(database: &mut Database, (): &()) -> Result<Vec<StoredTask>, StoreError> {
    let sql =
        format!("SELECT {FOLDED} FROM pending_task p JOIN task_event e ON e.task = p.task ORDER BY p.task, e.revision");
    folded(&database.rows(&sql, Vec::new()).await?, 0)
}

/// Tasks that move, with who owns them; the embedded store keeps no owners.
pub async fn owned(database: &mut Database, (): &()) -> Result<Vec<OwnedTask>, StoreError> {
    let moving = TaskState::ALL.iter().filter(|state| state.phase() == Phase::Moving);
    let states: Vec<SqlValue> = moving.map(|state| state.as_str().into()).collect();
    let owner = match database.dialect() {
        Dialect::Sqlite => "NULL",
        Dialect::Mysql => "l.owner",
    };
    let sql = format!(
        "SELECT t.id, l.cluster_key, l.fence, {owner} FROM task t JOIN cluster_lock l ON l.holder = t.id \
         WHERE t.finish_us IS NULL AND t.state IN ({}) ORDER BY t.id",
        vec!["?"; states.len()].join(", ")
    );
    let owned = |row: &SqlRow| {
        Ok(OwnedTask {
            task: row.id(0, TaskId::new)?,
            cluster: ClusterKey::from_stored(row.owned_text(1)?),
            fence: Fence::new(row.int(2)?),
            owner: row.optional_int(3)?.map(ReplicaId::new).transpose().map_err(damaged)?,
        })
    };
    database.rows(&sql, states).await?.iter().map(owned).collect()
}

/// The task of a request, and the digest of its arguments.
pub async fn request(
    database: &mut Database,
    (principal, request_id): &(Principal, String),
) -> Result<Option<(TaskId, String)>, StoreError> {
    let sql = "SELECT task, digest FROM request WHERE principal = ? AND request_id = ?";
    let row = database.row(sql, vec![principal.as_str().into(), request_id.as_str().into()]).await?;
    row.map(|row| Ok((row.id(0, TaskId::new)?, row.owned_text(1)?))).transpose()
}

pub async fn lock(database: &mut Database, cluster: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
    let sql = "SELECT holder, fence FROM cluster_lock WHERE cluster_key = ?";
    let row = database.row(sql, vec![cluster.as_str().into()]).await?;
    let lock = |row: SqlRow| {
        let holder = row.optional_int(0)?.map(TaskId::new).transpose().map_err(damaged)?;
        Ok(LockRow { holder, fence: Fence::new(row.int(1)?) })
    };
    row.map(lock).transpose()
}

/// Log lines of a task, ascending.
pub async fn log(
    database: &mut Database,
    (task, subtask): &(TaskId, Option<SubtaskId>),
) -> Result<Vec<LogLine>, StoreError> {
    let sql = "SELECT `lines` FROM task_event WHERE task = ? AND `lines` IS NOT NULL ORDER BY revision";
    let mut lines = Vec::new();
    for row in database.rows(sql, vec![task.get().into()]).await? {
        let more = encode::lines_from_bytes(row.bytes(0)?).map_err(|error| of_task(*task, &error))?;
        lines.extend(more.into_iter().filter(|line| subtask.is_none_or(|subtask| line.subtask == subtask)));
    }
    Ok(lines)
}

/// The task that holds a cluster's lock.
pub async fn holder(database: &mut Database, cluster: &str) -> Result<Option<TaskId>, StoreError> {
    let sql = "SELECT holder FROM cluster_lock WHERE cluster_key = ? AND holder IS NOT NULL";
    let row = database.row(sql, vec![cluster.into()]).await?;
    row.map(|row| row.id(0, TaskId::new)).transpose()
}

fn of_task(task: TaskId, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("task {task}: {error}"))
}
