//! Start ocp agent service: a subtask of the documented graph. The agent is ours, and the host's own service manager keeps it;
//! here it only has to answer.
//!
//! Repeating it is safe: it only looks.

use async_trait::async_trait;

use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::host::{Finding, HostCode};
use crate::engine::{Observation, Step, StepContext};
use crate::operations::{Deps, step_io};

pub struct StartAgentService(pub Deps);

#[async_trait]
impl Step for StartAgentService {
    async fn look(&self, context: &StepContext) -> Observation {
        let target = match step_io::target(&self.0, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let found = step_io::find(&self.0, &target).await;
        match found.finding {
            Finding::HostUnreachable { reason } => {
                let message = format!("the agent on the host of {} does not answer: {reason}", target.server.addr);
                let failure = Failure::new(FailureKind::Unreachable, HostCode::HostUnreachable.as_str(), message);
                Observation::Unreadable { failure: failure.with("address", target.server.addr) }
            }
            Finding::Running(_) | Finding::Absent { .. } | Finding::Ambiguous { .. } => {
                context.log(format!("the agent answers: {}", found.evidence));
                Observation::Reached { already_so: true, output: StepOutput::default(), writes: Vec::new() }
            }
        }
    }
}
