//! A connection to either database, as far as the statements that both stores share need it.

use std::sync::Arc;

use super::statement::{Dialect, Statement};
use super::value::{SqlRow, SqlValue};
use crate::store::StoreError;
use crate::store::mysql::MysqlConnection;
use crate::store::sqlite::SqliteConnection;
use crate::store::vault::Vault;

enum Connection {
    Sqlite(SqliteConnection),
    Mysql(MysqlConnection),
}

/// A connection, and the key to the secrets behind it.
pub struct Database {
    connection: Connection,
    pub vault: Arc<Vault>,
}

impl Database {
    pub const fn over_sqlite(connection: SqliteConnection, vault: Arc<Vault>) -> Self {
        Self { connection: Connection::Sqlite(connection), vault }
    }

    pub const fn over_mysql(connection: MysqlConnection, vault: Arc<Vault>) -> Self {
        Self { connection: Connection::Mysql(connection), vault }
    }

    /// Whether it can be used again.
    pub const fn is_open(&self) -> bool {
        match &self.connection {
            Connection::Sqlite(_) => true,
            Connection::Mysql(connection) => connection.is_open(),
        }
    }

    pub const fn dialect(&self) -> Dialect {
        match &self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Mysql(_) => Dialect::Mysql,
        }
    }

    /// Runs a query with its values in the places of `?`. What one query reads is of one moment.
    pub async fn rows(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError> {
        match &mut self.connection {
            Connection::Sqlite(connection) => Ok(connection.rows(sql, values)?),
            Connection::Mysql(connection) => connection.rows(sql, values).await,
        }
    }

    /// The first row, if there is one.
    pub async fn row(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<Option<SqlRow>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    pub async fn exists(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<bool, StoreError> {
        Ok(!self.rows(sql, values).await?.is_empty())
    }
}

/// What belongs together: while one change of it is decided, no other is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Clusters, zones, servers and hosts, and the counters of their ids.
    Inventory,
    /// Users, keys and roles, and the counter of users.
    Access,
    /// Nothing that was read decides it, such as a record of the audit log.
    None,
}

/// A change that was decided by what was read: its answer, and what it writes, wholly or not at all. A refusal writes nothing.
#[derive(Debug)]
pub struct Change<T> {
    pub answer: T,
    pub statements: Vec<Statement>,
    /// It is decided anew when a task takes the lock of this cluster (`cluster_key`) meanwhile.
    pub while_free: Option<String>,
}

impl<T> Change<T> {
    pub const fn none(answer: T) -> Self {
        Self::of(answer, Vec::new())
    }

    pub const fn of(answer: T, statements: Vec<Statement>) -> Self {
        Self { answer, statements, while_free: None }
    }
}
