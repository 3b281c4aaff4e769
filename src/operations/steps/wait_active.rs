//! Wait observer active: the process runs, and the cluster hears from this very process. After a quick restart STATUS was
//! ACTIVE all the time (docs/oceanbase.md#status-follows-the-lease); then another START_SERVICE_TIME than before tells.
//!
//! Repeating it is safe: it only looks.

use async_trait::async_trait;

use crate::domain::decide::StepOutput;
use crate::domain::event::{Effect, Failure, FailureKind};
use crate::domain::facts::Moment;
use crate::domain::host::Finding;
use crate::domain::ids::ServerAddr;
use crate::domain::reading::ServerReading;
use crate::domain::status::InnerStatus;
use crate::engine::{Observation, Step, StepContext};
use crate::operations::definition::StepKind;
use crate::operations::{Deps, step_io};

pub struct WaitObserverActive(pub Deps);

#[async_trait]
impl Step for WaitObserverActive {
    async fn look(&self, context: &StepContext) -> Observation {
        active(&self.0, context).await
    }
}

/// Waits for STATUS ACTIVE of the process that runs.
pub(super) async fn active(deps: &Deps, context: &StepContext) -> Observation {
    let target = match step_io::target(deps, context).await {
        Ok(target) => target,
        Err(failure) => return step_io::not_begun(failure),
    };
    let addr = target.server.addr;
    let found = step_io::find(deps, &target).await;
    // What is waited for, and what is said of the server until then.
    let mut waits_for: Vec<(String, String)> = Vec::new();
    match &found.finding {
        Finding::Running(_) => {}
        Finding::Absent { evidence } => return process_gone(&addr, evidence),
        Finding::Ambiguous { evidence } => waits_for.push(step_io::unclear(evidence)),
        Finding::HostUnreachable { reason } => waits_for.push(step_io::silent(reason)),
    }
    let read = async { step_io::gate_reader(deps, &target).await?.server(&addr).await };
    let row = match step_io::bounded(deps, context, read).await {
        Ok(Some(row)) => row,
        Ok(None) => return step_io::server_gone(&target),
        Err(error) => return step_io::unread(&error),
    };
    if row.status != InnerStatus::Active {
        waits_for.push((format!("STATUS ACTIVE (it is {})", row.status), format!("has STATUS {}", row.status)));
    } else if !is_heard(context, &row) {
        let held = "has the START_SERVICE_TIME of the process before";
        waits_for.push(("a new START_SERVICE_TIME".to_owned(), held.to_owned()));
    }
    if waits_for.is_empty() {
        context.log(format!("{}; STATUS {}", found.evidence, row.status));
        return Observation::Reached { already_so: false, output: StepOutput::default(), writes: Vec::new() };
    }
    Observation::Wait { progress: step_io::waits_for(&target, waits_for), again_in: deps.timeouts.poll }
}

pub(super) fn process_gone(addr: &ServerAddr, evidence: &str) -> Observation {
    let message = format!(
        "the observer of {addr} was started and is gone: {evidence}; read log/observer.log in its home, then retry"
    );
    step_io::refuse(Failure::new(FailureKind::Interfered, "PROCESS_GONE", message).with("address", addr))
}

/// Whether the server's row is about a process that began after this task ended one.
pub(super) fn is_heard(context: &StepContext, row: &ServerReading) -> bool {
    let ended = step_io::of_kind(context, StepKind::StopProcess).is_some_and(|subtask| subtask.effect == Effect::Done);
    let before = context.server_facts().start_service_time_before;
    !ended || row.start_service_time.is_some_and(|at| before != Some(Moment::At(at)))
}
