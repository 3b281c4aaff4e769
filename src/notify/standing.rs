//! Where a target stands, as it is kept in the store and told in the log: once for each change, not for each try.

use std::sync::Arc;

use tracing::{debug, info, warn};

use crate::clock::Timestamp;
use crate::domain::ids::Seq;
use crate::store::StoreError;
use crate::store::notifications::{NotificationRow, NotificationStore};

/// Bytes of an error that are kept.
const LONGEST_ERROR: usize = 500;
/// Events that are looked at again behind a restart, at most, when none of them is for the target.
const UNKEPT_EVENTS: i64 = 1000;

pub(super) struct Standing {
    pub row: NotificationRow,
    /// The place that the store has.
    kept: Seq,
    store: Arc<dyn NotificationStore>,
}

impl Standing {
    /// As the store has it. A target that was never told anything begins at `head`.
    pub async fn of(target: &str, head: Seq, store: Arc<dyn NotificationStore>) -> Result<Self, StoreError> {
        let known = store.notification_rows().await?.into_iter().find(|row| row.target == target);
        match known {
            Some(row) => Ok(Self { kept: row.seq, row, store }),
            None => {
                let row = NotificationRow { target: target.to_owned(), seq: head, ..NotificationRow::default() };
                store.keep_notification_row(row.clone()).await?;
                Ok(Self { kept: head, row, store })
            }
        }
    }

    /// Everything up to here is not for the target; kept now and then.
    pub async fn pass(&mut self, seq: Seq) -> Result<(), StoreError> {
        self.row.seq = seq;
        if seq.get() - self.kept.get() >= UNKEPT_EVENTS { self.keep().await } else { Ok(()) }
    }

    /// Something was delivered, before the next thing is tried: what is not kept is delivered twice.
    pub async fn delivered(&mut self, at: Timestamp) -> Result<(), StoreError> {
        if let Some(since) = self.row.failing_since.take() {
            info!(to = %self.row.target, "notifications are delivered again, which failed since {since}");
        }
        self.row.error.clear();
        self.row.delivered_at = Some(at);
        self.keep().await
    }

    /// Nothing can be delivered now.
    pub async fn failed(&mut self, at: Timestamp, why: &str) {
        let end = why.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST_ERROR).last().unwrap_or_default();
        let why = if why.len() > LONGEST_ERROR { &why[..end] } else { why };
        if self.row.failing_since.is_some() && self.row.error == why {
            return debug!(to = %self.row.target, "notifications still fail: {why}");
        }
        warn!(to = %self.row.target, "notifications cannot be delivered, they are tried again: {why}");
        self.row.failing_since.get_or_insert(at);
        why.clone_into(&mut self.row.error);
        if let Err(error) = self.keep().await {
            debug!(to = %self.row.target, "that notifications fail is not kept: {error}");
        }
    }

    pub async fn keep(&mut self) -> Result<(), StoreError> {
        self.store.keep_notification_row(self.row.clone()).await?;
        self.kept = self.row.seq;
        Ok(())
    }
}
