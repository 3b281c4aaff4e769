//! Copies a store into an empty one.

use super::tables::{COUNTERS, FACTS, Position, TABLES};
use crate::store::StoreError;
use crate::store::sql::{Database, SqlValue};

/// Takes the rows of a copy.
pub(in crate::store) trait Rows {
    /// Rows of a table. Those of `counter` and `meta` are there already, with other values.
    async fn put(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
        rows: Vec<Vec<SqlValue>>,
    ) -> Result<(), StoreError>;
}

/// Copies everything but what only one kind of store has; returns how many rows. The source is at one moment.
pub(in crate::store) async fn copy(from: &mut Database, into: &mut impl Rows) -> Result<u64, StoreError> {
    let mut copied = 0;
    for table in TABLES {
        let columns: Vec<&'static str> = table.columns.iter().map(|(name, _)| *name).collect();
        let mut position = Position::default();
        loop {
            let rows = table.next(from, &mut position).await?;
            if rows.is_empty() {
                break;
            }
            copied += rows.len() as u64;
            into.put(table.name, &columns, rows).await?;
        }
    }
    for (table, names) in [("counter", COUNTERS.as_slice()), ("meta", FACTS.as_slice())] {
        let mut rows = Vec::new();
        for name in names {
            let sql = format!("SELECT value FROM {table} WHERE name = ?");
            let row = from.row(&sql, vec![(*name).into()]).await?;
            let row = row.ok_or_else(|| StoreError::Damaged(format!("the store has no {table} {name}")))?;
            let value = if table == "meta" { row.text(0)?.into() } else { row.int(0)?.into() };
            rows.push(vec![(*name).into(), value]);
        }
        copied += rows.len() as u64;
        into.put(table, &["name", "value"], rows).await?;
    }
    Ok(copied)
}
