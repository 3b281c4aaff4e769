//! The subtasks of each operation, in execution order.

/// The last of every graph: a task that fails there has done everything else.
pub const LAST: &str = "Update OB cluster status";

/// Of `Stop OB server`.
pub const STOP: [&str; 8] = [
    "Prepare stop observer",
    "Stop server",
    "Stop observer process",
    "Wait observer stop",
    "Update observer status",
    "Update zone status",
    "Sync cluster info",
    LAST,
];

/// Of `Start OB server`.
pub const START: [&str; 9] = [
    "Prepare start observer",
    "Start observer process",
    "Wait observer active",
    "Start ocp agent service",
    "Start server",
    "Update observer status",
    "Update zone status",
    "Sync cluster info",
    LAST,
];

/// Of `Restart OB server`.
pub const RESTART: [&str; 11] = [
    "Prepare restart observer",
    "Stop server",
    "Stop observer process",
    "Start observer process",
    "Wait observer active",
    "Start ocp agent service",
    "Start server",
    "Update observer status",
    "Update zone status",
    "Sync cluster info",
    LAST,
];
