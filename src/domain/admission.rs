//! What admission speaks of: the states of a server's service and process, and the answer. Which operation is admitted in
//! which state stands with each (`operations`).

use std::fmt;

use crate::domain::reading::ServerReading;
use crate::domain::status::InnerStatus;

/// Whether a server serves clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceState {
    /// ACTIVE, in service, STOP_TIME not set.
    Serving,
    /// STOP_TIME set.
    Stopped,
    /// INACTIVE and STOP_TIME not set.
    Lost,
    /// ACTIVE but not in service yet.
    Starting,
    /// Being deleted or taken over.
    Leaving,
}

impl ServiceState {
    pub const ALL: [Self; 5] = [Self::Serving, Self::Stopped, Self::Lost, Self::Starting, Self::Leaving];
}

impl fmt::Display for ServiceState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Serving => "SERVING",
            Self::Stopped => "STOPPED",
            Self::Lost => "LOST",
            Self::Starting => "STARTING",
            Self::Leaving => "LEAVING",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessFinding {
    /// Exactly one process is proven to be this server's.
    Running,
    /// Proven that no process is this server's.
    Absent,
    /// The host does not answer.
    HostUnreachable,
    /// More than one process could be this server's.
    Ambiguous,
    /// The host was not asked; Prepare will.
    NotAsked,
}

impl ProcessFinding {
    pub const ALL: [Self; 5] = [Self::Running, Self::Absent, Self::HostUnreachable, Self::Ambiguous, Self::NotAsked];
}

impl fmt::Display for ProcessFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Running => "RUNNING",
            Self::Absent => "ABSENT",
            Self::HostUnreachable => "HOST_UNREACHABLE",
            Self::Ambiguous => "AMBIGUOUS",
            Self::NotAsked => "NOT_ASKED",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admit,
    Refuse {
        service: ServiceState,
        process: ProcessFinding,
        /// The state that the operation needs, for people.
        expected: &'static str,
    },
}

pub fn service_state(server: &ServerReading) -> ServiceState {
    match server.status {
        InnerStatus::Deleting | InnerStatus::TakeoverByRs => ServiceState::Leaving,
        InnerStatus::Active | InnerStatus::Inactive if server.stop_time.is_some() => ServiceState::Stopped,
        InnerStatus::Inactive => ServiceState::Lost,
        InnerStatus::Active if server.start_service_time.is_none() => ServiceState::Starting,
        InnerStatus::Active => ServiceState::Serving,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::reading::sample;

    #[test]
    fn the_state_is_read_from_the_row() {
        let mut server = sample::server(1);
        assert_eq!(service_state(&server), ServiceState::Serving);
        server.start_service_time = None;
        assert_eq!(service_state(&server), ServiceState::Starting);
        server.status = InnerStatus::Inactive;
        assert_eq!(service_state(&server), ServiceState::Lost);
        server.stop_time = Some(Timestamp::from_micros(1));
        assert_eq!(service_state(&server), ServiceState::Stopped);
        server.status = InnerStatus::Deleting;
        assert_eq!(service_state(&server), ServiceState::Leaving);
    }
}
