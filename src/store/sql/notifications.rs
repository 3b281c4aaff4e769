//! Reads and writes of where the targets of notifications stand.

use super::audit::REFUSED;
use super::database::{Change, Database};
use super::statement::{OnConflict, Statement};
use super::value::{SqlRow, damaged};
use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, Principal, Seq};
use crate::store::StoreError;
use crate::store::notifications::{ManagedServer, NotificationRow, RefusedRequest};

pub async fn rows(database: &mut Database, (): &()) -> Result<Vec<NotificationRow>, StoreError> {
    let sql = "SELECT target, seq, reminded, delivered_us, failing_us, error FROM notification ORDER BY target";
    let row = |row: &SqlRow| {
        Ok(NotificationRow {
            target: row.owned_text(0)?,
            seq: Seq::new(row.int(1)?),
            reminded: serde_json::from_str(row.text(2)?).map_err(damaged)?,
            delivered_at: row.moment(3)?,
            failing_since: row.moment(4)?,
            error: row.owned_text(5)?,
        })
    };
    database.rows(sql, Vec::new()).await?.iter().map(row).collect()
}

/// A replica that lost its share of a target meanwhile may know an older place than the one that has it now.
pub async fn keep(database: &mut Database, row: &NotificationRow) -> Result<Change<()>, StoreError> {
    let sql = "SELECT seq FROM notification WHERE target = ?";
    let kept = database.row(sql, vec![row.target.as_str().into()]).await?;
    let kept = kept.map(|kept| kept.int(0)).transpose()?.unwrap_or_default();
    let reminded = serde_json::to_string(&row.reminded).map_err(damaged)?;
    let insertion = Statement::insert(
        "notification",
        [
            ("target", row.target.as_str().into()),
            ("seq", row.seq.get().max(kept).into()),
            ("reminded", reminded.into()),
            ("delivered_us", row.delivered_at.map(|at| at.as_micros()).into()),
            ("failing_us", row.failing_since.map(|at| at.as_micros()).into()),
            ("error", row.error.as_str().into()),
        ],
    );
    let columns = &["seq", "reminded", "delivered_us", "failing_us", "error"];
    Ok(Change::of((), vec![insertion.on_conflict(OnConflict::Replace { key: "target", columns })]))
}

pub async fn audit_head(database: &mut Database, (): &()) -> Result<i64, StoreError> {
    let head = database.row("SELECT COALESCE(MAX(id), 0) FROM audit", Vec::new()).await?;
    head.map_or(Ok(0), |row| row.int(0))
}

pub async fn refused_requests(
    database: &mut Database,
    (above, head, limit): &(i64, i64, u32),
) -> Result<Vec<RefusedRequest>, StoreError> {
    let sql = "SELECT a.id, a.at_us, a.principal, a.operation, a.target, a.cluster, c.name, a.refusal, a.reason, a.trace_id \
               FROM audit a JOIN cluster c ON c.id = a.cluster WHERE a.id > ? AND a.id <= ? AND a.outcome = ? \
               ORDER BY a.id LIMIT ?";
    let values = vec![(*above).into(), (*head).into(), REFUSED.into(), (*limit).into()];
    let request = |row: &SqlRow| {
        Ok(RefusedRequest {
            id: row.int(0)?,
            at: Timestamp::from_micros(row.int(1)?),
            principal: Principal::new(row.owned_text(2)?),
            call: row.word(3)?,
            target: row.owned_text(4)?,
            cluster: row.id(5, ClusterId::new)?,
            cluster_name: row.owned_text(6)?,
            refusal: row.owned_text(7)?,
            reason: row.owned_text(8)?,
            trace_id: row.owned_text(9)?,
        })
    };
    database.rows(sql, values).await?.iter().map(request).collect()
}

pub async fn managed_servers(database: &mut Database, (): &()) -> Result<Vec<ManagedServer>, StoreError> {
    let sql = "SELECT c.id, c.name, c.managed_status, s.addr, s.managed_status, s.inner_status, s.stop_us, s.start_service_us, \
               l.holder, c.sync_error FROM server s JOIN cluster c ON c.id = s.cluster \
               LEFT JOIN cluster_lock l ON l.cluster_key = c.cluster_key WHERE s.managed_status IS NOT NULL ORDER BY s.id";
    let server = |row: &SqlRow| {
        Ok(ManagedServer {
            cluster: row.id(0, ClusterId::new)?,
            cluster_name: row.owned_text(1)?,
            cluster_status: row.optional_word(2)?,
            addr: row.word(3)?,
            managed_status: row.word(4)?,
            inner_status: row.word(5)?,
            stop_time: row.moment(6)?,
            start_service_time: row.moment(7)?,
            observation_holds: row.is_null(8) && row.text(9)?.is_empty(),
        })
    };
    database.rows(sql, Vec::new()).await?.iter().map(server).collect()
}
