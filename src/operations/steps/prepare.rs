//! Prepare, of an operation that stops nothing: proves the cluster, asks whether the server, or the zone with its servers, is in
//! a state that admits the operation, and records what was.
//!
//! Repeating it is safe: it only reads; statuses are written with its success.

use std::time::Duration;

use async_trait::async_trait;

use super::prepare_stop::{begun, process_before, recorded, seen_before};
use crate::domain::admission::Admission;
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::host::{Finding, ProcessReport};
use crate::domain::reading::ServerReading;
use crate::engine::{Observation, Step, StepContext};
use crate::operations::admission::admit_observed;
use crate::operations::assess::{process_finding, processes, zone_states};
use crate::operations::definition::Definition;
use crate::operations::subject::Subject;
use crate::operations::{Deps, step_io};

pub struct Prepare(pub Deps);

#[async_trait]
impl Step for Prepare {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let Some(operation) = Definition::of_task(&context.task) else {
            let message = "the steps of this task are not those of its operation in this version; ask for it anew";
            return step_io::refuse(Failure::new(FailureKind::Internal, "OPERATION_CHANGED", message));
        };
        let subject = match Subject::of(deps, context).await {
            Ok(subject) => subject,
            Err(failure) => return step_io::not_begun(failure),
        };
        let Some(of_zone) = subject.zone() else { return step_io::refuse(step_io::misplaced(context)) };
        let read = async {
            let mut reader = subject.reader(deps).await?;
            Ok((reader.servers().await?, reader.zone(of_zone).await?))
        };
        let (read, found) = tokio::join!(step_io::bounded(deps, context, read), processes(deps, &subject));
        let (servers, zone) = match read {
            Ok(read) => read,
            Err(error) => return step_io::unread(&error),
        };
        let mut facts = recorded(&subject);
        for (target, (addr, found)) in subject.targets().zip(&found) {
            let Some(row) = servers.iter().find(|row| row.addr == *addr) else { return step_io::server_gone(target) };
            if let Some(failure) = not_admitted(row, found, operation) {
                return step_io::refuse(failure);
            }
            facts.push(process_before(target, found, context));
        }
        if let (Some(admits), Some(zone)) = (operation.admits_zone, &zone)
            && let Err(expected) = admits(zone.status, &zone_states(&servers, &found))
        {
            let (name, status, noun) = (&zone.name, zone.status, operation.noun());
            let message = format!("zone {name} is {status}, where a {noun} needs {expected}");
            let failure = Failure::new(FailureKind::Refused, "ZONE_STATE", message);
            return step_io::refuse(failure.with("zone", name).with("status", status).with("expected", expected));
        }
        facts.extend(seen_before(&subject, &servers, zone.as_slice()));
        let output = StepOutput { facts, ..StepOutput::default() };
        let writes = begun(operation, &context.task.spec, &subject);
        Observation::Reached { already_so: false, output, writes }
    }

    /// The former statuses are written when the task ends.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::synced(&self.0, context).await
    }

    fn read_failure_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// Why the operation is refused for a server in this state.
pub(super) fn not_admitted(row: &ServerReading, found: &ProcessReport, operation: &Definition) -> Option<Failure> {
    let (service, process, expected) = match admit_observed(row, process_finding(found), operation) {
        Admission::Admit => return None,
        Admission::Refuse { service, process, expected } => (service, process, expected),
    };
    let addr = row.addr;
    let doubt = match &found.finding {
        Finding::HostUnreachable { reason: words } | Finding::Ambiguous { evidence: words } => format!(" ({words})"),
        Finding::Running(_) | Finding::Absent { .. } => String::new(),
    };
    let needs = format!("where a {} needs {expected}{doubt}", operation.noun());
    let message = format!("{addr}: service {service}, process {process}, {needs}");
    let failure = Failure::new(FailureKind::Refused, "SERVER_STATE", message);
    let failure = failure.with("address", addr).with("service", service).with("process", process);
    Some(failure.with("expected", expected))
}
