//! Prepare stop observer: proves the cluster, makes the whole precheck, identifies the process, and records what was.
//!
//! Repeating it is safe: it only reads; statuses are written with its success.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::admission::service_state;
use crate::domain::blocker::Blockers;
use crate::domain::decide::StepOutput;
use crate::domain::event::TaskSpec;
use crate::domain::facts::{ClusterFact, ClusterState, Fact, ProcessBefore, ProcessState, ServerFact, ZoneFact};
use crate::domain::gate::Consent;
use crate::domain::graph::TaskTarget;
use crate::domain::host::{Finding, ProcessReport};
use crate::domain::ids::ZoneName;
use crate::domain::precheck::{blocking, precheck};
use crate::domain::reading::{LogStreamReading, ServerReading, ZoneReading};
use crate::domain::shown::server_status;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneInnerStatus, ZoneStatus};
use crate::engine::{Observation, ProgressReport, Step, StepContext};
use crate::inventory::{Target, is_stopped_as_a_whole, recorded_reading};
use crate::operations::assess::{Survey, assess, survey};
use crate::operations::definition::Definition;
use crate::operations::subject::Subject;
use crate::operations::{Deps, STOP_PROCESS, cluster_failure, retriable, step_io};
use crate::store::Write;
use crate::store::inventory::ServerRow;

/// Of a stop, and of a restart, which begins as one.
pub struct PrepareStop(pub Deps);

/// The log streams that a check refuses.
fn failing(survey: &Survey, subject: &Subject, consent: &Consent, now: Timestamp) -> Blockers {
    let mut blockers = Blockers::default();
    if let (Ok(reading), Some(target)) = (&survey.reading, subject.stop_target()) {
        let checks = precheck(reading, &target, &survey.store, now);
        blocking(&checks, consent.force, &consent.accepted).iter().for_each(|check| blockers.append(&check.blockers));
    }
    blockers
}

#[async_trait]
impl Step for PrepareStop {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let subject = match Subject::of(deps, context).await {
            Ok(subject) => subject,
            Err(failure) => return step_io::not_begun(failure),
        };
        let survey = survey(deps, &subject).await;
        let spec = &context.task.spec;
        let operation = Definition::of_task(&context.task).unwrap_or(&STOP_PROCESS);
        let assessment = assess(&survey, &subject, operation, &step_io::consent(context), deps.clock.now());
        if let Some(mut failure) = assessment.refusal() {
            if let Err(error) = &survey.reading {
                failure.metadata.extend(cluster_failure(error).metadata);
            }
            if !assessment.retriable() {
                return step_io::refuse(failure);
            }
            if let Err(error) = &survey.reading {
                debug_assert!(retriable(error.class));
                return Observation::Unreadable { failure: cluster_failure(error) };
            }
            let Some(left) = deps.timeouts.precheck.checked_sub(context.waited()).filter(|left| !left.is_zero()) else {
                return step_io::refuse(failure);
            };
            let progress = ProgressReport::uncounted(format!("a check that may pass: {}", failure.message))
                .held_by(failing(&survey, &subject, &step_io::consent(context), deps.clock.now()));
            return Observation::Wait { progress, again_in: deps.timeouts.between_readings().min(left) };
        }
        for (target, (_, found)) in subject.targets().zip(&survey.found) {
            let host_answers = !matches!(found.finding, Finding::HostUnreachable { .. });
            if host_answers && let Some(look) = step_io::lost_ownership(deps, context, target).await {
                return look;
            }
        }
        let overrides = assessment.overrides(&spec.creator);
        let mut output = StepOutput { facts: recorded(&subject), overrides, ..StepOutput::default() };
        for overridden in &output.overrides {
            context.log(format!(
                "{} is overridden by {}: {}",
                overridden.check, overridden.overridden_by, overridden.evidence
            ));
        }
        for (target, (addr, found)) in subject.targets().zip(&survey.found) {
            let led = |log_stream: &&LogStreamReading| log_stream.may_be_led_by(addr);
            let leaders = survey.reading.as_ref().map_or(0, |reading| reading.log_streams.iter().filter(led).count());
            let leaders = i32::try_from(leaders).unwrap_or(i32::MAX);
            output.facts.push(Fact::Server(target.server.id, ServerFact::LeadersBefore(leaders)));
            output.facts.push(process_before(target, found, context));
        }
        match &survey.reading {
            Ok(reading) => {
                output.facts.extend(seen_before(&subject, &reading.servers, &reading.zones));
            }
            Err(error) => {
                output.facts.push(Fact::Cluster(ClusterFact::State(ClusterState::Unknown)));
                let message = format!("the cluster's state is not known: {}", error.message);
                output.warnings.push(("CLUSTER_STATE_UNKNOWN".to_owned(), message));
            }
        }
        Observation::Reached { already_so: false, output, writes: begun(operation, spec, &subject) }
    }

    /// The former statuses are written when the task ends.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::synced(&self.0, context).await
    }

    fn read_failure_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// The statuses that are shown from here on: those of a zone's servers when each has been looked at.
pub(super) fn begun(operation: &Definition, spec: &TaskSpec, subject: &Subject) -> Vec<Write> {
    let cluster = spec.cluster.id;
    let first = match subject.what() {
        TaskTarget::Server(server) => {
            operation.meanwhile.map(|status| Write::ServerStatus { server: *server, status: Some(status) })
        }
        TaskTarget::Zone(zone) => {
            Some(Write::ZoneStatus { cluster, zone: zone.clone(), status: Some(ZoneStatus::Operating) })
        }
        // Each of its zones when it has been looked at.
        TaskTarget::Cluster => None,
    };
    first.into_iter().chain([Write::ClusterStatus { cluster, status: Some(ClusterStatus::Operating) }]).collect()
}

/// What every operation records before it begins.
pub(super) fn recorded(subject: &Subject) -> Vec<Fact> {
    let mut facts = former_and_target(subject);
    facts.extend(subject.targets().map(|target| {
        let row = recorded_reading(&target.cluster, &target.server);
        let server = server_status(target.server.managed_status, service_state(&row));
        Fact::Server(target.server.id, ServerFact::FormerStatus(former_server(server)))
    }));
    facts
}

/// What the cluster shows, and what is compared with later.
pub(super) fn seen_before(subject: &Subject, servers: &[ServerReading], zones: &[ZoneReading]) -> Vec<Fact> {
    let row = |target: &Target| servers.iter().find(|row| row.addr == target.server.addr).cloned();
    let servers = subject.targets().filter_map(|target| Some(times_before(target, &row(target)?)));
    let operated_on = |zone: &&ZoneReading| match subject.what() {
        TaskTarget::Server(_) => false,
        TaskTarget::Zone(name) => zone.name == *name,
        TaskTarget::Cluster => true,
    };
    let zones = zones.iter().filter(operated_on);
    let zones = zones.map(|zone| Fact::Zone(zone.name.clone(), ZoneFact::StatusBefore(zone.status)));
    servers.flatten().chain(zones).collect()
}

pub(super) fn process_before(target: &Target, found: &ProcessReport, context: &StepContext) -> Fact {
    let process = match &found.finding {
        Finding::Running(identity) => ProcessBefore::Running(identity.clone()),
        Finding::Absent { .. } => ProcessBefore::NotSeen(ProcessState::Absent),
        Finding::HostUnreachable { .. } | Finding::Ambiguous { .. } => ProcessBefore::NotSeen(ProcessState::Unknown),
    };
    context.log(format!("process before: {process}"));
    found.beside.iter().for_each(|seen| context.log(format!("beside it: {seen}")));
    Fact::Server(target.server.id, ServerFact::ProcessBefore(process))
}

/// The moments that are compared with later ones.
pub(super) fn times_before(target: &Target, row: &ServerReading) -> [Fact; 2] {
    [
        ServerFact::StopTimeBefore(row.stop_time.into()),
        ServerFact::StartServiceTimeBefore(row.start_service_time.into()),
    ]
    .map(|fact| Fact::Server(target.server.id, fact))
}

/// Never an in-operation status.
const fn former_server(status: ServerStatus) -> ServerStatus {
    match status {
        ServerStatus::Running | ServerStatus::Stopping | ServerStatus::Starting | ServerStatus::Restarting => {
            ServerStatus::Running
        }
        ServerStatus::Stopped => ServerStatus::Stopped,
        ServerStatus::Deleting => ServerStatus::Deleting,
        ServerStatus::Unavailable => ServerStatus::Unavailable,
    }
}

/// The statuses of zones and cluster before and after, as recorded; in-operation ones are left out of it.
pub fn former_and_target(subject: &Subject) -> Vec<Fact> {
    let Target { cluster, servers, .. } = subject.way();
    let shown = |row: &ServerRow| server_status(None, service_state(&recorded_reading(cluster, row)));
    let all: Vec<ServerStatus> = servers.iter().map(shown).collect();
    let whole = Some(ClusterStatus::Stopped).filter(|_| is_stopped_as_a_whole(cluster));
    let former_cluster = crate::domain::shown::cluster_status(whole, whole.is_none(), &all);
    let stopped = subject.addresses();
    let another_serves = |zone: Option<&ZoneName>| {
        let elsewhere = |row: &&ServerRow| !stopped.contains(&row.addr) && zone.is_none_or(|zone| row.zone == *zone);
        servers.iter().filter(elsewhere).any(|row| shown(row) == ServerStatus::Running)
    };
    let target_cluster = if another_serves(None) { ClusterStatus::Running } else { ClusterStatus::Stopped };
    let zones: BTreeSet<&ZoneName> = subject.targets().map(|target| &target.server.zone).collect();
    let of_zone = |zone: &ZoneName| {
        let in_zone: Vec<ServerStatus> = servers.iter().filter(|row| row.zone == *zone).map(shown).collect();
        let former = crate::domain::shown::zone_status(None, ZoneInnerStatus::Active, &in_zone);
        let target = if another_serves(Some(zone)) { ZoneStatus::Running } else { ZoneStatus::Stopped };
        [ZoneFact::FormerStatus(former), ZoneFact::TargetStatus(target)].map(|fact| Fact::Zone(zone.clone(), fact))
    };
    let of_cluster = [ClusterFact::FormerStatus(former_cluster), ClusterFact::TargetStatus(target_cluster)];
    of_cluster.into_iter().map(Fact::Cluster).chain(zones.into_iter().flat_map(of_zone)).collect()
}
