//! Which request is admitted in which state of a server: each operation's own table (docs/architecture.md#admission), applied to
//! recorded state when a request arrives and to observed state in Prepare. Pure.

use crate::domain::admission::{Admission, ProcessFinding, ServiceState, service_state};
use crate::domain::reading::ServerReading;
use crate::operations::definition::{Definition, StepKind};

// What more than one operation needs of a server.
pub(super) const ONE_PROCESS: &str = "exactly one process on its host that is proven to be this server's";
pub(super) const NOT_LEAVING: &str = "a server that is neither DELETING nor TAKEOVER_BY_RS";

/// While the host was not asked, an operation is admitted if any answer of the host could allow it: Prepare asks, and
/// evaluates the table again.
pub fn admit(service: ServiceState, process: ProcessFinding, operation: &Definition) -> Admission {
    match (operation.admits)(service, process) {
        Ok(()) => Admission::Admit,
        Err(expected) => Admission::Refuse { service, process, expected },
    }
}

/// The table over observed state, which knows more: STOP_TIME set, heartbeats arriving and an unreachable host mean a process
/// that certainly runs and cannot be ended.
pub fn admit_observed(server: &ServerReading, process: ProcessFinding, operation: &Definition) -> Admission {
    let service = service_state(server);
    if service == ServiceState::Stopped
        && server.is_alive()
        && process == ProcessFinding::HostUnreachable
        && operation.has(StepKind::StopProcess)
    {
        return Admission::Refuse { service, process, expected: "an ACTIVE server whose host answers" };
    }
    admit(service, process, operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::reading::sample;
    use crate::domain::status::InnerStatus;
    use crate::operations::{ALL, FREEZE, START, STOP_PROCESS, STOP_SERVICE};

    fn admitted(service: ServiceState, process: ProcessFinding, operation: &Definition) -> bool {
        admit(service, process, operation) == Admission::Admit
    }

    /// What is admitted (docs/architecture.md#admission), sentence by sentence.
    #[test]
    fn the_table_says_what_the_design_says() {
        use ProcessFinding::{Absent, HostUnreachable, Running};
        use ServiceState::{Lost, Serving, Stopped};
        for (service, process, operation, expected) in [
            (Serving, Running, &STOP_PROCESS, true),
            (Serving, Running, &STOP_SERVICE, true),
            (Serving, Running, &START, false),
            (Serving, Running, &FREEZE, true),
            (Serving, Absent, &FREEZE, false),
            (Lost, Running, &FREEZE, false),
            (Serving, HostUnreachable, &STOP_PROCESS, false),
            (Stopped, Running, &STOP_PROCESS, true),
            (Stopped, Running, &STOP_SERVICE, false),
            (Stopped, Running, &START, true),
            (Lost, Absent, &STOP_PROCESS, true),
            (Lost, HostUnreachable, &STOP_PROCESS, true),
            (Lost, Absent, &START, true),
            (Stopped, Absent, &STOP_PROCESS, false),
            (Stopped, Absent, &STOP_SERVICE, false),
            (Stopped, Absent, &START, true),
        ] {
            assert_eq!(admitted(service, process, operation), expected, "{service} {process} {}", operation.name);
        }
    }

    #[test]
    fn a_leaving_server_and_an_ambiguous_process_are_never_touched() {
        for process in ProcessFinding::ALL {
            for operation in ALL {
                assert!(!admitted(ServiceState::Leaving, process, operation));
            }
        }
        for service in ServiceState::ALL {
            assert!(!admitted(service, ProcessFinding::Ambiguous, &STOP_PROCESS));
            assert!(!admitted(service, ProcessFinding::Ambiguous, &START));
        }
    }

    /// A state that allows neither a stop nor a start could never be left.
    #[test]
    fn every_known_state_has_a_way_out() {
        for service in ServiceState::ALL.into_iter().filter(|service| *service != ServiceState::Leaving) {
            for process in [ProcessFinding::Running, ProcessFinding::Absent, ProcessFinding::NotAsked] {
                let out = ALL.into_iter().any(|operation| admitted(service, process, operation));
                assert!(out, "{service} {process}");
            }
        }
    }

    /// What is admitted without asking the host is admitted for at least one answer of the host.
    #[test]
    fn not_asked_is_no_wider_than_the_answers() {
        for service in ServiceState::ALL {
            for operation in ALL {
                let fits = |process| admitted(service, process, operation);
                let any = [ProcessFinding::Running, ProcessFinding::Absent].into_iter().any(fits);
                assert_eq!(fits(ProcessFinding::NotAsked), any, "{service} {}", operation.name);
            }
        }
    }

    #[test]
    fn a_stopped_server_that_beats_behind_an_unreachable_host_is_refused() {
        let mut server = sample::server(1);
        server.stop_time = Some(Timestamp::from_micros(1));
        let ask = |server: &ServerReading| admit_observed(server, ProcessFinding::HostUnreachable, &STOP_PROCESS);
        assert!(matches!(ask(&server), Admission::Refuse { .. }));
        server.status = InnerStatus::Inactive;
        assert_eq!(ask(&server), Admission::Admit);
    }
}
