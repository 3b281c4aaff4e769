//! One commit of a task inside the transaction of its batch: first every check, then every write, so that a refusal writes
//! nothing and does not end the transaction for its neighbours.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::ids::{ClusterId, ClusterKey, Fence, LARGEST_ID, Revision, Seq, TaskId};
use crate::store::{AuditOutcome, AuditRecord, Author, Commit, CommitOutcome, TaskRow, Write, encode};

/// [`AuditOutcome::Accepted`] as stored.
pub(super) const ACCEPTED: &str = "ACCEPTED";
/// [`AuditOutcome::Refused`] as stored.
pub(super) const REFUSED: &str = "REFUSED";

/// The bytes of a commit, encoded on the caller's thread to spare the writer's.
pub(super) struct EncodedCommit {
    bodies: Vec<u8>,
    lines: Option<Vec<u8>>,
    author: String,
}

impl EncodedCommit {
    pub(super) fn of(commit: &Commit) -> Self {
        let mut lines = Vec::new();
        for write in &commit.writes {
            if let Write::Log(more) = write {
                lines.extend(more);
            }
        }
        let author = match &commit.author {
            Author::Owner { fence } => format!("owner {fence}"),
            Author::Request { principal, nonce } => format!("request {nonce} {principal}"),
        };
        Self {
            bodies: encode::events_to_bytes(&commit.events),
            lines: (!lines.is_empty()).then(|| encode::lines_to_bytes(lines)),
            author,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bodies.len() + self.lines.as_ref().map_or(0, Vec::len)
    }
}

/// Writes a commit after `head`, or returns why not.
pub(super) fn write(
    connection: &Connection,
    commit: &Commit,
    encoded: &EncodedCommit,
    head: Seq,
) -> rusqlite::Result<CommitOutcome> {
    let count = i64::try_from(commit.events.len()).unwrap_or(i64::MAX);
    let at = revision_of(connection, commit.task)?;
    let reached = Revision::new(commit.after.get().saturating_add(count));
    if at >= reached
        && let Some(outcome) = identical(connection, commit, encoded, reached, count)?
    {
        return Ok(outcome);
    }
    if let Some(outcome) = replayed(connection, commit)? {
        return Ok(outcome);
    }
    let mut fence = match held_fence(connection, commit)? {
        Ok(fence) => fence,
        Err(by) => return Ok(CommitOutcome::Fenced { by }),
    };
    if at != commit.after {
        return Ok(CommitOutcome::Stale { at });
    }
    if let Some(by) = releases_foreign_lock(connection, commit)? {
        return Ok(CommitOutcome::Fenced { by });
    }
    for write in &commit.writes {
        if let Write::AcquireLock { cluster } = write {
            match acquire(connection, commit.task, cluster)? {
                Ok(acquired) => fence = acquired,
                Err(task) => return Ok(CommitOutcome::LockHeld { task }),
            }
        }
    }
    let seq = Seq::new(head.get().saturating_add(count));
    connection
        .prepare_cached(
            "INSERT INTO task_event (seq, task, revision, events, fence, author, bodies, lines) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            seq.get(),
            commit.task.get(),
            reached.get(),
            count,
            fence.get(),
            encoded.author,
            encoded.bodies,
            encoded.lines
        ])?;
    if let Some(row) = &commit.row {
        write_row(connection, commit.task, row)?;
        if commit.after == Revision::ZERO {
            write_servers(connection, commit.task, row)?;
        }
    }
    for write in &commit.writes {
        apply(connection, commit.task, write)?;
    }
    Ok(CommitOutcome::Committed { revision: reached, seq, fence })
}

/// Records the position of the last event, which never decreases, whatever is pruned.
pub(super) fn set_head(connection: &Connection, seq: Seq) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET value = ?1 WHERE name = 'seq'")?.execute([seq.get()])?;
    Ok(())
}

fn revision_of(connection: &Connection, task: TaskId) -> rusqlite::Result<Revision> {
    let mut statement =
        connection.prepare_cached("SELECT revision FROM task_event WHERE task = ?1 ORDER BY revision DESC LIMIT 1")?;
    let revision = statement.query_row([task.get()], |row| row.get(0)).optional()?;
    Ok(Revision::new(revision.unwrap_or(0)))
}

/// The outcome of this very commit, if it was written before.
fn identical(
    connection: &Connection,
    commit: &Commit,
    encoded: &EncodedCommit,
    reached: Revision,
    count: i64,
) -> rusqlite::Result<Option<CommitOutcome>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, fence FROM task_event \
         WHERE task = ?1 AND revision = ?2 AND events = ?3 AND author = ?4 AND bodies = ?5",
    )?;
    let key = params![commit.task.get(), reached.get(), count, encoded.author, encoded.bodies];
    let found = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.map(|(seq, fence)| CommitOutcome::Committed {
        revision: reached,
        seq: Seq::new(seq),
        fence: Fence::new(fence),
    }))
}

fn replayed(connection: &Connection, commit: &Commit) -> rusqlite::Result<Option<CommitOutcome>> {
    for write in &commit.writes {
        let Write::Request { principal, request_id, .. } = write else { continue };
        if let Some((task, digest)) = request(connection, principal.as_str(), request_id)? {
            return Ok(Some(CommitOutcome::Replayed { task, digest }));
        }
    }
    Ok(None)
}

pub(super) fn request(
    connection: &Connection,
    principal: &str,
    request_id: &str,
) -> rusqlite::Result<Option<(TaskId, String)>> {
    connection
        .prepare_cached("SELECT task, digest FROM request WHERE principal = ?1 AND request_id = ?2")?
        .query_row([principal, request_id], |row| Ok((task_id(row.get(0)?)?, row.get(1)?)))
        .optional()
}

/// The fence of the lock that the task holds, or held last. `Err`: the author is an owner that lost the lock to this fence.
fn held_fence(connection: &Connection, commit: &Commit) -> rusqlite::Result<Result<Fence, Fence>> {
    let mut statement = connection.prepare_cached("SELECT fence FROM cluster_lock WHERE holder = ?1")?;
    let held: Option<i64> = statement.query_row([commit.task.get()], |row| row.get(0)).optional()?;
    match (&commit.author, held) {
        (Author::Owner { fence }, Some(held)) if fence.get() == held => Ok(Ok(*fence)),
        (Author::Owner { .. }, Some(held)) => Ok(Err(Fence::new(held))),
        (Author::Owner { .. }, None) => Ok(Err(fence_of_cluster(connection, commit)?)),
        (Author::Request { .. }, Some(held)) => Ok(Ok(Fence::new(held))),
        // A new task holds nothing yet; most acquire their lock a moment later.
        (Author::Request { .. }, None) if commit.after == Revision::ZERO => Ok(Ok(Fence::ZERO)),
        (Author::Request { .. }, None) => Ok(Ok(fence_of_cluster(connection, commit)?)),
    }
}

/// The fence of the task's cluster, whoever holds the lock.
fn fence_of_cluster(connection: &Connection, commit: &Commit) -> rusqlite::Result<Fence> {
    let mut statement = connection.prepare_cached(
        "SELECT fence FROM cluster_lock WHERE cluster_key = (SELECT cluster_key FROM task WHERE id = ?1)",
    )?;
    let fence: Option<i64> = statement.query_row([commit.task.get()], |row| row.get(0)).optional()?;
    Ok(Fence::new(fence.unwrap_or(0)))
}

/// Only the holder can release a lock.
fn releases_foreign_lock(connection: &Connection, commit: &Commit) -> rusqlite::Result<Option<Fence>> {
    for write in &commit.writes {
        let Write::ReleaseLock { cluster } = write else { continue };
        match lock_row(connection, cluster)? {
            Some((Some(holder), _)) if holder == commit.task.get() => {}
            Some((_, fence)) => return Ok(Some(fence)),
            None => return Ok(Some(Fence::ZERO)),
        }
    }
    Ok(None)
}

pub(super) fn lock_row(
    connection: &Connection,
    cluster: &ClusterKey,
) -> rusqlite::Result<Option<(Option<i64>, Fence)>> {
    connection
        .prepare_cached("SELECT holder, fence FROM cluster_lock WHERE cluster_key = ?1")?
        .query_row([cluster.as_str()], |row| Ok((row.get(0)?, Fence::new(row.get(1)?))))
        .optional()
}

/// Compare-and-set of the lock. `Err`: this task holds it.
fn acquire(connection: &Connection, task: TaskId, cluster: &ClusterKey) -> rusqlite::Result<Result<Fence, TaskId>> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO cluster_lock (cluster_key, holder, fence) VALUES (?1, ?2, 1) \
         ON CONFLICT (cluster_key) DO UPDATE SET holder = excluded.holder, fence = fence + 1 WHERE holder IS NULL",
    )?;
    insert.execute(params![cluster.as_str(), task.get()])?;
    match lock_row(connection, cluster)? {
        Some((Some(holder), fence)) if holder == task.get() => Ok(Ok(fence)),
        Some((Some(holder), _)) => Ok(Err(task_id(holder)?)),
        // Impossible: the statement before created the row or kept its holder.
        Some((None, _)) | None => Err(rusqlite::Error::StatementChangedRows(0)),
    }
}

pub(super) fn task_id(value: i64) -> rusqlite::Result<TaskId> {
    TaskId::new(value)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Integer, Box::new(error)))
}

fn write_row(connection: &Connection, task: TaskId, row: &TaskRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO task (id, cluster, cluster_key, state, creator, create_us, finish_us, name) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, finish_us = excluded.finish_us",
        )?
        .execute(params![
            task.get(),
            row.cluster.get(),
            row.cluster_key.as_str(),
            row.state.as_str(),
            row.creator.as_str(),
            row.create_time.as_micros(),
            row.finish_time.map(|time| time.as_micros()),
            row.name,
        ])?;
    Ok(())
}

fn write_servers(connection: &Connection, task: TaskId, row: &TaskRow) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO task_server (server, task) VALUES (?1, ?2)")?;
    row.servers.iter().try_for_each(|server| insert.execute(params![server.get(), task.get()]).map(drop))
}

fn apply(connection: &Connection, task: TaskId, write: &Write) -> rusqlite::Result<()> {
    match write {
        // Handled by the checks and by the commit's own row.
        Write::AcquireLock { .. } | Write::Log(_) => {}
        Write::ReleaseLock { cluster } => {
            connection
                .prepare_cached("UPDATE cluster_lock SET holder = NULL WHERE cluster_key = ?1 AND holder = ?2")?
                .execute(params![cluster.as_str(), task.get()])?;
        }
        Write::Request { principal, request_id, digest } => {
            connection
                .prepare_cached(
                    "INSERT INTO request (principal, request_id, task, digest) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![principal.as_str(), request_id, task.get(), digest])?;
        }
        Write::Audit(record) => audit(connection, record)?,
        Write::ServerStatus { server, status } => {
            connection
                .prepare_cached("UPDATE server SET managed_status = ?2 WHERE id = ?1")?
                .execute(params![server.get(), status.map(|status| status.as_str())])?;
        }
        Write::ZoneStatus { cluster, zone, status } => {
            connection
                .prepare_cached("UPDATE zone SET managed_status = ?3 WHERE cluster = ?1 AND name = ?2")?
                .execute(params![cluster.get(), zone.as_str(), status.map(|status| status.as_str())])?;
        }
        Write::ClusterStatus { cluster, status } => {
            connection
                .prepare_cached("UPDATE cluster SET managed_status = ?2 WHERE id = ?1")?
                .execute(params![cluster.get(), status.map(|status| status.as_str())])?;
        }
    }
    Ok(())
}

/// Writes an audit record; the transaction is the caller's.
pub(super) fn audit(connection: &Connection, record: &AuditRecord) -> rusqlite::Result<()> {
    let (outcome, refusal) = match &record.outcome {
        AuditOutcome::Accepted => (ACCEPTED, ""),
        AuditOutcome::Refused { reason } => (REFUSED, reason.as_str()),
    };
    connection
        .prepare_cached(
            "INSERT INTO audit (at_us, principal, address, operation, target, arguments, trace_id, outcome, refusal, \
             cluster, task, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            record.at.as_micros(),
            record.principal.as_str(),
            record.address,
            record.call.as_str(),
            record.target,
            record.arguments,
            record.trace_id,
            outcome,
            refusal,
            record.cluster.map(ClusterId::get),
            record.task.map(TaskId::get),
            record.reason.as_str(),
        ])?;
    Ok(())
}

/// Takes over the lock that a task holds, under a new fence; `None`: the task does not hold it.
pub(super) fn claim(connection: &Connection, task: TaskId, cluster: &ClusterKey) -> rusqlite::Result<Option<Fence>> {
    connection
        .prepare_cached(
            "UPDATE cluster_lock SET fence = fence + 1 WHERE cluster_key = ?1 AND holder = ?2 RETURNING fence",
        )?
        .query_row(params![cluster.as_str(), task.get()], |row| Ok(Fence::new(row.get(0)?)))
        .optional()
}

/// Reserves a block of ids and returns its first. `None`: fewer than `count` ids are left below 2^53.
pub(super) fn reserve(connection: &Connection, counter: &str, count: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "UPDATE counter SET value = value + ?2 WHERE name = ?1 AND value <= ?3 - ?2 RETURNING value - ?2 + 1",
        )?
        .query_row(params![counter, count, LARGEST_ID], |row| row.get(0))
        .optional()
}
