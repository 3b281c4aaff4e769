//! StartRollout and PlanRollout: which servers, in which order, and the task that takes them.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

use super::Service;
use super::audit_entry::{AuditEntry, joined};
use super::begin::{Beginning, RequestKey, task_cluster, waits_for};
use super::call::{Caller, ServiceCall};
use super::digest::RequestDigest;
use super::hold;
use super::refusals::inventory_refusal;
use super::views::StopPlanView;
use crate::clock::Timestamp;
use crate::domain::beginning::BeginRequest;
use crate::domain::call::Call;
use crate::domain::event::{TaskServer, TaskSpec};
use crate::domain::gate::Consent;
use crate::domain::graph::TaskTarget;
use crate::domain::hold::{HoldUntil, longest_hold};
use crate::domain::ids::{ClusterId, ServerId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::rollout::{Rollout, RolloutAction};
use crate::domain::status::{Risk, StopType};
use crate::inventory::Target;
use crate::operations::definition::GraphTimes;
use crate::operations::rollout::{batches, of_action};
use crate::operations::subject::Subject as StopSubject;
use crate::store::inventory::ClusterRow;
use crate::store::{StoredTask, Write};

/// How long a rollout may begin batches when the caller does not say.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// Which servers of a cluster. Neither list is empty or says anything twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutScope {
    All,
    Zones(Vec<ZoneName>),
    Servers(Vec<ServerId>),
}

impl RolloutScope {
    fn words(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Zones(zones) => format!("zones {}", joined(zones)),
            Self::Servers(servers) => format!("servers {}", joined(servers)),
        }
    }
}

/// What a rollout is of, for its start and for its plan.
#[derive(Clone, Debug)]
pub struct RolloutOf {
    pub cluster: ClusterId,
    pub scope: RolloutScope,
    pub action: RolloutAction,
    /// Servers of one zone that are out at the same time; at least 1.
    pub max_parallel: u32,
    pub force: bool,
    /// Sorted, without repeats.
    pub accepted_risks: Vec<Risk>,
}

impl RolloutOf {
    fn consent(&self) -> Consent {
        Consent { force: self.force, accepted: self.accepted_risks.clone() }
    }
}

/// Records a task that takes servers out and brings them back, batch by batch, and answers with it.
#[derive(Clone, Debug)]
pub struct StartRollout {
    pub of: RolloutOf,
    pub min_healthy: Duration,
    /// At least 1.
    pub stop_after: u32,
    pub pause_after: Option<u32>,
    pub freeze_before_stop: bool,
    /// How long clients of each server are waited for.
    pub drain: Duration,
    /// `None`: as long as the cluster bears; only of [`RolloutAction::Hold`].
    pub hold: Option<Duration>,
    /// No server is taken out after this.
    pub deadline: Option<Timestamp>,
    pub request_id: Option<Uuid>,
    /// When it begins.
    pub begin: BeginRequest,
}

impl StartRollout {
    fn digest(&self) -> String {
        let RolloutOf { cluster, scope, action, max_parallel, force, accepted_risks } = &self.of;
        RequestDigest::of(Call::StartRollout)
            .field("cluster", cluster)
            .field("scope", scope.words())
            .field("action", action)
            .field("max_parallel", max_parallel)
            .field("force", force)
            .field("accepted_risks", joined(accepted_risks))
            .field("min_healthy", self.min_healthy.as_micros())
            .field("stop_after", self.stop_after)
            .optional("pause_after", self.pause_after)
            .field("freeze_before_stop", self.freeze_before_stop)
            .optional("drain", Some(self.drain.as_micros()).filter(|drain| *drain > 0))
            .optional("hold", self.hold.map(|hold| hold.as_micros()))
            .optional("deadline", self.deadline.map(Timestamp::as_micros))
            .optional("not_before", self.begin.not_before.map(Timestamp::as_micros))
            .optional("queue", self.begin.queue.then_some(true))
            .finish()
    }
}

impl ServiceCall for StartRollout {
    const CALL: Call = Call::StartRollout;
    type Subject = ClusterId;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.of.cluster
    }

    fn accepts_risks(&self, _: &[Risk]) -> Vec<Risk> {
        self.of.accepted_risks.clone()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        let RolloutOf { cluster, scope, action, max_parallel, force, accepted_risks } = &self.of;
        AuditEntry::on(format!("cluster {cluster} {}", scope.words()))
            .in_cluster(*cluster)
            .with("cluster_id", cluster)
            .with("action", action)
            .with("max_parallel", max_parallel)
            .with("force", force)
            .with("accept_risks", joined(accepted_risks))
            .with("min_healthy_seconds", self.min_healthy.as_secs())
            .with("stop_after", self.stop_after)
            .with_some("pause_after", self.pause_after)
            .with_some("hold_seconds", self.hold.map(|hold| hold.as_secs()))
            .with("freeze_before_stop", self.freeze_before_stop)
            .with("drain_seconds", self.drain.as_secs())
            .with_or_empty("deadline", self.deadline.map(Timestamp::as_micros))
            .with_some("not_before", self.begin.not_before.map(Timestamp::as_micros))
            .with_some("queue", self.begin.queue.then_some(true))
    }

    async fn run(self, service: &Service, caller: &Caller, (): ()) -> Result<StoredTask, Refusal> {
        service.start_rollout(caller, self).await
    }
}

/// The order of a rollout, and what the stop of each server would meet now; changes nothing.
#[derive(Clone, Debug)]
pub struct PlanRollout(pub RolloutOf);

/// What a rollout would meet.
#[derive(Clone, Debug)]
pub struct RolloutPlanView {
    pub batches: Vec<Vec<TaskServer>>,
    /// In the order of the servers.
    pub plans: Vec<StopPlanView>,
}

impl ServiceCall for PlanRollout {
    const CALL: Call = Call::PlanRollout;
    type Subject = ClusterId;
    type Output = RolloutPlanView;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.0.cluster
    }

    async fn run(self, service: &Service, _: &Caller, (): ()) -> Result<RolloutPlanView, Refusal> {
        let Self(of) = self;
        let (_, targets) = service.servers_of(&of).await?;
        let batches = in_batches(&of, &targets);
        let mut plans = Vec::new();
        for server in batches.iter().flatten() {
            let Some(target) = targets.iter().find(|target| target.server.id == server.id) else { continue };
            let subject = StopSubject::from(target.clone());
            plans.push(service.plan(&subject, of_action(of.action), &of.consent(), false).await?);
        }
        Ok(RolloutPlanView { batches, plans })
    }
}

impl RolloutPlanView {
    pub fn allowed(&self) -> bool {
        self.plans.iter().all(|plan| plan.allowed)
    }
}

impl Service {
    async fn start_rollout(&self, caller: &Caller, asked: StartRollout) -> Result<StoredTask, Refusal> {
        let key = asked.request_id.map(|id| RequestKey { id, digest: asked.digest() });
        if let Some(known) = self.known(caller, key.as_ref()).await? {
            return Ok(known);
        }
        let (cluster, targets) = self.servers_of(&asked.of).await?;
        let spec = self.rollout_spec(caller, &asked, &cluster, &targets).await?;
        let entry = asked.audit_entry(caller).with_task(spec.id, format!("{} servers", spec.servers.len()));
        let audit = Write::Audit(self.accepted(caller, Call::StartRollout, entry));
        match self.begin_or_queue(caller, spec, asked.begin, false, key.as_ref(), audit).await? {
            Beginning::Begun(stored) => Ok(*stored),
            Beginning::Frozen => Err(Refusal::Internal { what: "a freeze was not told".to_owned() }),
            Beginning::LockHeld(holder) => Err(self.in_progress(asked.of.cluster, holder).await?),
        }
    }

    /// The cluster, and the servers that are meant, ascending by id.
    async fn servers_of(&self, of: &RolloutOf) -> Result<(ClusterRow, Vec<Target>), Refusal> {
        let cluster = of.cluster;
        let meant = |id: ServerId, zone: &ZoneName| match &of.scope {
            RolloutScope::All => true,
            RolloutScope::Zones(zones) => zones.contains(zone),
            RolloutScope::Servers(servers) => servers.contains(&id),
        };
        let row = self.deps.inventory.cluster(cluster).await.map_err(|error| inventory_refusal(&error))?;
        let targets = self.deps.inventory.targets(cluster, |row| meant(row.id, &row.zone)).await;
        let mut targets = targets.map_err(|error| inventory_refusal(&error))?;
        targets.sort_by_key(|target| target.server.id);
        let ids: BTreeSet<ServerId> = targets.iter().map(|target| target.server.id).collect();
        let zones: BTreeSet<&ZoneName> = targets.iter().map(|target| &target.server.zone).collect();
        match &of.scope {
            RolloutScope::All => {}
            RolloutScope::Zones(asked) => {
                if let Some(zone) = asked.iter().find(|zone| !zones.contains(zone)) {
                    return Err(Refusal::ZoneNotFound { cluster, zone: zone.clone() });
                }
            }
            RolloutScope::Servers(asked) => {
                if let Some(server) = asked.iter().find(|server| !ids.contains(server)) {
                    return Err(Refusal::ServerNotFound { cluster, server: *server });
                }
            }
        }
        match targets.first() {
            None => Err(Refusal::field("scope", "the cluster has no server; sync it, then try again")),
            Some(first) if first.servers.len() < 2 => {
                Err(Refusal::SingleServerCluster { cluster, server: first.server.id })
            }
            Some(_) => Ok((row, targets)),
        }
    }

    async fn rollout_spec(
        &self,
        caller: &Caller,
        asked: &StartRollout,
        cluster: &ClusterRow,
        targets: &[Target],
    ) -> Result<TaskSpec, Refusal> {
        let now = self.deps.clock.now();
        let definition = of_action(asked.of.action);
        let admission = self.admission(cluster, definition, asked.begin, &asked.of.accepted_risks, now).await?;
        let (pending, earliest) = waits_for(admission, now);
        let deadline = asked.deadline.unwrap_or_else(|| earliest.plus(DEFAULT_DEADLINE));
        if deadline <= earliest {
            let what = format!("{deadline} has passed at {earliest}, when it may begin; give a later moment");
            return Err(Refusal::field("deadline", what));
        }
        let batches = in_batches(&asked.of, targets);
        let servers: usize = batches.iter().map(Vec::len).sum();
        if let Some(after) = asked.pause_after
            && usize::try_from(after).unwrap_or(usize::MAX) >= servers
        {
            let what = format!("is {after}, and the rollout is of {servers} servers; pause behind fewer");
            return Err(Refusal::field("pause_after", what));
        }
        let hold = match asked.of.action {
            RolloutAction::Restart => None,
            RolloutAction::Hold => {
                let time = asked.hold.unwrap_or_else(|| longest_hold(cluster.permanent_offline_time()));
                Some(hold::admitted(HoldUntil::For(time), cluster, &asked.of.consent(), now)?)
            }
        };
        let times = GraphTimes {
            lease: cluster.lease_time(),
            leader_wait: self.deps.timeouts.leader_wait,
            hold: hold.map(|hold| hold::longest_of_subtask(&hold, now)).unwrap_or_default(),
            drain: asked.drain,
            // The gate itself says when it is too late; a retry may give more time.
            rollout: deadline.since(now) + asked.min_healthy + DEFAULT_DEADLINE,
        };
        let (id, graph) = self.graph(definition, &batches, times).await?;
        let ids = |batch: &Vec<TaskServer>| batch.iter().map(|server| server.id).collect();
        let rollout = Rollout {
            action: asked.of.action,
            batches: batches.iter().map(ids).collect(),
            min_healthy: asked.min_healthy,
            stop_after: asked.stop_after,
            pause_after: asked.pause_after,
        };
        Ok(TaskSpec {
            id,
            cluster: task_cluster(cluster),
            target: TaskTarget::Cluster,
            servers: targets.iter().map(Target::task_server).collect(),
            creator: caller.principal.clone(),
            reason: caller.reason.clone(),
            expire_time: deadline,
            force: asked.of.force,
            accepted_risks: asked.of.accepted_risks.clone(),
            stop_type: Some(StopType::Process),
            freeze_before_stop: asked.freeze_before_stop,
            hold,
            rollout: Some(rollout),
            drain: asked.drain,
            pending,
            graph,
            facts: Vec::new(),
            trace: Some(caller.trace),
        })
    }
}

fn in_batches(of: &RolloutOf, targets: &[Target]) -> Vec<Vec<TaskServer>> {
    let servers: Vec<TaskServer> = targets.iter().map(Target::task_server).collect();
    let root = targets.iter().flat_map(|target| target.servers.iter()).find(|row| row.with_rootserver);
    batches(&servers, root.map(|row| &row.zone), usize::try_from(of.max_parallel).unwrap_or(usize::MAX))
}
