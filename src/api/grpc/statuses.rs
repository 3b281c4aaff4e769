//! Statuses as values of the protocol. Pure translation: the words are the domain's.

use crate::domain::status::{ClusterStatus, InnerStatus, ServerStatus, ZoneInnerStatus, ZoneStatus};
use crate::proto::v1;

/// Of a server, as OCP shows it.
pub const fn server(status: ServerStatus) -> v1::ServerStatus {
    match status {
        ServerStatus::Running => v1::ServerStatus::Running,
        ServerStatus::Stopping => v1::ServerStatus::Stopping,
        ServerStatus::Stopped => v1::ServerStatus::Stopped,
        ServerStatus::Starting => v1::ServerStatus::Starting,
        ServerStatus::Restarting => v1::ServerStatus::Restarting,
        ServerStatus::Deleting => v1::ServerStatus::Deleting,
        ServerStatus::Unavailable => v1::ServerStatus::Unavailable,
    }
}

/// Of a server, as OceanBase shows it.
pub const fn server_inner(status: InnerStatus) -> v1::ServerInnerStatus {
    match status {
        InnerStatus::Active => v1::ServerInnerStatus::Active,
        InnerStatus::Inactive => v1::ServerInnerStatus::Inactive,
        InnerStatus::Deleting => v1::ServerInnerStatus::Deleting,
        InnerStatus::TakeoverByRs => v1::ServerInnerStatus::TakeoverByRs,
    }
}

/// Of a zone, as OCP shows it.
pub const fn zone(status: ZoneStatus) -> v1::ZoneStatus {
    match status {
        ZoneStatus::Running => v1::ZoneStatus::Running,
        ZoneStatus::Stopped => v1::ZoneStatus::Stopped,
        ZoneStatus::Unavailable => v1::ZoneStatus::Unavailable,
        ZoneStatus::Operating => v1::ZoneStatus::Operating,
    }
}

/// Of a zone, as OceanBase shows it.
pub const fn zone_inner(status: ZoneInnerStatus) -> v1::ZoneInnerStatus {
    match status {
        ZoneInnerStatus::Active => v1::ZoneInnerStatus::Active,
        ZoneInnerStatus::Inactive => v1::ZoneInnerStatus::Inactive,
    }
}

/// Of a cluster, as OCP shows it.
pub const fn cluster(status: ClusterStatus) -> v1::ClusterStatus {
    match status {
        ClusterStatus::Running => v1::ClusterStatus::Running,
        ClusterStatus::Stopped => v1::ClusterStatus::Stopped,
        ClusterStatus::Operating => v1::ClusterStatus::Operating,
        ClusterStatus::Unavailable => v1::ClusterStatus::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs read the word behind the prefix.
    #[test]
    fn the_names_of_the_values_are_the_words() {
        for status in ServerStatus::ALL {
            assert_eq!(server(*status).as_str_name(), format!("SERVER_STATUS_{status}"));
        }
        for status in InnerStatus::ALL {
            assert_eq!(server_inner(*status).as_str_name(), format!("SERVER_INNER_STATUS_{status}"));
        }
        for status in ZoneStatus::ALL {
            assert_eq!(zone(*status).as_str_name(), format!("ZONE_STATUS_{status}"));
        }
        for status in ZoneInnerStatus::ALL {
            assert_eq!(zone_inner(*status).as_str_name(), format!("ZONE_INNER_STATUS_{status}"));
        }
        for status in ClusterStatus::ALL {
            assert_eq!(cluster(*status).as_str_name(), format!("CLUSTER_STATUS_{status}"));
        }
    }
}
