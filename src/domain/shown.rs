//! The status that people see, computed from the managed status (written by the task that holds the cluster) and the observed
//! one (written by sync). Pure.

use crate::domain::admission::ServiceState;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneInnerStatus, ZoneStatus};

/// Status of a server. A managed in-operation status stands while its task does; STOPPED yields to a server that serves.
pub const fn server_status(managed: Option<ServerStatus>, observed: ServiceState) -> ServerStatus {
    match (managed, observed) {
        (
            Some(
                status @ (ServerStatus::Stopping
                | ServerStatus::Starting
                | ServerStatus::Restarting
                | ServerStatus::Deleting),
            ),
            _,
        ) => status,
        (_, ServiceState::Serving) => ServerStatus::Running,
        (_, ServiceState::Leaving) => ServerStatus::Deleting,
        (Some(ServerStatus::Stopped), ServiceState::Stopped | ServiceState::Lost | ServiceState::Starting)
        | (_, ServiceState::Stopped) => ServerStatus::Stopped,
        (_, ServiceState::Lost) => ServerStatus::Unavailable,
        (_, ServiceState::Starting) => ServerStatus::Starting,
    }
}

/// Status of a zone by its servers' shown statuses.
pub fn zone_status(managed: Option<ZoneStatus>, inner: ZoneInnerStatus, servers: &[ServerStatus]) -> ZoneStatus {
    if managed == Some(ZoneStatus::Operating) {
        return ZoneStatus::Operating;
    }
    let serves = servers
        .iter()
        .any(|status| matches!(status, ServerStatus::Running | ServerStatus::Stopping | ServerStatus::Restarting));
    let stopped = servers.iter().any(|status| matches!(status, ServerStatus::Stopped));
    match (inner, serves, stopped || servers.is_empty()) {
        (ZoneInnerStatus::Inactive, _, _) => ZoneStatus::Stopped,
        (ZoneInnerStatus::Active, true, _) => ZoneStatus::Running,
        (ZoneInnerStatus::Active, false, true) => ZoneStatus::Stopped,
        (ZoneInnerStatus::Active, false, false) => ZoneStatus::Unavailable,
    }
}

/// Status of a cluster by its servers' shown statuses; `readable` is false when its last reading failed. One that was stopped as
/// a whole is not expected to be.
pub fn cluster_status(managed: Option<ClusterStatus>, readable: bool, servers: &[ServerStatus]) -> ClusterStatus {
    if managed == Some(ClusterStatus::Operating) {
        return ClusterStatus::Operating;
    }
    let all_stopped = !servers.is_empty() && servers.iter().all(|status| *status == ServerStatus::Stopped);
    match (readable, all_stopped) {
        (false, _) if managed == Some(ClusterStatus::Stopped) => ClusterStatus::Stopped,
        (false, _) => ClusterStatus::Unavailable,
        (true, true) => ClusterStatus::Stopped,
        (true, false) => ClusterStatus::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_server_that_serves_again_is_shown_running() {
        assert_eq!(server_status(Some(ServerStatus::Stopped), ServiceState::Serving), ServerStatus::Running);
        assert_eq!(server_status(Some(ServerStatus::Stopped), ServiceState::Lost), ServerStatus::Stopped);
        assert_eq!(server_status(None, ServiceState::Lost), ServerStatus::Unavailable);
        assert_eq!(server_status(Some(ServerStatus::Stopping), ServiceState::Serving), ServerStatus::Stopping);
    }

    #[test]
    fn a_cluster_that_was_stopped_as_a_whole_is_stopped_until_it_is_read_again() {
        let (running, stopped) = ([ServerStatus::Running], [ServerStatus::Stopped]);
        assert_eq!(cluster_status(Some(ClusterStatus::Stopped), false, &stopped), ClusterStatus::Stopped);
        assert_eq!(cluster_status(None, false, &stopped), ClusterStatus::Unavailable);
        assert_eq!(cluster_status(Some(ClusterStatus::Stopped), true, &running), ClusterStatus::Running);
    }

    #[test]
    fn a_zone_runs_while_one_of_its_servers_does() {
        use ServerStatus::{Running, Stopped, Unavailable};
        let active = ZoneInnerStatus::Active;
        assert_eq!(zone_status(None, active, &[Running, Stopped]), ZoneStatus::Running);
        assert_eq!(zone_status(None, active, &[Stopped, Unavailable]), ZoneStatus::Stopped);
        assert_eq!(zone_status(None, active, &[Unavailable]), ZoneStatus::Unavailable);
        assert_eq!(zone_status(None, ZoneInnerStatus::Inactive, &[Running]), ZoneStatus::Stopped);
    }
}
