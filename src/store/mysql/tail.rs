//! Looks at what other replicas have written: one small query per interval, whatever is watched or driven here. While no task is
//! open and nothing changes for a while it looks less often.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Shared;
use super::progress::news;
use super::readers::Readers;
use crate::clock::monotonic_now;
use crate::domain::ids::Seq;
use crate::store::StoreError;
use crate::store::sql::Database;

/// How long a store without open tasks must have been quiet to be looked at less often.
const QUIET_AFTER: Duration = Duration::from_secs(30);
/// The interval then, as a multiple.
const QUIET_FACTOR: u32 = 5;

/// Until the store is dropped.
pub(super) async fn follow(readers: Arc<Readers>, shared: Weak<Shared>, interval: Duration, me: impl Fn() -> i64) {
    let (mut changed_at, mut open) = (monotonic_now(), 0);
    // Of progress: the counter, and the last number of each replica.
    let (mut progress, mut seen) = (0, BTreeMap::new());
    loop {
        let quiet = open == 0 && monotonic_now().duration_since(changed_at) > QUIET_AFTER;
        tokio::time::sleep(if quiet { interval * QUIET_FACTOR } else { interval }).await;
        let counted = readers.read(counters, &()).await;
        let Some(shared) = shared.upgrade() else { return };
        match counted {
            Ok(counted) => {
                open = counted.open;
                if shared.counted(&counted) {
                    changed_at = monotonic_now();
                }
                if counted.progress > progress {
                    match readers.read(news, &(me(), seen.clone())).await {
                        Ok(news) => {
                            progress = counted.progress;
                            for (replica, number, one) in news {
                                seen.entry(replica)
                                    .and_modify(|seen| number.max(*seen).clone_into(seen))
                                    .or_insert(number);
                                shared.progress.tell(one);
                            }
                        }
                        Err(error) => tracing::debug!("progress of other replicas is not seen: {error}"),
                    }
                }
            }
            Err(error) => tracing::warn!("what other replicas write is not seen: {error}"),
        }
    }
}

/// Counters of what everybody has to know.
pub(super) struct Counters {
    pub seq: Seq,
    pub access: i64,
    pub ownership: i64,
    pub progress: i64,
    /// Open tasks.
    pub open: i64,
}

pub(super) async fn counters(database: &mut Database, (): &()) -> Result<Counters, StoreError> {
    let sql = "SELECT name, value FROM counter WHERE name IN ('seq', 'access', 'ownership', 'progress') \
               UNION ALL SELECT 'open', COUNT(*) FROM task WHERE finish_us IS NULL";
    let mut counters = Counters { seq: Seq::ZERO, access: 0, ownership: 0, progress: 0, open: 0 };
    for row in database.rows(sql, Vec::new()).await? {
        match row.text(0)? {
            "seq" => counters.seq = Seq::new(row.int(1)?),
            "access" => counters.access = row.int(1)?,
            "ownership" => counters.ownership = row.int(1)?,
            "open" => counters.open = row.int(1)?,
            _ => counters.progress = row.int(1)?,
        }
    }
    Ok(counters)
}
