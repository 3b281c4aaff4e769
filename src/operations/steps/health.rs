//! Prepare rollout, and Wait cluster healthy: the cluster must be well before a rollout begins, and again behind each of its
//! batches, for as long as the caller said, before the next one begins (`domain::health`). There a rollout pauses, too.
//!
//! Repeating them is safe: they only read. There is nothing to undo.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::clock::monotonic_now;
use crate::domain::blocker::Blockers;
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::facts::{ClusterFact, Fact, ServerAddresses};
use crate::domain::health::{ailments, described, inactive};
use crate::domain::ids::ServerAddr;
use crate::domain::reading::ClusterReading;
use crate::domain::rollout::{Paused, RolloutProgress};
use crate::domain::status::ClusterStatus;
use crate::engine::{Observation, ProgressReport, Step, StepContext};
use crate::oceanbase::{Avoid, ClusterError, Expected};
use crate::operations::{Deps, inventory_failure, step_io};
use crate::store::Write;

/// How long a cluster may take to become healthy.
const RECOVERY: Duration = Duration::from_secs(1800);
/// Between looks while a rollout is paused.
const PAUSED_LOOK: Duration = Duration::from_secs(10);

/// Records which servers are away before the rollout begins.
pub struct PrepareRollout(pub Deps);

#[async_trait]
impl Step for PrepareRollout {
    async fn look(&self, context: &StepContext) -> Observation {
        let reading = match read(&self.0, context).await {
            Ok(reading) => reading,
            Err(look) => return *look,
        };
        let away = inactive(&reading);
        let found = ailments(&reading, &[], &away);
        if found.count() > 0 {
            if context.waited() < self.0.timeouts.precheck {
                let progress = ProgressReport::uncounted(format!("the cluster to be healthy: {}", described(&found)))
                    .held_by(found);
                return Observation::Wait { progress, again_in: self.0.timeouts.between_readings() };
            }
            return step_io::refuse(not_healthy(&found));
        }
        let cluster = context.task.spec.cluster.id;
        let facts = vec![Fact::Cluster(ClusterFact::InactiveBefore(ServerAddresses(away)))];
        let writes = vec![Write::ClusterStatus { cluster, status: Some(ClusterStatus::Operating) }];
        Observation::Reached { already_so: false, output: StepOutput { facts, ..StepOutput::default() }, writes }
    }
}

fn not_healthy(found: &Blockers) -> Failure {
    let message = format!("the cluster is not healthy: {}; mend it, then retry", described(found));
    Failure::new(FailureKind::Refused, "CLUSTER_NOT_HEALTHY", message).with("found", described(found))
}

/// The health gate behind a batch.
pub struct WaitClusterHealthy {
    deps: Deps,
    /// Since when every look found the same.
    same: Mutex<Option<(bool, Instant)>>,
}

impl WaitClusterHealthy {
    pub const fn new(deps: Deps) -> Self {
        Self { deps, same: Mutex::new(None) }
    }

    /// How long every look has found the same.
    fn lasted(&self, healthy: bool) -> Duration {
        let now = monotonic_now();
        let Ok(mut same) = self.same.lock() else { return Duration::ZERO };
        match *same {
            Some((was, since)) if was == healthy => now.saturating_duration_since(since),
            Some(_) | None => {
                *same = Some((healthy, now));
                Duration::ZERO
            }
        }
    }
}

#[async_trait]
impl Step for WaitClusterHealthy {
    async fn look(&self, context: &StepContext) -> Observation {
        let (task, deps) = (&context.task, &self.deps);
        let Some((rollout, progress)) = task.spec.rollout.as_ref().zip(task.rollout_progress()) else {
            return step_io::refuse(step_io::misplaced(context));
        };
        let reading = match read(deps, context).await {
            Ok(reading) => reading,
            Err(look) => return *look,
        };
        let passed_over = task.passed_over();
        let batch = task.batch_of(context.subtask).iter().filter(|server| !passed_over.contains(server));
        let batch: Vec<ServerAddr> = batch.filter_map(|id| task.spec.server(*id)).map(|server| server.addr).collect();
        let before = task.facts.cluster.inactive_before.clone().unwrap_or_default();
        let found = ailments(&reading, &batch, &before.0);
        let lasted = self.lasted(found.count() == 0);
        let wait = |what: String, again_in| Observation::Wait { progress: report(&progress, &what), again_in };
        if found.count() > 0 {
            if lasted > RECOVERY {
                return step_io::refuse(not_healthy(&found));
            }
            let progress = report(&progress, &described(&found)).held_by(found);
            return Observation::Wait { progress, again_in: deps.timeouts.between_readings() };
        }
        let left = rollout.min_healthy.saturating_sub(lasted);
        if !left.is_zero() {
            let what = format!("the cluster to stay healthy, {:.0} s more", left.as_secs_f64().ceil());
            return wait(what, left.min(deps.timeouts.between_readings()));
        }
        // Behind the last batch there is nothing to hold back.
        if task.has_batches_ahead() {
            if let Some(paused) = task.paused() {
                let what = match paused {
                    Paused::By(request) => format!("ResumeRollout, {} paused it at {}", request.by, request.at),
                    Paused::Canary { servers, since } => {
                        format!("ResumeRollout, it pauses behind its first {servers} servers since {since}")
                    }
                };
                if deps.clock.now() < task.expire_time {
                    return wait(what, PAUSED_LOOK);
                }
            }
            if deps.clock.now() >= task.expire_time {
                return step_io::refuse(too_late(context, &progress));
            }
        }
        Observation::Reached { already_so: false, output: StepOutput::default(), writes: Vec::new() }
    }

    fn read_failure_timeout(&self) -> Duration {
        RECOVERY
    }
}

fn report(progress: &RolloutProgress, what: &str) -> ProgressReport {
    let RolloutProgress { servers_done, servers_total, zone, .. } = progress;
    let zone = zone.as_ref().map(|zone| format!(", {zone} now")).unwrap_or_default();
    ProgressReport::uncounted(format!("{servers_done} of {servers_total} servers done{zone}; waits for {what}"))
}

fn too_late(context: &StepContext, progress: &RolloutProgress) -> Failure {
    let RolloutProgress { servers_done, servers_total, .. } = progress;
    let message = format!(
        "the deadline {} passed with {servers_done} of {servers_total} servers done; retry with another one",
        context.task.expire_time
    );
    Failure::new(FailureKind::Expired, "DEADLINE_PASSED", message).with("deadline", context.task.expire_time)
}

/// The whole cluster as it is now.
async fn read(deps: &Deps, context: &StepContext) -> Result<ClusterReading, Box<Observation>> {
    let route = deps.inventory.route(context.task.spec.cluster.id).await;
    let route = route.map_err(|error| Box::new(step_io::not_begun(inventory_failure(&error))))?;
    let expected = Expected { identity: Some(route.cluster.identity.clone()), target: None };
    let read = async {
        let reader = deps.oceanbase.reader(&route.access, &route.known, &expected, &Avoid::default()).await;
        reader?.gate_reading().await
    };
    step_io::bounded(deps, context, read).await.map_err(|error: ClusterError| Box::new(step_io::unread(&error)))
}
