//! PlanStopServer, PlanStopZone and PlanStopCluster: the whole precheck of a stop now, without change.

use std::time::Duration;

use futures::future::join_all;

use super::Service;
use super::accept::freeing;
use super::call::{Caller, ServiceCall};
use super::refusals::inventory_refusal;
use super::views::{AssessedCheck, CheckVerdict, StopPlanView};
use crate::domain::beginning::Cause;
use crate::domain::call::Call;
use crate::domain::event::Verb;
use crate::domain::gate::Consent;
use crate::domain::graph::TaskTarget;
use crate::domain::ids::{ClusterId, ServerId, ZoneName};
use crate::domain::reading::Unreadable;
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::inventory::Target;
use crate::operations;
use crate::operations::assess::{assess, check, freeze_outlook, survey};
use crate::operations::clients::outlook;
use crate::operations::definition::Definition;
use crate::operations::subject::Subject;

/// What a plan may take beyond its reading of the cluster: the look at the host.
const PLAN_BEYOND_READING: Duration = Duration::from_secs(5);

/// The whole precheck of a stop now; changes nothing.
#[derive(Clone, Debug)]
pub struct PlanStopServer {
    pub cluster: ClusterId,
    pub server: ServerId,
    /// Whether the stop would use force.
    pub force: bool,
    /// Risks that it would accept.
    pub accepted_risks: Vec<Risk>,
    pub stop_type: StopType,
    /// Whether the stop would freeze the server first.
    pub freeze_before_stop: bool,
}

impl ServiceCall for PlanStopServer {
    const CALL: Call = Call::PlanStopServer;
    type Subject = ClusterId;
    type Output = StopPlanView;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<StopPlanView, Refusal> {
        service.plan_stop_server(self).await
    }
}

/// The whole precheck of a zone's stop now; changes nothing.
#[derive(Clone, Debug)]
pub struct PlanStopZone {
    pub cluster: ClusterId,
    pub zone: ZoneName,
    /// As in [`PlanStopServer`].
    pub force: bool,
    pub accepted_risks: Vec<Risk>,
    pub freeze_before_stop: bool,
}

impl ServiceCall for PlanStopZone {
    const CALL: Call = Call::PlanStopZone;
    type Subject = ClusterId;
    type Output = StopPlanView;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<StopPlanView, Refusal> {
        let Self { cluster, zone, force, accepted_risks: accepted, freeze_before_stop: freeze } = self;
        let targets = service.deps.inventory.targets(cluster, |row| row.zone == zone).await;
        let targets = targets.map_err(|error| inventory_refusal(&error))?;
        let subject = Subject::new(TaskTarget::Zone(zone.clone()), targets);
        let subject = subject.ok_or(Refusal::ZoneNotFound { cluster, zone })?;
        service.plan(&subject, &operations::zone::STOP, &Consent { force, accepted }, freeze).await
    }
}

/// What the stop of a whole cluster would meet now; changes nothing.
#[derive(Clone, Debug)]
pub struct PlanStopCluster {
    pub cluster: ClusterId,
    /// As in [`PlanStopServer`].
    pub force: bool,
    pub accepted_risks: Vec<Risk>,
}

impl ServiceCall for PlanStopCluster {
    const CALL: Call = Call::PlanStopCluster;
    type Subject = ClusterId;
    type Output = StopPlanView;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<StopPlanView, Refusal> {
        let Self { cluster, force, accepted_risks: accepted } = self;
        let targets = service.deps.inventory.targets(cluster, |_| true).await;
        let subject = Subject::new(TaskTarget::Cluster, targets.map_err(|error| inventory_refusal(&error))?);
        let subject = subject.ok_or_else(|| Refusal::Internal { what: format!("cluster {cluster} has no servers") })?;
        service.plan(&subject, &operations::cluster::STOP, &Consent { force, accepted }, true).await
    }
}

impl Service {
    async fn plan_stop_server(&self, asked: PlanStopServer) -> Result<StopPlanView, Refusal> {
        let target = self.deps.inventory.target(asked.cluster, asked.server).await;
        let subject = Subject::from(target.map_err(|error| inventory_refusal(&error))?);
        let consent = Consent { force: asked.force, accepted: asked.accepted_risks };
        self.plan(&subject, operations::stop(asked.stop_type), &consent, asked.freeze_before_stop).await
    }

    pub(super) async fn plan(
        &self,
        subject: &Subject,
        operation: &Definition,
        consent: &Consent,
        freeze: bool,
    ) -> Result<StopPlanView, Refusal> {
        let limit = self.deps.timeouts.reading + PLAN_BEYOND_READING;
        let survey = tokio::time::timeout(limit, survey(&self.deps, subject)).await.map_err(|_| {
            let why = format!("cluster and host did not answer within {} s", limit.as_secs());
            Refusal::ClusterUnreachable { cluster: subject.cluster_name().to_owned(), why }
        })?;
        let mut assessment = assess(&survey, subject, operation, consent, self.deps.clock.now());
        // Of a whole cluster that does not answer, no server can be asked either.
        let freeze = freeze && (survey.reading.is_ok() || subject.stop_target().is_some());
        let freezes = subject.targets().filter(|_| freeze).map(|one| freeze_outlook(&self.deps, one));
        let unread = survey.reading.as_ref().err();
        let clients = subject.targets().map(async |one| match unread {
            Some(error) => (one.server.addr, Err(Unreadable::new(error.message.clone()))),
            None => outlook(&self.deps, one).await,
        });
        let (freezes, clients) = tokio::join!(join_all(freezes), join_all(clients));
        assessment.checks.extend(freezes);
        let way = subject.way();
        let free = self.cluster_free(way).await?;
        let beginning = self.beginning_checks(way, operation, consent).await?;
        let refuses = beginning.iter().chain([&free]).any(AssessedCheck::refuses);
        Ok(StopPlanView {
            cluster: way.cluster.id,
            server: match subject.what() {
                TaskTarget::Server(server) => Some((*server, way.server.addr)),
                TaskTarget::Zone(_) | TaskTarget::Cluster => None,
            },
            zone: subject.zone().cloned(),
            allowed: assessment.allowed() && !refuses,
            leader_moves: assessment
                .leader_moves
                .into_iter()
                .map(|tenant| (tenant.tenant_id, tenant.tenant_name, tenant.leaders))
                .collect(),
            failures_tolerated_after: assessment.failures_tolerated_after,
            observed_at: assessment.observed_at,
            clients,
            checks: assessment.checks.into_iter().chain(beginning).chain([free]).collect(),
        })
    }

    /// What stands against a beginning now, and not against what the task would do: nothing where it could begin.
    async fn beginning_checks(
        &self,
        target: &Target,
        operation: &Definition,
        consent: &Consent,
    ) -> Result<Vec<AssessedCheck>, Refusal> {
        let (identity, starts) = (&target.cluster.identity, operation.only_starts());
        let policy = self.beginnings.policies.of(&identity.name);
        let mut found = Vec::new();
        if let Err(closed) = policy.admits(self.deps.clock.now(), starts) {
            let evidence = format!("nothing begins now, it waits for {}", Cause::Window(closed));
            let remedy = "ask again then, or say queue to wait for it";
            found.push(check("MAINTENANCE_WINDOW", CheckVerdict::Block, evidence, remedy));
        }
        if let Some(freeze) = self.freeze_of(&identity.key()).await? {
            let evidence = format!("{} froze changes at {} ({})", freeze.by, freeze.since, freeze.reason);
            let remedy = "ask again when they are thawed, or say queue to wait for it";
            found.push(check("CHANGE_FREEZE", CheckVerdict::Block, evidence, remedy));
        }
        if policy.wants_approval(&consent.accepted, starts) {
            let evidence = "a request waits as a PENDING task until somebody else approves it".to_owned();
            found.push(check("APPROVAL", CheckVerdict::Info, evidence, "let somebody else approve it"));
        }
        Ok(found)
    }

    /// Whether another task holds the cluster, which refuses a stop whatever the cluster is like.
    async fn cluster_free(&self, target: &Target) -> Result<AssessedCheck, Refusal> {
        let (verdict, evidence, remedy) = match self.operating(&target.cluster).await? {
            None => (CheckVerdict::Pass, "no task holds the cluster".to_owned(), String::new()),
            Some(task) => {
                let (spec, state) = (&task.spec, task.state);
                let evidence = format!(
                    "task {} ({} on {}, by {}) is {state} and holds the cluster",
                    spec.id,
                    spec.graph.operation.name,
                    spec.describe_target(),
                    spec.creator
                );
                let remedy = match freeing(&task).first() {
                    None => "wait for its end",
                    Some(Verb::Retry) => "retry it, roll it back or give it up",
                    Some(Verb::CompleteHold) => "complete its hold when the work is done, or wait for its end",
                    Some(
                        Verb::Rollback
                        | Verb::SkipSubtask
                        | Verb::Cancel
                        | Verb::Pause
                        | Verb::Resume
                        | Verb::GiveUp
                        | Verb::Approve
                        | Verb::WithdrawApproval,
                    ) => "go on with its rollback, or give it up",
                };
                (CheckVerdict::Block, evidence, remedy.to_owned())
            }
        };
        Ok(check("CLUSTER_FREE", verdict, evidence, remedy))
    }
}
