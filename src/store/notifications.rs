//! How far each target of notifications was told, and the servers that alerts are not to be raised for. A row each, small and bounded
//! by the configuration: what is to be told stands in the log of events.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, Principal, Seq, ServerAddr};
use crate::domain::status::{ClusterStatus, InnerStatus, ServerStatus};
use crate::store::StoreError;

/// Where a target stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotificationRow {
    /// Its name in the configuration.
    pub target: String,
    /// Everything up to here was delivered, or is not for this target.
    pub seq: Seq,
    /// The reminders that were delivered, of holds that still last.
    pub reminded: Vec<String>,
    /// When something was last delivered.
    pub delivered_at: Option<Timestamp>,
    /// Since when nothing can be delivered; `None`: it can.
    pub failing_since: Option<Timestamp>,
    /// Why; empty: it can.
    pub error: String,
}

/// A server whose status a task wrote, with what was last observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedServer {
    pub cluster: ClusterId,
    pub cluster_name: String,
    pub cluster_status: Option<ClusterStatus>,
    pub addr: ServerAddr,
    pub managed_status: ServerStatus,
    pub inner_status: InnerStatus,
    pub stop_time: Option<Timestamp>,
    pub start_service_time: Option<Timestamp>,
    /// Whether what was observed is later than what tasks did: none holds the cluster, and the last reading succeeded.
    pub observation_holds: bool,
}

/// A request about a registered cluster that was refused, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRequest {
    /// Its place in the audit log.
    pub id: i64,
    pub at: Timestamp,
    pub principal: Principal,
    pub call: Call,
    pub target: String,
    pub cluster: ClusterId,
    pub cluster_name: String,
    /// Of the refusal.
    pub refusal: String,
    /// Why it was asked for, in the words of whoever asked.
    pub reason: String,
    pub trace_id: String,
}

#[async_trait]
pub trait NotificationStore: Send + Sync {
    /// Every target that was ever told anything, ascending by name.
    async fn notification_rows(&self) -> Result<Vec<NotificationRow>, StoreError>;

    /// Keeps where a target stands. Its place never goes back.
    async fn keep_notification_row(&self, row: NotificationRow) -> Result<(), StoreError>;

    /// The last place of the audit log; 0: it is empty.
    async fn audit_head(&self) -> Result<i64, StoreError>;

    /// Refused requests in the audit log behind `above` and up to `head`, oldest first, at most `limit`.
    async fn refused_requests(&self, above: i64, head: i64, limit: u32) -> Result<Vec<RefusedRequest>, StoreError>;

    /// Servers of all clusters whose status a task wrote, ascending by id.
    async fn managed_servers(&self) -> Result<Vec<ManagedServer>, StoreError>;
}
