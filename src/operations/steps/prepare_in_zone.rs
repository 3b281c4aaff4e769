//! Prepare stop observer, and its like, of one server of a zone that is operated on: what was is recorded by then, so that it
//! only proves once more that the host answers, and shows the server as operated on.
//!
//! Repeating it is safe: it only reads; the status is written with its success, and again as it was when the task ends.

use async_trait::async_trait;

use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::facts::{ProcessBefore, ProcessState};
use crate::domain::host::{Finding, HostCode};
use crate::engine::{Observation, Step, StepContext};
use crate::operations::definition::Definition;
use crate::operations::{Deps, step_io};
use crate::store::Write;

pub struct PrepareInZone(pub Deps);

#[async_trait]
impl Step for PrepareInZone {
    async fn look(&self, context: &StepContext) -> Observation {
        let target = match step_io::target(&self.0, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let (server, addr) = (target.server.id, target.server.addr);
        let found = step_io::find(&self.0, &target).await;
        // Its host did not answer before either, and the checks let it through so.
        let unknown = context.server_facts().process_before == Some(ProcessBefore::NotSeen(ProcessState::Unknown));
        match &found.finding {
            Finding::HostUnreachable { reason } if !unknown => {
                let message = format!("the host of {addr} does not answer any more: {reason}");
                let failure = Failure::new(FailureKind::Unreachable, HostCode::HostUnreachable.as_str(), message);
                return Observation::Unreadable { failure: failure.with("address", addr) };
            }
            Finding::Running(_)
            | Finding::Absent { .. }
            | Finding::HostUnreachable { .. }
            | Finding::Ambiguous { .. } => context.log(found.evidence),
        }
        let meanwhile = Definition::of_task(&context.task).and_then(|operation| operation.meanwhile);
        let writes = meanwhile.map(|status| Write::ServerStatus { server, status: Some(status) }).into_iter().collect();
        Observation::Reached { already_so: false, output: StepOutput::default(), writes }
    }
}
