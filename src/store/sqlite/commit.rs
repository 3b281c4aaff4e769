//! One commit of a task inside the transaction of its batch: first every check, then every write, so that a refusal writes
//! nothing and does not end the transaction for its neighbours.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::connection::bound;
use crate::domain::ids::{ClusterKey, Fence, LARGEST_ID, Principal, Revision, Seq, TaskId};
use crate::store::commit_rules::{CommitFacts, Verdict, judge, reached};
use crate::store::replicas::OwnedTask;
use crate::store::sql::commit_writes::{self, EncodedCommit};
use crate::store::sql::{Dialect, Statement};
use crate::store::{Commit, CommitOutcome, LockRow, Write};

/// A commit with everything that was made ready on the caller's thread, to spare the writer's.
pub(super) struct PreparedCommit {
    pub commit: Commit,
    encoded: EncodedCommit,
    writes: Vec<PreparedStatement>,
}

/// A statement and what is bound to its `?`.
type PreparedStatement = (String, Vec<Value>);

impl PreparedCommit {
    pub(super) fn of(commit: Commit) -> Self {
        let writes = commit_writes::statements(&commit).into_iter().map(prepared).collect();
        Self { encoded: EncodedCommit::of(&commit), writes, commit }
    }

    pub(super) fn len(&self) -> usize {
        self.encoded.len()
    }
}

fn prepared(statement: Statement) -> PreparedStatement {
    let (text, values) = statement.render(Dialect::Sqlite);
    (text, values.into_iter().map(bound).collect())
}

/// Writes what a change decided.
pub(super) fn execute(connection: &Connection, statements: Vec<Statement>) -> rusqlite::Result<()> {
    statements.into_iter().map(prepared).try_for_each(|(text, values)| run(connection, &text, &values))
}

fn run(connection: &Connection, text: &str, values: &[Value]) -> rusqlite::Result<()> {
    connection.prepare_cached(text)?.execute(params_from_iter(values)).map(drop)
}

/// Writes a commit after `head`, or returns why not.
pub(super) fn write(connection: &Connection, prepared: &PreparedCommit, head: Seq) -> rusqlite::Result<CommitOutcome> {
    let PreparedCommit { commit, encoded, writes } = prepared;
    let mut fence = match judge(commit, &mut Facts { connection, prepared })? {
        Verdict::Write { fence } => fence,
        Verdict::Answer(outcome) => return Ok(outcome),
    };
    for write in &commit.writes {
        if let Write::AcquireLock { cluster } = write {
            fence = acquire(connection, commit.task, cluster)?;
        }
    }
    let count = i64::try_from(commit.events.len()).unwrap_or(i64::MAX);
    let (seq, revision) = (Seq::new(head.get().saturating_add(count)), reached(commit));
    connection
        .prepare_cached(
            "INSERT INTO task_event (seq, task, revision, events, fence, author, bodies, lines) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            seq.get(),
            commit.task.get(),
            revision.get(),
            count,
            fence.get(),
            encoded.author,
            encoded.bodies,
            encoded.lines
        ])?;
    writes.iter().try_for_each(|(text, values)| run(connection, text, values))?;
    for write in &commit.writes {
        if let Write::ReleaseLock { cluster } = write {
            connection
                .prepare_cached("UPDATE cluster_lock SET holder = NULL WHERE cluster_key = ?1 AND holder = ?2")?
                .execute(params![cluster.as_str(), commit.task.get()])?;
        }
    }
    Ok(CommitOutcome::Committed { revision, seq, fence })
}

pub(super) fn head(connection: &Connection) -> rusqlite::Result<Seq> {
    let mut statement = connection.prepare_cached("SELECT value FROM counter WHERE name = 'seq'")?;
    statement.query_row([], |row| Ok(Seq::new(row.get(0)?)))
}

/// Records the position of the last event, which never decreases, whatever is pruned.
pub(super) fn set_head(connection: &Connection, seq: Seq) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET value = ?1 WHERE name = 'seq'")?.execute([seq.get()])?;
    Ok(())
}

/// What the file holds, for the rules.
struct Facts<'a> {
    connection: &'a Connection,
    prepared: &'a PreparedCommit,
}

impl CommitFacts for Facts<'_> {
    type Error = rusqlite::Error;

    fn revision(&mut self) -> rusqlite::Result<Revision> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT revision FROM task_event WHERE task = ?1 ORDER BY revision DESC LIMIT 1")?;
        let revision = statement.query_row([self.prepared.commit.task.get()], |row| row.get(0)).optional()?;
        Ok(Revision::new(revision.unwrap_or(0)))
    }

    fn identical(&mut self) -> rusqlite::Result<Option<(Seq, Fence)>> {
        let PreparedCommit { commit, encoded, .. } = self.prepared;
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, fence FROM task_event \
             WHERE task = ?1 AND revision = ?2 AND events = ?3 AND author = ?4 AND bodies = ?5",
        )?;
        let count = i64::try_from(commit.events.len()).unwrap_or(i64::MAX);
        let key = params![commit.task.get(), reached(commit).get(), count, encoded.author, encoded.bodies];
        statement.query_row(key, |row| Ok((Seq::new(row.get(0)?), Fence::new(row.get(1)?)))).optional()
    }

    fn request(&mut self, principal: &Principal, request_id: &str) -> rusqlite::Result<Option<(TaskId, String)>> {
        self.connection
            .prepare_cached("SELECT task, digest FROM request WHERE principal = ?1 AND request_id = ?2")?
            .query_row([principal.as_str(), request_id], |row| Ok((task_id(row.get(0)?)?, row.get(1)?)))
            .optional()
    }

    fn held_fence(&mut self) -> rusqlite::Result<Option<Fence>> {
        let mut statement = self.connection.prepare_cached("SELECT fence FROM cluster_lock WHERE holder = ?1")?;
        statement.query_row([self.prepared.commit.task.get()], |row| Ok(Fence::new(row.get(0)?))).optional()
    }

    fn cluster_fence(&mut self) -> rusqlite::Result<Fence> {
        let mut statement = self.connection.prepare_cached(
            "SELECT fence FROM cluster_lock WHERE cluster_key = (SELECT cluster_key FROM task WHERE id = ?1)",
        )?;
        let fence = statement.query_row([self.prepared.commit.task.get()], |row| row.get(0)).optional()?;
        Ok(Fence::new(fence.unwrap_or(0)))
    }

    fn lock(&mut self, cluster: &ClusterKey) -> rusqlite::Result<Option<LockRow>> {
        let row = |row: &rusqlite::Row<'_>| {
            let holder = row.get::<_, Option<i64>>(0)?.map(task_id).transpose()?;
            Ok(LockRow { holder, fence: Fence::new(row.get(1)?) })
        };
        self.connection
            .prepare_cached("SELECT holder, fence FROM cluster_lock WHERE cluster_key = ?1")?
            .query_row([cluster.as_str()], row)
            .optional()
    }

    fn is_frozen(&mut self, cluster: &ClusterKey) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM change_freeze WHERE cluster_key IN ('', ?1)")?
            .exists([cluster.as_str()])
    }
}

/// Takes a lock that is free, or this task's own: that keeps its fence. Not by RETURNING, for which SQLite makes a table and a journal
/// of the statement.
fn acquire(connection: &Connection, task: TaskId, cluster: &ClusterKey) -> rusqlite::Result<Fence> {
    connection
        .prepare_cached(
            "INSERT INTO cluster_lock (cluster_key, holder, fence) VALUES (?1, ?2, 1) \
             ON CONFLICT (cluster_key) DO UPDATE SET holder = excluded.holder, fence = fence + (holder IS NULL)",
        )?
        .execute(params![cluster.as_str(), task.get()])?;
    connection
        .prepare_cached("SELECT fence FROM cluster_lock WHERE cluster_key = ?1")?
        .query_row([cluster.as_str()], |row| Ok(Fence::new(row.get(0)?)))
}

fn task_id(value: i64) -> rusqlite::Result<TaskId> {
    TaskId::new(value)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Integer, Box::new(error)))
}

/// Takes over the lock that a task holds under the fence that was seen; `None`: it does not.
pub(super) fn claim(connection: &Connection, owned: &OwnedTask) -> rusqlite::Result<Option<Fence>> {
    let OwnedTask { task, cluster, fence: seen, owner: _ } = owned;
    connection
        .prepare_cached(
            "UPDATE cluster_lock SET fence = fence + 1 WHERE cluster_key = ?1 AND holder = ?2 AND fence = ?3 RETURNING fence",
        )?
        .query_row(params![cluster.as_str(), task.get(), seen.get()], |row| Ok(Fence::new(row.get(0)?)))
        .optional()
}

/// Reserves a block of task ids and returns its first. `None`: fewer than `count` ids are left below 2^53.
pub(super) fn reserve(connection: &Connection, count: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "UPDATE counter SET value = value + ?1 WHERE name = 'id' AND value <= ?2 - ?1 RETURNING value - ?1 + 1",
        )?
        .query_row(params![count, LARGEST_ID], |row| row.get(0))
        .optional()
}
