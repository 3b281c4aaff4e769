//! A change freeze: while one is on, no task begins on the cluster, or on any. What has begun goes on, with all its verbs. Pure.

use crate::clock::Timestamp;
use crate::domain::ids::{ClusterKey, Principal};
use crate::domain::reason::Reason;

/// Of what nothing begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FreezeScope {
    Everything,
    Cluster(ClusterKey),
}

impl FreezeScope {
    pub fn covers(&self, cluster: &ClusterKey) -> bool {
        match self {
            Self::Everything => true,
            Self::Cluster(key) => key == cluster,
        }
    }
}

/// It is on until somebody thaws it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeFreeze {
    pub scope: FreezeScope,
    pub by: Principal,
    pub reason: Reason,
    pub since: Timestamp,
}
