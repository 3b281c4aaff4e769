//! Writes as one message of statements, from the lock of the counter to COMMIT: a replica that is frozen or cut off meanwhile
//! holds nothing, because the database has all of it or none.
//!
//! The first statement locks the counter of events, which every writer of every replica does first. So one batch is written at a
//! time, what its conditions read cannot change before its COMMIT, and positions follow the order of commits. Each write has its own
//! condition, `@ok`: one that is refused writes nothing, raises no error, and leaves its neighbours alone.

use super::literal::{literal, with_values};
use crate::clock::Timestamp;
use crate::domain::event::Phase;
use crate::domain::ids::LARGEST_ID;
use crate::store::commit_rules::reached;
use crate::store::replicas::OwnedTask;
use crate::store::sql::commit_writes::{self, EncodedCommit};
use crate::store::sql::{Dialect, Domain, SqlValue, Statement};
use crate::store::{Author, Commit, Write};

/// First columns of the rows that a batch answers: the number of the write, and what the row says.
pub(super) mod answer {
    /// A commit was written: position of its last event, fence.
    pub const COMMITTED: &str = "committed";
    /// A commit was refused: revision of its task, fence of the lock that the task holds, fence of its cluster; then of the row
    /// with the commit's last revision: position, fence, number of events, author, bodies.
    pub const REFUSED: &str = "refused";
    /// A request that the refused commit makes: task, digest.
    pub const REQUEST: &str = "request";
    /// A lock that the refused commit takes or frees: holder, fence, its cluster.
    pub const LOCK: &str = "lock";
    /// A change freeze covers the cluster whose lock the refused commit takes.
    pub const FROZEN: &str = "frozen";
    /// Whether a change is written.
    pub const CHANGED: &str = "changed";
    /// The lock that a task holds: fence, owner.
    pub const CLAIMED: &str = "claimed";
    /// The last of the ids that were reserved; NULL: there are not so many left.
    pub const RESERVED: &str = "reserved";
    /// Position of the last event.
    pub const HEAD: &str = "head";
}

/// A commit with everything that was made ready on the caller's thread.
pub(super) struct PreparedCommit {
    pub commit: Commit,
    pub encoded: EncodedCommit,
    /// Statements that write it, under `@ok`.
    writes: Vec<String>,
}

impl PreparedCommit {
    pub(super) fn of(commit: Commit) -> Self {
        let writes = rendered(commit_writes::statements(&commit));
        Self { encoded: EncodedCommit::of(&commit), writes, commit }
    }

    pub(super) fn len(&self) -> usize {
        self.encoded.len() + bytes(&self.writes)
    }
}

/// A change that was decided by what was read.
pub(super) struct PreparedChange {
    /// The counter of what it belongs to, and its value when it was read.
    read: Option<(&'static str, i64)>,
    /// Further conditions, as SQL.
    conditions: Vec<String>,
    /// Recognises it when it is sent again.
    nonce: String,
    at: Timestamp,
    /// Statements that write it, under `@ok`.
    writes: Vec<String>,
}

impl PreparedChange {
    pub(super) fn of(
        read: Option<(&'static str, i64)>,
        conditions: Vec<String>,
        writes: Vec<String>,
        at: Timestamp,
    ) -> Self {
        let nonce = uuid::Uuid::new_v4().to_string();
        Self { read, conditions, nonce, at, writes }
    }

    /// What one of the functions of `sql` decided. `while_free`: a cluster whose lock no task may take meanwhile.
    pub(super) fn decided(
        read: Option<(&'static str, i64)>,
        while_free: Option<String>,
        statements: Vec<Statement>,
        at: Timestamp,
    ) -> Self {
        let free = while_free.map(|cluster| {
            let key = lit(cluster);
            format!("NOT EXISTS (SELECT 1 FROM cluster_lock WHERE cluster_key = {key} AND holder IS NOT NULL)")
        });
        Self::of(read, free.into_iter().collect(), rendered(statements), at)
    }

    pub(super) fn len(&self) -> usize {
        bytes(&self.writes)
    }
}

fn bytes(statements: &[String]) -> usize {
    statements.iter().map(String::len).sum()
}

pub(super) enum BatchWrite<'a> {
    Commit(&'a PreparedCommit),
    Change(&'a PreparedChange),
    Claim(&'a OwnedTask),
    /// So many ids of tasks.
    Reserve(i64),
}

/// The counter of a domain's changes.
pub(super) const fn counter(domain: Domain) -> Option<&'static str> {
    match domain {
        Domain::Inventory => Some("inventory"),
        Domain::Access => Some("access"),
        Domain::None => None,
    }
}

fn rendered(statements: Vec<Statement>) -> Vec<String> {
    let render = |statement: Statement| {
        let (sql, values) = statement.render(Dialect::Mysql);
        with_values(&sql, &values)
    };
    statements.into_iter().map(render).collect()
}

/// The message for these writes of the replica `me`.
pub(super) fn message(writes: &[BatchWrite<'_>], me: i64) -> String {
    let mut all = vec![
        "SET @seq = NULL".to_owned(),
        "START TRANSACTION".to_owned(),
        "SELECT value INTO @seq FROM counter WHERE name = 'seq' FOR UPDATE".to_owned(),
    ];
    for (number, write) in writes.iter().enumerate() {
        match write {
            BatchWrite::Commit(prepared) => commit(&mut all, number, prepared, me),
            BatchWrite::Change(prepared) => change(&mut all, number, prepared),
            BatchWrite::Claim(one) => claim(&mut all, number, one, me),
            BatchWrite::Reserve(count) => reserve(&mut all, number, *count),
        }
    }
    all.extend([
        "UPDATE counter SET value = @seq WHERE name = 'seq' AND value < @seq".to_owned(),
        format!("SELECT -1, '{}', @seq", answer::HEAD),
        "COMMIT".to_owned(),
    ]);
    all.join(";\n")
}

/// A value as its literal.
fn lit(value: impl Into<SqlValue>) -> String {
    let mut text = String::new();
    literal(&mut text, &value.into());
    text
}

fn commit(all: &mut Vec<String>, number: usize, prepared: &PreparedCommit, me: i64) {
    let PreparedCommit { commit, encoded, writes } = prepared;
    let (task, after, reached) = (commit.task.get(), commit.after.get(), reached(commit).get());
    let revision = format!("(SELECT COALESCE(MAX(revision), 0) FROM task_event WHERE task = {task})");
    let held = format!("(SELECT fence FROM cluster_lock WHERE holder = {task} LIMIT 1)");
    let of_cluster = format!(
        "(SELECT l.fence FROM cluster_lock l JOIN task t ON t.cluster_key = l.cluster_key WHERE t.id = {task})"
    );
    let mut conditions = vec![format!("{revision} = {after}")];
    if let Author::Owner { fence } = &commit.author {
        conditions.push(format!("COALESCE({held}, 0) = {fence}"));
    }
    // Why not, should it be refused; read behind its writes, which then were none.
    let mut why = vec![format!(
        "SELECT {number}, '{}', {revision}, {held}, {of_cluster}, e.seq, e.fence, e.events, e.author, e.bodies \
         FROM (SELECT 1 AS one) one LEFT JOIN task_event e ON e.task = {task} AND e.revision = {reached} WHERE NOT @ok",
        answer::REFUSED
    )];
    let (mut takes, mut frees) = (Vec::new(), Vec::new());
    let locks = |key: &str, holder: &str| format!("SELECT 1 FROM cluster_lock WHERE cluster_key = {key} AND {holder}");
    let mut why_of_lock = |key: &str| {
        why.push(format!(
            "SELECT {number}, '{}', holder, fence, cluster_key FROM cluster_lock WHERE cluster_key = {key} AND NOT @ok",
            answer::LOCK
        ));
    };
    let (mut requests, mut freezes) = (Vec::new(), Vec::new());
    for write in &commit.writes {
        match write {
            Write::Request { principal, request_id, .. } => {
                let key =
                    format!("principal = {} AND request_id = {}", lit(principal.as_str()), lit(request_id.as_str()));
                conditions.push(format!("NOT EXISTS (SELECT 1 FROM request WHERE {key})"));
                requests.push(format!(
                    "SELECT {number}, '{}', task, digest FROM request WHERE {key} AND NOT @ok",
                    answer::REQUEST
                ));
            }
            Write::AcquireLock { cluster } => {
                let key = lit(cluster.as_str());
                why_of_lock(&key);
                conditions.push(format!("NOT EXISTS ({})", locks(&key, &format!("holder <> {task}"))));
                let frozen = format!("FROM change_freeze WHERE cluster_key IN ('', {key})");
                conditions.push(format!("NOT EXISTS (SELECT 1 {frozen})"));
                freezes.push(format!("SELECT {number}, '{}' {frozen} AND NOT @ok", answer::FROZEN));
                // The fence first: what follows overwrites what it looks at.
                takes.push(format!(
                    "INSERT INTO cluster_lock (cluster_key, holder, fence, owner) SELECT {key}, {task}, 1, {me} FROM DUAL \
                     WHERE @ok ON DUPLICATE KEY UPDATE fence = cluster_lock.fence + (cluster_lock.holder IS NULL), \
                     holder = VALUES(holder), owner = VALUES(owner)"
                ));
            }
            Write::ReleaseLock { cluster } => {
                let key = lit(cluster.as_str());
                why_of_lock(&key);
                conditions.push(format!("EXISTS ({})", locks(&key, &format!("holder = {task}"))));
                frees.push(format!(
                    "UPDATE cluster_lock SET holder = NULL, owner = NULL WHERE cluster_key = {key} AND @ok"
                ));
            }
            Write::Audit(_)
            | Write::Log(_)
            | Write::ServerStatus { .. }
            | Write::ZoneStatus { .. }
            | Write::ClusterStatus { .. } => {}
        }
    }
    // Nobody drives a task at rest, and it has no progress.
    if commit.row.as_ref().is_some_and(|row| row.state.phase() != Phase::Moving) {
        frees.push(format!("UPDATE cluster_lock SET owner = NULL WHERE holder = {task} AND @ok"));
        frees.push(format!("DELETE FROM progress WHERE task = {task} AND @ok"));
    }
    let count = reached - after;
    all.push(format!("SELECT {} INTO @ok", conditions.join(" AND ")));
    all.extend(takes);
    all.push(format!("SELECT COALESCE({held}, {of_cluster}, 0) INTO @fence"));
    all.push(format!(
        "INSERT INTO task_event (seq, task, revision, events, fence, author, bodies, `lines`) SELECT @seq + {count}, {task}, \
         {reached}, {count}, @fence, {}, {}, {} FROM DUAL WHERE @ok",
        lit(encoded.author.as_str()),
        lit(encoded.bodies.clone()),
        lit(encoded.lines.clone())
    ));
    all.extend_from_slice(writes);
    all.extend(frees);
    all.push(format!("SET @seq = @seq + IF(@ok, {count}, 0)"));
    all.push(format!("SELECT {number}, '{}', @seq, @fence FROM DUAL WHERE @ok", answer::COMMITTED));
    all.extend(why);
    all.extend(requests);
    all.extend(freezes);
}

fn change(all: &mut Vec<String>, number: usize, prepared: &PreparedChange) {
    let PreparedChange { read, conditions, nonce, at, writes } = prepared;
    let nonce = lit(nonce.as_str());
    let mut condition = format!("NOT EXISTS (SELECT 1 FROM written_change WHERE nonce = {nonce})");
    for more in conditions {
        condition = format!("{condition} AND {more}");
    }
    if let Some((counter, value)) = read {
        condition = format!("{condition} AND (SELECT value FROM counter WHERE name = '{counter}') = {value}");
    }
    all.push(format!("SELECT {condition} INTO @ok"));
    let at = at.as_micros();
    all.push(format!("INSERT INTO written_change (nonce, at_us) SELECT {nonce}, {at} FROM DUAL WHERE @ok"));
    all.extend_from_slice(writes);
    if let Some((counter, _)) = read {
        all.push(format!("UPDATE counter SET value = value + 1 WHERE name = '{counter}' AND @ok"));
    }
    all.push(format!(
        "SELECT {number}, '{}', EXISTS (SELECT 1 FROM written_change WHERE nonce = {nonce})",
        answer::CHANGED
    ));
}

fn claim(all: &mut Vec<String>, number: usize, owned: &OwnedTask, me: i64) {
    let OwnedTask { task, cluster, fence: seen, owner: _ } = owned;
    let key = format!("cluster_key = {} AND holder = {task}", lit(cluster.as_str()));
    all.push(format!("UPDATE cluster_lock SET fence = fence + 1, owner = {me} WHERE {key} AND fence = {seen}"));
    all.push(format!("SELECT {number}, '{}', fence, owner FROM cluster_lock WHERE {key}", answer::CLAIMED));
}

fn reserve(all: &mut Vec<String>, number: usize, count: i64) {
    let largest = LARGEST_ID - count;
    all.push(format!("SELECT value <= {largest} INTO @ok FROM counter WHERE name = 'id'"));
    all.push(format!("UPDATE counter SET value = value + {count} WHERE name = 'id' AND @ok"));
    all.push(format!("SELECT {number}, '{}', IF(@ok, value, NULL) FROM counter WHERE name = 'id'", answer::RESERVED));
}

/// The first column that says something.
pub(super) const FIRST_COLUMN: usize = 2;
