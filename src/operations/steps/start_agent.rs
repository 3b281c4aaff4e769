//! Start ocp agent service: a subtask of the documented graph. The agent is ours, and the host's own service manager keeps it;
//! here it only has to answer.
//!
//! Repeating it is safe: it only looks.

use async_trait::async_trait;

use crate::domain::decide::Learned;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::host::Finding;
use crate::engine::{Look, Step, StepContext};
use crate::operations::{Deps, ways};

pub struct StartAgentService(pub Deps);

#[async_trait]
impl Step for StartAgentService {
    async fn look(&self, context: &StepContext) -> Look {
        let target = match ways::target(&self.0, context).await {
            Ok(target) => target,
            Err(failure) => return ways::not_begun(failure),
        };
        let found = ways::find(&self.0, &target).await;
        match found.finding {
            Finding::HostUnreachable { reason } => {
                let message = format!("the agent on the host of {} does not answer: {reason}", target.server.addr);
                let failure = Failure::new(FailureKind::Unreachable, "HOST_UNREACHABLE", message);
                Look::Unreadable { failure: failure.with("address", target.server.addr) }
            }
            Finding::Running(_) | Finding::Absent { .. } | Finding::Ambiguous { .. } => {
                context.log(format!("the agent answers: {}", found.evidence));
                Look::Reached { already_so: true, learned: Learned::default(), writes: Vec::new() }
            }
        }
    }
}
