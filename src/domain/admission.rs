//! Admission: which request is allowed in which state of a server. One pure table over service state, process state and request
//! (docs/architecture.md#admission), applied to recorded state when a request arrives and to observed state in Prepare.

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Stop the service, then the process.
    StopProcess,
    /// The process stays.
    StopService,
    Start,
    /// Stop the service and the process, and start them again.
    Restart,
}

impl Request {
    pub const ALL: [Self; 4] = [Self::StopProcess, Self::StopService, Self::Start, Self::Restart];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admit,
    Refuse {
        service: ServiceState,
        process: ProcessFinding,
        /// The state that the request needs, for people.
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

const ONE_PROCESS: &str = "exactly one process on its host that is proven to be this server's";
const NOT_LEAVING: &str = "a server that is neither DELETING nor TAKEOVER_BY_RS";

/// The table. While the host was not asked, a request is admitted if any answer of the host could allow it: Prepare asks, and
/// evaluates the table again.
pub fn admit(service: ServiceState, process: ProcessFinding, request: Request) -> Admission {
    use ProcessFinding::{Absent, Ambiguous, HostUnreachable, NotAsked, Running};
    use ServiceState::{Leaving, Lost, Serving, Starting, Stopped};
    let expected = match (request, service, process) {
        (_, Leaving, _) => NOT_LEAVING,

        // A process that is not proven is never signalled.
        (Request::StopProcess, Serving | Lost | Starting | Stopped, Ambiguous) => ONE_PROCESS,
        // ACTIVE and host unreachable: refused before any SQL.
        (Request::StopProcess, Serving | Starting, HostUnreachable) => "an ACTIVE server whose host answers",
        // A process that is gone before the heartbeats stop is accepted: the stop marks the server and finds no process.
        (Request::StopProcess, Serving | Starting, Running | Absent | NotAsked) => return Admission::Admit,
        // Dead: STOP_TIME keeps leaders off it when it returns.
        (Request::StopProcess, Lost, Running | Absent | HostUnreachable | NotAsked) => return Admission::Admit,
        (Request::StopProcess, Stopped, Running | HostUnreachable | NotAsked) => return Admission::Admit,
        (Request::StopProcess, Stopped, Absent) => "a server that is not stopped yet",

        (Request::StopService, Serving | Starting | Lost, _) => return Admission::Admit,
        (Request::StopService, Stopped, _) => "a server whose STOP_TIME is not set",

        (Request::Restart, Serving | Starting, Running | NotAsked) => return Admission::Admit,
        (Request::Restart, Serving | Starting, Absent | Ambiguous | HostUnreachable) => ONE_PROCESS,
        (Request::Restart, Stopped | Lost, _) => "a server that serves; start one that does not",

        (Request::Start, Serving, _) => "a server that does not serve",
        (Request::Start, Starting, _) => "a server that is not starting already",
        (Request::Start, Stopped | Lost, Running | Absent | NotAsked) => return Admission::Admit,
        (Request::Start, Stopped | Lost, Ambiguous) => "at most one process on its host that could be this server's",
        (Request::Start, Stopped | Lost, HostUnreachable) => "a server whose host answers",
    };
    Admission::Refuse { service, process, expected }
}

/// The table over observed state, which knows more: STOP_TIME set, heartbeats arriving and an unreachable host mean a process
/// that certainly runs and cannot be ended.
pub fn admit_observed(server: &ServerReading, process: ProcessFinding, request: Request) -> Admission {
    let service = service_state(server);
    if service == ServiceState::Stopped
        && server.is_alive()
        && process == ProcessFinding::HostUnreachable
        && request == Request::StopProcess
    {
        return Admission::Refuse { service, process, expected: "an ACTIVE server whose host answers" };
    }
    admit(service, process, request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::reading::sample;

    fn admitted(service: ServiceState, process: ProcessFinding, request: Request) -> bool {
        admit(service, process, request) == Admission::Admit
    }

    /// What is admitted (docs/architecture.md#admission), sentence by sentence.
    #[test]
    fn the_table_says_what_the_design_says() {
        use ProcessFinding::{Absent, HostUnreachable, Running};
        use Request::{Start, StopProcess, StopService};
        use ServiceState::{Lost, Serving, Stopped};
        for (service, process, request, expected) in [
            (Serving, Running, StopProcess, true),
            (Serving, Running, StopService, true),
            (Serving, Running, Start, false),
            (Serving, HostUnreachable, StopProcess, false),
            (Stopped, Running, StopProcess, true),
            (Stopped, Running, StopService, false),
            (Stopped, Running, Start, true),
            (Lost, Absent, StopProcess, true),
            (Lost, HostUnreachable, StopProcess, true),
            (Lost, Absent, Start, true),
            (Stopped, Absent, StopProcess, false),
            (Stopped, Absent, StopService, false),
            (Stopped, Absent, Start, true),
        ] {
            assert_eq!(admitted(service, process, request), expected, "{service} {process} {request:?}");
        }
    }

    #[test]
    fn a_leaving_server_and_an_ambiguous_process_are_never_touched() {
        for process in ProcessFinding::ALL {
            for request in Request::ALL {
                assert!(!admitted(ServiceState::Leaving, process, request));
            }
        }
        for service in ServiceState::ALL {
            assert!(!admitted(service, ProcessFinding::Ambiguous, Request::StopProcess));
            assert!(!admitted(service, ProcessFinding::Ambiguous, Request::Start));
        }
    }

    /// A state that allows neither a stop nor a start could never be left.
    #[test]
    fn every_known_state_has_a_way_out() {
        for service in ServiceState::ALL.into_iter().filter(|service| *service != ServiceState::Leaving) {
            for process in [ProcessFinding::Running, ProcessFinding::Absent, ProcessFinding::NotAsked] {
                let out = Request::ALL.into_iter().any(|request| admitted(service, process, request));
                assert!(out, "{service} {process}");
            }
        }
    }

    /// What is admitted without asking the host is admitted for at least one answer of the host.
    #[test]
    fn not_asked_is_no_wider_than_the_answers() {
        for service in ServiceState::ALL {
            for request in Request::ALL {
                let fits = |process| admitted(service, process, request);
                let any = [ProcessFinding::Running, ProcessFinding::Absent].into_iter().any(fits);
                assert_eq!(fits(ProcessFinding::NotAsked), any, "{service} {request:?}");
            }
        }
    }

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

    #[test]
    fn a_stopped_server_that_beats_behind_an_unreachable_host_is_refused() {
        let mut server = sample::server(1);
        server.stop_time = Some(Timestamp::from_micros(1));
        let ask =
            |server: &ServerReading| admit_observed(server, ProcessFinding::HostUnreachable, Request::StopProcess);
        assert!(matches!(ask(&server), Admission::Refuse { .. }));
        server.status = InnerStatus::Inactive;
        assert_eq!(ask(&server), Admission::Admit);
    }
}
