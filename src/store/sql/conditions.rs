//! The selections of lists as SQL: fixed texts, and values bound beside them. Builds text only.

use super::audit::{ACCEPTED, REFUSED};
use super::statement::Dialect;
use super::value::SqlValue;
use crate::domain::ids::{ClusterId, TaskId};
use crate::domain::permission::VisibleIds;
use crate::store::access::AuditFilter;
use crate::store::inventory::{ClusterFilter, ClusterOrder};
use crate::store::{Page, TaskFilter, TaskOrder, TaskVisibility};

/// A condition and what is bound to its `?`, in order.
pub(super) struct Conditions {
    /// What follows WHERE.
    pub text: String,
    /// Bound to its `?`, in order.
    pub values: Vec<SqlValue>,
}

impl Conditions {
    fn none() -> Self {
        Self { text: "true".to_owned(), values: Vec::new() }
    }

    /// Adds a condition, with the values for its `?`.
    pub fn and(&mut self, text: &str, values: impl IntoIterator<Item = SqlValue>) {
        self.text.push_str(" AND ");
        self.text.push_str(text);
        self.values.extend(values);
    }

    /// The name contains `part`, ignoring the case of letters (SQLite knows those of ASCII only). Not LIKE: every character means
    /// itself, and a part of any length is an ordinary value.
    fn name_holds(&mut self, part: &str) {
        self.and("instr(lower(name), lower(?)) > 0", [part.into()]);
    }

    pub fn of_tasks(filter: &TaskFilter, dialect: Dialect) -> Self {
        let TaskFilter { visible, name, cluster, server, states, creator } = filter;
        let mut conditions = Self::none();
        match visible {
            TaskVisibility::All => {}
            TaskVisibility::Only { clusters, tasks } => {
                let (of_clusters, clusters) = one_of("cluster", clusters, dialect);
                let (of_tasks, tasks) = one_of("id", tasks, dialect);
                conditions.and(&format!("({of_clusters} OR {of_tasks})"), clusters.into_iter().chain(tasks));
            }
        }
        if let Some(part) = name {
            conditions.name_holds(part);
        }
        if let Some(cluster) = cluster {
            conditions.and("cluster = ?", [cluster.get().into()]);
        }
        if let Some(server) = server {
            conditions.and("id IN (SELECT task FROM task_server WHERE server = ?)", [server.get().into()]);
        }
        if let Some(creator) = creator {
            conditions.and("creator = ?", [creator.as_str().to_owned().into()]);
        }
        if !states.is_empty() {
            let marks = vec!["?"; states.len()].join(", ");
            conditions.and(&format!("state IN ({marks})"), states.iter().map(|state| state.as_str().into()));
        }
        conditions
    }

    pub fn of_tasks_below(filter: &TaskFilter, below: Option<TaskId>, dialect: Dialect) -> Self {
        let mut conditions = Self::of_tasks(filter, dialect);
        if let Some(below) = below {
            conditions.and("id < ?", [below.get().into()]);
        }
        conditions
    }

    pub fn of_clusters(filter: &ClusterFilter, dialect: Dialect) -> Self {
        let ClusterFilter { visible, name, name_part } = filter;
        let mut conditions = Self::none();
        match visible {
            VisibleIds::All => {}
            VisibleIds::Only(ids) => {
                let (text, values) = one_of("id", ids, dialect);
                conditions.and(&text, values);
            }
        }
        if let Some(name) = name {
            conditions.and("name = ?", [name.clone().into()]);
        }
        if let Some(part) = name_part {
            conditions.name_holds(part);
        }
        conditions
    }

    pub fn of_clusters_above(filter: &ClusterFilter, above: Option<ClusterId>, dialect: Dialect) -> Self {
        let mut conditions = Self::of_clusters(filter, dialect);
        if let Some(above) = above {
            conditions.and("id > ?", [above.get().into()]);
        }
        conditions
    }

    pub fn of_audit_below(filter: &AuditFilter, below: Option<i64>, dialect: Dialect) -> Self {
        let AuditFilter { principal, call, task, cluster, refused, since } = filter;
        let mut conditions = Self::none();
        if let Some(principal) = principal {
            conditions.and("principal = ?", [principal.as_str().to_owned().into()]);
        }
        if let Some(call) = call {
            conditions.and("operation = ?", [call.as_str().to_owned().into()]);
        }
        if let Some(task) = task {
            conditions.and("task = ?", [task.get().into()]);
        }
        if let Some(cluster) = cluster {
            conditions.and("cluster = ?", [cluster.get().into()]);
        }
        match refused {
            Some(true) => conditions.and("outcome = ?", [REFUSED.to_owned().into()]),
            Some(false) => conditions.and("outcome = ?", [ACCEPTED.to_owned().into()]),
            None => {}
        }
        if let Some(since) = since {
            let since = since.as_micros();
            // Scanning back from the newest can stop at the oldest record that is late enough. The index is named because
            // SQLite would scan it from the oldest record.
            let index = match dialect {
                Dialect::Sqlite => "INDEXED BY audit_at",
                Dialect::Mysql => "FORCE INDEX (audit_at)",
            };
            conditions.and(
                &format!("at_us >= ? AND id >= (SELECT coalesce(min(id), 0) FROM audit {index} WHERE at_us >= ?)"),
                [since.into(), since.into()],
            );
        }
        if let Some(below) = below {
            conditions.and("id < ?", [below.into()]);
        }
        conditions
    }
}

/// ORDER BY of a page; ties by id in the same direction.
pub struct PageOrder {
    /// That is sorted by.
    pub column: &'static str,
    pub direction: &'static str,
}

impl PageOrder {
    const fn new(column: &'static str, descending: bool) -> Self {
        Self { column, direction: if descending { "DESC" } else { "ASC" } }
    }

    pub fn clause(&self) -> String {
        let Self { column, direction } = self;
        format!("{column} {direction}, id {direction}")
    }
}

pub const fn task_order(page: Page<TaskOrder>) -> PageOrder {
    let column = match page.order {
        TaskOrder::Id => "id",
        TaskOrder::Name => "name",
        TaskOrder::State => "state",
        TaskOrder::CreateTime => "create_us",
        // Open tasks have NULL, which sorts as the smallest.
        TaskOrder::FinishTime => "finish_us",
    };
    PageOrder::new(column, page.descending)
}

pub const fn cluster_order(page: Page<ClusterOrder>) -> PageOrder {
    let column = match page.order {
        ClusterOrder::Id => "id",
        ClusterOrder::Name => "name",
    };
    PageOrder::new(column, page.descending)
}

/// The column is one of these numbers. SQLite takes them as one JSON text, so that the statement is the same for any number; the
/// shared database has no JSON in every version, and numbers need no quoting.
fn one_of(column: &str, ids: &[i64], dialect: Dialect) -> (String, Vec<SqlValue>) {
    match dialect {
        Dialect::Sqlite => {
            let list = serde_json::json!(ids).to_string();
            (format!("{column} IN (SELECT value FROM json_each(?))"), vec![list.into()])
        }
        Dialect::Mysql if ids.is_empty() => ("false".to_owned(), Vec::new()),
        Dialect::Mysql => {
            let list: Vec<String> = ids.iter().map(i64::to_string).collect();
            (format!("{column} IN ({})", list.join(", ")), Vec::new())
        }
    }
}
