//! Prepare start cluster, and the Prepare of each zone of a cluster that is operated on. The stop's is the one of every stop
//! (`prepare_stop`); the start asks the hosts, because a cluster that is down cannot be read.
//!
//! Repeating them is safe: they only read; statuses are written with their success, and again as they were when the task ends.

use std::time::Duration;

use async_trait::async_trait;

use super::prepare::not_admitted;
use super::prepare_stop::{begun, process_before, recorded, seen_before};
use crate::domain::admission::{ProcessFinding, ServiceState, service_state};
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::host::{Finding, HostCode};
use crate::domain::status::ZoneStatus;
use crate::engine::{Observation, Step, StepContext};
use crate::operations::assess::{process_finding, processes, refusal};
use crate::operations::cluster::{START, added_servers, admits};
use crate::operations::subject::Subject;
use crate::operations::{Deps, cluster_failure, leaves_unknown, step_io};
use crate::store::Write;

/// Longest look at a cluster that is expected to be down.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

pub struct PrepareStartCluster(pub Deps);

#[async_trait]
impl Step for PrepareStartCluster {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let subject = match Subject::of(deps, context).await {
            Ok(subject) => subject,
            Err(failure) => return step_io::not_begun(failure),
        };
        let read = async { subject.reader(deps).await?.discover().await };
        let read = step_io::within(LONGEST_LOOK, subject.cluster_name(), read);
        let (read, found) = tokio::join!(read, processes(deps, &subject));
        let read = match read {
            Ok(read) => Some(read),
            Err(error) if leaves_unknown(error.class) => {
                context.log(format!("the cluster does not answer, and is started by its hosts: {}", error.message));
                None
            }
            Err(error) => return step_io::refuse(cluster_failure(&error)),
        };
        let (servers, zones) = read.as_ref().map_or((&[][..], &[][..]), |read| (&read.servers, &read.zones));
        if let Some(check) = added_servers(&subject, servers) {
            return step_io::refuse(refusal(&check, std::iter::empty()));
        }
        let mut output = StepOutput { facts: recorded(&subject), ..StepOutput::default() };
        let mut states = Vec::new();
        for (target, (addr, found)) in subject.targets().zip(&found) {
            let row = servers.iter().find(|row| row.addr == *addr);
            match row {
                None if read.is_some() => return step_io::server_gone(target),
                None => {}
                Some(row) => {
                    if let Some(failure) = not_admitted(row, found, &START) {
                        return step_io::refuse(failure);
                    }
                }
            }
            match &found.finding {
                Finding::Ambiguous { evidence } => {
                    let message =
                        format!("whether a process of {addr} runs is not proven: {evidence}; look at the host");
                    let failure = Failure::new(FailureKind::Refused, "PROCESS_AMBIGUOUS", message);
                    return step_io::refuse(failure.with("address", addr));
                }
                Finding::HostUnreachable { reason } => {
                    let message = format!("{addr} is not started before its host answers: {reason}");
                    output.warnings.push((HostCode::HostUnreachable.as_str().to_owned(), message));
                }
                Finding::Running(_) | Finding::Absent { .. } => {}
            }
            states.push((row.map_or(ServiceState::Lost, service_state), process_finding(found)));
            output.facts.push(process_before(target, found, context));
        }
        if states.iter().all(|(_, process)| *process == ProcessFinding::HostUnreachable) {
            let message = format!("no host of cluster {} answers; look at the agents", subject.cluster_name());
            let failure = Failure::new(FailureKind::Unreachable, HostCode::HostUnreachable.as_str(), message);
            return Observation::Unreadable { failure };
        }
        let zones_now: Vec<_> = zones.iter().map(|zone| zone.status).collect();
        if let Err((found, expected)) = admits(&START, &states, &zones_now) {
            let message = format!("{found}, where a start needs {expected}");
            let failure = Failure::new(FailureKind::Refused, "CLUSTER_STATE", message);
            return step_io::refuse(failure.with("expected", expected));
        }
        output.facts.extend(seen_before(&subject, servers, zones));
        Observation::Reached { already_so: false, output, writes: begun(&START, &context.task.spec, &subject) }
    }

    /// The former statuses are written when the task ends.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::synced(&self.0, context).await
    }
}

/// Of one zone: what was is recorded by then, so that it is only shown as operated on.
pub struct PrepareZoneInCluster;

#[async_trait]
impl Step for PrepareZoneInCluster {
    async fn look(&self, context: &StepContext) -> Observation {
        let Some(zone) = context.zone().cloned() else { return step_io::refuse(step_io::misplaced(context)) };
        let (cluster, status) = (context.task.spec.cluster.id, Some(ZoneStatus::Operating));
        let writes = vec![Write::ZoneStatus { cluster, zone, status }];
        Observation::Reached { already_so: false, output: StepOutput::default(), writes }
    }
}
