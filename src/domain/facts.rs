//! The part of a task's context that people are shown. The context also holds values that only the steps read, for example
//! which process was running before: those may change with every version, and no client may rely on them. Pure.

use crate::domain::task::Task;
use crate::domain::words::words;

words!(
    /// A context value that people are shown; the words are its keys. The first seven are the contract's.
    ShownFact, "fact", {
        /// Our id, not OceanBase's.
        ClusterId = "cluster_id",
        /// Status of the cluster before.
        FormerClusterStatus = "former_cluster_status",
        /// Status of the zone afterwards.
        TargetZoneStatus = "target_zone_status",
        /// Status of the zone before.
        FormerZoneStatus = "former_zone_status",
        ZoneName = "zone_name",
        /// Status of the cluster afterwards.
        TargetClusterStatus = "target_cluster_status",
        /// Our id, not OceanBase's.
        ServerId = "server_id",
        /// Status of the server before.
        FormerServerStatus = "former_server_status",
        /// `STOP_TIME` before the task.
        StopTimeBefore = "stop_time_before",
        /// Number of log streams led from the server before the task.
        LeadersBefore = "leaders_before",
        /// Whether the cluster could not be read.
        ClusterState = "cluster_state",
        /// Whether the root service refused to set STOP_TIME.
        StopTime = "stop_time",
        /// What is known of the process after the task.
        ProcessState = "process_state",
    }
);

impl ShownFact {
    /// The contract's facts, in the order of its sample.
    pub const CONTRACT: [Self; 7] = [
        Self::ClusterId,
        Self::FormerClusterStatus,
        Self::TargetZoneStatus,
        Self::FormerZoneStatus,
        Self::ZoneName,
        Self::TargetClusterStatus,
        Self::ServerId,
    ];

    /// `None`: only the steps use this key.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fact| fact.as_str() == key)
    }
}

impl Task {
    pub fn fact(&self, fact: ShownFact) -> Option<&str> {
        self.context.get(fact.as_str()).map(String::as_str)
    }

    pub fn facts(&self) -> impl Iterator<Item = (ShownFact, &str)> {
        ShownFact::ALL.iter().filter_map(|fact| Some((*fact, self.fact(*fact)?)))
    }
}
