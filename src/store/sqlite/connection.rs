//! A connection to the file that answers what both stores ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::store::sql::{SqlRow, SqlValue};

/// Answers at once: whatever is asked of it is ready when it is first polled. Clones share one connection, on one thread at a
/// time.
#[derive(Clone)]
pub struct SqliteConnection(Arc<Mutex<Connection>>);

impl SqliteConnection {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Arc::new(Mutex::new(connection)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A connection whose user panicked is not used again: its thread ends the process, or its reader is dropped.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn rows(&self, sql: &str, values: Vec<SqlValue>) -> rusqlite::Result<Vec<SqlRow>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values.into_iter().map(bound)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|column| row.get_ref(column).map(read));
            found.push(SqlRow::new(values.collect::<rusqlite::Result<_>>()?));
        }
        Ok(found)
    }
}

pub(super) fn bound(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Int(value) => Value::Integer(value),
        SqlValue::Text(value) => Value::Text(value),
        SqlValue::Bytes(value) => Value::Blob(value),
    }
}

fn read(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(value) => SqlValue::Int(value),
        // No column of ours is one.
        ValueRef::Real(value) => SqlValue::Text(value.to_string()),
        ValueRef::Text(value) => SqlValue::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => SqlValue::Bytes(value.to_vec()),
    }
}
