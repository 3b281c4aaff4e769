//! What is common to the acceptance of every task on a server, a zone or a whole cluster. It checks only what needs
//! no cluster, so that it answers in the time of one commit; the whole precheck is the task's first subtask. When recorded
//! state would refuse, it looks once more, bounded.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use uuid::Uuid;

use super::Service;
use super::begin::{Beginning, RequestKey, task_cluster, waits_for};
use super::call::{CallFamily, Caller};
use super::hold;
use super::operate::Operate;
use super::refusals::{engine_refusal, inventory_refusal, store_refusal};
use crate::clock::Timestamp;
use crate::domain::admission::{Admission, ProcessFinding, service_state};
use crate::domain::call::Call;
use crate::domain::decide::{Input, VerbRequest};
use crate::domain::event::{Phase, TaskServer, TaskSpec, Verb};
use crate::domain::graph::TaskTarget;
use crate::domain::hold::HoldUntil;
use crate::domain::ids::{ClusterId, ServerAddr, TaskId};
use crate::domain::refusal::Refusal;
use crate::domain::status::{InnerStatus, Risk, ServerStatus, ZoneInnerStatus};
use crate::domain::task::Task;
use crate::engine::WriteOutcome;
use crate::inventory::{Target, recorded_reading};
use crate::operations::admission::admit;
use crate::operations::assess::process_finding;
use crate::operations::definition::{Definition, GraphTimes, StepKind};
use crate::operations::subject::Subject;
use crate::operations::{self, former_and_target};
use crate::store::{Author, StoredTask, Write};

/// Longest fresh look before a refusal by recorded state.
const FRESH_LOOK: Duration = Duration::from_secs(5);

impl Service {
    /// Records the task, or answers with the one that is there for the same request: its commit finds that by itself, and what has
    /// come to the cluster since keeps no repeat from its answer.
    pub(super) async fn accept(&self, caller: &Caller, asked: Operate) -> Result<StoredTask, Refusal> {
        let key = asked.request_key();
        match self.accept_new(caller, &asked, key.as_ref()).await {
            // A store that does not answer is not asked once more.
            Err(refusal @ Refusal::Unavailable { .. }) => Err(refusal),
            Err(refusal) => self.repeated(caller, &asked, key.as_ref()).await?.ok_or(refusal),
            accepted => accepted,
        }
    }

    async fn accept_new(
        &self,
        caller: &Caller,
        asked: &Operate,
        key: Option<&RequestKey>,
    ) -> Result<StoredTask, Refusal> {
        if let Some(pending) = self.pending_repeat(caller, asked).await? {
            return Ok(pending);
        }
        if asked.operation.stops_cluster() && !asked.consent.accepts(Risk::ServiceLoss) {
            return Err(Refusal::ServiceLossNotAccepted { cluster: asked.cluster });
        }
        let mut recorded = self.recorded_subject(asked).await?;
        if let Some(stopped_by) = self.resting_stop(asked, &recorded.subject).await? {
            return self.roll_back_instead(caller, asked, key, &recorded.subject, stopped_by).await;
        }
        if let Some(refusal) = recorded.refused_by_record(asked.operation) {
            if let Some(repeated) = self.repeated(caller, asked, key).await? {
                return Ok(repeated);
            }
            recorded = self.look_again(asked, refusal).await?;
        }
        let RecordedSubject { subject, .. } = recorded;
        let now = self.deps.clock.now();
        let cluster = &subject.way().cluster;
        let accepted = &asked.consent.accepted;
        let admission = self.admission(cluster, asked.operation, asked.begin, accepted, now).await?;
        let (pending, earliest) = waits_for(admission, now);
        let expire_time =
            asked.expire_time.unwrap_or_else(|| self.default_consent(cluster, pending.as_ref(), earliest));
        if expire_time <= earliest {
            return Err(Refusal::ExpireTimePassed { expire_time, now: earliest });
        }
        // What waits takes no lock, which would find the task that has it.
        if (pending.is_some() || asked.begin.queue)
            && let Some(open) = self.holding_repeat(caller, asked).await?
        {
            return Ok(open);
        }
        let spec = self.spec(caller, asked, &subject, expire_time, earliest).await?;
        let spec = TaskSpec { pending, ..spec };
        let audit = self.audited(caller, asked, spec.id, &subject);
        match self.begin_or_queue(caller, spec, asked.begin, asked.operation.only_starts(), key, audit).await? {
            Beginning::Begun(stored) => Ok(*stored),
            Beginning::Frozen => Err(Refusal::Internal { what: "a freeze was not told".to_owned() }),
            Beginning::LockHeld(holder) => Err(self.in_progress(asked.cluster, holder).await?),
        }
    }

    /// The audit record of an acceptance.
    fn audited(&self, caller: &Caller, asked: &Operate, task: TaskId, subject: &Subject) -> Write {
        let addresses: Vec<String> = subject.addresses().iter().map(ToString::to_string).collect();
        let entry = asked.audit_entry().with_task(task, addresses.join(", "));
        Write::Audit(self.accepted(caller, asked.operation.call, entry))
    }

    /// The task of an earlier request that this one repeats: by its id, or by its arguments.
    async fn repeated(
        &self,
        caller: &Caller,
        asked: &Operate,
        key: Option<&RequestKey>,
    ) -> Result<Option<StoredTask>, Refusal> {
        match self.known(caller, key).await? {
            Some(known) => Ok(Some(known)),
            None => self.holding_repeat(caller, asked).await,
        }
    }

    /// The caller's own task that an equal request made and that holds the cluster: the answer to programs that repeat without a
    /// request id. Asked for only when nothing can be begun, which is so while it is there.
    async fn holding_repeat(&self, caller: &Caller, asked: &Operate) -> Result<Option<StoredTask>, Refusal> {
        if !asked.repeats_by_arguments() {
            return Ok(None);
        }
        Ok(self.holder(asked.cluster).await?.filter(|stored| is_repeat(caller, asked, &stored.task.spec)))
    }

    /// The same of a task that has not begun.
    async fn pending_repeat(&self, caller: &Caller, asked: &Operate) -> Result<Option<StoredTask>, Refusal> {
        if !asked.repeats_by_arguments() {
            return Ok(None);
        }
        let pending = self.store.pending_tasks().await.map_err(|error| store_refusal(&error))?;
        Ok(pending.into_iter().find(|stored| is_repeat(caller, asked, &stored.task.spec)))
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
    async fn resting_stop(&self, asked: &Operate, subject: &Subject) -> Result<Option<Task>, Refusal> {
        if ![Call::StartServer, Call::StartZone, Call::StartCluster].contains(&asked.operation.call) {
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
        asked: &Operate,
        key: Option<&RequestKey>,
        subject: &Subject,
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
        let audit = self.audited(caller, asked, id, subject);
        let writes: Vec<Write> = std::iter::once(audit).chain(key.map(|key| key.write(caller))).collect();
        let written = self.engine.committer().write(&Arc::new(stopped_by), input, author, |_| writes.clone()).await;
        match written.map_err(|error| engine_refusal(&error))? {
            WriteOutcome::Done { task, fence, .. } => {
                self.go_on(task, fence).await?;
                self.stored_task(id).await
            }
            WriteOutcome::Replayed { task, digest } => self.replayed(key, task, &digest).await,
            WriteOutcome::Refused(refusal) => Err(refusal.into()),
            WriteOutcome::Fenced | WriteOutcome::LockHeld(_) | WriteOutcome::Frozen => {
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
                    None => Ok(RecordedSubject { subject: target.into(), zones: Vec::new() }),
                }
            }
            TaskTarget::Zone(zone) => {
                let targets = self.deps.inventory.targets(cluster, |row| row.zone == *zone).await;
                let targets = targets.map_err(|error| inventory_refusal(&error))?;
                let zones = self.deps.inventory.store().zones(cluster).await.map_err(|error| store_refusal(&error))?;
                let status = zones.into_iter().find(|row| row.name == *zone).map(|row| row.inner_status);
                match (Subject::new(asked.target.clone(), targets), status) {
                    (Some(subject), Some(status)) => Ok(RecordedSubject { subject, zones: vec![status] }),
                    (None, _) | (_, None) => Err(Refusal::ZoneNotFound { cluster, zone: zone.clone() }),
                }
            }
            TaskTarget::Cluster => {
                let targets = self.deps.inventory.targets(cluster, |_| true).await;
                let targets = targets.map_err(|error| inventory_refusal(&error))?;
                let zones = self.deps.inventory.store().zones(cluster).await.map_err(|error| store_refusal(&error))?;
                let Some(subject) = Subject::new(TaskTarget::Cluster, targets) else {
                    return Err(Refusal::Internal { what: format!("cluster {cluster} has no servers") });
                };
                let actual = subject.cluster_name().to_owned();
                match asked.expected_cluster.clone().filter(|expected| *expected != actual) {
                    Some(expected) => Err(Refusal::ExpectedClusterMismatch { cluster, expected, actual }),
                    None => {
                        Ok(RecordedSubject { subject, zones: zones.iter().map(|zone| zone.inner_status).collect() })
                    }
                }
            }
        }
    }

    /// Recorded state refuses: the cluster and the hosts are asked before the caller hears it.
    async fn look_again(&self, asked: &Operate, by_record: Refusal) -> Result<RecordedSubject, Refusal> {
        let fresh = async {
            if let Err(error) = self.deps.inventory.sync(asked.cluster).await {
                tracing::info!(cluster = asked.cluster.get(), "no fresh look before a refusal: {error}");
                // Of a cluster that is to be started the hosts tell more than its record.
                if asked.operation.call != Call::StartCluster {
                    return Err(by_record.clone());
                }
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
        subject: &Subject,
        expire_time: Timestamp,
        now: Timestamp,
    ) -> Result<TaskSpec, Refusal> {
        let servers: Vec<TaskServer> = subject.targets().map(Target::task_server).collect();
        let cluster = &subject.way().cluster;
        let hold = asked.hold_until.map(HoldUntil::Deadline);
        let hold = hold.map(|until| hold::admitted(until, cluster, &asked.consent, now)).transpose()?;
        let times = GraphTimes {
            lease: cluster.lease_time(),
            leader_wait: self.deps.timeouts.leader_wait,
            hold: hold.map(|hold| hold::longest_of_subtask(&hold, now)).unwrap_or_default(),
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
            pending: None,
            graph,
            facts: former_and_target(subject),
            trace: Some(caller.trace),
        })
    }
}

/// The verbs that free the cluster of a task, or bring it to where it is freed. Cancelling only brings a task to rest.
pub(super) fn freeing(task: &Task) -> Vec<Verb> {
    let allowed = task.allowed_verbs().into_iter();
    allowed
        .filter(|verb| match verb {
            Verb::Retry | Verb::Rollback | Verb::GiveUp | Verb::CompleteHold => true,
            Verb::Cancel | Verb::SkipSubtask | Verb::Pause | Verb::Resume | Verb::Approve | Verb::WithdrawApproval => {
                false
            }
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

/// What an operation is asked for, as recorded.
struct RecordedSubject {
    subject: Subject,
    /// STATUS of the zone that it is, or of the cluster's; none: it is a server.
    zones: Vec<ZoneInnerStatus>,
}

impl RecordedSubject {
    /// What recorded state says against the request.
    fn refused_by_record(&self, operation: &Definition) -> Option<Refusal> {
        let process = |target: &Target| {
            let row = recorded_reading(&target.cluster, &target.server);
            // A server that we stopped and that is INACTIVE since was proven to have no process.
            let ended =
                target.server.managed_status == Some(ServerStatus::Stopped) && row.status == InnerStatus::Inactive;
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
            let service = service_state(&recorded_reading(&target.cluster, &target.server));
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
        let Some(zone) = self.subject.zone() else {
            let (found, expected) = operations::cluster::admits(operation, &states, &self.zones).err()?;
            let (name, found) = (self.subject.cluster_name().to_owned(), found.to_owned());
            return Some(Refusal::ClusterStateNotAdmitted { cluster, name, found, expected: expected.to_owned() });
        };
        let (status, admits) = (*self.zones.first()?, operation.admits_zone?);
        let expected = admits(status, &states).err()?.to_owned();
        Some(Refusal::ZoneStateNotAdmitted { cluster, zone: zone.clone(), status, expected })
    }
}
