//! Keys of a task's context, and the values of them that steps look for. The first seven are the contract's.

/// obsteward's own id of the cluster.
pub const CLUSTER_ID: &str = "cluster_id";
/// Zone of the server.
pub const ZONE_NAME: &str = "zone_name";
/// obsteward's own id of the server.
pub const SERVER_ID: &str = "server_id";
/// Status of the cluster before; never an in-operation one.
pub const FORMER_CLUSTER_STATUS: &str = "former_cluster_status";
/// Status of the zone before; never an in-operation one.
pub const FORMER_ZONE_STATUS: &str = "former_zone_status";
/// Status of the cluster afterwards.
pub const TARGET_CLUSTER_STATUS: &str = "target_cluster_status";
/// Status of the zone afterwards.
pub const TARGET_ZONE_STATUS: &str = "target_zone_status";
/// List: ids of the servers.
pub const SERVER_IDS: &str = "server_ids";
/// Status of the server before.
pub const FORMER_SERVER_STATUS: &str = "former_server_status";
/// STOP_TIME before, or `not set`.
pub const STOP_TIME_BEFORE: &str = "stop_time_before";
/// Process before: its identity, `ABSENT`, or `UNKNOWN`.
pub const PROCESS_BEFORE: &str = "process_before";
/// Log streams led from the server before.
pub const LEADERS_BEFORE: &str = "leaders_before";
/// `UNKNOWN` when the task goes on although the cluster could not be read.
pub const CLUSTER_STATE: &str = "cluster_state";
/// `REFUSED` when the task goes on although the root service refused to set STOP_TIME.
pub const STOP_TIME: &str = "stop_time";
/// Process afterwards: `ABSENT` or `UNKNOWN`.
pub const PROCESS_STATE: &str = "process_state";
/// The process that this task started, in words that name it.
pub const PROCESS_STARTED: &str = "process_started";
/// START_SERVICE_TIME before: a server that came back has another.
pub const START_SERVICE_TIME_BEFORE: &str = "start_service_time_before";

/// The value of a state that could not be seen.
pub const UNKNOWN: &str = "UNKNOWN";
/// The value of a process that is proven not to be there.
pub const ABSENT: &str = "ABSENT";
/// The value of `stop_time` when the root service refused to set it.
pub const REFUSED: &str = "REFUSED";
/// The value of a moment that was not set.
pub const NOT_SET: &str = "not set";
