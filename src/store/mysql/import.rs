//! The shared database as the source or the target of a whole store.

use std::sync::Arc;
use std::time::Duration;

use super::connection::{MysqlConnection, Product};
use super::literal::with_values;
use super::options::MysqlOptions;
use super::replicas::renewing;
use super::schema;
use crate::domain::ids::LARGEST_ID;
use crate::store::StoreError;
use crate::store::sql::{Database, SqlValue, damaged};
use crate::store::transfer::{LOST_IDS, Rows, StoreIdChange};
use crate::store::vault::Vault;

/// A replica that lives renews its lease within this time.
const LONGEST_SILENCE: Duration = Duration::from_secs(4);
/// Row of `meta`: where what is here has gone on.
const MOVED: &str = "moved_to";
/// Row of `meta`: a store is being copied into the database.
const COMING: &str = "coming";
/// Bytes of one insertion, before they are written as text.
const LARGEST_INSERT: usize = 512 << 10;

/// A session that sees one moment of the store, for as long as it takes.
pub(in crate::store) async fn snapshot(options: &MysqlOptions) -> Result<Database, StoreError> {
    let mut connection = MysqlConnection::open(options).await?;
    schema::known(&mut connection, options).await?;
    // What other sessions must not do: take their time.
    for setting in match connection.product() {
        Product::MySql => [].as_slice(),
        Product::MariaDb => &["SET SESSION idle_transaction_timeout = 0"],
        Product::OceanBase | Product::SeekDb => &[
            "SET SESSION ob_trx_idle_timeout = 3600000000",
            "SET SESSION ob_trx_timeout = 3600000000",
            "SET SESSION ob_query_timeout = 60000000",
        ],
    } {
        connection.rows(setting, Vec::new()).await?;
    }
    connection.rows("SET SESSION wait_timeout = 3600", Vec::new()).await?;
    connection.rows("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", Vec::new()).await?;
    connection.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT", Vec::new()).await?;
    Ok(Database::over_mysql(connection, Arc::new(Vault::random()?)))
}

/// Refuses while a replica renews its lease.
pub(in crate::store) async fn nobody_uses(options: &MysqlOptions) -> Result<(), StoreError> {
    let mut connection = MysqlConnection::open(options).await?;
    schema::known(&mut connection, options).await?;
    match renewing(&mut connection, i64::MAX, LONGEST_SILENCE).await? {
        Some(who) => Err(StoreError::Open(format!(
            "{who} uses the store {options}; stop every replica first, `obsteward replicas` lists them"
        ))),
        None => Ok(()),
    }
}

/// What is in the database is not to be used any more: it has gone on elsewhere.
pub(in crate::store) async fn mark_moved(options: &MysqlOptions, to: &str) -> Result<(), StoreError> {
    let mut connection = MysqlConnection::open(options).await?;
    let sql = "INSERT INTO meta (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)";
    connection.rows(sql, vec![MOVED.into(), to.into()]).await.map(drop)
}

/// The store is another one from here on.
pub(in crate::store) async fn restored(options: &MysqlOptions) -> Result<StoreIdChange, StoreError> {
    let mut connection = MysqlConnection::open(options).await?;
    let rows = connection.rows("SELECT value FROM meta WHERE name = 'store_id'", Vec::new()).await?;
    let former = rows.first().ok_or_else(|| damaged("the store has no store_id"))?.owned_text(0)?;
    let store_id = uuid::Uuid::new_v4().to_string();
    let highest = LARGEST_ID - 2 * LOST_IDS;
    connection
        .all_rows(&format!(
            "START TRANSACTION;\nUPDATE meta SET value = '{store_id}' WHERE name = 'store_id';\n\
             UPDATE counter SET value = value + {LOST_IDS} WHERE name = 'id' AND value <= {highest};\nCOMMIT"
        ))
        .await?;
    Ok(StoreIdChange { former, store_id })
}

/// Refuses a database whose store has gone on elsewhere, or has not wholly come.
pub(super) async fn is_here(connection: &mut MysqlConnection, options: &MysqlOptions) -> Result<(), StoreError> {
    let sql = "SELECT name, value FROM meta WHERE name IN (?, ?)";
    let rows = connection.rows(sql, vec![MOVED.into(), COMING.into()]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let what = if row.text(0)? == MOVED {
        format!(
            "was moved to {} and is not used any more; start the service there, or drop this database",
            row.text(1)?
        )
    } else {
        "holds a part of a store, whose migration was cut short; drop the database and migrate again".to_owned()
    };
    Err(StoreError::Open(format!("the store {options} {what}")))
}

/// A database that is to take the rows of a store, and has none.
pub(in crate::store) struct MysqlRows(MysqlConnection);

impl MysqlRows {
    /// Makes the tables; refuses when there is anything in them.
    pub(in crate::store) async fn create(options: &MysqlOptions) -> Result<Self, StoreError> {
        let mut connection = MysqlConnection::open(options).await?;
        schema::migrate(&mut connection, options).await?;
        let sql = "SELECT (SELECT COUNT(*) FROM meta) + (SELECT COUNT(*) FROM task_event) + (SELECT COUNT(*) FROM cluster) \
                   + (SELECT COUNT(*) FROM `user`)";
        let rows = connection.rows(sql, Vec::new()).await?;
        if rows.first().ok_or_else(|| damaged("a count without a row"))?.int(0)? > 0 {
            return Err(StoreError::Open(format!("the store {options} is not empty, name a database that is")));
        }
        connection.rows("INSERT INTO meta (name, value) VALUES (?, '')", vec![COMING.into()]).await?;
        Ok(Self(connection))
    }

    /// Everything is there.
    pub(in crate::store) async fn finish(mut self) -> Result<(), StoreError> {
        self.0.rows("DELETE FROM meta WHERE name = ?", vec![COMING.into()]).await.map(drop)
    }
}

impl Rows for MysqlRows {
    /// Not in one transaction, which a large store would make too long: a part of a store does not start.
    async fn put(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
        rows: Vec<Vec<SqlValue>>,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = columns.iter().map(|name| format!("`{name}`")).collect();
        let head = format!("REPLACE INTO `{table}` ({}) VALUES ", names.join(", "));
        let mark = format!("({})", vec!["?"; columns.len()].join(", "));
        let mut parts: Vec<String> = Vec::new();
        let mut bytes = 0;
        for row in rows {
            let part = with_values(&mark, &row);
            if bytes > 0 && bytes + part.len() > LARGEST_INSERT {
                self.0.all_rows(&format!("{head}{}", parts.join(", "))).await?;
                parts.clear();
                bytes = 0;
            }
            bytes += part.len();
            parts.push(part);
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.0.all_rows(&format!("{head}{}", parts.join(", "))).await.map(drop)
    }
}
