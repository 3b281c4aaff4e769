//! Statuses as OceanBase and OCP write them. Sources: `DBA_OB_SERVERS` and `DBA_OB_ZONES` of OceanBase 4.x; the OCP API's
//! enumerations of server, zone and cluster status.

use crate::domain::words::words;

words!(
    /// `DBA_OB_SERVERS.STATUS`.
    InnerStatus, "server STATUS", {
        /// Heartbeats arrive. Stays so after STOP SERVER.
        Active = "ACTIVE",
        /// No heartbeat for `lease_time`.
        Inactive = "INACTIVE",
        Deleting = "DELETING",
        /// Taken over by the root service.
        TakeoverByRs = "TAKEOVER_BY_RS",
    }
);

words!(
    /// `DBA_OB_ZONES.STATUS`.
    ZoneInnerStatus, "zone STATUS", {
        Active = "ACTIVE",
        /// After STOP ZONE.
        Inactive = "INACTIVE",
    }
);

words!(
    /// Status of a server as OCP shows it.
    ServerStatus, "server status", {
        Running = "RUNNING",
        /// A stop task acts on it.
        Stopping = "STOPPING",
        /// By us; the process may still run.
        Stopped = "STOPPED",
        /// A start task acts on it.
        Starting = "STARTING",
        /// A restart task acts on it.
        Restarting = "RESTARTING",
        Deleting = "DELETING",
        /// Not serving, and not stopped by us.
        Unavailable = "UNAVAILABLE",
    }
);

words!(
    /// Status of a zone as OCP shows it.
    ZoneStatus, "zone status", {
        /// At least one server serves.
        Running = "RUNNING",
        /// No server serves.
        Stopped = "STOPPED",
        /// No server serves and none was stopped.
        Unavailable = "UNAVAILABLE",
        /// A task acts on it.
        Operating = "OPERATING",
    }
);

words!(
    /// Status of a cluster as OCP shows it.
    ClusterStatus, "cluster status", {
        Running = "RUNNING",
        /// No server serves.
        Stopped = "STOPPED",
        /// A task acts on it.
        Operating = "OPERATING",
        /// It could not be read.
        Unavailable = "UNAVAILABLE",
    }
);

words!(
    /// A risk that a caller can accept by name.
    Risk, "risk", {
        /// Log streams may lose their majority.
        QuorumLoss = "QUORUM_LOSS",
        /// The cluster's state cannot be read.
        ClusterUnreachable = "CLUSTER_UNREACHABLE",
        /// The cluster gives up the replicas of a server that is held too long.
        PermanentOffline = "PERMANENT_OFFLINE",
        /// Service ends for every tenant of the cluster: the risk of stopping all of it.
        ServiceLoss = "SERVICE_LOSS",
    }
);

impl Risk {
    /// Those that can be accepted for a server or a zone.
    pub const OF_PART: &'static [Self] = &[Self::QuorumLoss, Self::ClusterUnreachable];
    /// And for one that may be held, or several in turn.
    pub const OF_SERVER: &'static [Self] = &[Self::QuorumLoss, Self::ClusterUnreachable, Self::PermanentOffline];
    /// And those for a whole cluster, whose majority is meant to end.
    pub const OF_CLUSTER: &'static [Self] = &[Self::ClusterUnreachable, Self::ServiceLoss];

    /// Some of them in a sentence.
    pub fn names(some: &[Self]) -> String {
        some.iter().map(|risk| risk.as_str()).collect::<Vec<_>>().join(", ")
    }
}

words!(
    /// What overrides a check, or overrode it.
    OverriddenBy, "override", {
        /// `force`.
        Force = "force",
        /// The accepted risk of this name.
        QuorumLoss = "QUORUM_LOSS",
        /// The accepted risk of this name.
        ClusterUnreachable = "CLUSTER_UNREACHABLE",
        /// Both are needed.
        ForceAndQuorumLoss = "force and QUORUM_LOSS",
        /// The accepted risk of this name.
        ServiceLoss = "SERVICE_LOSS",
    }
);

impl OverriddenBy {
    /// Whether `force` and the accepted risks are enough.
    pub fn is_given(self, force: bool, accepted: &[Risk]) -> bool {
        match self {
            Self::Force => force,
            Self::QuorumLoss => accepted.contains(&Risk::QuorumLoss),
            Self::ClusterUnreachable => accepted.contains(&Risk::ClusterUnreachable),
            Self::ForceAndQuorumLoss => force && accepted.contains(&Risk::QuorumLoss),
            Self::ServiceLoss => accepted.contains(&Risk::ServiceLoss),
        }
    }
}

words!(
    StopType, "stop type", {
        /// The service, then the process.
        Process = "STOP_PROCESS",
        /// The service only; the process stays.
        Service = "STOP_SERVICE",
    }
);
