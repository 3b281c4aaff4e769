//! What is common to the acceptance of every task on a server or a zone. It checks only what needs
//! no cluster, so that it answers in the time of one commit; the whole precheck is the task's first subtask. When recorded
//! state would refuse, it looks once more, bounded.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use uuid::Uuid;

use super::Service;
use super::call::{CallFamily, Caller};
use super::operate::Operate;
use super::refusals::{engine_refusal, inventory_refusal, store_refusal};
use crate::clock::Timestamp;
use crate::domain::admission::{Admission, ProcessFinding, service_state};
use crate::domain::call::Call;
use crate::domain::decide::{DEFAULT_CONSENT, Input, VerbRequest};
use crate::domain::event::{Phase, TaskCluster, TaskServer, TaskSpec, Verb};
use crate::domain::gate::Consent;
use crate::domain::graph::{Graph, TaskTarget};
use crate::domain::hold::{Hold, HoldUntil, TIME_TO_START, longest_hold};
use crate::domain::ids::{ClusterId, InvalidName, ServerAddr, TaskId};
use crate::domain::refusal::{LockHolder, Refusal};
use crate::domain::status::{InnerStatus, Risk, ServerStatus, ZoneInnerStatus};
use crate::domain::task::Task;
use crate::engine::WriteOutcome;
use crate::inventory::{Target, recorded_reading};
use crate::operations::admission::admit;
use crate::operations::assess::process_finding;
use crate::operations::definition::{Definition, GraphTimes, StepKind};
use crate::operations::former_and_target;
use crate::operations::server_or_zone::ServerOrZone;
use crate::store::inventory::ClusterRow;
use crate::store::{Author, StoredTask, Write};

/// Longest fresh look before a refusal by recorded state.
const FRESH_LOOK: Duration = Duration::from_secs(5);

impl Service {
    /// Records the task, or answers with the one that is there for the same request.
    pub(super) async fn accept(&self, caller: &Caller, asked: Operate) -> Result<StoredTask, Refusal> {
        if let Some(request_id) = asked.request_id {
            let known = self.store.request(&caller.principal, &request_id.to_string()).await;
            if let Some((task, known)) = known.map_err(|error| store_refusal(&error))? {
                return self.replayed(task, &known, &asked).await;
            }
        }
        if let Some(open) = self.open_repeat(caller, &asked).await? {
            return Ok(open);
        }
        let mut recorded = self.recorded_subject(&asked).await?;
        if let Some(stopped_by) = self.resting_stop(&asked, &recorded.subject).await? {
            return self.roll_back_instead(caller, asked, &recorded.subject, stopped_by).await;
        }
        if let Some(refusal) = recorded.refused_by_record(asked.operation) {
            recorded = self.look_again(&asked, refusal).await?;
        }
        let RecordedSubject { subject, .. } = recorded;
        let now = self.deps.clock.now();
        let expire_time = asked.expire_time.unwrap_or_else(|| now.plus(DEFAULT_CONSENT));
        if expire_time <= now {
            return Err(Refusal::ExpireTimePassed { expire_time, now });
        }
        let spec = self.spec(caller, &asked, &subject, expire_time, now).await?;
        let writes = self.recorded(caller, &asked, spec.id, &subject);
        match self.begin_task(caller, spec, writes).await? {
            Beginning::Begun(stored) => Ok(*stored),
            Beginning::LockHeld(holder) => match self.open_repeat(caller, &asked).await? {
                Some(open) => Ok(open),
                None => Err(self.in_progress(asked.cluster, holder).await?),
            },
            Beginning::Replayed { task, digest } => self.replayed(task, &digest, &asked).await,
        }
    }

    /// Records a task with the lock of its cluster and these writes, and gives it to an owner.
    pub(super) async fn begin_task(
        &self,
        caller: &Caller,
        spec: TaskSpec,
        writes: Vec<Write>,
    ) -> Result<Beginning, Refusal> {
        let id = spec.id;
        let lock = Write::AcquireLock { cluster: spec.cluster.key.clone() };
        let author = Author::Request { principal: caller.principal.clone(), nonce: Uuid::new_v4().to_string() };
        let writes = std::iter::once(lock).chain(writes).collect();
        let written = self.engine.committer().create(spec, author, writes).await;
        match written.map_err(|error| engine_refusal(&error))? {
            WriteOutcome::Done { task, fence, seq } => {
                // As committed, whatever it has come to since: its events follow from exactly here.
                let seq = seq.ok_or_else(|| Refusal::Internal { what: format!("task {id} has no place") })?;
                let stored = StoredTask { task: (*task).clone(), seq, progress: Vec::new() };
                self.engine.begin(task, fence);
                Ok(Beginning::Begun(Box::new(stored)))
            }
            WriteOutcome::LockHeld(holder) => Ok(Beginning::LockHeld(holder)),
            WriteOutcome::Replayed { task, digest } => Ok(Beginning::Replayed { task, digest }),
            WriteOutcome::Refused(refusal) => Err(refusal.into()),
            WriteOutcome::Fenced => Err(Refusal::Internal { what: "a new task was fenced".to_owned() }),
        }
    }

    /// The audit record of an acceptance, and the request id that it was made under.
    fn recorded(&self, caller: &Caller, asked: &Operate, task: TaskId, subject: &ServerOrZone) -> Vec<Write> {
        let addresses: Vec<String> = subject.addresses().iter().map(ToString::to_string).collect();
        let entry = asked.audit_entry().with_task(task, addresses.join(", "));
        let request = asked.request_id.map(|id| requested(caller, id, asked.digest()));
        std::iter::once(Write::Audit(self.accepted(caller, asked.operation.call, entry))).chain(request).collect()
    }

    async fn replayed(&self, task: TaskId, known: &str, asked: &Operate) -> Result<StoredTask, Refusal> {
        if known == asked.digest() {
            return self.stored_task(task).await;
        }
        let request_id = asked.request_id.map(|id| id.to_string()).unwrap_or_default();
        Err(Refusal::RequestIdReused { request_id, task })
    }

    /// The caller's own open task that an equal request made: the answer to programs that repeat without a request id.
    async fn open_repeat(&self, caller: &Caller, asked: &Operate) -> Result<Option<StoredTask>, Refusal> {
        if !asked.repeat_by_arguments || asked.request_id.is_some() {
            return Ok(None);
        }
        let Some(stored) = self.holder(asked.cluster).await? else { return Ok(None) };
        Ok(is_repeat(caller, asked, &stored.task.spec).then_some(stored))
    }

    /// The task that holds a cluster.
    async fn holder(&self, cluster: ClusterId) -> Result<Option<StoredTask>, Refusal> {
        let cluster = self.deps.inventory.cluster(cluster).await.map_err(|error| inventory_refusal(&error))?;
        let lock = self.store.lock(&cluster.identity.key()).await.map_err(|error| store_refusal(&error))?;
        match lock.and_then(|lock| lock.holder) {
            Some(holder) => self.stored_task(holder).await.map(Some),
            None => Ok(None),
        }
    }

    /// For a start: the task at rest that stopped this very server or zone, for good or to start it again, and holds its
    /// cluster. A start beside it is not possible, and undoing it is what the caller means (docs/ocp-v2.md#start-ob-server).
    async fn resting_stop(&self, asked: &Operate, subject: &ServerOrZone) -> Result<Option<Task>, Refusal> {
        if ![Call::StartServer, Call::StartZone].contains(&asked.operation.call) {
            return Ok(None);
        }
        let Some(StoredTask { task, .. }) = self.holder(asked.cluster).await? else { return Ok(None) };
        let stop = Definition::of_task(&task).is_some_and(Definition::stops_service);
        let stopped: Vec<ServerAddr> = task.spec.servers.iter().map(|server| server.addr).collect();
        let same = task.spec.target == asked.target && stopped == subject.addresses();
        Ok((stop && same && task.state.phase() == Phase::AtRest).then_some(task))
    }

    async fn roll_back_instead(
        &self,
        caller: &Caller,
        asked: Operate,
        subject: &ServerOrZone,
        stopped_by: Task,
    ) -> Result<StoredTask, Refusal> {
        let id = stopped_by.spec.id;
        let principal = caller.principal.clone();
        let author = Author::Request { principal: principal.clone(), nonce: Uuid::new_v4().to_string() };
        let verb = VerbRequest::Rollback { expire_time: asked.expire_time };
        // At this revision: what it has come to since may be something else than a stop at rest.
        let input = Input::Requested {
            asked: verb,
            principal,
            reason: caller.reason.clone(),
            if_revision: Some(stopped_by.revision),
        };
        let writes = self.recorded(caller, &asked, id, subject);
        let written = self.engine.committer().write(&Arc::new(stopped_by), input, author, |_| writes.clone()).await;
        match written.map_err(|error| engine_refusal(&error))? {
            WriteOutcome::Done { task, .. } => {
                self.go_on(task).await?;
                self.stored_task(id).await
            }
            WriteOutcome::Replayed { task, digest } => self.replayed(task, &digest, &asked).await,
            WriteOutcome::Refused(refusal) => Err(refusal.into()),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) => {
                Err(Refusal::Internal { what: format!("the rollback of task {id} was not written") })
            }
        }
    }

    async fn recorded_subject(&self, asked: &Operate) -> Result<RecordedSubject, Refusal> {
        let cluster = asked.cluster;
        match &asked.target {
            TaskTarget::Server(server) => {
                let target = self.deps.inventory.target(cluster, *server).await;
                let target = target.map_err(|error| inventory_refusal(&error))?;
                let actual = target.server.addr;
                match asked.expected_server.filter(|expected| *expected != actual) {
                    Some(expected) => Err(Refusal::ExpectedServerMismatch { server: *server, expected, actual }),
                    None => Ok(RecordedSubject { subject: target.into(), zone: None }),
                }
            }
            TaskTarget::Zone(zone) => {
                let targets = self.deps.inventory.targets(cluster, |row| row.zone == *zone).await;
                let targets = targets.map_err(|error| inventory_refusal(&error))?;
                let zones = self.deps.inventory.store().zones(cluster).await.map_err(|error| store_refusal(&error))?;
                let status = zones.into_iter().find(|row| row.name == *zone).map(|row| row.inner_status);
                match (ServerOrZone::zone_of(zone.clone(), targets), status) {
                    (Some(subject), Some(status)) => Ok(RecordedSubject { subject, zone: Some(status) }),
                    (None, _) | (_, None) => Err(Refusal::ZoneNotFound { cluster, zone: zone.clone() }),
                }
            }
            TaskTarget::Cluster => Err(Refusal::Internal { what: "no operation is on a whole cluster".to_owned() }),
        }
    }

    /// Recorded state refuses: the cluster and the hosts are asked before the caller hears it.
    async fn look_again(&self, asked: &Operate, by_record: Refusal) -> Result<RecordedSubject, Refusal> {
        let fresh = async {
            if let Err(error) = self.deps.inventory.sync(asked.cluster).await {
                tracing::info!(cluster = asked.cluster.get(), "no fresh look before a refusal: {error}");
                return Err(by_record.clone());
            }
            let recorded = self.recorded_subject(asked).await?;
            let find = |target: &Target| {
                let (host, observer) = (self.deps.hosts.host(&target.host), target.observer());
                async move { host.find(&observer).await }
            };
            let found = join_all(recorded.subject.targets().map(find)).await.into_iter();
            let found: Vec<ProcessFinding> = found
                .map(|found| found.map_or(ProcessFinding::HostUnreachable, |found| process_finding(&found)))
                .collect();
            match recorded.refused(&found, asked.operation) {
                Some(refusal) => Err(refusal),
                None => Ok(recorded),
            }
        };
        tokio::time::timeout(FRESH_LOOK, fresh).await.unwrap_or(Err(by_record.clone()))
    }

    async fn spec(
        &self,
        caller: &Caller,
        asked: &Operate,
        subject: &ServerOrZone,
        expire_time: Timestamp,
        now: Timestamp,
    ) -> Result<TaskSpec, Refusal> {
        let server = |target: &Target| TaskServer {
            id: target.server.id,
            addr: target.server.addr,
            ob_server_id: target.server.ob_server_id,
            zone: target.server.zone.clone(),
        };
        let servers: Vec<TaskServer> = subject.targets().map(server).collect();
        let cluster = &subject.way().cluster;
        let hold = asked.hold_until.map(HoldUntil::Deadline);
        let hold = hold.map(|until| admitted_hold(until, cluster, &asked.consent, now)).transpose()?;
        let times = GraphTimes {
            lease: Duration::from_micros(u64::try_from(cluster.lease_time_micros).unwrap_or_default()),
            leader_wait: self.deps.timeouts.leader_wait,
            hold: hold.map(|hold| longest_of_subtask(&hold, now)).unwrap_or_default(),
            rollout: Duration::ZERO,
            drain: asked.drain,
        };
        let (id, graph) = self.graph(asked.operation, std::slice::from_ref(&servers), times).await?;
        Ok(TaskSpec {
            id,
            cluster: task_cluster(cluster),
            target: asked.target.clone(),
            servers,
            creator: caller.principal.clone(),
            reason: caller.reason.clone(),
            expire_time,
            force: asked.consent.force,
            accepted_risks: asked.consent.accepted.clone(),
            stop_type: asked.stop_type(),
            freeze_before_stop: asked.freeze_before_stop,
            hold,
            rollout: None,
            drain: asked.drain,
            graph,
            facts: former_and_target(subject),
        })
    }

    /// The graph of a new task, with ids of its own.
    pub(super) async fn graph(
        &self,
        operation: &Definition,
        batches: &[Vec<TaskServer>],
        times: GraphTimes,
    ) -> Result<(TaskId, Graph), Refusal> {
        let internal = |error: InvalidName| Refusal::Internal { what: error.to_string() };
        let ids = u32::try_from(operation.subtask_count(batches) + 1).unwrap_or(u32::MAX);
        let first = self.store.reserve_ids(ids).await.map_err(|error| store_refusal(&error))?;
        let graph = operation.graph(first + 1, batches, times).map_err(internal)?;
        Ok((TaskId::new(first).map_err(internal)?, graph))
    }

    pub(super) async fn in_progress(&self, cluster: ClusterId, holder: TaskId) -> Result<Refusal, Refusal> {
        let task = self.stored_task(holder).await?.task;
        let holder = LockHolder {
            task: holder,
            name: task.spec.graph.operation.name.clone(),
            state: task.state,
            since: task.create_time,
            by: task.spec.creator.clone(),
            target: task.spec.describe_target(),
            verbs: freeing(&task),
        };
        Ok(Refusal::OperationInProgress { cluster, holder: Box::new(holder) })
    }
}

/// The verbs that free the cluster of a task, or bring it to where it is freed. Cancelling only brings a task to rest.
pub(super) fn freeing(task: &Task) -> Vec<Verb> {
    let allowed = task.allowed_verbs().into_iter();
    allowed
        .filter(|verb| match verb {
            Verb::Retry | Verb::Rollback | Verb::GiveUp => true,
            Verb::Cancel | Verb::SkipSubtask | Verb::CompleteHold | Verb::Pause | Verb::Resume => false,
        })
        .collect()
}

/// Whether a task was made by the same caller with the same arguments.
fn is_repeat(caller: &Caller, asked: &Operate, spec: &TaskSpec) -> bool {
    spec.graph.operation == asked.operation.operation()
        && spec.creator == caller.principal
        && spec.cluster.id == asked.cluster
        && spec.target == asked.target
        && spec.force == asked.consent.force
        && spec.accepted_risks == asked.consent.accepted
        && spec.stop_type == asked.stop_type()
        && spec.freeze_before_stop == asked.freeze_before_stop
        && spec.hold.map(|hold| hold.until) == asked.hold_until.map(HoldUntil::Deadline)
        && spec.drain == asked.drain
}

/// How the record of a task began.
pub(super) enum Beginning {
    Begun(Box<StoredTask>),
    /// Another task holds the cluster.
    LockHeld(TaskId),
    /// The request id is that of this task, and of a request with this digest.
    Replayed {
        task: TaskId,
        digest: String,
    },
}

/// The request id that a task was asked for under.
pub(super) fn requested(caller: &Caller, request_id: Uuid, digest: String) -> Write {
    Write::Request { principal: caller.principal.clone(), request_id: request_id.to_string(), digest }
}

pub(super) fn task_cluster(cluster: &ClusterRow) -> TaskCluster {
    TaskCluster {
        id: cluster.id,
        name: cluster.identity.name.clone(),
        ob_cluster_id: cluster.identity.ob_cluster_id,
        key: cluster.identity.key(),
    }
}

/// A hold that is over before the cluster gives up the replicas of the server, or of which the caller accepted that it may not
/// be.
pub(super) fn admitted_hold(
    until: HoldUntil,
    cluster: &ClusterRow,
    consent: &Consent,
    now: Timestamp,
) -> Result<Hold, Refusal> {
    let permanent_offline = Duration::from_micros(u64::try_from(cluster.permanent_offline_micros).unwrap_or_default());
    let end = match until {
        HoldUntil::Deadline(end) => end,
        HoldUntil::For(time) => now.plus(time),
    };
    if end <= now {
        return Err(Refusal::field("hold_until", format!("{end} has passed, it is {now}; hold until a later moment")));
    }
    let longest = longest_hold(permanent_offline);
    if end.since(now) > longest && !consent.accepts(Risk::PermanentOffline) {
        let (longest_seconds, permanent_offline_seconds) = (longest.as_secs(), permanent_offline.as_secs());
        return Err(Refusal::HoldTooLong { until: end, longest_seconds, permanent_offline_seconds });
    }
    Ok(Hold { until, permanent_offline })
}

/// How long the subtask of a hold may take: a host that does not answer at its end is waited for.
pub(super) fn longest_of_subtask(hold: &Hold, now: Timestamp) -> Duration {
    let asked = match hold.until {
        HoldUntil::Deadline(until) => until.since(now),
        HoldUntil::For(time) => time,
    };
    asked + hold.permanent_offline.max(TIME_TO_START)
}

/// What an operation is asked for, as recorded.
struct RecordedSubject {
    subject: ServerOrZone,
    /// STATUS of the zone that it is; `None`: it is a server.
    zone: Option<ZoneInnerStatus>,
}

impl RecordedSubject {
    /// What recorded state says against the request.
    fn refused_by_record(&self, operation: &Definition) -> Option<Refusal> {
        let process = |target: &Target| {
            let row = &target.server;
            // A server that we stopped and that is INACTIVE since was proven to have no process.
            let ended = row.managed_status == Some(ServerStatus::Stopped) && row.inner_status == InnerStatus::Inactive;
            if ended { ProcessFinding::Absent } else { ProcessFinding::NotAsked }
        };
        let processes: Vec<ProcessFinding> = self.subject.targets().map(process).collect();
        self.refused(&processes, operation)
    }

    fn refused(&self, processes: &[ProcessFinding], operation: &Definition) -> Option<Refusal> {
        let way = self.subject.way();
        let (cluster, server) = (way.cluster.id, way.server.id);
        if operation.has(StepKind::StopService) && way.servers.len() < 2 {
            return Some(Refusal::SingleServerCluster { cluster, server });
        }
        let mut states = Vec::new();
        for (target, process) in self.subject.targets().zip(processes) {
            let service = service_state(&recorded_reading(&target.server));
            if let Admission::Refuse { service, process, expected } = admit(service, *process, operation) {
                return Some(Refusal::ServerStateNotAdmitted {
                    server: target.server.id,
                    addr: target.server.addr,
                    service: service.to_string(),
                    process: process.to_string(),
                    expected: expected.to_owned(),
                    remedy: "look at the server with GetServer".to_owned(),
                });
            }
            states.push((service, *process));
        }
        let (status, admits) = (self.zone?, operation.admits_zone?);
        let expected = admits(status, &states).err()?.to_owned();
        Some(Refusal::ZoneStateNotAdmitted { cluster, zone: self.subject.zone().clone(), status, expected })
    }
}
