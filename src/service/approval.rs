//! The plan of a task that has not begun, and the approval of it: of what somebody else saw, by its digest.

use super::Service;
use super::audit_entry::joined;
use super::call::{Caller, ServiceCall};
use super::digest::RequestDigest;
use super::refusals::{inventory_refusal, permission_denied};
use super::views::{CheckVerdict, StopPlanView};
use crate::domain::approval::PlanDigest;
use crate::domain::call::{Call, Subject, permits};
use crate::domain::gate::Consent;
use crate::domain::graph::TaskTarget;
use crate::domain::hold::HoldUntil;
use crate::domain::ids::TaskId;
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;
use crate::operations::definition::Definition;
use crate::operations::subject::Subject as StopSubject;
use crate::store::StoredTask;

/// Checks that say when something begins, not what it would meet: they are not part of what is approved.
const OF_BEGINNING: [&str; 4] = ["CLUSTER_FREE", "MAINTENANCE_WINDOW", "CHANGE_FREEZE", "APPROVAL"];

/// What a task that has not begun would meet now; changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct PlanTask(pub TaskId);

/// What a task would meet.
#[derive(Clone, Debug)]
pub struct TaskPlanView {
    pub task: StoredTask,
    /// Of its stop; of a rollout, of each of its servers. None: it only brings something back.
    pub plans: Vec<StopPlanView>,
    /// Which an approval names.
    pub digest: PlanDigest,
}

impl ServiceCall for PlanTask {
    const CALL: Call = Call::PlanTask;
    type Subject = TaskId;
    type Output = TaskPlanView;

    fn subject(&self, _: &Caller) -> TaskId {
        self.0
    }

    async fn run(self, service: &Service, _: &Caller, task: StoredTask) -> Result<TaskPlanView, Refusal> {
        let (plans, digest) = service.plan_of(&task.task).await?;
        Ok(TaskPlanView { task, plans, digest })
    }
}

impl Service {
    /// What a task would meet now, and the digest of it.
    pub(super) async fn plan_of(&self, task: &Task) -> Result<(Vec<StopPlanView>, PlanDigest), Refusal> {
        let spec = &task.spec;
        let definition = Definition::of_task(task).ok_or_else(|| Refusal::Internal {
            what: format!("this version does not know what task {} does", spec.id),
        })?;
        let mut plans = Vec::new();
        if !definition.only_starts() {
            let of_task = |id| spec.server(id).is_some();
            let targets = self.deps.inventory.targets(spec.cluster.id, |row| of_task(row.id)).await;
            let targets = targets.map_err(|error| inventory_refusal(&error))?;
            let subjects: Vec<StopSubject> = match (&spec.rollout, &spec.target) {
                (Some(_), _) => targets.into_iter().map(StopSubject::from).collect(),
                (None, TaskTarget::Server(_)) => targets.into_iter().map(StopSubject::from).collect(),
                (None, TaskTarget::Zone(_) | TaskTarget::Cluster) => {
                    StopSubject::new(spec.target.clone(), targets).into_iter().collect()
                }
            };
            let consent = Consent { force: spec.force, accepted: spec.accepted_risks.clone() };
            for subject in &subjects {
                plans.push(self.plan(subject, definition, &consent, spec.freeze_before_stop).await?);
            }
        }
        let digest = digest(task, definition, &plans);
        Ok((plans, digest))
    }

    /// Whether this caller may approve the task as it was shown: it is somebody else's, the caller may do the same, and its plan has
    /// not changed since.
    pub(super) async fn may_approve(&self, caller: &Caller, task: &Task, shown: &PlanDigest) -> Result<(), Refusal> {
        let spec = &task.spec;
        if caller.principal == spec.creator {
            return Err(Refusal::OwnTask { task: spec.id, principal: caller.principal.clone() });
        }
        if let Some(definition) = Definition::of_task(task) {
            let subject = Subject::Cluster(spec.cluster.id.get());
            permits(&caller.rights, definition.call, subject, &spec.accepted_risks)
                .map_err(|need| permission_denied(caller, need))?;
        }
        let (_, found) = self.plan_of(task).await?;
        if found == *shown {
            return Ok(());
        }
        Err(Refusal::PlanChanged { task: spec.id, approved: shown.clone(), found })
    }
}

/// Of what is to be done, under which consent, and of what each check found: not of counts and lags, which move all the time.
fn digest(task: &Task, definition: &Definition, plans: &[StopPlanView]) -> PlanDigest {
    let spec = &task.spec;
    let addresses: Vec<String> = spec.servers.iter().map(|server| server.addr.to_string()).collect();
    let hold = spec.hold.map(|hold| match hold.until {
        HoldUntil::Deadline(until) => format!("until {until}"),
        HoldUntil::For(time) => format!("for {} s", time.as_secs()),
    });
    let mut digest = RequestDigest::of(definition.call)
        .field("operation", &spec.graph.operation.name)
        .field("cluster", spec.cluster.key.as_str())
        .field("target", spec.describe_target())
        .field("servers", joined(&addresses))
        .field("force", spec.force)
        .field("accepted_risks", joined(&spec.accepted_risks))
        .optional("stop_type", spec.stop_type)
        .field("freeze_before_stop", spec.freeze_before_stop)
        .field("drain", spec.drain.as_secs())
        .optional("hold", hold);
    for plan in plans {
        let on = plan.server.map(|(_, addr)| addr.to_string()).unwrap_or_default();
        digest = digest.field("plan", on).optional("failures_tolerated_after", plan.failures_tolerated_after);
        for check in plan.checks.iter().filter(|check| !OF_BEGINNING.contains(&check.name.as_str())) {
            let verdict = match check.verdict {
                CheckVerdict::Pass => "pass",
                CheckVerdict::Info => "info",
                CheckVerdict::Warn => "warn",
                CheckVerdict::Block if check.overridden => "overridden",
                CheckVerdict::Block => "block",
            };
            digest = digest.field(&check.name, verdict);
        }
    }
    PlanDigest::new(digest.finish())
}
