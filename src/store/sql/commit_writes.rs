//! What a commit writes besides its events and its lock, and its bytes: made where the commit is submitted, to spare the writer.

use super::audit;
use super::statement::{OnConflict, Statement};
use super::value::SqlValue;
use crate::domain::event::{EventKind, TaskState};
use crate::domain::ids::{Revision, TaskId};
use crate::store::{Author, Commit, TaskRow, Write, encode};

/// The bytes of a commit, as they are stored.
pub struct EncodedCommit {
    pub bodies: Vec<u8>,
    pub lines: Option<Vec<u8>>,
    pub author: String,
}

impl EncodedCommit {
    pub fn of(commit: &Commit) -> Self {
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

    pub fn len(&self) -> usize {
        self.bodies.len() + self.lines.as_ref().map_or(0, Vec::len)
    }
}

/// Index rows, request, audit and managed statuses.
pub fn statements(commit: &Commit) -> Vec<Statement> {
    let mut statements = Vec::new();
    if let Some(row) = &commit.row {
        if commit.after == Revision::ZERO {
            statements.extend(task_rows(commit.task, row));
        } else {
            let finish: SqlValue = row.finish_time.map(|time| time.as_micros()).into();
            let set = vec![("state", row.state.as_str().into()), ("finish_us", finish)];
            statements.push(Statement::update("task", set, vec![("id", commit.task.get().into())]));
        }
    }
    for event in &commit.events {
        statements.extend(pending(commit.task, &event.kind));
    }
    statements.extend(commit.writes.iter().filter_map(|write| written(commit.task, write)));
    statements
}

/// The list of what has not begun.
fn pending(task: TaskId, kind: &EventKind) -> Option<Statement> {
    match kind {
        EventKind::Created(spec) if spec.pending.is_some() => {
            Some(Statement::insert("pending_task", [("task", task.get().into())]))
        }
        EventKind::TaskStateChanged { from: TaskState::Pending, .. } => {
            Some(Statement::delete("pending_task", [("task", task.get().into())]))
        }
        _ => None,
    }
}

fn task_rows(task: TaskId, row: &TaskRow) -> impl Iterator<Item = Statement> {
    let of_task = Statement::insert(
        "task",
        [
            ("id", task.get().into()),
            ("cluster", row.cluster.get().into()),
            ("cluster_key", row.cluster_key.as_str().into()),
            ("state", row.state.as_str().into()),
            ("creator", row.creator.as_str().into()),
            ("create_us", row.create_time.as_micros().into()),
            ("finish_us", row.finish_time.map(|time| time.as_micros()).into()),
            ("name", row.name.as_str().into()),
        ],
    );
    let servers = row.servers.iter().map(move |server| {
        Statement::insert("task_server", [("server", server.get().into()), ("task", task.get().into())])
    });
    std::iter::once(of_task).chain(servers)
}

fn written(task: TaskId, write: &Write) -> Option<Statement> {
    let status =
        |table, status: Option<&str>, of| Some(Statement::update(table, vec![("managed_status", status.into())], of));
    match write {
        // Handled by the rules and by the commit's own row.
        Write::AcquireLock { .. } | Write::ReleaseLock { .. } | Write::Log(_) => None,
        Write::Request { principal, request_id, digest } => {
            let row = [
                ("principal", principal.as_str().into()),
                ("request_id", request_id.as_str().into()),
                ("task", task.get().into()),
                ("digest", digest.as_str().into()),
            ];
            Some(Statement::insert("request", row).on_conflict(OnConflict::Keep))
        }
        Write::Audit(record) => Some(audit::insertion(record)),
        Write::ServerStatus { server, status: to } => {
            status("server", to.map(|to| to.as_str()), vec![("id", server.get().into())])
        }
        Write::ZoneStatus { cluster, zone, status: to } => {
            let of = vec![("cluster", cluster.get().into()), ("name", zone.as_str().into())];
            status("zone", to.map(|to| to.as_str()), of)
        }
        Write::ClusterStatus { cluster, status: to } => {
            status("cluster", to.map(|to| to.as_str()), vec![("id", cluster.get().into())])
        }
    }
}
