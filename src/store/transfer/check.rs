//! Whether what a store holds fits together: the index of tasks against their log, the locks against the tasks, the counters
//! against both. Reads only.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::event::Phase;
use crate::domain::ids::{Revision, TaskId};
use crate::store::sql::{Database, damaged, task_read};
use crate::store::{StoreError, TaskRow};

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, such as `task 100001`.
    pub subject: String,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.subject, self.what)
    }
}

/// What was looked at, and what does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub tasks: u64,
    pub events: i64,
    pub locks: u64,
    pub findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, subject: impl fmt::Display, what: impl Into<String>) {
        self.findings.push(Finding { subject: subject.to_string(), what: what.into() });
    }
}

/// A lock as stored.
struct Lock {
    key: String,
    holder: Option<i64>,
    fence: i64,
}

/// Looks at everything, of one moment.
pub async fn check(database: &mut Database) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let rows = database.rows("SELECT cluster_key, holder, fence FROM cluster_lock", Vec::new()).await?;
    let lock = |row: &crate::store::sql::SqlRow| {
        Ok(Lock { key: row.owned_text(0)?, holder: row.optional_int(1)?, fence: row.int(2)? })
    };
    let locks: Vec<Lock> = rows.iter().map(lock).collect::<Result<_, StoreError>>()?;
    report.locks = locks.len() as u64;
    let mut open = BTreeMap::new();
    let mut above = 0;
    loop {
        let sql = "SELECT id FROM task WHERE id > ? ORDER BY id LIMIT 500";
        let rows = database.rows(sql, vec![above.into()]).await?;
        let Some(last) = rows.last() else { break };
        above = last.int(0)?;
        for row in &rows {
            let task = row.id(0, TaskId::new)?;
            report.tasks += 1;
            if let Some(key) = check_task(database, task, &locks, &mut report).await? {
                open.insert(task.get(), key);
            }
        }
    }
    for lock in &locks {
        if let Some(holder) = lock.holder
            && open.get(&holder) != Some(&lock.key)
        {
            report.find(
                format_args!("lock of {}", lock.key),
                format!("is held by task {holder}, which is no open task of it"),
            );
        }
    }
    let orphans = "SELECT DISTINCT e.task FROM task_event e LEFT JOIN task t ON t.id = e.task WHERE t.id IS NULL";
    for row in database.rows(orphans, Vec::new()).await? {
        report.find(format_args!("task {}", row.int(0)?), "has events, and no row in the index");
    }
    let requests =
        "SELECT r.principal, r.request_id, r.task FROM request r LEFT JOIN task t ON t.id = r.task WHERE t.id IS NULL";
    for row in database.rows(requests, Vec::new()).await? {
        report.find(
            format_args!("request {} of {}", row.text(1)?, row.text(0)?),
            format!("made task {}, which is not there", row.int(2)?),
        );
    }
    check_counters(database, &mut report).await?;
    Ok(report)
}

/// Returns the cluster of a task that is open.
async fn check_task(
    database: &mut Database,
    task: TaskId,
    locks: &[Lock],
    report: &mut Report,
) -> Result<Option<String>, StoreError> {
    let subject = format!("task {task}");
    let stored = match task_read::task(database, &task).await {
        Ok(Some(stored)) => stored.task,
        Ok(None) => {
            report.find(subject, "is in the index, and has no events");
            return Ok(None);
        }
        Err(StoreError::Damaged(what)) => {
            report.find(subject, what);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let row = TaskRow::of(&stored);
    let sql = "SELECT cluster, cluster_key, state, creator, create_us, finish_us, name FROM task WHERE id = ?";
    let found = database.row(sql, vec![task.get().into()]).await?;
    let found = found.ok_or_else(|| damaged(format!("task {task} has gone meanwhile")))?;
    let columns = [
        ("cluster", found.int(0)? == row.cluster.get()),
        ("cluster_key", found.text(1)? == row.cluster_key.as_str()),
        ("state", found.text(2)? == row.state.as_str()),
        ("creator", found.text(3)? == row.creator.as_str()),
        ("create_us", found.int(4)? == row.create_time.as_micros()),
        ("finish_us", found.optional_int(5)? == row.finish_time.map(|time| time.as_micros())),
        ("name", found.text(6)? == row.name),
    ];
    for (column, _) in columns.iter().filter(|(_, same)| !same) {
        report.find(&subject, format!("{column} in the index is not what its events say"));
    }
    let servers =
        database.rows("SELECT server FROM task_server WHERE task = ? ORDER BY server", vec![task.get().into()]);
    let servers = servers.await?.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
    let mut expected: Vec<i64> = row.servers.iter().map(|server| server.get()).collect();
    expected.sort_unstable();
    if servers != expected {
        report.find(&subject, "its servers in the index are not what its events say");
    }
    let events = "SELECT MIN(revision - events), MAX(revision), SUM(events), MAX(fence) FROM task_event WHERE task = ?";
    if let Some(row) = database.row(events, vec![task.get().into()]).await? {
        let (first, last, count) = (row.int(0)?, Revision::new(row.int(1)?), row.int(2)?);
        report.events += count;
        if first != 0 || last != stored.revision || count != last.get() {
            report.find(&subject, "its events have a gap, or overlap");
        }
        let fence = row.int(3)?;
        let lock = locks.iter().find(|lock| lock.key == stored.spec.cluster.key.as_str());
        if lock.is_none_or(|lock| lock.fence < fence) {
            report.find(&subject, format!("was written under fence {fence}, which its cluster's lock has not reached"));
        }
    }
    let listed = database.exists("SELECT 1 FROM pending_task WHERE task = ?", vec![task.get().into()]).await?;
    let pending = stored.state.phase() == Phase::Pending;
    if listed != pending {
        report.find(&subject, "is on the list of what has not begun, or is not, against what its events say");
    }
    if pending || stored.state.phase() == Phase::Closed {
        return Ok(None);
    }
    let key = stored.spec.cluster.key.as_str().to_owned();
    if !locks.iter().any(|lock| lock.key == key && lock.holder == Some(task.get())) {
        report.find(subject, "is open, and does not hold the lock of its cluster");
    }
    Ok(Some(key))
}

async fn check_counters(database: &mut Database, report: &mut Report) -> Result<(), StoreError> {
    for (counter, sql) in
        [("seq", "SELECT MAX(seq) FROM task_event"), ("id", "SELECT MAX(id) FROM task WHERE id > 100000")]
    {
        let highest = database.row(sql, Vec::new()).await?.map(|row| row.optional_int(0)).transpose()?.flatten();
        let row = database.row("SELECT value FROM counter WHERE name = ?", vec![counter.into()]).await?;
        let value = row.map(|row| row.int(0)).transpose()?;
        match (value, highest) {
            (None, _) => report.find(format_args!("counter {counter}"), "is not there"),
            (Some(value), Some(highest)) if highest > value => {
                report.find(format_args!("counter {counter}"), format!("is {value}, and {highest} is given already"));
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}
