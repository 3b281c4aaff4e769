//! What the database itself promises of what it has acknowledged, as far as its settings tell. Looked at once, at start.

use super::connection::{MysqlConnection, Product};
use super::options::MysqlOptions;
use crate::store::StoreError;

/// A batch, with its bytes as hexadecimal text, must fit into one message.
const SMALLEST_PACKET: i64 = 4 << 20;

/// Refuses settings with which no commit succeeds, and warns of those with which one can be lost.
pub(super) async fn check(connection: &mut MysqlConnection, options: &MysqlOptions) -> Result<(), StoreError> {
    let packet = number(connection, "max_allowed_packet").await;
    if packet.is_some_and(|bytes| bytes < SMALLEST_PACKET) {
        return Err(StoreError::Open(format!(
            "the store {options} takes messages of {} bytes, a batch of writes needs {SMALLEST_PACKET}; set \
             max_allowed_packet = 16M in the database",
            packet.unwrap_or_default()
        )));
    }
    let product = connection.product();
    if matches!(product, Product::OceanBase | Product::SeekDb) {
        tracing::info!(
            "the store is {options}, an OceanBase: what it acknowledges a majority of its replicas has on disk"
        );
        return Ok(());
    }
    if text(connection, "binlog_format").await.is_some_and(|format| format.eq_ignore_ascii_case("STATEMENT"))
        && number(connection, "log_bin").await == Some(1)
    {
        return Err(StoreError::Open(format!(
            "the store {options} logs statements, which it does not do at READ COMMITTED; set binlog_format = ROW in the database"
        )));
    }
    let mut weak = Vec::new();
    if number(connection, "innodb_flush_log_at_trx_commit").await.is_some_and(|flush| flush != 1) {
        weak.push("innodb_flush_log_at_trx_commit = 1");
    }
    if number(connection, "log_bin").await == Some(1)
        && number(connection, "sync_binlog").await.is_some_and(|sync| sync != 1)
    {
        weak.push("sync_binlog = 1");
    }
    if weak.is_empty() {
        tracing::info!("the store is {options}, {product:?}: what it acknowledges is on its disk");
    } else {
        tracing::warn!(
            "the store {options} acknowledges what is not on its disk yet: when its machine crashes, accepted tasks and fences \
             can be lost; set {} in the database",
            weak.join(" and ")
        );
    }
    if number(connection, "wsrep_on").await == Some(1) {
        tracing::warn!(
            "the store {options} is a Galera cluster: let every replica use the same node, another one may show an older \
             state"
        );
    }
    Ok(())
}

/// A variable of the database; `None`: it has none of this name, or another value.
async fn number(connection: &mut MysqlConnection, name: &str) -> Option<i64> {
    let value = text(connection, name).await?;
    match value.as_str() {
        "ON" => Some(1),
        "OFF" => Some(0),
        digits => digits.parse().ok(),
    }
}

async fn text(connection: &mut MysqlConnection, name: &str) -> Option<String> {
    let rows = connection.rows("SHOW VARIABLES LIKE ?", vec![name.into()]).await.ok()?;
    rows.first()?.owned_text(1).ok()
}
