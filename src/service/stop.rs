//! StopServer and PlanStopServer. StopServer checks only what needs no cluster, so that it answers in the time of one commit;
//! the whole precheck is the task's first subtask. When recorded state would refuse, it looks once more, bounded.

use std::time::Duration;

use super::Service;
use super::arguments::{Caller, PlanCheck, PlanStopServer, StopPlanView, StopServer, Verdict};
use super::named::{self, Named};
use super::refusals::{inventory_refusal, store_refusal};
use crate::domain::admission::{Admission, ProcessFinding, admit, service_state};
use crate::domain::call::Call;
use crate::domain::decide::DEFAULT_CONSENT;
use crate::domain::event::{TaskCluster, TaskServer, TaskSpec, Verb};
use crate::domain::gate::Consent;
use crate::domain::ids::{SubtaskId, TaskId};
use crate::domain::precheck::{self, Surroundings};
use crate::domain::refusal::{Holder, Refusal};
use crate::domain::status::{InnerStatus, ServerStatus, StopType};
use crate::domain::task::Task;
use crate::engine::Written;
use crate::inventory::{Target, recorded_reading};
use crate::operations::stop_server::assess::{assess, process_finding, request, survey};
use crate::operations::stop_server::{former_and_target, graph, key, operation_name, subtask_count};
use crate::store::{Author, StoredTask, Write};

/// Longest fresh look before a refusal by recorded state.
const FRESH_LOOK: Duration = Duration::from_secs(5);
/// What a plan may take beyond its reading of the cluster: the look at the host.
const PLAN_BEYOND_READING: Duration = Duration::from_secs(5);

impl Service {
    /// Records a task that stops a server, and returns it.
    pub async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal> {
        let named = named::stop_server(&asked);
        // The canonical line of the arguments: a repeat by request id must have the same.
        let digest = named.arguments.clone();
        if let Some(request_id) = asked.request_id {
            let known = self.store.request(&caller.principal, &request_id.to_string()).await;
            if let Some((task, known)) = known.map_err(|error| store_refusal(&error))? {
                return self.replayed(task, &known, &digest, &request_id.to_string()).await;
            }
        }
        if let Some(open) = self.open_stop_with(caller, &asked).await? {
            return Ok(open);
        }
        let mut target = self.target(&asked).await?;
        if let Some(refusal) = self.refused_by_record(&target, asked.stop_type) {
            target = self.look_again(&asked, refusal).await?;
        }
        let now = self.deps.clock.now();
        let expire_time = asked.expire_time.unwrap_or_else(|| now.plus(DEFAULT_CONSENT));
        if expire_time <= now {
            return Err(Refusal::ExpireTimePassed { expire_time, now });
        }
        let spec = self.spec(caller, &asked, &target, expire_time).await?;
        let id = spec.id;
        let named = Named { target: format!("{} ({})", named.target, target.server.addr), task: Some(id), ..named };
        let audit = self.audit(caller, Call::StopServer, named);
        let mut writes = vec![Write::AcquireLock { cluster: spec.cluster.key.clone() }, Write::Audit(audit)];
        if let Some(request_id) = asked.request_id {
            let (principal, request_id) = (caller.principal.clone(), request_id.to_string());
            writes.push(Write::Request { principal, request_id, digest: digest.clone() });
        }
        let author = Author::Request { principal: caller.principal.clone(), nonce: uuid::Uuid::new_v4().to_string() };
        let written = self.engine.committer().create(spec, author, writes).await;
        match written.map_err(|error| store_refusal(&error))? {
            Written::Done { task, fence, seq } => {
                // As committed, whatever it has come to since: its events follow from exactly here.
                let seq = seq.ok_or_else(|| Refusal::Internal { what: format!("task {id} has no place") })?;
                let stored = StoredTask { task: (*task).clone(), seq, progress: Vec::new() };
                self.engine.begin(task, fence);
                Ok(stored)
            }
            Written::LockHeld(holder) => match self.open_stop_with(caller, &asked).await? {
                Some(open) => Ok(open),
                None => Err(self.in_progress(&asked, holder).await?),
            },
            Written::Replayed { task, digest: known } => {
                let request_id = asked.request_id.map(|id| id.to_string()).unwrap_or_default();
                self.replayed(task, &known, &digest, &request_id).await
            }
            Written::Refused(refusal) => Err(refusal),
            Written::Fenced => Err(Refusal::Internal { what: "a new task was fenced".to_owned() }),
        }
    }

    async fn replayed(&self, task: TaskId, known: &str, digest: &str, request_id: &str) -> Result<StoredTask, Refusal> {
        if known == digest {
            self.stored_task(task).await
        } else {
            Err(Refusal::RequestIdReused { request_id: request_id.to_owned(), task })
        }
    }

    /// The caller's own open task that an equal request made: the answer to programs that repeat without a request id.
    async fn open_stop_with(&self, caller: &Caller, asked: &StopServer) -> Result<Option<StoredTask>, Refusal> {
        if !asked.repeat_by_arguments || asked.request_id.is_some() {
            return Ok(None);
        }
        let cluster = self.deps.inventory.cluster(asked.cluster).await.map_err(|error| inventory_refusal(&error))?;
        let lock = self.store.lock(&cluster.identity.key()).await.map_err(|error| store_refusal(&error))?;
        let Some(holder) = lock.and_then(|lock| lock.holder) else { return Ok(None) };
        let stored = self.stored_task(holder).await?;
        Ok(is_repeat(caller, asked, &stored.task.spec).then_some(stored))
    }

    async fn target(&self, asked: &StopServer) -> Result<Target, Refusal> {
        let target = self.deps.inventory.target(asked.cluster, asked.server).await;
        let target = target.map_err(|error| inventory_refusal(&error))?;
        match asked.expected_server {
            Some(expected) if expected != target.server.addr => {
                let (server, actual) = (asked.server, target.server.addr);
                Err(Refusal::ExpectedServerMismatch { server, expected, actual })
            }
            Some(_) | None => Ok(target),
        }
    }

    /// What recorded state says against the stop.
    fn refused_by_record(&self, target: &Target, stop_type: StopType) -> Option<Refusal> {
        let row = &target.server;
        // A server that we stopped and that is INACTIVE since was proven to have no process.
        let ended = row.managed_status == Some(ServerStatus::Stopped) && row.inner_status == InnerStatus::Inactive;
        let process = if ended { ProcessFinding::Absent } else { ProcessFinding::NotAsked };
        refused(target, process, stop_type)
    }

    /// Recorded state refuses: the cluster and the host are asked before the caller hears it.
    async fn look_again(&self, asked: &StopServer, by_record: Refusal) -> Result<Target, Refusal> {
        let fresh = async {
            if let Err(error) = self.deps.inventory.sync(asked.cluster).await {
                tracing::info!(cluster = asked.cluster.get(), "no fresh look before a refusal: {error}");
                return Err(by_record.clone());
            }
            let target = self.target(asked).await?;
            let found = self.deps.hosts.host(&target.host).find(&target.observer()).await;
            let process = found.map_or(ProcessFinding::HostUnreachable, |found| process_finding(&found));
            match refused(&target, process, asked.stop_type) {
                Some(refusal) => Err(refusal),
                None => Ok(target),
            }
        };
        tokio::time::timeout(FRESH_LOOK, fresh).await.unwrap_or(Err(by_record.clone()))
    }

    async fn spec(
        &self,
        caller: &Caller,
        asked: &StopServer,
        target: &Target,
        expire_time: crate::clock::Timestamp,
    ) -> Result<TaskSpec, Refusal> {
        let internal = |error: crate::domain::ids::InvalidName| Refusal::Internal { what: error.to_string() };
        let count = subtask_count(asked.stop_type);
        let first = self.store.reserve_ids(count + 1).await.map_err(|error| store_refusal(&error))?;
        let lease = Duration::from_micros(u64::try_from(target.cluster.lease_time_micros).unwrap_or_default());
        let graph = graph(asked.stop_type, first + 1, lease, self.deps.pace.leader_wait).map_err(internal)?;
        debug_assert!(graph.subtasks.iter().all(|subtask| SubtaskId::new(subtask.id.get()).is_ok()));
        let mut context = former_and_target(target);
        context.push((key::CLUSTER_ID.to_owned(), asked.cluster.to_string()));
        context.push((key::ZONE_NAME.to_owned(), target.server.zone.to_string()));
        context.push((key::SERVER_ID.to_owned(), asked.server.to_string()));
        Ok(TaskSpec {
            id: TaskId::new(first).map_err(internal)?,
            cluster: TaskCluster {
                id: asked.cluster,
                name: target.cluster.identity.name.clone(),
                ob_cluster_id: target.cluster.identity.ob_cluster_id,
                key: target.cluster.identity.key(),
            },
            server: TaskServer {
                id: asked.server,
                addr: target.server.addr,
                ob_server_id: target.server.ob_server_id,
                zone: target.server.zone.clone(),
            },
            creator: caller.principal.clone(),
            expire_time,
            force: asked.force,
            accepted_risks: asked.accepted_risks.clone(),
            stop_type: asked.stop_type,
            freeze_before_stop: asked.freeze_before_stop,
            graph,
            context,
            lists: vec![(key::SERVER_IDS.to_owned(), vec![asked.server.to_string()])],
        })
    }

    async fn in_progress(&self, asked: &StopServer, holder: TaskId) -> Result<Refusal, Refusal> {
        let task = self.stored_task(holder).await?.task;
        let holder = Holder {
            task: holder,
            name: task.spec.graph.operation.name.clone(),
            state: task.state,
            since: task.create_time,
            by: task.spec.creator.clone(),
            server: task.spec.server.addr,
            verbs: freeing(&task),
        };
        Ok(Refusal::OperationInProgress { cluster: asked.cluster, holder: Box::new(holder) })
    }

    /// The whole precheck now; changes nothing.
    pub async fn plan_stop_server(&self, _caller: &Caller, asked: PlanStopServer) -> Result<StopPlanView, Refusal> {
        let target = self.deps.inventory.target(asked.cluster, asked.server).await;
        let target = target.map_err(|error| inventory_refusal(&error))?;
        let limit = self.deps.pace.reading + PLAN_BEYOND_READING;
        let survey = tokio::time::timeout(limit, survey(&self.deps, &target)).await.map_err(|_| {
            let why = format!("cluster and host did not answer within {} s", limit.as_secs());
            Refusal::ClusterUnreachable { cluster: target.cluster.identity.name.clone(), why }
        })?;
        let consent = Consent { force: asked.force, accepted: asked.accepted_risks.clone() };
        let surroundings = Surroundings { now: self.deps.clock.now(), store_endpoints: Vec::new() };
        let assessment = assess(&survey, &target, asked.stop_type, &consent, &surroundings);
        let free = self.cluster_free(&target).await?;
        Ok(StopPlanView {
            cluster: asked.cluster,
            server: asked.server,
            addr: target.server.addr,
            zone: target.server.zone.clone(),
            allowed: assessment.allowed() && free.verdict == Verdict::Pass,
            leader_moves: assessment
                .leader_moves
                .into_iter()
                .map(|tenant| (tenant.tenant_id, tenant.tenant_name, tenant.leaders))
                .collect(),
            failures_tolerated_after: assessment.failures_tolerated_after,
            observed_at: assessment.observed_at,
            checks: assessment
                .checks
                .into_iter()
                .map(|check| PlanCheck {
                    overridden_by: check.overridden_by.as_str().to_owned(),
                    name: check.name,
                    verdict: match check.verdict {
                        precheck::Verdict::Pass => Verdict::Pass,
                        precheck::Verdict::Info => Verdict::Info,
                        precheck::Verdict::Warn => Verdict::Warn,
                        precheck::Verdict::Block => Verdict::Block,
                    },
                    evidence: check.root_service_words.map_or_else(
                        || check.evidence.clone(),
                        |words| if words == check.evidence { words } else { format!("{words} ({})", check.evidence) },
                    ),
                    remedy: check.remedy,
                    overridden: check.overridden,
                })
                .chain([free])
                .collect(),
        })
    }

    /// Whether another task holds the cluster, which refuses a stop whatever the cluster is like.
    async fn cluster_free(&self, target: &Target) -> Result<PlanCheck, Refusal> {
        let (verdict, evidence, remedy) = match self.operating(&target.cluster).await? {
            None => (Verdict::Pass, "no task holds the cluster".to_owned(), String::new()),
            Some((holder, _)) => {
                let task = self.stored_task(holder).await?.task;
                let (spec, state) = (&task.spec, task.state);
                let evidence = format!(
                    "task {holder} ({} on {}, by {}) is {state} and holds the cluster",
                    spec.graph.operation.name, spec.server.addr, spec.creator
                );
                let remedy = if freeing(&task).is_empty() { "wait for its end" } else { "retry it or give it up" };
                (Verdict::Block, evidence, remedy.to_owned())
            }
        };
        let (name, overridden_by) = ("CLUSTER_FREE".to_owned(), String::new());
        Ok(PlanCheck { name, verdict, evidence, remedy, overridden_by, overridden: false })
    }
}

/// The verbs that free the cluster of a task, or bring it to where it is freed. Cancelling only brings a task to rest.
fn freeing(task: &Task) -> Vec<Verb> {
    let allowed = task.allowed_verbs().into_iter();
    allowed
        .filter(|verb| match verb {
            Verb::Retry | Verb::GiveUp => true,
            Verb::Cancel => false,
        })
        .collect()
}

/// Whether a task was made by the same caller with the same arguments.
fn is_repeat(caller: &Caller, asked: &StopServer, spec: &TaskSpec) -> bool {
    spec.graph.operation == operation_name()
        && spec.creator == caller.principal
        && spec.cluster.id == asked.cluster
        && spec.server.id == asked.server
        && spec.force == asked.force
        && spec.accepted_risks == asked.accepted_risks
        && spec.stop_type == asked.stop_type
        && spec.freeze_before_stop == asked.freeze_before_stop
}

fn refused(target: &Target, process: ProcessFinding, stop_type: StopType) -> Option<Refusal> {
    let (cluster, server) = (target.cluster.id, target.server.id);
    if target.servers.len() < 2 {
        return Some(Refusal::SingleServerCluster { cluster, server });
    }
    match admit(service_state(&recorded_reading(&target.server)), process, request(stop_type)) {
        Admission::Admit => None,
        Admission::Refuse { service, process, expected } => Some(Refusal::ServerStateNotAdmitted {
            server,
            addr: target.server.addr,
            service: service.to_string(),
            process: process.to_string(),
            expected: expected.to_owned(),
            remedy: "look at the server with GetServer".to_owned(),
        }),
    }
}
