//! Wait observer accessible: the server itself takes a login, says which cluster it is of, and shows itself ACTIVE there. While its
//! cluster is down nobody else could tell, and it only can once a majority of the others is up as well.
//!
//! Repeating it is safe: it only looks.

use std::time::Duration;

use async_trait::async_trait;

use super::wait_active::{is_heard, process_gone};
use crate::domain::decide::StepOutput;
use crate::domain::event::{Direction, Failure, FailureKind, SubtaskState};
use crate::domain::host::Finding;
use crate::domain::status::InnerStatus;
use crate::engine::{Observation, ProgressReport, Step, StepContext};
use crate::oceanbase::{Avoid, ClusterAccess, Endpoint, ErrorClass};
use crate::operations::definition::StepKind;
use crate::operations::{Deps, cluster_failure, step_io};

/// Longest look at one server: without a majority its answer is only a timeout.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

pub struct WaitObserverAccessible(pub Deps);

#[async_trait]
impl Step for WaitObserverAccessible {
    async fn look(&self, context: &StepContext) -> Observation {
        accessible(&self.0, context).await
    }
}

pub(super) async fn accessible(deps: &Deps, context: &StepContext) -> Observation {
    let target = match step_io::target(deps, context).await {
        Ok(target) => target,
        Err(failure) => return step_io::not_begun(failure),
    };
    let addr = target.server.addr;
    let found = step_io::find(deps, &target).await;
    let mut waits_for: Vec<String> = Vec::new();
    match &found.finding {
        Finding::Running(_) => {}
        Finding::Absent { evidence } => return process_gone(&addr, evidence),
        Finding::Ambiguous { evidence } => waits_for.push(format!("a clear answer of the host ({evidence})")),
        Finding::HostUnreachable { reason } => waits_for.push(format!("the host to answer ({reason})")),
    }
    let own = Endpoint { host: addr.ip().to_string(), port: target.server.sql_port };
    let access = ClusterAccess { endpoints: vec![own], ..(*target.access).clone() };
    let (expected, anywhere) = (target.expected(), Avoid::default());
    let read = async { deps.oceanbase.reader(&access, &[], &expected, &anywhere).await?.server(&addr).await };
    match step_io::within(LONGEST_LOOK, &target.cluster.identity.name, read).await {
        Ok(None) => return step_io::server_gone(&target),
        Ok(Some(row)) if row.status != InnerStatus::Active => {
            waits_for.push(format!("STATUS ACTIVE (it is {})", row.status));
        }
        Ok(Some(row)) if !is_heard(context, &row) => waits_for.push("a new START_SERVICE_TIME".to_owned()),
        Ok(Some(_)) => {}
        Err(error) if error.class == ErrorClass::WrongCluster => return step_io::refuse(cluster_failure(&error)),
        // A server that has just begun refuses logins for more than one reason.
        Err(error) => match without_majority(context) {
            Some(failure) => return step_io::refuse(failure.with("address", addr)),
            None => waits_for.push(format!("{addr} to answer SQL, which needs a majority ({})", error.message)),
        },
    }
    if waits_for.is_empty() {
        context.log(format!("{}; it answers SQL, STATUS ACTIVE", found.evidence));
        return Observation::Reached { already_so: false, output: StepOutput::default(), writes: Vec::new() };
    }
    let progress = ProgressReport::uncounted(format!("waits for {}", waits_for.join(", ")));
    Observation::Wait { progress, again_in: deps.timeouts.poll }
}

/// When half of the servers failed to start there is nothing to wait for.
fn without_majority(context: &StepContext) -> Option<Failure> {
    let starts = match context.task.direction {
        Direction::Forward => StepKind::StartProcess,
        Direction::Back => StepKind::StopProcess,
    };
    let of_start = context.task.subtasks.iter().filter(|it| it.spec.kind == starts.as_str());
    let (failed, all) =
        (of_start.filter(|it| it.state == SubtaskState::Failed).count(), context.task.spec.servers.len());
    (failed * 2 >= all).then(|| {
        let message = format!("the cluster does not answer, and {failed} of its {all} servers were not started; retry");
        Failure::new(FailureKind::Unreachable, "NO_MAJORITY", message).with("not_started", failed)
    })
}
