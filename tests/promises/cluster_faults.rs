//! The simulated cluster's faults, each beginning with one step.

use std::fmt;

use obsteward::sim::{Fault, FaultKind};

use super::scenario::{SERVER, Scenario};

/// What somebody else may run meanwhile: on the same server or zone, and on another zone, which would cost a quorum.
const THIRD_PARTIES: [&str; 7] = [
    "ALTER SYSTEM START SERVER '{server}'",
    "ALTER SYSTEM STOP SERVER '{server}'",
    "ALTER SYSTEM FORCE STOP SERVER '{server}'",
    "ALTER SYSTEM ISOLATE SERVER '{server}'",
    STOP_ZONE,
    // Of what is about more than one server only.
    "ALTER SYSTEM START ZONE zone2",
    "ALTER SYSTEM STOP ZONE zone2",
];
pub const STOP_ZONE: &str = "ALTER SYSTEM STOP ZONE zone3";
pub const START_ZONE: &str = "ALTER SYSTEM START ZONE zone3";

/// A fault that begins when a step does.
#[derive(Clone, Debug)]
pub struct FaultCase {
    pub step: &'static str,
    pub what: What,
    /// Whether somebody else changes the server, so that how it ends is not the task's alone.
    pub interferes: bool,
}

#[derive(Clone, Debug)]
pub enum What {
    Fault(Fault),
    /// The observer is ended by somebody.
    Killed,
    /// The root service moves.
    FailOver,
    /// Somebody runs this, with the server's address for `{server}`.
    ThirdParty(&'static str),
}

impl fmt::Display for FaultCase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Fault(fault) => write!(formatter, "{:?} on {:?} from {:?} on", fault.kind, fault.server, self.step),
            other => write!(formatter, "{other:?} at {:?}", self.step),
        }
    }
}

/// Whether a fault is met by those who connect.
pub const fn at_login(fault: &FaultKind) -> bool {
    matches!(
        fault,
        FaultKind::RefuseConnections
            | FaultKind::LoginRefused
            | FaultKind::TenantNotInServer
            | FaultKind::WrongIdentity { .. }
    )
}

/// Every fault at every step of a scenario.
pub fn of(scenario: Scenario) -> Vec<FaultCase> {
    let on = |kind: FaultKind| Fault::on(kind, SERVER);
    let any = |kind: FaultKind| Fault::from(kind);
    let refused = |statement: &str, number: u16, text: &str| {
        any(FaultKind::Refused { number, text: text.to_owned() }).for_statement(statement)
    };
    let (by_zone, of_all) = (scenario.operation.marks_zone(), scenario.operation.is_of_whole_cluster());
    let (stop, start) = match (by_zone, of_all) {
        (false, false) => ("ALTER SYSTEM STOP SERVER", "ALTER SYSTEM START SERVER"),
        (true, _) => ("ALTER SYSTEM STOP ZONE", "ALTER SYSTEM START ZONE"),
        // Nothing is marked; what is sent before the first process ends freezes.
        (false, true) => ("ALTER SYSTEM MINOR FREEZE", "ALTER SYSTEM START SERVER"),
    };
    let third_parties = if by_zone || of_all { &THIRD_PARTIES[..] } else { &THIRD_PARTIES[..5] };
    let faults = [
        any(FaultKind::CutBeforeMark),
        any(FaultKind::CutAfterMark),
        any(FaultKind::LateMark { delay_ms: 700 }),
        any(FaultKind::TimeoutAfterMark),
        any(FaultKind::LeaderWaitTimeout),
        any(FaultKind::RootServiceFailover { number: Some(4638), marked: false }),
        any(FaultKind::RootServiceFailover { number: None, marked: true }),
        any(FaultKind::Hang).for_statement(stop),
        any(FaultKind::Hang).for_statement(start),
        any(FaultKind::Hang).for_statement("SELECT"),
        any(FaultKind::Slow { delay_ms: 20 }).for_statement("SELECT"),
        refused(stop, 4660, "cannot stop server or stop zone in multiple zones"),
        refused(start, 4179, "The target server may encounter device failures. START SERVER is not allowed"),
        refused("SELECT", 4012, "Timeout"),
        on(FaultKind::IgnoreSigterm),
        on(FaultKind::ExitSlowly { delay_ms: 400 }),
        on(FaultKind::RestartAfterExit { delay_ms: 50 }),
        on(FaultKind::DiesAtStart),
        on(FaultKind::StartsSlowly { delay_ms: 700 }),
        on(FaultKind::ClientLossUnnoticed),
        Fault::on(FaultKind::RefuseConnections, 1),
        Fault::on(FaultKind::LoginRefused, 1),
        Fault::on(FaultKind::TenantNotInServer, 3),
        Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3),
        Fault::on(FaultKind::WrongIdentity { cluster_name: "other".to_owned(), cluster_id: 77 }, 1),
        on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }),
        any(FaultKind::ArbitrationStuck),
        on(FaultKind::CheckpointStuck),
        any(FaultKind::UnknownMember { address: "10.9.9.9:2882".to_owned(), tenant: None, ls: None }),
    ];
    let interferes = |fault: &Fault| matches!(fault.kind, FaultKind::RestartAfterExit { .. });
    let mut cases = Vec::new();
    for step in scenario.steps() {
        cases.extend(faults.iter().map(|fault| FaultCase {
            step,
            interferes: interferes(fault),
            what: What::Fault(fault.clone()),
        }));
        for what in std::iter::once(What::Killed).chain(third_parties.iter().copied().map(What::ThirdParty)) {
            cases.push(FaultCase { step, what, interferes: true });
        }
        cases.push(FaultCase { step, what: What::FailOver, interferes: false });
    }
    cases
}
