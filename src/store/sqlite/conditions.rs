//! The selections of lists as SQL: fixed texts, and values bound beside them. Lists of values are bound as one JSON text, so
//! that the statement is the same for any number. Builds text only.

use rusqlite::types::Value;

use super::commit::{ACCEPTED, REFUSED};
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
    pub values: Vec<Value>,
}

impl Conditions {
    fn none() -> Self {
        Self { text: "true".to_owned(), values: Vec::new() }
    }

    /// Adds a condition, with the values for its `?`.
    pub fn and(&mut self, text: &str, values: impl IntoIterator<Item = Value>) {
        self.text.push_str(" AND ");
        self.text.push_str(text);
        self.values.extend(values);
    }

    /// The name contains `part`, ignoring the case of ASCII letters. Not LIKE: every character means itself, and a part of any
    /// length is an ordinary value.
    fn name_holds(&mut self, part: &str) {
        self.and("instr(lower(name), ?) > 0", [part.to_ascii_lowercase().into()]);
    }

    pub fn of_tasks(filter: &TaskFilter) -> Self {
        let TaskFilter { visible, name, cluster, server, states, creator } = filter;
        let mut conditions = Self::none();
        match visible {
            TaskVisibility::All => {}
            TaskVisibility::Only { clusters, tasks } => conditions.and(
                "(cluster IN (SELECT value FROM json_each(?)) OR id IN (SELECT value FROM json_each(?)))",
                [list(clusters), list(tasks)],
            ),
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
            let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            conditions.and("state IN (SELECT value FROM json_each(?))", [serde_json::json!(words).to_string().into()]);
        }
        conditions
    }

    pub fn of_tasks_below(filter: &TaskFilter, below: Option<TaskId>) -> Self {
        let mut conditions = Self::of_tasks(filter);
        if let Some(below) = below {
            conditions.and("id < ?", [below.get().into()]);
        }
        conditions
    }

    pub fn of_clusters(filter: &ClusterFilter) -> Self {
        let ClusterFilter { visible, name, name_part } = filter;
        let mut conditions = Self::none();
        match visible {
            VisibleIds::All => {}
            VisibleIds::Only(ids) => conditions.and("id IN (SELECT value FROM json_each(?))", [list(ids)]),
        }
        if let Some(name) = name {
            conditions.and("name = ?", [name.clone().into()]);
        }
        if let Some(part) = name_part {
            conditions.name_holds(part);
        }
        conditions
    }

    pub fn of_clusters_above(filter: &ClusterFilter, above: Option<ClusterId>) -> Self {
        let mut conditions = Self::of_clusters(filter);
        if let Some(above) = above {
            conditions.and("id > ?", [above.get().into()]);
        }
        conditions
    }

    pub fn of_audit_below(filter: &AuditFilter, below: Option<i64>) -> Self {
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
            conditions.and(
                "at_us >= ? AND id >= (SELECT coalesce(min(id), 0) FROM audit INDEXED BY audit_at WHERE at_us >= ?)",
                [since.into(), since.into()],
            );
        }
        if let Some(below) = below {
            conditions.and("id < ?", [below.into()]);
        }
        conditions
    }
}

/// ORDER BY of a page of tasks; ties by id in the same direction.
pub(super) fn order_of_tasks(page: Page<TaskOrder>) -> String {
    ordered(
        match page.order {
            TaskOrder::Id => None,
            TaskOrder::Name => Some("name"),
            TaskOrder::State => Some("state"),
            TaskOrder::CreateTime => Some("create_us"),
            // Open tasks have NULL, which sorts as the smallest.
            TaskOrder::FinishTime => Some("finish_us"),
        },
        page.descending,
    )
}

/// ORDER BY of a page of clusters; ties by id in the same direction.
pub(super) fn order_of_clusters(page: Page<ClusterOrder>) -> String {
    ordered(
        match page.order {
            ClusterOrder::Id => None,
            ClusterOrder::Name => Some("name"),
        },
        page.descending,
    )
}

fn ordered(column: Option<&str>, descending: bool) -> String {
    let direction = if descending { "DESC" } else { "ASC" };
    match column {
        Some(column) => format!("{column} {direction}, id {direction}"),
        None => format!("id {direction}"),
    }
}

fn list(ids: &[i64]) -> Value {
    serde_json::json!(ids).to_string().into()
}
