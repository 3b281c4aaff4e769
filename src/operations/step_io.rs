//! What the steps share to reach the task's server, its cluster and its host.

use std::time::Duration;

use crate::domain::attempt::RecordedIntent;
use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind, IntentOutcome, SubtaskState, TaskServer};
use crate::domain::facts::ClusterState;
use crate::domain::gate::Consent;
use crate::domain::graph::TaskTarget;
use crate::domain::host::{CallerFence, Finding, HostCode, ProcessReport};
use crate::domain::reading::{ServerReading, TenantReading};
use crate::domain::status::Risk;
use crate::domain::stop_target::StopTarget;
use crate::domain::task::Subtask;
use crate::engine::{Observation, ProgressReport, StepContext, Unresolved};
use crate::host::{Admission, HostError};
use crate::inventory::{Target, recorded_reading};
use crate::oceanbase::{Avoid, ClusterError, ClusterReader, ErrorClass, Expected};
use crate::operations::definition::StepKind;
use crate::operations::server_or_zone::ServerOrZone;
use crate::operations::{Deps, cluster_failure, inventory_failure, leaves_unknown, retriable};
use crate::store::Write;

/// Longest look at a cluster of which the caller accepted that it cannot be read.
pub(super) const UNREADABLE_CLUSTER_TIMEOUT: Duration = Duration::from_secs(2);

/// How an owner can be outdated although its store has one owner at a time.
const STORE_IS_BEHIND: &str = "the store of this service was restored from a backup, or another service runs on a copy of \
                               it: make sure that no other service runs, stop this one, run `obsteward store restored`, \
                               start it again and retry";

/// The subtask's server, proven to be the one that the task was accepted for.
pub(super) async fn target(deps: &Deps, context: &StepContext) -> Result<Target, Failure> {
    let server = context.server().ok_or_else(|| misplaced(context))?;
    let target = deps.inventory.target(context.task.spec.cluster.id, server.id).await;
    proven(target.map_err(|error| inventory_failure(&error))?, server)
}

/// A server as it is registered now, when it is the one that a task was accepted for.
pub(super) fn proven(mut target: Target, accepted: &TaskServer) -> Result<Target, Failure> {
    let TaskServer { id, addr, ob_server_id, zone } = accepted;
    if target.server.addr != *addr || target.server.ob_server_id != *ob_server_id {
        let message = format!("server {id} is no longer {addr}; start anew with the server as it is now");
        let failure = Failure::new(FailureKind::Interfered, "SERVER_REPLACED", message);
        return Err(failure.with("server_id", id).with("address", addr));
    }
    // The zone of acceptance decides: the statement names it, and the root service compares it.
    target.server.zone = zone.clone();
    Ok(target)
}

/// The failure of a step that acts on something else than its subtask says.
pub(super) fn misplaced(context: &StepContext) -> Failure {
    let target = context.this().map(|this| &this.spec.target);
    let message = format!("a step of this subtask cannot act on {target:?}; ask for the operation anew");
    Failure::new(FailureKind::Internal, "MISPLACED_STEP", message)
}

/// The servers of the cluster as they are now, read away from the subtask's server and zone while another endpoint is left; as
/// last recorded when the caller accepted that the cluster cannot be read. `Err`: the observation that says why they are not
/// known.
pub(super) async fn servers(deps: &Deps, context: &StepContext) -> Result<Vec<ServerReading>, Box<Observation>> {
    let route = deps.inventory.route(context.task.spec.cluster.id).await;
    let route = route.map_err(|error| Box::new(not_begun(inventory_failure(&error))))?;
    let expected = Expected { identity: Some(route.cluster.identity.clone()), target: None };
    let avoid =
        Avoid { server: context.server().map(|server| server.addr), zone: context.zone().cloned(), never: None };
    let read = async { deps.oceanbase.reader(&route.access, &route.known, &expected, &avoid).await?.servers().await };
    match bounded(deps, context, read).await {
        Ok(servers) => Ok(servers),
        Err(error) if goes_on_unread(context, &error) => {
            Ok(route.servers.iter().map(|row| recorded_reading(&route.cluster, row)).collect())
        }
        Err(error) => Err(Box::new(unread(&error))),
    }
}

/// A session that reads, away from the target and its zone while another endpoint is left.
pub(super) async fn reader(deps: &Deps, target: &Target) -> Result<Box<dyn ClusterReader>, ClusterError> {
    let avoid = Avoid { server: Some(target.server.addr), zone: Some(target.server.zone.clone()), never: None };
    deps.oceanbase.reader(&target.access, &target.known, &target.expected(), &avoid).await
}

/// A session that reads, and what it says of the server now; `None`: the server's row is gone.
pub(super) async fn row(
    deps: &Deps,
    context: &StepContext,
    target: &Target,
) -> Result<(Box<dyn ClusterReader>, Option<ServerReading>), ClusterError> {
    let looked = async {
        let mut reader = reader(deps, target).await?;
        let row = reader.server(&target.server.addr).await?;
        Ok((reader, row))
    };
    bounded(deps, context, looked).await
}

/// A session that never asks the target about itself.
pub(super) async fn gate_reader(deps: &Deps, target: &Target) -> Result<Box<dyn ClusterReader>, ClusterError> {
    let avoid = Avoid {
        server: Some(target.server.addr),
        zone: Some(target.server.zone.clone()),
        never: Some(target.server.addr),
    };
    deps.oceanbase.reader(&target.access, &target.known, &target.expected(), &avoid).await
}

/// Bounds what is read of a cluster.
pub(super) async fn within<T>(
    limit: Duration,
    cluster: &str,
    read: impl Future<Output = Result<T, ClusterError>>,
) -> Result<T, ClusterError> {
    let too_slow = || {
        let message = format!("cluster {cluster} was not read within {} s", limit.as_secs());
        Err(ClusterError::new(ErrorClass::Unreachable, message))
    };
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| too_slow())
}

/// Whether the task goes on although the cluster could not be read: its caller accepted that.
pub(super) fn is_unread(context: &StepContext) -> bool {
    context.task.facts.cluster.state == Some(ClusterState::Unknown)
}

/// Whether the task goes on although the cluster was not read with this error: its caller accepted that.
pub(super) fn goes_on_unread(context: &StepContext, error: &ClusterError) -> bool {
    is_unread(context) && leaves_unknown(error.class)
}

/// Bounds what a step of a task reads: a cluster that hangs does not answer. When the caller accepted that the cluster
/// cannot be read, it gets a short chance and nothing waits for it.
pub(super) async fn bounded<T>(
    deps: &Deps,
    context: &StepContext,
    read: impl Future<Output = Result<T, ClusterError>>,
) -> Result<T, ClusterError> {
    let limit =
        if is_unread(context) { deps.timeouts.reading.min(UNREADABLE_CLUSTER_TIMEOUT) } else { deps.timeouts.reading };
    within(limit, &context.task.spec.cluster.name, read).await
}

/// Progress of a wait for several things of one server: in words, and what is said of the server until then.
pub(super) fn waits_for(target: &Target, what: Vec<(String, String)>) -> ProgressReport {
    let (words, held): (Vec<String>, Vec<String>) = what.into_iter().unzip();
    let held: Blockers = held.into_iter().map(|held| Blocker::server(target.server.addr, held)).collect();
    ProgressReport::uncounted(format!("waits for {}", words.join(", "))).held_by(held)
}

/// A host whose answer does not tell whether the process runs.
pub(super) fn unclear(evidence: &str) -> (String, String) {
    let held = format!("has a host that gives no clear answer ({evidence})");
    (format!("a clear answer of the host ({evidence})"), held)
}

/// A host that does not answer.
pub(super) fn silent(reason: &str) -> (String, String) {
    (format!("the host to answer ({reason})"), format!("has a host that does not answer ({reason})"))
}

/// The names of the cluster's tenants, asked for once in an execution: they are for people.
pub(super) async fn name_tenants(
    deps: &Deps,
    context: &StepContext,
    reader: &mut dyn ClusterReader,
    blockers: Blockers,
) -> Blockers {
    let known = context.memory().tenant_names.is_some();
    if !known
        && blockers.count() > 0
        && let Ok(tenants) = bounded(deps, context, reader.tenants()).await
    {
        remember_tenants(context, tenants);
    }
    match &context.memory().tenant_names {
        Some(names) => blockers.with_tenant_names(names),
        None => blockers,
    }
}

pub(super) fn remember_tenants(context: &StepContext, tenants: Vec<TenantReading>) {
    context.memory().tenant_names = Some(tenants.into_iter().map(|tenant| (tenant.id, tenant.name)).collect());
}

/// What the host says of the server's process; a host that does not answer is a finding, not an error.
pub(super) async fn find(deps: &Deps, target: &Target) -> ProcessReport {
    match deps.hosts.host(&target.host).find(&target.observer()).await {
        Ok(found) => found,
        Err(error) => ProcessReport {
            finding: Finding::HostUnreachable { reason: error.to_string() },
            ..ProcessReport::unreachable(error.to_string())
        },
    }
}

/// The same for an owner behind another one, whose call of the agent may still be on its way: a replica that was frozen sends it
/// whenever it goes on, long behind its horizon too. From this look on the agent refuses it, so that what is found not done stays so.
pub(super) async fn find_behind(
    deps: &Deps,
    context: &StepContext,
    target: &Target,
) -> Result<ProcessReport, Box<Observation>> {
    let of_another = |intent: &RecordedIntent| {
        intent.subtask == context.subtask
            && intent.intent.connection_id == 0
            && intent.is_unresolved()
            && intent.fence < context.fence
    };
    if !context.task.intents.iter().any(of_another) {
        return Ok(find(deps, target).await);
    }
    match deps.hosts.host(&target.host).arm(&target.observer(), &caller_fence(deps, context)).await {
        Ok((found, _)) => Ok(found),
        Err(HostError::Refused { code, message }) => match ownership_failure(context, &code, &message) {
            Some(failure) => Err(Box::new(refuse(failure))),
            None => Ok(ProcessReport::unreachable(message)),
        },
        Err(error @ HostError::Protocol { .. }) => Ok(ProcessReport::unreachable(error.to_string())),
    }
}

/// This owner, as agents know it.
fn caller_fence(deps: &Deps, context: &StepContext) -> CallerFence {
    let cluster = context.task.spec.cluster.key.clone();
    CallerFence { store_id: deps.store_id.clone(), cluster, fence: context.fence }
}

/// Why this owner must not act on the cluster, if its host knows: the agent has seen a later fence of this store, or another
/// store, or could not keep the record without which it ends no process. An agent that only has no room for its record is
/// waited for, as long as the subtask may take. Asked before each statement that acts, because the cluster knows no fences. A
/// host that does not answer knows nothing, and whatever else an agent says is for the step that needs it.
pub(super) async fn lost_ownership(deps: &Deps, context: &StepContext, target: &Target) -> Option<Observation> {
    match deps.hosts.host(&target.host).admit(&target.observer(), &caller_fence(deps, context)).await {
        Err(HostError::Refused { code, message }) => match code.parse() {
            Ok(HostCode::LedgerFailed | HostCode::LedgerWaits) if needs_the_host(context) => {
                let addr = target.server.addr;
                let message =
                    format!("the agent of {addr} cannot keep its record: {message}; look at the disk of its host");
                Some(if code == HostCode::LedgerWaits.as_str() {
                    Observation::Wait {
                        progress: ProgressReport::uncounted(message)
                            .held_by(Blocker::server(addr, "has no room for the record of its agent")),
                        again_in: deps.timeouts.between_readings(),
                    }
                } else {
                    refuse(Failure::new(FailureKind::Refused, HostCode::LedgerFailed.as_str(), message))
                })
            }
            Ok(_) | Err(_) => ownership_failure(context, &code, &message).map(refuse),
        },
        Ok(Admission::Current | Admission::Unreachable { .. }) | Err(HostError::Protocol { .. }) => None,
    }
}

/// Whether the task ends or starts a process.
fn needs_the_host(context: &StepContext) -> bool {
    [StepKind::StopProcess, StepKind::StartProcess].into_iter().any(|kind| of_kind(context, kind).is_some())
}

/// Whether a refusal of an agent passes by itself: its record has no room just then, or it cannot look at its host or start a
/// process (no file descriptor, no memory). Such a wait ends with the subtask's time.
pub(super) fn agent_recovers(code: &str) -> bool {
    matches!(code.parse(), Ok(HostCode::HostUnreadable | HostCode::LedgerWaits | HostCode::HostExhausted))
}

/// The failure of a task whose owner the agent does not accept as the cluster's operator, with what a person has to do.
pub(super) fn ownership_failure(context: &StepContext, code: &str, message: &str) -> Option<Failure> {
    let said = match code.parse() {
        Ok(HostCode::Fenced) => format!("{message}; {STORE_IS_BEHIND}"),
        Ok(HostCode::StoreNotTrusted) => message.to_owned(),
        Ok(_) | Err(_) => return None,
    };
    tracing::error!(task = context.task.spec.id.get(), "the host's agent refuses this service: {said}");
    Some(Failure::new(FailureKind::Refused, code, said).with("fence", context.fence))
}

/// The consent that the task's caller gave.
pub(super) fn consent(context: &StepContext) -> Consent {
    Consent { force: context.task.spec.force, accepted: context.task.spec.accepted_risks.clone() }
}

/// Whether the caller accepted a risk by name.
pub(super) fn accepts(context: &StepContext, risk: Risk) -> bool {
    context.task.spec.accepted_risks.contains(&risk)
}

/// The cluster did not answer: look again when that may help, refuse otherwise.
pub(super) fn unread(error: &ClusterError) -> Observation {
    let failure = cluster_failure(error);
    if retriable(error.class) { Observation::Unreadable { failure } } else { refuse(failure) }
}

/// A refusal that records nothing, and tells nothing of what the step tried.
pub(super) fn refuse(failure: Failure) -> Observation {
    Observation::Refuse { failure, output: StepOutput::default(), unresolved: Unresolved::NotKnown }
}

/// A refusal that records nothing, behind a look that saw that what the step tried is not done.
pub(super) fn refuse_not_done(failure: Failure) -> Observation {
    Observation::Refuse { failure, output: StepOutput::default(), unresolved: Unresolved::NotDone }
}

/// The effects that this subtask tried and of which nothing is known yet.
fn unresolved(context: &StepContext) -> impl Iterator<Item = &RecordedIntent> {
    context.task.attempts(context.subtask).filter(|intent| intent.is_unresolved())
}

/// The outcomes of these when a look finds them not done: one that may still happen is not known.
pub(super) fn found_not_done(context: &StepContext) -> Vec<(i32, IntentOutcome)> {
    let ahead = |intent| context.may_happen_until(std::iter::once(intent)).is_some();
    let outcome = |intent| if ahead(intent) { IntentOutcome::Unknown } else { IntentOutcome::Void };
    unresolved(context).map(|intent| (intent.number, outcome(intent))).collect()
}

/// The outcomes of these when the look cannot tell.
pub(super) fn not_known(context: &StepContext) -> Vec<(i32, IntentOutcome)> {
    unresolved(context).map(|intent| (intent.number, IntentOutcome::Unknown)).collect()
}

/// The last undo: what is shown of the cluster is to be what it was brought back to. A cluster that does not answer now is
/// read by the next sync, and the undo is none the less done.
pub(super) async fn synced(deps: &Deps, context: &StepContext) -> Observation {
    match tokio::time::timeout(deps.timeouts.reading, deps.inventory.sync(context.task.spec.cluster.id)).await {
        Ok(Ok(differences)) => differences.into_iter().for_each(|difference| context.log(difference)),
        Ok(Err(error)) => context.log(format!("the cluster was not read afterwards: {error}")),
        Err(_) => context.log("the cluster was not read afterwards: it did not answer in time"),
    }
    Observation::nothing_to_undo(context)
}

/// The undo is complete with these writes.
pub(super) fn undone(writes: Vec<Write>) -> Observation {
    Observation::Reached { already_so: false, output: StepOutput::default(), writes }
}

/// The failure of a look that cannot even begin.
pub(super) fn not_begun(failure: Failure) -> Observation {
    match failure.kind {
        FailureKind::Unreachable | FailureKind::Internal => Observation::Unreadable { failure },
        FailureKind::Refused
        | FailureKind::TimedOut
        | FailureKind::Interfered
        | FailureKind::Expired
        | FailureKind::Cancelled
        | FailureKind::CrashLoop => refuse(failure),
    }
}

/// The server's row is gone.
pub(super) fn server_gone(target: &Target) -> Observation {
    let addr = target.server.addr;
    let message = format!("server {addr} is not in DBA_OB_SERVERS any more; sync the cluster");
    refuse(Failure::new(FailureKind::Interfered, "SERVER_GONE", message).with("address", addr))
}

/// What is to be stopped is not in the cluster any more.
pub(super) fn gone(subject: &ServerOrZone) -> Observation {
    match subject.what() {
        StopTarget::Server(_) => server_gone(subject.way()),
        StopTarget::Zone(zone) => {
            let message = format!("zone {zone} is not in DBA_OB_ZONES any more; sync the cluster");
            refuse(Failure::new(FailureKind::Interfered, "ZONE_GONE", message).with("zone", zone))
        }
    }
}

/// Whether a later subtask of this kind was begun: what it changes no longer speaks against an earlier one.
pub(super) fn has_begun(context: &StepContext, kind: StepKind) -> bool {
    let later = of_kind(context, kind);
    later.is_some_and(|later| later.state != SubtaskState::Pending)
}

/// The subtask of this kind, if the operation has one: that of the same server, where each has its own.
pub(super) fn of_kind(context: &StepContext, kind: StepKind) -> Option<&Subtask> {
    let here = context.this().map(|this| &this.spec.target);
    let mut of_kind = context.task.subtasks.iter().filter(|subtask| subtask.spec.kind == kind.as_str());
    of_kind.find(|subtask| match (&subtask.spec.target, here) {
        (TaskTarget::Server(one), Some(TaskTarget::Server(other))) => one == other,
        (TaskTarget::Server(_) | TaskTarget::Zone(_) | TaskTarget::Cluster, _) => true,
    })
}

/// Time since the subtask of this kind ended, when it had an effect of its own.
pub(super) fn since_own_effect(deps: &Deps, context: &StepContext, kind: StepKind) -> Option<Duration> {
    use crate::domain::event::Effect;
    let subtask = of_kind(context, kind)?;
    match subtask.effect {
        Effect::Done => subtask.finished_at.map(|at| deps.clock.now().since(at)),
        Effect::None | Effect::AlreadySo => None,
    }
}
