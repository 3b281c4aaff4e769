//! Reads and changes of the change freezes. The key of a cluster is never empty: the empty one stands for everything.

use super::audit;
use super::database::{Change, Database};
use super::statement::Statement;
use super::value::SqlRow;
use crate::domain::change_freeze::{ChangeFreeze, FreezeScope};
use crate::domain::ids::{ClusterKey, Principal};
use crate::domain::reason::Reason;
use crate::store::{AuditRecord, StoreError};

pub const EVERYTHING: &str = "";

fn key(scope: &FreezeScope) -> &str {
    match scope {
        FreezeScope::Everything => EVERYTHING,
        FreezeScope::Cluster(key) => key.as_str(),
    }
}

pub async fn all(database: &mut Database, (): &()) -> Result<Vec<ChangeFreeze>, StoreError> {
    let sql = "SELECT cluster_key, principal, reason, since_us FROM change_freeze ORDER BY cluster_key";
    let freeze = |row: &SqlRow| {
        Ok(ChangeFreeze {
            scope: match row.text(0)? {
                EVERYTHING => FreezeScope::Everything,
                key => FreezeScope::Cluster(ClusterKey::from_stored(key.to_owned())),
            },
            by: Principal::new(row.owned_text(1)?),
            reason: Reason::from_stored(row.owned_text(2)?),
            since: crate::clock::Timestamp::from_micros(row.int(3)?),
        })
    };
    database.rows(sql, Vec::new()).await?.iter().map(freeze).collect()
}

async fn is_on(database: &mut Database, scope: &FreezeScope) -> Result<bool, StoreError> {
    database.exists("SELECT 1 FROM change_freeze WHERE cluster_key = ?", vec![key(scope).into()]).await
}

pub async fn freeze(
    database: &mut Database,
    (freeze, record): &(ChangeFreeze, AuditRecord),
) -> Result<Change<bool>, StoreError> {
    if is_on(database, &freeze.scope).await? {
        return Ok(Change::none(false));
    }
    let row = Statement::insert(
        "change_freeze",
        [
            ("cluster_key", key(&freeze.scope).into()),
            ("principal", freeze.by.as_str().into()),
            ("reason", freeze.reason.as_str().into()),
            ("since_us", freeze.since.as_micros().into()),
        ],
    );
    Ok(Change::of(true, vec![row, audit::insertion(record)]))
}

pub async fn thaw(
    database: &mut Database,
    (scope, record): &(FreezeScope, AuditRecord),
) -> Result<Change<bool>, StoreError> {
    if !is_on(database, scope).await? {
        return Ok(Change::none(false));
    }
    let gone = Statement::delete("change_freeze", [("cluster_key", key(scope).into())]);
    Ok(Change::of(true, vec![gone, audit::insertion(record)]))
}
