//! What of a task's context people are shown. The context also holds what only the steps read, for example which process was
//! there before: that may change with every version, and nobody outside may rely on it. Pure.

use crate::domain::task::Task;
use crate::domain::words::words;

words!(
    /// A value of the context that people are shown; the words are its keys. The first seven are the contract's.
    ShownFact, "fact", {
        /// Id of the cluster here.
        ClusterId = "cluster_id",
        /// Status of the cluster before.
        FormerClusterStatus = "former_cluster_status",
        /// Status of the zone afterwards.
        TargetZoneStatus = "target_zone_status",
        /// Status of the zone before.
        FormerZoneStatus = "former_zone_status",
        /// Zone of the server.
        ZoneName = "zone_name",
        /// Status of the cluster afterwards.
        TargetClusterStatus = "target_cluster_status",
        /// Id of the server here.
        ServerId = "server_id",
        /// Status of the server before.
        FormerServerStatus = "former_server_status",
        /// STOP_TIME before.
        StopTimeBefore = "stop_time_before",
        /// Log streams led from the server before.
        LeadersBefore = "leaders_before",
        /// Whether the cluster could not be read.
        ClusterState = "cluster_state",
        /// Whether the root service refused to set STOP_TIME.
        StopTime = "stop_time",
        /// What is known of the process afterwards.
        ProcessState = "process_state",
    }
);

impl ShownFact {
    /// The contract's, in the order of its sample.
    pub const CONTRACT: [Self; 7] = [
        Self::ClusterId,
        Self::FormerClusterStatus,
        Self::TargetZoneStatus,
        Self::FormerZoneStatus,
        Self::ZoneName,
        Self::TargetClusterStatus,
        Self::ServerId,
    ];

    /// The fact of this key; `None`: it is for the steps only.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fact| fact.as_str() == key)
    }
}

impl Task {
    /// What it recorded of a fact.
    pub fn fact(&self, fact: ShownFact) -> Option<&str> {
        self.context.get(fact.as_str()).map(String::as_str)
    }

    /// What it recorded of all of them.
    pub fn facts(&self) -> impl Iterator<Item = (ShownFact, &str)> {
        ShownFact::ALL.iter().filter_map(|fact| Some((*fact, self.fact(*fact)?)))
    }
}
