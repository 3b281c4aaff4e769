//! One session at the database: opened within a bound, set up, used for bounded statements, never reconnected.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder, Row, Value};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::literal::with_values;
use super::options::MysqlOptions;
use crate::store::StoreError;
use crate::store::sql::{SqlRow, SqlValue};

/// Limit for opening a session, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for an answer: above what the database itself spends on locks ([`settings`]).
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// Answers larger than this are refused by the driver.
const MAX_ALLOWED_PACKET: usize = 64 << 20;
/// The database closes a session that is idle for so long, and ends its transaction: no lock outlives a frozen replica for longer.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Whose program the database is; each has limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    MySql,
    MariaDb,
    OceanBase,
    /// The engine of OceanBase as one process, which is no cluster.
    SeekDb,
}

impl Product {
    /// From `version()` and `@@version_comment`.
    fn of(version: &str) -> Self {
        let version = version.to_ascii_lowercase();
        if version.contains("seekdb") {
            Self::SeekDb
        } else if version.contains("oceanbase") {
            Self::OceanBase
        } else if version.contains("mariadb") {
            Self::MariaDb
        } else {
            Self::MySql
        }
    }
}

pub struct MysqlConnection {
    /// `None` once it is broken or a statement was given up: what it would answer next belongs to that statement.
    conn: Option<Conn>,
    product: Product,
}

impl MysqlConnection {
    pub(super) async fn open(options: &MysqlOptions) -> Result<Self, StoreError> {
        let opening = async {
            let mut conn = Conn::new(opts(options)).await?;
            let version: Option<(String, String)> = conn.query_first("SELECT version(), @@version_comment").await?;
            let product =
                version.map_or(Product::MySql, |(version, comment)| Product::of(&format!("{version} {comment}")));
            for setting in settings(product) {
                conn.query_drop(setting).await?;
            }
            Ok(Self { conn: Some(conn), product })
        };
        let opened: mysql_async::Result<Self> = match timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => return Err(unreachable(options, &format!("no session within {} s", CONNECT_TIMEOUT.as_secs()))),
        };
        opened.map_err(|error| unreachable(options, &error))
    }

    pub(super) const fn product(&self) -> Product {
        self.product
    }

    /// Whether it can be used again.
    pub const fn is_open(&self) -> bool {
        self.conn.is_some()
    }

    pub async fn rows(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError> {
        self.all_rows(&with_values(sql, &values)).await
    }

    /// Sends statements in one message, and returns the rows of all their results once the last has answered. After an error nothing
    /// is known of any of them, and the session is closed.
    pub(super) async fn all_rows(&mut self, statements: &str) -> Result<Vec<SqlRow>, StoreError> {
        let Some(mut conn) = self.conn.take() else {
            return Err(StoreError::Failed("the session with the database is closed".to_owned()));
        };
        let asked = async {
            let mut rows = Vec::new();
            let mut results = conn.query_iter(statements).await?;
            // Each collection moves on to the next result.
            loop {
                let result: Vec<Row> = results.collect().await?;
                rows.extend(result);
                if results.is_empty() {
                    break;
                }
            }
            drop(results);
            Ok::<_, Error>(rows)
        };
        match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(rows)) => {
                self.conn = Some(conn);
                Ok(rows.into_iter().map(row).collect())
            }
            Ok(Err(error)) => Err(StoreError::Failed(format!("the database says: {error}"))),
            Err(_) => {
                Err(StoreError::Failed(format!("no answer of the database within {} s", ANSWER_TIMEOUT.as_secs())))
            }
        }
    }
}

fn opts(options: &MysqlOptions) -> OptsBuilder {
    // With both values given the driver asks the server for no settings of its own.
    OptsBuilder::default()
        .ip_or_hostname(options.host.clone())
        .tcp_port(options.port)
        .user(Some(options.user.clone()))
        .pass(options.password.as_ref().map(|password| password.expose_secret().to_owned()))
        .db_name(Some(options.database.clone()))
        .ssl_opts(options.tls.as_ref().map(super::options::StoreTls::ssl_opts))
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_ALLOWED_PACKET))
        .wait_timeout(Some(28_800))
        .stmt_cache_size(0)
}

/// What every session is set to: how text is written, what a read sees, and how long the database may hold up a statement or keep
/// what a silent session has locked.
fn settings(product: Product) -> Vec<String> {
    let idle = IDLE_TIMEOUT.as_secs();
    let mut settings = vec![
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES'".to_owned(),
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        format!("SET SESSION wait_timeout = {idle}"),
        "SET autocommit = 1".to_owned(),
    ];
    match product {
        Product::MySql => settings.push("SET SESSION innodb_lock_wait_timeout = 2".to_owned()),
        Product::MariaDb => settings.extend([
            "SET SESSION innodb_lock_wait_timeout = 2".to_owned(),
            "SET SESSION idle_transaction_timeout = 2".to_owned(),
        ]),
        Product::OceanBase | Product::SeekDb => settings.extend([
            "SET SESSION ob_trx_lock_timeout = 2000000".to_owned(),
            "SET SESSION ob_query_timeout = 6000000".to_owned(),
            "SET SESSION ob_trx_timeout = 8000000".to_owned(),
            "SET SESSION ob_trx_idle_timeout = 2000000".to_owned(),
        ]),
    }
    settings
}

fn row(row: Row) -> SqlRow {
    SqlRow::new(row.unwrap().into_iter().map(value).collect())
}

/// The text protocol carries everything but NULL as bytes.
fn value(value: Value) -> SqlValue {
    match value {
        Value::NULL => SqlValue::Null,
        Value::Bytes(bytes) => SqlValue::Bytes(bytes),
        Value::Int(number) => SqlValue::Int(number),
        Value::UInt(number) => i64::try_from(number).map_or(SqlValue::Null, SqlValue::Int),
        other @ (Value::Float(_) | Value::Double(_) | Value::Date(..) | Value::Time(..)) => {
            SqlValue::Text(other.as_sql(true))
        }
    }
}

fn unreachable(options: &MysqlOptions, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("the database {options} cannot be reached: {error}"))
}
