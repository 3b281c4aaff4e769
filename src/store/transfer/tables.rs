//! The tables that are the store. What only one kind of store has (replicas, progress) is not part of it.

use crate::store::StoreError;
use crate::store::sql::{Database, SqlRow, SqlValue};

/// How a column is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

#[derive(Debug)]
pub(super) struct Table {
    pub name: &'static str,
    /// Columns that identify a row; a single number is read on from.
    pub key: &'static [&'static str],
    pub columns: &'static [(&'static str, Kind)],
}

use Kind::{Bytes, Int, Text};

/// Facts that belong to the store itself, whatever holds it.
pub(super) const FACTS: [&str; 2] = ["store_id", "key_check"];
/// Counters that both kinds of store have.
pub(super) const COUNTERS: [&str; 5] = ["seq", "id", "cluster", "server", "user"];

pub(super) const TABLES: &[Table] = &[
    Table { name: "chosen_id", key: &["counter", "id"], columns: &[("counter", Text), ("id", Int)] },
    Table {
        name: "task_event",
        key: &["seq"],
        columns: &[
            ("seq", Int),
            ("task", Int),
            ("revision", Int),
            ("events", Int),
            ("fence", Int),
            ("author", Text),
            ("bodies", Bytes),
            ("lines", Bytes),
        ],
    },
    Table {
        name: "task",
        key: &["id"],
        columns: &[
            ("id", Int),
            ("cluster", Int),
            ("cluster_key", Text),
            ("state", Text),
            ("creator", Text),
            ("create_us", Int),
            ("finish_us", Int),
            ("name", Text),
        ],
    },
    Table { name: "task_server", key: &["server", "task"], columns: &[("server", Int), ("task", Int)] },
    Table {
        name: "cluster_lock",
        key: &["cluster_key"],
        columns: &[("cluster_key", Text), ("holder", Int), ("fence", Int)],
    },
    Table {
        name: "request",
        key: &["principal", "request_id"],
        columns: &[("principal", Text), ("request_id", Text), ("task", Int), ("digest", Text)],
    },
    Table {
        name: "audit",
        key: &["id"],
        columns: &[
            ("id", Int),
            ("at_us", Int),
            ("principal", Text),
            ("address", Text),
            ("operation", Text),
            ("target", Text),
            ("arguments", Text),
            ("trace_id", Text),
            ("outcome", Text),
            ("refusal", Text),
            ("cluster", Int),
            ("task", Int),
            ("reason", Text),
        ],
    },
    Table {
        name: "cluster",
        key: &["id"],
        columns: &[
            ("id", Int),
            ("cluster_key", Text),
            ("name", Text),
            ("ob_cluster_id", Int),
            ("fingerprint", Text),
            ("endpoints", Text),
            ("username", Text),
            ("password", Text),
            ("default_host", Text),
            ("managed_status", Text),
            ("observed_us", Int),
            ("sync_error", Text),
            ("lease_time_us", Int),
            ("permanent_offline_us", Int),
        ],
    },
    Table {
        name: "zone",
        key: &["cluster", "name"],
        columns: &[
            ("cluster", Int),
            ("name", Text),
            ("inner_status", Text),
            ("region", Text),
            ("idc", Text),
            ("managed_status", Text),
        ],
    },
    Table {
        name: "server",
        key: &["id"],
        columns: &[
            ("id", Int),
            ("cluster", Int),
            ("addr", Text),
            ("ob_server_id", Int),
            ("zone", Text),
            ("sql_port", Int),
            ("managed_status", Text),
            ("inner_status", Text),
            ("stop_us", Int),
            ("start_service_us", Int),
            ("last_offline_us", Int),
            ("with_rootserver", Int),
            ("build_version", Text),
            ("observed_us", Int),
        ],
    },
    Table {
        name: "host",
        key: &["cluster", "svr_ip"],
        columns: &[("cluster", Int), ("svr_ip", Text), ("route", Text)],
    },
    Table {
        name: "user",
        key: &["id"],
        columns: &[
            ("id", Int),
            ("name", Text),
            ("password_hash", Text),
            ("disabled", Int),
            ("create_us", Int),
            ("password_us", Int),
        ],
    },
    Table { name: "user_role", key: &["user", "role"], columns: &[("user", Int), ("role", Text)] },
    Table {
        name: "ended_session",
        key: &["user", "issued_us"],
        columns: &[("user", Int), ("issued_us", Int), ("expires_us", Int)],
    },
    Table { name: "user_certificate", key: &["name"], columns: &[("name", Text), ("user", Int)] },
    Table {
        name: "access_key",
        key: &["id"],
        columns: &[
            ("id", Text),
            ("user", Int),
            ("secret", Text),
            ("disabled", Int),
            ("create_us", Int),
            ("rotate_us", Int),
        ],
    },
    Table { name: "pending_task", key: &["task"], columns: &[("task", Int)] },
    Table {
        name: "change_freeze",
        key: &["cluster_key"],
        columns: &[("cluster_key", Text), ("principal", Text), ("reason", Text), ("since_us", Int)],
    },
    Table {
        name: "notification",
        key: &["target"],
        columns: &[
            ("target", Text),
            ("seq", Int),
            ("reminded", Text),
            ("delivered_us", Int),
            ("failing_us", Int),
            ("error", Text),
        ],
    },
    Table { name: "role", key: &["name"], columns: &[("name", Text), ("permissions", Text), ("create_us", Int)] },
];

/// Rows that are read at a time.
const PAGE: u32 = 500;

/// Where a table is read on.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The last key, of a table whose key is one number.
    last: Option<i64>,
    read: u32,
    over: bool,
}

impl Table {
    fn is_numbered(&self) -> bool {
        let numbered = |key: &&str| self.columns.iter().any(|(name, kind)| name == key && matches!(kind, Int));
        self.key.len() == 1 && self.key.iter().all(numbered)
    }

    /// The next rows; none at the end.
    pub(super) async fn next(
        &self,
        database: &mut Database,
        position: &mut Position,
    ) -> Result<Vec<Vec<SqlValue>>, StoreError> {
        if position.over {
            return Ok(Vec::new());
        }
        let quoted = |names: &mut dyn Iterator<Item = &str>| {
            names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        let columns = quoted(&mut self.columns.iter().map(|(name, _)| *name));
        let (name, key) = (self.name, quoted(&mut self.key.iter().copied()));
        let (rest, values): (String, Vec<SqlValue>) = if self.is_numbered() {
            let after = position.last.unwrap_or(i64::MIN);
            (format!("WHERE {key} > ? ORDER BY {key} LIMIT ?"), vec![after.into(), PAGE.into()])
        } else {
            (format!("ORDER BY {key} LIMIT ? OFFSET ?"), vec![PAGE.into(), position.read.into()])
        };
        let rows = database.rows(&format!("SELECT {columns} FROM `{name}` {rest}"), values).await?;
        position.over = rows.len() < PAGE as usize;
        position.read += u32::try_from(rows.len()).unwrap_or(PAGE);
        if self.is_numbered()
            && let Some(row) = rows.last()
        {
            // The key is the first column.
            position.last = Some(row.int(0)?);
        }
        rows.iter().map(|row| self.values(row)).collect()
    }

    fn values(&self, row: &SqlRow) -> Result<Vec<SqlValue>, StoreError> {
        let value = |(column, (_, kind)): (usize, &(&str, Kind))| {
            if row.is_null(column) {
                return Ok(SqlValue::Null);
            }
            Ok(match kind {
                Int => row.int(column)?.into(),
                Text => row.text(column)?.into(),
                Bytes => row.bytes(column)?.to_vec().into(),
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }
}
