//! The replicas of the service over one store: who is there, and which of them drives which task. An embedded store has one.
//!
//! A replica counts its lease from before it sent a renewal, on a clock that runs on while the machine sleeps. Others count from when
//! they saw the renewal. So a replica knows that its lease has ended before anybody else may bury it, whatever their clocks show.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::domain::ids::{ClusterKey, Fence, ReplicaId, TaskId};
use crate::domain::words::words;
use crate::store::StoreError;

/// What a renewal is good for.
pub const LEASE: Duration = Duration::from_secs(10);

words!(
    /// What has become of a replica.
    ReplicaState, "state of a replica", {
        /// It renews its lease.
        Live = "LIVE",
        /// It ended in order, and let go of its tasks.
        Left = "LEFT",
        /// It did not renew its lease: another replica buried it. Whoever it was comes back as a new replica.
        Buried = "BURIED",
    }
);

/// What a replica is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaName {
    /// `host:pid`.
    pub name: String,
    /// Where it serves gRPC.
    pub address: String,
}

/// A replica. Each start of the service is a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    pub id: ReplicaId,
    /// `host:pid`.
    pub name: String,
    /// Where it serves gRPC.
    pub address: String,
    pub version: String,
    pub start_time: Timestamp,
    /// When it left or was buried.
    pub end_time: Option<Timestamp>,
    pub state: ReplicaState,
    /// How often it has renewed its lease.
    pub renewals: i64,
    /// When it last did, by its own clock.
    pub renew_time: Timestamp,
    /// How many tasks it drove then.
    pub tasks: u32,
}

/// A task that moves, and who drives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedTask {
    pub task: TaskId,
    pub cluster: ClusterKey,
    pub fence: Fence,
    /// `None`: nobody.
    pub owner: Option<ReplicaId>,
}

#[async_trait]
pub trait Replicas: Send + Sync {
    /// Makes this process a new replica; what it writes from now on is that one's.
    async fn join(&self) -> Result<ReplicaId, StoreError>;

    /// Renews the lease of this replica, which drives so many tasks. False: it was buried. Not tried for longer than a moment.
    async fn renew(&self, tasks: usize) -> Result<bool, StoreError>;

    /// Live replicas, and those that ended lately, ascending by id.
    async fn replicas(&self) -> Result<Vec<ReplicaRow>, StoreError>;

    /// Buries a replica whose last renewal is still this one; false: it has renewed its lease, or is gone already.
    async fn bury(&self, replica: ReplicaId, renewals: i64) -> Result<bool, StoreError>;

    /// This replica ends in order: whatever it owned has no owner.
    async fn leave(&self) -> Result<(), StoreError>;

    /// Every task that moves.
    async fn owned_tasks(&self) -> Result<Vec<OwnedTask>, StoreError>;

    /// Claims a task while it holds its lock, under the fence that was seen: returns the new fence. `None`: somebody else was faster.
    async fn claim(&self, owned: &OwnedTask) -> Result<Option<Fence>, StoreError>;

    /// Changes when a replica has left or was buried.
    fn ownership(&self) -> watch::Receiver<i64>;

    /// False: there is no other replica, and a lease never ends.
    fn is_shared(&self) -> bool;
}
