//! Which request is admitted in which state of a server: each operation's own table (docs/architecture.md#admission), applied to
//! recorded state when a request arrives and to observed state in Prepare. Pure.

use crate::domain::admission::{Admission, ProcessFinding, Request, ServiceState, service_state};
use crate::domain::reading::ServerReading;
use crate::operations::definition::Definition;

// What more than one operation needs of a server.
pub(super) const ONE_PROCESS: &str = "exactly one process on its host that is proven to be this server's";
pub(super) const NOT_LEAVING: &str = "a server that is neither DELETING nor TAKEOVER_BY_RS";

/// While the host was not asked, a request is admitted if any answer of the host could allow it: Prepare asks, and
/// evaluates the table again.
pub fn admit(service: ServiceState, process: ProcessFinding, request: Request) -> Admission {
    match (Definition::of(request).admits)(service, process) {
        Ok(()) => Admission::Admit,
        Err(expected) => Admission::Refuse { service, process, expected },
    }
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
    use crate::domain::status::InnerStatus;

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
