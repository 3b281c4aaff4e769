//! The whole precheck of a stop, as PlanStopServer shows it and Prepare applies it: one assessment over one survey of
//! cluster and host, so that a plan and the task that follows it cannot differ in their rules.

use futures::future::join_all;

use crate::clock::Timestamp;
use crate::domain::admission::{Admission, ProcessFinding, ServiceState, service_state};
use crate::domain::event::{Failure, FailureKind, OverriddenCheck as RecordedOverride};
use crate::domain::gate::Consent;
use crate::domain::graph::TaskTarget;
use crate::domain::host::{Finding, MaySignal, ProcessReport};
use crate::domain::ids::{Principal, ServerAddr};
use crate::domain::precheck::{self, Check, CheckVerdict, LeaderMove, precheck};
use crate::domain::reading::{ClusterReading, ServerReading};
use crate::domain::status::OverriddenBy;
use crate::domain::store_home::StoreHome;
use crate::inventory::Target;
use crate::oceanbase::{ClusterError, ErrorClass};
use crate::operations::admission::admit_observed;
use crate::operations::definition::{Definition, StepKind};
use crate::operations::subject::Subject;
use crate::operations::{Deps, cluster, cluster_failure, leaves_unknown, retriable};

#[derive(Debug)]
pub struct Survey {
    /// The cluster, or why it could not be read.
    pub reading: Result<ClusterReading, ClusterError>,
    /// Each server with its process.
    pub found: Vec<(ServerAddr, ProcessReport)>,
    /// Where our own records are.
    pub store: StoreHome,
}

/// Reads cluster and hosts at once, in bounded time: a cluster that hangs is one that does not answer.
pub async fn survey(deps: &Deps, subject: &Subject) -> Survey {
    let read = async { subject.reader(deps).await?.reading().await };
    let read = super::step_io::within(deps.timeouts.reading, subject.cluster_name(), read);
    let (reading, found, store) = tokio::join!(read, processes(deps, subject), deps.store.home());
    Survey { reading, found, store }
}

/// The process of each server.
pub(super) async fn processes(deps: &Deps, subject: &Subject) -> Vec<(ServerAddr, ProcessReport)> {
    join_all(subject.targets().map(|target| find(deps, target))).await
}

async fn find(deps: &Deps, target: &Target) -> (ServerAddr, ProcessReport) {
    (target.server.addr, super::step_io::find(deps, target).await)
}

/// One check, from whichever rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessedCheck {
    pub name: String,
    pub verdict: CheckVerdict,
    pub evidence: String,
    pub remedy: String,
    /// What overrides it; `None`: nothing does.
    pub overridden_by: Option<OverriddenBy>,
    /// Whether the consent of this request includes that.
    pub overridden: bool,
    /// What the root service would say.
    pub root_service_words: Option<String>,
    /// Whether it may pass by itself within seconds.
    pub retriable: bool,
}

impl AssessedCheck {
    pub fn refuses(&self) -> bool {
        self.verdict == CheckVerdict::Block && !self.overridden
    }

    /// What was found, in the root service's words first when it has some.
    pub fn words(&self) -> String {
        match &self.root_service_words {
            Some(words) if *words != self.evidence => format!("{words} ({})", self.evidence),
            Some(_) | None => self.evidence.clone(),
        }
    }
}

impl From<&Check> for AssessedCheck {
    fn from(check: &Check) -> Self {
        Self {
            name: check.name.as_str().to_owned(),
            verdict: check.verdict,
            evidence: check.evidence.clone(),
            remedy: check.remedy.clone(),
            overridden_by: check.overridden_by,
            overridden: false,
            root_service_words: check.root_service_words.clone(),
            retriable: check.retriable,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// In a fixed order: the cluster's answer, the host, admission, then the precheck.
    pub checks: Vec<AssessedCheck>,
    /// Leaders that would move.
    pub leader_moves: Vec<LeaderMove>,
    /// Failures that the log streams bear afterwards; `None`: not known.
    pub failures_tolerated_after: Option<i32>,
    /// When the cluster was read.
    pub observed_at: Timestamp,
}

impl Assessment {
    pub fn allowed(&self) -> bool {
        !self.checks.iter().any(AssessedCheck::refuses)
    }

    /// Whether everything that refuses may pass by itself within seconds.
    pub fn retriable(&self) -> bool {
        self.checks.iter().filter(|check| check.refuses()).all(|check| check.retriable)
    }

    /// Why a stop is refused: the first check in words, with all others in the metadata.
    pub fn refusal(&self) -> Option<Failure> {
        let mut refusing = self.checks.iter().filter(|check| check.refuses());
        let first = refusing.next()?;
        Some(refusal(first, refusing))
    }

    /// The overrides that are recorded when the stop goes on.
    pub fn overrides(&self, principal: &Principal) -> Vec<RecordedOverride> {
        let overridden = self.checks.iter().filter(|check| check.verdict == CheckVerdict::Block && check.overridden);
        overridden
            .filter_map(|check| {
                Some(RecordedOverride {
                    check: check.name.clone(),
                    evidence: check.evidence.clone(),
                    overridden_by: check.overridden_by?,
                    principal: principal.clone(),
                })
            })
            .collect()
    }
}

/// Why a stop is refused: the first of the checks that refuse it in words, with all others in the metadata.
pub(super) fn refusal<'a>(first: &'a AssessedCheck, others: impl Iterator<Item = &'a AssessedCheck>) -> Failure {
    let mut message = first.words();
    if !first.remedy.is_empty() {
        message.push_str(&format!("; {}", first.remedy));
    }
    let all: Vec<&str> = std::iter::once(first).chain(others).map(|check| check.name.as_str()).collect();
    let failure = Failure::new(FailureKind::Refused, &first.name, message)
        .with("check", &first.name)
        .with("evidence", &first.evidence)
        .with("remedy", &first.remedy)
        .with("overridden_by", first.overridden_by.map_or("", OverriddenBy::as_str))
        .with("checks_that_block", all.join(","));
    match &first.root_service_words {
        Some(words) => failure.with("root_service", words),
        None => failure,
    }
}

/// What is known of the freeze that a stop would begin with. It blocks nothing: its outcome only shows when the stop runs.
pub async fn freeze_outlook(deps: &Deps, target: &Target) -> AssessedCheck {
    let addr = target.server.addr;
    let read = async { super::step_io::reader(deps, target).await?.checkpoints(&addr).await };
    match super::step_io::within(deps.timeouts.reading, &target.cluster.identity.name, read).await {
        Ok(replicas) if replicas.is_empty() => {
            check("FREEZE", CheckVerdict::Info, format!("{addr} has no log stream that could be frozen"), "")
        }
        Ok(replicas) => {
            let (count, seconds) = (replicas.len(), deps.timeouts.freeze.as_secs());
            let evidence = format!(
                "MINOR FREEZE would write out {count} log streams of {addr} before its process is ended, in at most {seconds} s"
            );
            check("FREEZE", CheckVerdict::Info, evidence, "")
        }
        Err(error) => {
            let evidence = format!("the checkpoints by which a freeze is verified cannot be read: {}", error.message);
            let remedy = "stop it without a freeze, or with force, which goes on when the freeze fails";
            check("FREEZE", CheckVerdict::Warn, evidence, remedy)
        }
    }
}

/// Applies every rule of a stop or a restart. That of a whole cluster asks for no majority; what it asks for besides stands with it.
pub fn assess(
    survey: &Survey,
    subject: &Subject,
    operation: &Definition,
    consent: &Consent,
    now: Timestamp,
) -> Assessment {
    let mut checks = vec![cluster_check(&survey.reading)];
    let mut leader_moves = Vec::new();
    let mut failures_tolerated_after = None;
    let mut observed_at = now;
    // Before admission, which only knows that a process is in doubt: the finding of the host says which.
    if operation.has(StepKind::StopProcess) {
        let of_several = !matches!(subject.what(), TaskTarget::Server(_));
        for (addr, found) in &survey.found {
            let of_server = host_checks(&survey.reading, found).into_iter();
            checks.extend(of_server.map(|check| match of_several {
                true => AssessedCheck { evidence: format!("{addr}: {}", check.evidence), ..check },
                false => check,
            }));
        }
    }
    if let Ok(reading) = &survey.reading {
        checks.extend(
            survey.found.iter().map(|(addr, found)| admission_check(reading, *addr, process_finding(found), operation)),
        );
        checks.extend(zone_check(reading, subject, &survey.found, operation));
    }
    let part = subject.stop_target();
    if part.is_none() {
        checks.extend(cluster::checks(survey, subject, operation));
    }
    checks.extend(store_check(survey, subject));
    if let (Ok(reading), Some(part)) = (&survey.reading, &part) {
        let precheck = precheck(reading, part, &survey.store, now);
        checks.extend(precheck.checks.iter().map(AssessedCheck::from));
        leader_moves = precheck.leader_moves;
        failures_tolerated_after = Some(precheck.failures_tolerated_after);
    }
    if let Ok(reading) = &survey.reading {
        observed_at = reading.observed_at;
    }
    for check in &mut checks {
        check.overridden = check.overridden_by.is_some_and(|by| by.is_given(consent.force, &consent.accepted));
    }
    Assessment { checks, leader_moves, failures_tolerated_after, observed_at }
}

/// Whether the store is in the way, where the precheck of a part does not say it.
fn store_check(survey: &Survey, subject: &Subject) -> Option<AssessedCheck> {
    let Target { cluster, servers, .. } = subject.way();
    let recorded = servers.iter().map(|server| server.addr);
    let check = match (&survey.reading, subject.stop_target()) {
        (Ok(_), Some(_)) => return None,
        (Ok(_) | Err(_), None) => precheck::of_whole_cluster(&survey.store, &cluster.identity, recorded),
        (Err(_), Some(_)) => precheck::of_unread_cluster(&survey.store, &cluster.identity, recorded),
    };
    Some(AssessedCheck::from(&check))
}

/// A check that nothing overrides.
pub fn check(
    name: &str,
    verdict: CheckVerdict,
    evidence: impl Into<String>,
    remedy: impl Into<String>,
) -> AssessedCheck {
    AssessedCheck {
        name: name.to_owned(),
        verdict,
        evidence: evidence.into(),
        remedy: remedy.into(),
        overridden_by: None,
        overridden: false,
        root_service_words: None,
        retriable: false,
    }
}

fn cluster_check(reading: &Result<ClusterReading, ClusterError>) -> AssessedCheck {
    let error = match reading {
        Ok(reading) => {
            let identity = &reading.identity;
            let evidence = format!("read cluster {} (cluster_id {})", identity.name, identity.ob_cluster_id);
            return check("CLUSTER_READABLE", CheckVerdict::Pass, evidence, "");
        }
        Err(error) => error,
    };
    let name = cluster_failure(error).reason;
    let remedy = match error.class {
        ErrorClass::AuthFailed => "correct the credentials with UpdateCluster",
        ErrorClass::WrongCluster => "correct the endpoints with UpdateCluster, or register the other cluster",
        ErrorClass::Permanent | ErrorClass::Unreadable => "look at the cluster; its state could not be read",
        ErrorClass::Transient | ErrorClass::Unreachable | ErrorClass::Unknown => {
            "look at the cluster's endpoints, then try again"
        }
    };
    let overridden_by = leaves_unknown(error.class).then_some(OverriddenBy::ClusterUnreachable);
    AssessedCheck {
        overridden_by,
        retriable: retriable(error.class),
        ..check(&name, CheckVerdict::Block, error.message.clone(), remedy)
    }
}

/// The finding in the words of the admission table.
pub fn process_finding(found: &ProcessReport) -> ProcessFinding {
    match &found.finding {
        Finding::Running(_) => ProcessFinding::Running,
        Finding::Absent { .. } => ProcessFinding::Absent,
        Finding::HostUnreachable { .. } => ProcessFinding::HostUnreachable,
        Finding::Ambiguous { .. } => ProcessFinding::Ambiguous,
    }
}

/// Whether the zone as a whole is in a state for the operation; `None`: the operation is on a server.
fn zone_check(
    reading: &ClusterReading,
    subject: &Subject,
    found: &[(ServerAddr, ProcessReport)],
    operation: &Definition,
) -> Option<AssessedCheck> {
    let (admits, zone) = (operation.admits_zone?, reading.zone(subject.zone()?)?);
    let states = zone_states(&reading.servers, found);
    Some(match admits(zone.status, &states) {
        Ok(()) => check("ZONE_STATE", CheckVerdict::Pass, format!("zone {} is {}", zone.name, zone.status), ""),
        Err(expected) => {
            let evidence =
                format!("zone {} is {}, where a {} needs {expected}", zone.name, zone.status, operation.noun());
            check("ZONE_STATE", CheckVerdict::Block, evidence, "look at the servers of the zone")
        }
    })
}

/// Service and process of each server whose process was looked for.
pub(super) fn zone_states(
    servers: &[ServerReading],
    found: &[(ServerAddr, ProcessReport)],
) -> Vec<(ServiceState, ProcessFinding)> {
    let state = |(addr, found): &(ServerAddr, ProcessReport)| {
        let row = servers.iter().find(|server| server.addr == *addr)?;
        Some((service_state(row), process_finding(found)))
    };
    found.iter().filter_map(state).collect()
}

/// Whether the server is in a state for the operation.
pub(super) fn admission_check(
    reading: &ClusterReading,
    addr: ServerAddr,
    found: ProcessFinding,
    operation: &Definition,
) -> AssessedCheck {
    let name = "SERVER_STATE";
    let Some(server) = reading.server(&addr) else {
        return check(name, CheckVerdict::Pass, "see TARGET_KNOWN", "");
    };
    let (of, noun) = match operation.admits_zone.is_some() || operation.is_on_cluster() {
        true => (format!("{addr}: "), operation.noun()),
        false => (String::new(), "stop".to_owned()),
    };
    match admit_observed(server, found, operation) {
        Admission::Admit => {
            let (service, process) = (service_state(server), found);
            check(name, CheckVerdict::Pass, format!("{of}service {service}, process {process}"), "")
        }
        Admission::Refuse { service, process, expected } => check(
            name,
            CheckVerdict::Block,
            format!("{of}service {service}, process {process}, where a {noun} needs {expected}"),
            match process {
                ProcessFinding::HostUnreachable => {
                    "HOST_PROCESS says why; start `obsteward agent` there, or correct the way to the host with UpdateCluster"
                }
                ProcessFinding::Ambiguous => "look at the processes on the host",
                ProcessFinding::Running | ProcessFinding::Absent | ProcessFinding::NotAsked => {
                    "nothing is to be stopped here"
                }
            },
        ),
    }
}

fn host_checks(reading: &Result<ClusterReading, ClusterError>, found: &ProcessReport) -> Vec<AssessedCheck> {
    let process = match &found.finding {
        Finding::Running(identity) => check("HOST_PROCESS", CheckVerdict::Pass, identity.to_string(), ""),
        Finding::Absent { evidence } => {
            check("HOST_PROCESS", CheckVerdict::Info, format!("no process: {evidence}"), "")
        }
        Finding::HostUnreachable { reason } => match reading {
            // Admission has decided whether a server whose host does not answer may be stopped.
            Ok(_) => check(
                "HOST_PROCESS",
                CheckVerdict::Warn,
                format!("the host does not answer: {reason}"),
                "the process cannot be ended, only the mark is set",
            ),
            Err(_) => check(
                "HOST_UNREACHABLE",
                CheckVerdict::Block,
                format!("neither the cluster nor the host answers: {reason}"),
                "without a proven process nothing can be ended; look at the host",
            ),
        },
        Finding::Ambiguous { evidence } => {
            let remedy = "look at the processes on the host; an unproven process is never signalled";
            check("PROCESS_AMBIGUOUS", CheckVerdict::Block, evidence.clone(), remedy)
        }
    };
    let may = match (&found.finding, &found.may_signal, &found.supervisor) {
        (Finding::Running(_), MaySignal::No { reason }, Some(supervisor)) => Some(check(
            "SUPERVISED",
            CheckVerdict::Block,
            format!("{supervisor} watches over the process: {reason}"),
            "stop the service only (type STOP_SERVICE), or list the unit as safe in the agent's configuration",
        )),
        (Finding::Running(_), MaySignal::No { reason }, None) => {
            let remedy = "run the agent as the observer's user";
            Some(check("SIGNAL_NOT_PERMITTED", CheckVerdict::Block, reason.clone(), remedy))
        }
        (Finding::Running(_), MaySignal::Yes, supervisor) => {
            let mut evidence = match supervisor {
                Some(supervisor) => format!("{supervisor} is listed as safe in the agent's configuration"),
                None => "the agent may signal the process, and nobody watches over it".to_owned(),
            };
            let verdict = if found.beside.is_empty() { CheckVerdict::Pass } else { CheckVerdict::Info };
            found.beside.iter().for_each(|seen| evidence.push_str(&format!("; {seen}")));
            Some(check("SUPERVISED", verdict, evidence, ""))
        }
        (Finding::Absent { .. } | Finding::HostUnreachable { .. } | Finding::Ambiguous { .. }, _, _) => None,
    };
    std::iter::once(process).chain(may).collect()
}
